"""The engines hold one another up: enumeration rises to the exact sums, draws follow the masses."""

import numpy as np
import pytest
from small_grammars import catalan, chain, post_like

from bayes_mesa.certificate import At
from bayes_mesa.coverage import exact_totals
from bayes_mesa.enumeration import programs_of
from bayes_mesa.listing import cheapest_programs
from bayes_mesa.theta_at import theta_at

#: Grammar, programs to list, and how much of the total they are known to reach.
RISING = {
    "post_like": (lambda: post_like(pressure=1.3), 2_000_000, 1e-6),
    "catalan": (lambda: catalan(pressure=1.5), 200_000, 1e-4),
    "chain": (lambda: chain(), 2_000, 1e-12),
}


def left_out(model, family, place, num_programs):
    """Share of the exact total that the first programs leave out."""
    at = At(model, family, place.theta[family.name], cheapest_programs(model))
    listing = programs_of(model, num_programs)
    weights = at.weights(listing)
    totals = exact_totals(at)
    listed = np.logaddexp.reduce(weights.log_class_sums())
    total = np.logaddexp.reduce(totals.log_total + at.shift(totals.base, weights.base))
    return -np.expm1(listed - total)


@pytest.mark.parametrize("name", RISING)
@pytest.mark.parametrize("family_name", ["linear", "levin", "power"])
def test_enumeration_rises_to_the_exact_sum(name, family_name):
    make, most, reached = RISING[name]
    model = make()
    family, place = model.family(family_name), theta_at(model, {})
    shares = [left_out(model, family, place, n) for n in (10, 500, most)]
    assert shares == sorted(shares, reverse=True)
    # From below: never beyond the total but by rounding.
    assert min(shares) > -1e-12
    assert shares[-1] < reached
    # The first programs are no whole: the test can fail.
    assert shares[0] > 1e-9
