"""Drawing from distributions and from whole expressions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from hpo.pyll import as_apply, rec_eval, scope, stochastic
from hpo.pyll.stochastic import recursive_set_rng_kwarg, sample

N = 4000


def q_cells(cdf, q):
    """The distribution function of round(X / q) * q, given that of X."""
    return lambda x: cdf((np.floor(x / q + 1e-9) + 0.5) * q)


UNIFORM, NORMAL = scipy.stats.uniform(-1, 4), scipy.stats.norm(1, 2)
CONTINUOUS = {
    "uniform": (scope.uniform(-1, 3), UNIFORM.cdf),
    "loguniform": (scope.loguniform(-1, 3), lambda x: UNIFORM.cdf(np.log(x))),
    "normal": (scope.normal(1, 2), NORMAL.cdf),
    "lognormal": (scope.lognormal(1, 2), lambda x: NORMAL.cdf(np.log(x))),
}


@pytest.mark.parametrize("kind", CONTINUOUS)
def test_draws_follow_the_distribution(kind):
    node, cdf = CONTINUOUS[kind]
    node.set_kwarg("size", N)

    draws = sample(node, np.random.default_rng(1))

    assert scipy.stats.kstest(draws, cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("node", "q"),
    [
        (scope.quniform(-1, 3, 0.5), 0.5),
        (scope.qnormal(1, 2, 0.25), 0.25),
        (scope.qloguniform(-1, 3, 2), 2.0),
        (scope.qlognormal(0, 1, 0.1), 0.1),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_quantised_draws_are_multiples_of_the_step(node, q):
    node.set_kwarg("size", N)

    draws = sample(node, np.random.default_rng(2))

    np.testing.assert_allclose(draws / q, np.rint(draws / q), atol=1e-9)
    assert len(np.unique(draws)) > 5


@pytest.mark.parametrize(
    ("node", "p"),
    [
        (scope.randint(4), [0.25] * 4),
        (scope.randint(0, 3), [1 / 3] * 3),
        (scope.categorical([0.1, 0.0, 0.9]), [0.1, 0.0, 0.9]),
        (scope.categorical([np.array([0.5, 0.5])]), [0.5, 0.5]),
    ],
)
def test_integers_have_their_probabilities(node, p):
    node.set_kwarg("size", N)

    counts = np.bincount(sample(node, np.random.default_rng(3)), minlength=len(p))

    possible = np.array(p) > 0
    assert counts[~possible].sum() == 0
    expected = N * np.array(p)[possible]
    assert scipy.stats.chisquare(counts[possible], expected).pvalue > 1e-3


def test_without_a_size_one_number_is_drawn():
    rng = np.random.default_rng(4)

    for node in (scope.uniform(0, 1), scope.randint(3), scope.categorical([0.5, 0.5])):
        assert np.ndim(sample(node, rng)) == 0


def test_a_sample_fills_every_distribution_of_an_expression():
    u = scope.uniform(0, 1)
    space = {"u": u, "n": scope.normal(5, 0.1), "list": [0, scope.one_of(2, 3), u]}

    point = sample(space, np.random.default_rng(3))

    assert 0 < point["u"] < 1
    assert 4 < point["n"] < 6
    assert point["list"] == (0, point["list"][1], point["u"])
    assert point["list"][1] in (2, 3)


def test_a_seed_determines_the_sample():
    space = as_apply([scope.uniform(0, 1), scope.choice(["a", "b", "c"]), scope.normal(0, 1)])

    first, again, other = (sample(space, np.random.default_rng(seed)) for seed in (3, 3, 4))

    assert first == again != other


def test_only_the_chosen_branch_is_drawn():
    rng, untouched = np.random.default_rng(5), np.random.default_rng(5)

    assert sample(scope.switch(0, "constant", scope.uniform(0, 1)), rng) == "constant"
    assert rng.random() == untouched.random()


def test_sampling_leaves_the_expression_as_it_was():
    space = as_apply([scope.uniform(0, 1)])
    before = str(space)

    sample(space)

    assert str(space) == before


def test_a_generator_can_be_set_for_good():
    space = as_apply([scope.uniform(0, 1), scope.uniform(2, 3)])

    recursive_set_rng_kwarg(space, np.random.default_rng(6))
    first, second = rec_eval(space)

    assert 0 < first < 1 < 2 < second < 3


def test_a_generator_can_be_made_inside_the_expression():
    node = scope.uniform(0, 1, rng=scope.rng_from_seed(7))

    assert rec_eval(node) == np.random.default_rng(7).uniform(0, 1)


def test_a_users_distribution_is_sampled_like_hpos_own():
    @stochastic.implicit_stochastic
    @scope.define
    def coin_for_test(rng=None, size=()):
        return rng.integers(2, size=size)

    try:
        draws = {int(sample(scope.coin_for_test(), np.random.default_rng(i))) for i in range(20)}
    finally:
        stochastic.implicit_stochastic_symbols.discard("coin_for_test")
        scope.undefine("coin_for_test")

    assert draws == {0, 1}


def test_a_frozen_scipy_distribution_is_drawn_with_the_generator():
    frozen = scipy.stats.beta(2, 3)
    node = scope.frozen_distribution(frozen)

    one = sample(node, np.random.default_rng(8))
    assert one == frozen.rvs(random_state=np.random.default_rng(8))
    node.set_kwarg("size", 5)
    assert sample(node, np.random.default_rng(8)).shape == (5,)


def test_log_kinds_take_logarithms_of_bounds():
    node = scope.loguniform(math.log(1e-5), math.log(1e-1))

    draws = [sample(node, np.random.default_rng(i)) for i in range(50)]

    assert 1e-5 <= min(draws) < 1e-3 < max(draws) <= 1e-1
