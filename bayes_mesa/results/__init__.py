"""What a fit leaves: the tree in ArviZ's schema, its file, its figures, its diagnosis."""
