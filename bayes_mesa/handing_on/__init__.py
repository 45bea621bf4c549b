"""A posterior handed on: as the next model's prior, or to other libraries."""
