"""What programs cost: count matrices, exchange families, sums and least costs over facts."""
