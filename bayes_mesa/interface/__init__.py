"""The command line, and what it and a notebook show."""
