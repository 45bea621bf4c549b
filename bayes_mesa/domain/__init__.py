"""What a model is: beliefs, structures, a grammar, and everything uncertain as slots."""
