"""Priors against scipy and against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from hpo.exceptions import BadSearchSpace
from hpo.space import Categorical, Integers, Normal, Uniform
from hpo.space.kinds import KINDS, prior_of_kind

N_DRAWS = 3000
LEVEL = 1e-4

UNIFORM = {
    "uniform": Uniform(-1, 3),
    "loguniform": Uniform(-1, 3, is_log=True),
    "quniform": Uniform(-1, 3, q=0.5),
    "qloguniform": Uniform(-1, 3, q=2.0, is_log=True),
}
NORMAL = {
    "normal": Normal(1, 2),
    "lognormal": Normal(1, 2, is_log=True),
    "qnormal": Normal(1, 2, q=0.5),
    "qlognormal": Normal(1, 0.5, q=0.25, is_log=True),
}
CONTINUOUS = UNIFORM | NORMAL
DISCRETE = {
    "randint": Integers(-2, 5),
    "categorical": Categorical((0.2, 0.0, 0.5, 0.3)),
    "uniformint": Uniform(1, 6, q=1.0, is_integer=True),
}
EXTREME = {
    "tiny range": Uniform(1.0, np.nextafter(1.0, 2.0)),
    "huge range": Uniform(-1e308, 1e308),
    "subnormal": Uniform(0.0, 1e-310),
    "tiny logs": Uniform(-744.0, -700.0, is_log=True),
    "huge logs": Uniform(700.0, 709.7, is_log=True),
    "coarse step": Uniform(0, 1, q=100.0),
    "fine step": Uniform(0, 1, q=1e-12),
    "wide lognormal": Normal(0, 300, is_log=True),
    "narrow normal": Normal(1e6, 1e-9),
    "one integer": Integers(7, 8),
    "many integers": Integers(-(2**61), 2**61),
    "sure": Categorical((0.0, 1.0, 0.0)),
}
ALL = CONTINUOUS | DISCRETE | EXTREME
names = pytest.mark.parametrize("name", ALL)


@pytest.mark.parametrize("kind", [kind for kind in CONTINUOUS if not kind.startswith("q")])
def test_draws_follow_scipys_distribution(kind):
    latent = scipy.stats.uniform(-1, 4) if "uniform" in kind else scipy.stats.norm(1, 2)

    draws = CONTINUOUS[kind].sample(np.random.default_rng(1), N_DRAWS)

    z = np.log(draws) if kind.startswith("log") else draws
    assert scipy.stats.kstest(z, latent.cdf).pvalue > LEVEL


@pytest.mark.parametrize("kind", [kind for kind in CONTINUOUS if kind.startswith("q")])
def test_quantised_draws_fall_into_their_cells(kind):
    prior = CONTINUOUS[kind]
    latent = scipy.stats.uniform(-1, 4) if "uniform" in kind else scipy.stats.norm(1, prior.sigma)

    values, counts = np.unique(prior.sample(np.random.default_rng(2), N_DRAWS), return_counts=True)

    edges = np.concatenate([values - prior.q / 2, [values[-1] + prior.q / 2]])
    z = np.log(np.maximum(edges, 1e-300)) if prior.is_log else edges
    masses = np.diff(latent.cdf(z))
    common = masses * N_DRAWS > 5
    expected = np.append(masses[common], 1 - masses[common].sum()) * N_DRAWS
    observed = np.append(counts[common], N_DRAWS - counts[common].sum())
    enough = expected > 1e-9
    assert scipy.stats.chisquare(observed[enough], expected[enough]).pvalue > LEVEL


@pytest.mark.parametrize(
    ("prior", "masses"),
    [
        (DISCRETE["randint"], dict.fromkeys(range(-2, 5), 1 / 7)),
        (DISCRETE["categorical"], {0: 0.2, 2: 0.5, 3: 0.3}),
        (DISCRETE["uniformint"], {1: 0.1, 2: 0.2, 3: 0.2, 4: 0.2, 5: 0.2, 6: 0.1}),
    ],
    ids=str,
)
def test_integers_have_their_probabilities(prior, masses):
    values, counts = np.unique(prior.sample(np.random.default_rng(3), N_DRAWS), return_counts=True)

    assert values.tolist() == list(masses)
    assert scipy.stats.chisquare(counts, N_DRAWS * np.array(list(masses.values()))).pvalue > LEVEL


@pytest.mark.parametrize(
    ("prior", "mean", "deviation"),
    [
        (Uniform(-1, 3), 1, 4 / math.sqrt(12)),
        (Normal(1, 2), 1, 2),
        (Normal(0.5, 0.25, is_log=True), *scipy.stats.lognorm(0.25, scale=math.exp(0.5)).stats()),
        (Uniform(-1, 1, is_log=True), *scipy.stats.loguniform(math.exp(-1), math.exp(1)).stats()),
        (Integers(0, 10), 4.5, math.sqrt(99 / 12)),
    ],
    ids=str,
)
def test_moments_over_many_seeds(prior, mean, deviation):
    if prior.is_log:
        deviation = math.sqrt(deviation)  # scipy's second moment is the variance
    draws = np.concatenate([prior.sample(np.random.default_rng(seed), 200) for seed in range(50)])

    standard_error = deviation / math.sqrt(draws.size)
    assert abs(draws.mean() - mean) < 4 * standard_error
    assert abs(draws.std() / deviation - 1) < 0.05


@names
def test_a_drawn_value_is_contained_and_of_the_right_type(name):
    prior = ALL[name]
    rng = np.random.default_rng(4)

    for value in [prior.sample(rng) for _ in range(20)]:
        assert type(value) is (int if prior.is_integer else float)
        assert prior.contains(value), f"{value!r} drawn from {prior}"


@names
def test_one_draw_and_an_array_of_draws_are_the_same_numbers(name):
    prior = ALL[name]

    one_by_one = [prior.sample(rng := np.random.default_rng(5)), prior.sample(rng)]

    assert prior.sample(np.random.default_rng(5), 2).tolist() == one_by_one


# Between whose quantiles there are too few floats to tell them apart.
COARSE = ("tiny range", "tiny logs", "wide lognormal", "narrow normal")


@pytest.mark.parametrize("name", [name for name in ALL if name not in COARSE])
def test_quantiles_invert_probabilities(name):
    prior = ALL[name]
    u = np.linspace(0.001, 0.999, 97)

    x = prior.ppf(u)

    assert np.all(np.diff(x.astype(float)) >= 0)
    # The definition of a quantile: x is the least value whose probability reaches u.
    assert np.all(prior.cdf(x) >= u - 1e-9)
    if prior.is_discrete and prior.q is None:
        assert np.all(prior.cdf(x - 1) <= u + 1e-9)
    elif prior.is_discrete:
        assert np.all(prior.cdf(x - prior.q) <= u + 1e-9)
    else:
        np.testing.assert_allclose(prior.cdf(x), u, atol=1e-6)


@names
def test_the_ends_of_the_unit_interval_stay_inside(name):
    prior = ALL[name]
    low, high = prior.bounds

    assert low <= prior.ppf(0.0) <= prior.ppf(1.0) <= high
    assert type(prior.ppf(0.5)) is (int if prior.is_integer else float)


@names
def test_values_come_back_from_the_latent_line(name):
    prior = ALL[name]
    x = np.asarray(prior.sample(np.random.default_rng(6), 50))

    z = prior.to_latent(x)

    assert z.dtype == np.float64
    assert np.all(np.isfinite(z))
    np.testing.assert_allclose(prior.from_latent(z).astype(float), x.astype(float), rtol=1e-9)


@names
def test_the_latent_line_never_leads_outside(name):
    prior = ALL[name]

    for z in (-1e300, -1.0, 0.0, 1.0, 1e300):
        value = prior.from_latent(z)
        assert prior.contains(value) or not math.isfinite(value), f"{z} became {value}"


@pytest.mark.parametrize("kind", UNIFORM)
def test_the_latent_scale_of_a_uniform_is_its_midpoint_and_full_width(kind):
    assert UNIFORM[kind].latent_mu_sigma == (1.0, 4)
    assert UNIFORM[kind].latent_bounds == (-1, 3)


@pytest.mark.parametrize("kind", NORMAL)
def test_the_latent_scale_of_a_normal_is_its_own(kind):
    prior = NORMAL[kind]

    assert prior.latent_mu_sigma == (prior.mu, prior.sigma)
    assert prior.latent_bounds == (-math.inf, math.inf)


def test_integers_share_the_latent_line_equally():
    prior = Integers(2, 5)
    z = np.linspace(*prior.latent_bounds, 3001)

    _, counts = np.unique(prior.from_latent(z), return_counts=True)

    assert counts.tolist() == pytest.approx([1000, 1000, 1000], abs=2)


def test_a_log_value_rounded_to_zero_counts_as_the_least():
    assert Uniform(-5, 0, q=0.5, is_log=True).to_latent(0.0) == pytest.approx(-5)
    assert Normal(0, 1, q=0.5, is_log=True).to_latent(0.0) == pytest.approx(math.log(1e-12))


@pytest.mark.parametrize(
    ("prior", "inside", "outside"),
    [
        (Uniform(-1, 3), [-1, 0, 3.0, np.float32(2)], [-1.001, 3.001, math.nan, "1", None, [1]]),
        (Uniform(-1, 3, q=2.0), [0, 2, 4, 1.5, -1], [5, -2.1]),
        (Uniform(math.log(1e-5), 0, is_log=True), [1e-5, 0.1, 1.0], [0.9e-5, 0, -1, 1.1]),
        (Uniform(-5, 3, q=2, is_log=True), [0.0, 20.0], [-0.1, 22]),
        (Uniform(1, 9, q=1, is_integer=True), [1, 9, 5.0], [0, 10, 2.5]),
        (Normal(0, 1), [-1e9, 1e9], [math.inf, math.nan]),
        (Normal(0, 1, is_log=True), [1e-9, 1e9], [-1e-9]),
        (Integers(2, 5), [2, 4, 3.0], [1, 5, 2.5]),
        (Categorical((0.5, 0.5)), [0, 1], [-1, 2, 0.5]),
    ],
    ids=str,
)
def test_contains_knows_the_bounds(prior, inside, outside):
    assert [value for value in inside if not prior.contains(value)] == []
    assert [value for value in outside if prior.contains(value)] == []


@pytest.mark.parametrize(
    ("kind", "arguments", "complaint"),
    [
        ("uniform", {"low": 1, "high": 1}, "low is 1 and high is 1"),
        ("uniform", {"low": 5, "high": 0}, "low is 5 and high is 0, but low must be less"),
        ("uniform", {"low": math.nan, "high": 0}, "low is nan"),
        ("uniform", {"low": 0, "high": math.inf}, "high is inf, but it must be a finite number"),
        ("uniform", {"low": "0", "high": 1}, "low is '0'"),
        ("quniform", {"low": 0, "high": 1, "q": 0}, "q is 0"),
        ("quniform", {"low": 0, "high": 1, "q": -1}, "q is -1"),
        ("loguniform", {"low": 0, "high": 1000}, r"did you mean high = log\(1000\) = 6.908"),
        ("loguniform", {"low": -1000, "high": 0}, "low is -1000"),
        ("normal", {"mu": 0, "sigma": 0}, "sigma is 0, but it must be positive"),
        ("normal", {"mu": None, "sigma": 1}, "mu is None"),
        ("lognormal", {"mu": 1000, "sigma": 1}, "mu is 1000"),
        ("randint", {"low": 0}, "no integer from 0 to below 0"),
        ("randint", {"low": 3, "high": 3}, "no integer from 3 to below 3"),
        ("randint", {"low": 0.5}, "0.5, but it must be a whole number"),
        ("randint", {"low": 2**70}, "62 bits"),
        ("categorical", {"p": [0.5, -0.5, 1.0]}, "-0.5 is negative"),
        ("categorical", {"p": [0.5, 0.2]}, "add up to 0.7 instead of 1"),
        ("categorical", {"p": []}, "no probabilities"),
    ],
)
def test_an_argument_that_makes_no_sense_is_named(kind, arguments, complaint):
    with pytest.raises(BadSearchSpace, match=complaint):
        prior_of_kind(kind, arguments)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "randint_via_categorical"])
def test_kinds_and_arguments_have_hyperopts_names(kind):
    prior = (CONTINUOUS | DISCRETE)[kind]

    twin = prior_of_kind(kind, prior.arguments)

    assert twin == prior
    assert twin.kind == kind
    assert str(twin).startswith(f"{kind}(")


def test_probabilities_are_normalised_exactly():
    prior = Categorical((0.3333, 0.3333, 0.3333))

    assert sum(prior.p) == pytest.approx(1.0, abs=1e-15)
    assert prior.cdf(2) == 1.0


bounds = st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(1e-3, 1e3)).filter(
    lambda b: b[0] < b[1]
)


@given(bounds, st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_rounding_steps_over_a_bound_by_half_a_step_at_most(bounds, u):
    low, high, q = bounds

    x = Uniform(low, high, q=q).ppf(np.array(u))

    slack = q / 2 + 1e-9 * (abs(low) + abs(high))
    assert np.all((x >= low - slack) & (x <= high + slack))
