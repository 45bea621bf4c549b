"""What a verdict hangs on, belief by belief."""
