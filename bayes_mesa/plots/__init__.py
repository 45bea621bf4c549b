"""One function for each plot: a tree in, figure and axes out."""
