"""A gate on whole programs as a user draws them: ranks of one that was drawn exactly."""

from .ranks import ranks_of_programs, unlike_uniform


def program_ranks(simulations):
    """Ranks of an exact program among those drawn at its theta, exact and tempered draws."""
    for method in ("exact", "tempered"):
        found = unlike_uniform(ranks_of_programs(method, simulations, 42))
        if found:
            return f"{method} draws, {found}"
    return None
