"""How names, numbers and values are written."""
