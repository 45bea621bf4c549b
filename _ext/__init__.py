"""Cython kernels; they import nothing of the package."""
