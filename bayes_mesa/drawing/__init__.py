"""Whole programs drawn from a posterior."""
