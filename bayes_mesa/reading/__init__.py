"""Files that users write, read within limits, with every fault at its line."""
