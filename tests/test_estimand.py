"""Estimates and intervals against numbers worked out by hand."""

import math

import numpy as np
import pytest
from arviz_stats.base import array_stats

from bayes_mesa.verdicts.estimand import (
    Average,
    Estimate,
    mean_and_mcse,
    mixture_quantiles,
    probability,
    share,
)

Z95 = 1.6448536269514722
ALONE = Average.alone()


def average(*pi, covariance=None):
    size = len(pi)
    return Average(np.array(pi), np.zeros((size, size)) if covariance is None else covariance)


def bernoulli(share_of_ones, shape=(4, 250), seed=42):
    return np.random.default_rng(seed).random(shape) < share_of_ones


def test_mean_is_plain_and_mcse_is_arviz():
    draws = bernoulli(0.3)
    mean, mcse = mean_and_mcse(draws)
    assert mean == pytest.approx(draws.sum() / 1000, rel=1e-15)
    expected = array_stats.mcse(draws.astype(float), chain_axis=0, draw_axis=1, method="mean")
    assert mcse == pytest.approx(float(expected), rel=1e-9)


def test_constant_draws_have_no_error():
    assert mean_and_mcse(np.full((2, 50), 0.1)) == (0.1, 0.0)


def test_nan_draws_are_left_out_and_their_chance_enters_the_error():
    draws = np.array([[1.0, 3.0, np.nan, 1.0] * 100, [3.0, np.nan, 1.0, 3.0] * 100])
    mean, mcse = mean_and_mcse(draws)
    assert mean == pytest.approx((1 + 3 + 1 + 3 + 1 + 3) / 6)
    assert mcse > 0
    residual = np.where(np.isnan(draws), 0.0, draws - 2.0) / 0.75
    expected = array_stats.mcse(residual, chain_axis=0, draw_axis=1, method="mean")
    assert mcse == pytest.approx(float(expected), rel=1e-12)


def test_nothing_but_nan_has_no_mean():
    assert all(math.isnan(x) for x in mean_and_mcse(np.full((2, 5), np.nan)))


def test_interval_of_a_probability_is_of_the_probability():
    draws = bernoulli(0.3)
    found = probability([draws], ALONE)
    _, mcse = mean_and_mcse(draws)
    assert found.lower == pytest.approx(draws.mean() - Z95 * mcse)
    assert found.upper == pytest.approx(draws.mean() + Z95 * mcse)


def test_interval_of_a_probability_stays_in_range():
    draws = np.zeros((2, 100), dtype=bool)
    draws[0, 0] = True
    assert probability([draws], ALONE).lower == 0.0
    assert probability([~draws], ALONE).upper == 1.0


@pytest.mark.parametrize("size", [1, 100, 4000])
def test_no_event_in_any_draw(size):
    found = probability([np.zeros((1, size), dtype=bool)], ALONE)
    assert (found.mean, found.mcse, found.lower) == (0.0, 0.0, 0.0)
    assert found.upper == pytest.approx(1 - 0.05 ** (1 / size), rel=1e-12)


def test_the_event_in_every_draw_is_mirrored():
    found = probability([np.ones((1, 100), dtype=bool)], ALONE)
    assert (found.mean, found.mcse, found.upper) == (1.0, 0.0, 1.0)
    assert found.lower == pytest.approx(0.05**0.01, rel=1e-12)


@pytest.mark.parametrize("reason", ["proved_never", "known"])
def test_what_could_not_come_out_otherwise_has_a_point_for_interval(reason):
    found = probability([np.zeros((1, 100), dtype=bool)], ALONE, **{reason: True})
    assert (found.mean, found.mcse, found.lower, found.upper) == (0.0, 0.0, 0.0, 0.0)


def test_a_proof_that_the_draws_contradict_is_not_believed():
    draws = bernoulli(0.3)
    assert probability([draws], ALONE, proved_never=True) == probability([draws], ALONE)


def test_average_over_families():
    draws = [bernoulli(0.2, seed=1), bernoulli(0.9, seed=2)]
    parts = [mean_and_mcse(d) for d in draws]
    covariance = np.array([[4e-4, -4e-4], [-4e-4, 4e-4]])
    found = probability(draws, average(0.25, 0.75, covariance=covariance))
    mean = 0.25 * parts[0][0] + 0.75 * parts[1][0]
    from_weights = 0.02**2 * (parts[0][0] - parts[1][0]) ** 2
    mcse = math.sqrt((0.25 * parts[0][1]) ** 2 + (0.75 * parts[1][1]) ** 2 + from_weights)
    assert found.mean == pytest.approx(mean, rel=1e-12)
    assert found.mcse == pytest.approx(mcse, rel=1e-9)
    assert found.upper - found.mean == pytest.approx(Z95 * mcse, rel=1e-9)


