"""All programs of a grammar: summed exactly, listed in order, bounded."""
