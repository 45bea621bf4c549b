"""Shipped model files."""