def test_a_family_without_an_event_still_widens_the_average():
    seen, unseen = bernoulli(0.5), np.zeros((4, 250), dtype=bool)
    found = probability([seen, unseen], average(0.4, 0.6))
    _, mcse = mean_and_mcse(seen)
    above = math.hypot(0.4 * Z95 * mcse, 0.6 * (1 - 0.05**0.001))
    assert found.upper - found.mean == pytest.approx(above, rel=1e-9)
    assert found.mean - found.lower == pytest.approx(0.4 * Z95 * mcse, rel=1e-9)


def test_path_dependence_scales_what_was_not_seen():
    never = np.zeros((1, 100), dtype=bool)
    found = probability(
        [never], ALONE, locked=[np.full((1, 100), 0.02)], free=[np.full((1, 100), 0.8)]
    )
    assert found.mean == pytest.approx(0.02)
    assert found.mcse == 0.0
    assert found.upper == pytest.approx(0.02 + 0.8 * (1 - 0.05**0.01))


def test_path_dependence_of_an_ordinary_probability():
    draws = bernoulli(0.3)
    locked, free = [np.full(draws.shape, 0.02)], [np.full(draws.shape, 0.8)]
    plain = probability([draws], ALONE)
    found = probability([draws], ALONE, locked=locked, free=free)
    assert found.mean == pytest.approx(0.02 + 0.8 * plain.mean)
    assert found.mcse == pytest.approx(0.8 * plain.mcse, rel=1e-9)
    assert found.upper == pytest.approx(0.02 + 0.8 * plain.upper, rel=1e-9)


def test_interval_of_a_share_holds_the_draws():
    draws = np.arange(1.0, 101.0).reshape(4, 25)
    found = share([draws], ALONE)
    assert (found.mean, found.lower, found.upper) == (50.5, 5.0, 95.0)


def test_quantiles_of_a_mixture():
    # Nine tenths of the weight on a family that is always 1: the upper tail is the other one's.
    draws = [np.full((1, 4), 1.0), np.array([[2.0, 3.0, 4.0, 5.0]])]
    mixed = mixture_quantiles(draws, average(0.9, 0.1), [0.5, 0.91, 0.94, 0.96, 0.99])
    assert mixed == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_families_of_no_weight_do_not_matter():
    draws = [np.full((1, 4), 1.0), np.full((1, 4), 9.0)]
    assert mixture_quantiles(draws, average(1.0, 0.0), [0.0, 1.0]) == [1.0, 1.0]


def test_infinite_draws_do_no_harm_to_quantiles():
    draws = np.array([[-np.inf, 1.0, 2.0, np.inf]])
    assert mixture_quantiles([draws], ALONE, [0.1, 0.5, 0.95]) == [-np.inf, 1.0, np.inf]


def test_what_is_not_a_number_is_null():
    found = share([np.full((2, 5), np.nan)], ALONE).as_dict()
    assert found == {"mean": None, "mcse": None, "lower": None, "upper": None}


def test_families_count_by_how_often_something_fits():
    rng = np.random.default_rng(5)
    first, second = rng.uniform(0.1, 0.3, (4, 500)), rng.uniform(0.5, 0.7, (4, 500))
    first[rng.random(first.shape) < 0.5] = np.nan
    second[rng.random(second.shape) < 0.1] = np.nan
    average = Average(np.array([0.5, 0.5]), np.zeros((2, 2)))
    whole = np.concatenate([first.ravel(), second.ravel()])
    found = share([first, second], average)
    assert found.mean == pytest.approx(np.nanmean(whole), abs=1e-12)
    low, high = np.nanquantile(whole, (0.05, 0.95), method="inverted_cdf")
    assert (found.lower, found.upper) == pytest.approx((low, high))


def test_a_family_under_which_nothing_fits_is_left_out():
    some, none = np.full((2, 10), 0.25), np.full((2, 10), np.nan)
    average = Average(np.array([0.4, 0.6]), np.zeros((2, 2)))
    assert share([some, none], average) == Estimate(0.25, 0.0, 0.25, 0.25)
    assert np.isnan(share([none, none], average).mean)


def test_the_error_of_a_share_counts_how_many_draws_have_one():
    """Against the spread of many samples: families differ, and half of one's draws have none."""
    rng = np.random.default_rng(42)
    found = []
    for _ in range(300):
        low, high = rng.normal(0.1, 0.01, (4, 50)), rng.normal(0.9, 0.01, (4, 50))
        high[rng.random(high.shape) < 0.5] = np.nan
        found.append(share([low, high], average(0.5, 0.5)))
    means = [f.mean for f in found]
    assert np.mean(means) == pytest.approx((0.5 * 0.1 + 0.25 * 0.9) / 0.75, abs=0.005)
    # A standard deviation of 300 is known to 4 %.
    assert np.mean([f.mcse for f in found]) == pytest.approx(np.std(means), rel=0.2)
