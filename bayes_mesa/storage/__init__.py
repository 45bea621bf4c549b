"""What is written to disk: whole or not at all, and checked to the last bit when read."""
