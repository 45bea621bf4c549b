"""Whether fits and samplers do what they say: simulation-based calibration and Geweke's test."""
