"""Who is favored, and how the weight is shared, at every draw of theta."""
