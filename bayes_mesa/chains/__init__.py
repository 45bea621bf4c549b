"""Markov chains over programs, with parallel tempering."""
