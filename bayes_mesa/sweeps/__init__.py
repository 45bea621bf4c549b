"""One model at every point of a grid over fields of its file."""
