"""Bridge sampling against integrals that are known, and its stated error against its spread."""

import numpy as np
import pytest
from scipy import stats

from bayes_mesa.inference.marginal_likelihood import (
    LogMarginalLikelihood,
    agreed,
    bridge_sampling,
    family_probabilities,
    prior_mean,
)


def gaussian(dimension):
    factor = np.tril(np.random.default_rng(dimension).normal(size=(dimension, dimension)))
    covariance = factor @ factor.T + np.eye(dimension)
    return stats.multivariate_normal(np.arange(dimension), covariance)


@pytest.mark.parametrize("dimension", [1, 3, 12])
@pytest.mark.parametrize("constant", [0.0, -1234.5])
def test_integral_of_a_scaled_gaussian(dimension, constant):
    target = gaussian(dimension)
    rng = np.random.default_rng(42)
    draws = target.rvs(4000, random_state=rng).reshape(4, 1000, dimension)
    found = bridge_sampling(draws, lambda x: target.logpdf(x).reshape(-1) + constant, rng)
    assert found.sound
    assert 0.0 < found.error < 0.05
    assert abs(found.value - constant) < 5 * found.error


def log_skewed(x):
    """Log density of log Gamma(2) and log Exponential draws, each on the whole line."""
    return (2 * x[:, 0] - np.exp(x[:, 0])) + (x[:, 1] - np.exp(x[:, 1]))


def skewed_draws(rng, shape):
    return np.log(np.stack([rng.gamma(2.0, size=shape), rng.exponential(size=shape)], axis=-1))


def test_stated_error_is_the_spread_over_repetitions():
    rng = np.random.default_rng(42)
    found = [bridge_sampling(skewed_draws(rng, (4, 250)), log_skewed, rng) for _ in range(60)]
    values, errors = np.array([f.value for f in found]), np.array([f.error for f in found])
    # The integral is Gamma(2) Gamma(1) = 1.
    assert abs(values.mean()) < 5 * values.std() / np.sqrt(60)
    # sd of an estimated sd is 1/sqrt(2 · 60) of it; the rule never understates, and may
    # overstate by the square root of two and more.
    ratio = np.sqrt(np.mean(errors**2)) / values.std()
    assert 1 - 5 / np.sqrt(120) < ratio < 2.5
    assert np.mean(np.abs(values) > 3 * errors) <= 0.05


def test_correlated_draws_count_as_fewer():
    rng = np.random.default_rng(42)
    noise = rng.normal(size=(4, 2000, 1))
    slow = np.zeros_like(noise)
    for k in range(2000):
        before = slow[:, k - 1] if k else rng.normal(size=(4, 1))
        slow[:, k] = 0.95 * before + np.sqrt(1 - 0.95**2) * noise[:, k]

    def log_density(x):
        # Heavier tails than the proposal's, so that draws do matter.
        return stats.t(4).logpdf(x[:, 0])

    def to_t(x):
        return stats.t(4).ppf(stats.norm.cdf(x))

    independent = bridge_sampling(to_t(noise), log_density, np.random.default_rng(1))
    correlated = bridge_sampling(to_t(slow), log_density, np.random.default_rng(1))
    assert correlated.error > 1.5 * independent.error
    assert abs(correlated.value) < 5 * correlated.error


@pytest.mark.parametrize("draws", [1, 2, 4, 5, 9])
def test_few_draws_say_that_they_are_too_few(draws):
    rng = np.random.default_rng(42)
    found = bridge_sampling(rng.normal(size=(1, draws, 2)), log_skewed, rng)
    assert not found.sound or found.error > 0.05 or np.isinf(found.error)


def test_mean_over_the_prior_by_hand():
    found = prior_mean(np.repeat(np.log([1.0, 3.0]), 200) - 700.0)
    assert found.value == pytest.approx(np.log(2.0) - 700.0)
    # Relative sd of the mean of 400 values 1 and 3: 1/2 / sqrt(400).
    assert found.error == pytest.approx(0.5 / 20)
    assert found.sound


def test_mean_over_the_prior_that_a_few_draws_carry_is_not_sound():
    assert not prior_mean(np.array([0.0] * 10 + [-50.0] * 10_000)).sound
    assert not prior_mean(np.full(100, -np.inf)).sound


def test_error_of_the_mean_over_the_prior_is_its_spread():
    rng = np.random.default_rng(42)
    found = [prior_mean(rng.normal(0.0, 1.0, 2000)) for _ in range(300)]
    values, errors = np.array([f.value for f in found]), np.array([f.error for f in found])
    # E exp(normal) = exp(1/2); the bias of the log is -error²/2.
    assert abs(values.mean() - 0.5 + np.mean(errors**2) / 2) < 5 * values.std() / np.sqrt(300)
    assert np.mean(errors) == pytest.approx(values.std(), rel=5 / np.sqrt(600))


def test_two_estimates_check_one_another():
    sharp, rough = LogMarginalLikelihood(1.0, 0.01), LogMarginalLikelihood(1.02, 0.02)
    assert agreed(sharp, rough) == sharp
    assert agreed(rough, sharp) == sharp
    doubtful = LogMarginalLikelihood(9.0, 0.001, sound=False)
    assert agreed(sharp, doubtful) == sharp
    assert agreed(doubtful, sharp) == sharp
    apart = agreed(sharp, LogMarginalLikelihood(2.0, 0.02))
    assert not apart.sound
    assert apart.error == pytest.approx(1.0)


def test_probabilities_by_hand():
    probability, covariance = family_probabilities(
        np.array([0.5, 0.5]), np.array([-1000.0, -1000.0 + np.log(3)]), np.array([0.1, 0.2])
    )
    np.testing.assert_allclose(probability, [0.25, 0.75])
    # d pi_1 / d (l_1 - l_2) = pi_1 pi_2 = 3/16.
    variance = (3 / 16) ** 2 * (0.1**2 + 0.2**2)
    np.testing.assert_allclose(covariance, variance * np.array([[1, -1], [-1, 1]]))


def test_prior_weights_count_and_no_error_gives_none():
    probability, covariance = family_probabilities(
        np.array([0.2, 0.3, 0.5]), np.zeros(3), np.zeros(3)
    )
    np.testing.assert_allclose(probability, [0.2, 0.3, 0.5])
    np.testing.assert_array_equal(covariance, np.zeros((3, 3)))


def test_covariance_is_that_of_probabilities_of_noisy_likelihoods():
    rng = np.random.default_rng(42)
    weights, logs = np.array([0.2, 0.3, 0.5]), np.array([1.0, 0.3, -0.4])
    errors = np.array([0.03, 0.01, 0.05])
    _, covariance = family_probabilities(weights, logs, errors)
    noisy = [
        family_probabilities(weights, row, errors)[0] for row in rng.normal(logs, errors, (4000, 3))
    ]
    np.testing.assert_allclose(np.cov(np.array(noisy).T), covariance, rtol=0.2, atol=2e-6)
    assert np.abs(covariance.sum(axis=0)).max() < 1e-15


def test_a_family_that_the_evidence_rules_out():
    probability, covariance = family_probabilities(
        np.array([0.5, 0.5]), np.array([0.0, -1e5]), np.array([0.01, 0.01])
    )
    np.testing.assert_array_equal(probability, [1.0, 0.0])
    assert np.isfinite(covariance).all()
