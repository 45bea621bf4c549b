"""Other beliefs tried on the draws that are there."""
