"""Strategies propose where a utility is largest, and continue where they were saved."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import integrate, stats

from hpo.exceptions import InvalidOption, InvalidOptionValue, UnreadableSession
from hpo.hyperengine import (
    BaseKernel,
    BaseStrategy,
    BayesianPortfolioStrategy,
    BayesianStrategy,
    DefaultSampler,
    ExpectedImprovement,
    MonteCarloUtilityMaximizer,
    ProbabilityOfImprovement,
    RadialBasisFunction,
    RandomPoint,
    UpperConfidenceBound,
)

POINTS = np.array([[0.1, 0.2], [0.5, 0.9], [0.7, 0.3]])
VALUES = np.array([0.3, 0.8, 0.5])
BATCH = np.array([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]])
GIVEN = (POINTS, VALUES, RadialBasisFunction(gamma=2.0), 0.5, 0.1)
# mu and s^2 at BATCH, computed by hyperengine 0.1.1.
MU = np.array([0.5777464506875626, 0.46767013159602044, 0.6700338165911468])
VARIANCE = np.array([0.09167668032358056, 0.22478240595562848, 0.25321501608262076])


def sampler(size=2, seed=0):
    made = DefaultSampler(seed)
    made.add_uniform(size)
    return made


def fast(strategy=BayesianStrategy, **options):
    return strategy(sampler(), mc_batch_size=500, **options)


# --- kernels and utilities ----------------------------------------------------------


def test_the_kernel_fades_with_the_squared_distance():
    kernel = RadialBasisFunction(gamma=2.0)

    expected = [[math.exp(-2 * float(((x - y) ** 2).sum())) for y in BATCH] for x in POINTS]
    np.testing.assert_allclose(kernel.compute(POINTS, BATCH), expected)
    np.testing.assert_allclose(kernel.id(BATCH), np.diag(kernel.compute(BATCH)))


def test_the_kernel_takes_scipys_metrics():
    kernel = RadialBasisFunction(gamma=1.0, metric="cityblock")

    assert kernel.compute(np.array([0.0, 0.0]), np.array([1.0, 2.0])) == pytest.approx(
        math.exp(-3)
    )


def test_the_process_is_hyperengines():
    mean, std = ExpectedImprovement(*GIVEN).mean_and_std(BATCH)

    np.testing.assert_allclose(mean, MU)
    np.testing.assert_allclose(std**2, VARIANCE)


def test_the_probability_of_improvement_is_that_of_a_normal():
    expected = stats.norm.sf(0.8 + 1e-8, MU, np.sqrt(VARIANCE))

    np.testing.assert_allclose(ProbabilityOfImprovement(*GIVEN).compute_values(BATCH), expected)


def test_the_expected_improvement_is_an_integral():
    def gain(value, mu, s):
        return (value - 0.8 - 1e-8) * stats.norm.pdf(value, mu, s)

    expected = [
        integrate.quad(gain, 0.8 + 1e-8, mu + 12 * s, args=(mu, s))[0]
        for mu, s in zip(MU, np.sqrt(VARIANCE), strict=True)
    ]

    np.testing.assert_allclose(ExpectedImprovement(*GIVEN).compute_values(BATCH), expected)


def test_the_confidence_bound_is_hyperengines_with_the_root_of_the_variance():
    bound = UpperConfidenceBound(*GIVEN)

    assert bound.beta == pytest.approx(2.856998159231768)
    np.testing.assert_allclose(
        bound.compute_values(BATCH), MU + 2.856998159231768 * np.sqrt(VARIANCE)
    )


@pytest.mark.parametrize("utility", [ProbabilityOfImprovement, ExpectedImprovement])
def test_a_point_that_is_known_promises_nothing(utility):
    known = utility(POINTS, VALUES, RadialBasisFunction(2.0), epsilon=1e-4)

    assert known.compute_values(POINTS).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "utility", [ProbabilityOfImprovement, ExpectedImprovement, UpperConfidenceBound]
)
def test_equal_points_do_no_harm(utility):
    made = utility(np.ones((4, 2)) / 2, np.array([1.0, 2, 3, 2]), RadialBasisFunction())

    assert np.isfinite(made.compute_values(BATCH)).all()


def test_a_random_point_is_as_good_as_any():
    assert RandomPoint(POINTS, VALUES).compute_values(BATCH).tolist() == [0, 0, 0]


def test_points_of_one_dimension_may_be_numbers():
    assert RandomPoint([0.1, 0.2], [1.0, 2.0]).dimension == 1
    with pytest.raises(InvalidOptionValue, match="do not go with"):
        RandomPoint([0.1, 0.2], [1.0])


# --- sampling and maximising --------------------------------------------------------


def test_a_sampler_draws_each_part_by_its_function():
    made = DefaultSampler(seed=0)
    made.add(lambda: 7)
    made.add_uniform(2)
    made.add(lambda: [8, 9])

    points = made.sample(50)

    assert points.shape == (50, 5)
    assert (points[:, [0, 3, 4]] == [7, 8, 9]).all()
    assert 0 <= points[:, 1:3].min() < 0.1 < 0.9 < points[:, 1:3].max() <= 1
    assert len(np.unique(points[:, 1])) == 50


def test_the_maximizer_finds_the_best_of_its_points():
    class NearCorner(RandomPoint):
        def compute_values(self, batch):
            return -np.abs(batch - [1.0, 0.0]).sum(axis=1)

    maximizer = MonteCarloUtilityMaximizer(NearCorner(POINTS, VALUES), sampler(), 25_000)

    np.testing.assert_allclose(maximizer.compute_max_point(), [1, 0], atol=0.05)


def test_a_tweak_replaces_coordinates_by_those_of_a_random_point():
    class First(RandomPoint):
        def compute_values(self, batch):
            return batch[:, 0]

    tweaked = MonteCarloUtilityMaximizer(
        First(POINTS, VALUES), sampler(), 100, tweak_probability=1, flip_probability=1
    )

    assert tweaked.compute_max_point().tolist() == sampler().sample(100)[0].tolist()


def test_probabilities_out_of_range_are_refused():
    with pytest.raises(InvalidOptionValue, match="mc_tweak_probability"):
        MonteCarloUtilityMaximizer(RandomPoint(POINTS, VALUES), sampler(), tweak_probability=2)


# --- strategies ---------------------------------------------------------------------


@pytest.mark.parametrize("utility", ["ucb", "ei", "pi"])
def test_a_strategy_climbs_a_hill(utility):
    strategy = fast(utility_gen=utility, rbf_gamma=2.0)
    for _ in range(25):
        point = strategy.next_proposal()
        strategy.add_point(point, -float(((point - [0.3, 0.7]) ** 2).sum()))

    assert strategy.values.max() > -0.002
    assert strategy.iteration == len(strategy.points) == 25


def test_the_first_points_are_random():
    strategy = fast(burn_in=3, utility_gen="pi")
    for _ in range(3):
        strategy.add_point(strategy.next_proposal(), 1.0)

    assert strategy.points.tolist() == rows_of_sampler(3)


def rows_of_sampler(n):
    made = sampler()
    return [made.sample(1)[0].tolist() for _ in range(n)]


def test_functions_may_stand_for_names():
    class Flat(BaseKernel):
        def id(self, batch_x):
            return np.ones(len(batch_x))

        def compute(self, batch_x, batch_y=None):
            return (
                np.eye(len(batch_x)) if batch_y is None else np.zeros((len(batch_x), len(batch_y)))
            )

    seen = {}

    def utility(points, values, kernel, mu_prior, options):
        seen.update(kernel=kernel, mu_prior=mu_prior, options=options)
        return RandomPoint(points, values)

    strategy = fast(
        utility_gen=utility, kernel_gen=lambda options: Flat(), mu_prior_gen=np.median, mine=5
    )
    for value in (1.0, 2.0, 9.0):
        strategy.add_point(strategy.next_proposal(), value)
    strategy.next_proposal()

    assert isinstance(seen["kernel"], Flat)
    assert seen["mu_prior"] == 2.0
    assert seen["options"]["mine"] == 5


@pytest.mark.parametrize(("given", "expected"), [("mean", 4.0), ("max", 9.0), (0.5, 0.5)])
def test_what_is_expected_elsewhere_has_names(given, expected):
    seen = []

    def utility(points, values, kernel, mu_prior, options):
        seen.append(mu_prior)
        return RandomPoint(points, values)

    strategy = fast(utility_gen=utility, mu_prior_gen=given)
    for value in (1.0, 2.0, 9.0):
        strategy.add_point([0.5, 0.5], value)
    strategy.next_proposal()

    assert seen == [expected]


def test_a_value_that_is_no_number_counts_as_the_least():
    strategy = fast(utility_gen="ei")
    strategy.add_point([0.2, 0.2], math.nan)
    assert np.isfinite(strategy.next_proposal()).all()

    strategy.add_point([0.8, 0.8], 1.0)
    strategy.add_point([0.5, 0.5], -math.inf)

    assert np.isfinite(strategy.next_proposal()).all()
    assert np.isnan(strategy.values).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"utility_gen": "ei2"}, "did you mean 'ei'"),
        ({"kernel_gen": "matern"}, "must be one of rbf"),
        ({"burnin": 5}, "did you mean 'burn_in'"),
        ({"rbf_gama": 5}, "gama"),
    ],
)
def test_a_misspelt_option_is_an_error(options, problem):
    strategy = None
    with pytest.raises((InvalidOption, TypeError), match=problem):
        strategy = fast(**options)
        strategy.add_point([0.5, 0.5], 1.0)
        strategy.next_proposal()


# --- portfolios ---------------------------------------------------------------------


def counting(name, calls):
    def utility(points, values, kernel, mu_prior, options):
        calls.append(name)
        return RandomPoint(points, values)

    return utility


def test_a_portfolio_draws_methods_by_their_probabilities():
    calls = []
    portfolio = fast(
        BayesianPortfolioStrategy,
        methods=[counting("a", calls), counting("b", calls), counting("c", calls)],
        probabilities=[0.2, 0.8, 0.0],
    )
    portfolio.add_point([0.5, 0.5], 1.0)
    for _ in range(300):
        portfolio.next_proposal()

    assert calls.count("b") == pytest.approx(240, abs=30)
    assert "c" not in calls


def test_methods_are_scored_by_what_they_gained():
    portfolio = fast(BayesianPortfolioStrategy, methods=["ucb", "pi"], alpha=0.9)
    portfolio.add_point([0.5, 0.5], 1.0)
    assert portfolio.scores.tolist() == [0, 0], "nobody proposed it"

    expected = np.zeros(2)
    values = [1.0]
    for value in (3.0, 2.0, 7.0, 1.0):
        portfolio.next_proposal()
        proposer = portfolio._proposer
        portfolio.add_point([0.5, 0.5], value)
        expected[proposer] = 0.9 * (value - np.mean(values)) + 0.1 * expected[proposer]
        values.append(value)

    np.testing.assert_allclose(portfolio.scores, expected)
    np.testing.assert_allclose(portfolio.probabilities, np.exp(expected) / np.exp(expected).sum())
    assert portfolio.probabilities[0] != 0.5, "the scores count"


@pytest.mark.parametrize(
    "options",
    [
        {"methods": []},
        {"methods": "ucb"},
        {"methods": ["ucb", "best"]},
        {"methods": ["ucb"], "probabilities": [0.5]},
        {"methods": ["ucb", "pi"], "probabilities": [1.0]},
    ],
)
def test_a_portfolio_without_sense_is_refused(options):
    with pytest.raises(InvalidOption):
        fast(BayesianPortfolioStrategy, **options)


# --- between runs -------------------------------------------------------------------


def test_a_session_is_saved_and_continued(tmp_path):
    first = fast(BayesianPortfolioStrategy, methods=["ucb", "pi"], io_save_dir=tmp_path)
    for value in (1.0, 2.0, math.nan, 3.0):
        first.add_point(first.next_proposal(), value)

    second = fast(BayesianPortfolioStrategy, methods=["ucb", "pi"], io_load_dir=tmp_path)

    assert second.points.tolist() == first.points.tolist()
    np.testing.assert_array_equal(second.values, first.values)
    assert second.scores.tolist() == first.scores.tolist()
    assert second.loaded_from == str(tmp_path / "strategy-session.json")
    assert json.loads((tmp_path / "strategy-session.json").read_text())["values"][2] is None


def test_hyperengines_session_is_read(tmp_path):
    (tmp_path / "strategy-session.xjson").write_text(
        "{'points': [[0.250000, 0.5], [0.75, 0.5]], 'scores': [0.1, -0.1], 'values': [0.6, 0.7]}"
    )

    portfolio = fast(BayesianPortfolioStrategy, methods=["ucb", "pi"], io_load_dir=tmp_path)

    assert portfolio.iteration == 2
    assert portfolio.scores.tolist() == [0.1, -0.1]
    assert np.isfinite(portfolio.next_proposal()).all()


def test_scores_of_other_methods_begin_anew(tmp_path):
    fast(BayesianPortfolioStrategy, methods=["ucb", "pi"], io_save_dir=tmp_path).add_point(
        [0.5, 0.5], 1.0
    )

    portfolio = fast(BayesianPortfolioStrategy, methods=["ucb", "pi", "ei"], io_load_dir=tmp_path)

    assert portfolio.iteration == 1
    assert portfolio.scores.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"x": [[1]], "y": [1]}',
        '{"points": [[0.5]], "values": [1, 2]}',
        '{"points": [[null]], "values": [1]}',
    ],
)
def test_a_damaged_or_foreign_session_is_an_error_and_stays(tmp_path, content):
    path = tmp_path / "strategy-session.json"
    path.write_text(content)

    with pytest.raises(UnreadableSession):
        fast(io_load_dir=tmp_path, io_save_dir=tmp_path)

    assert path.read_text() == content


def test_a_strategy_of_ones_own_is_saved_as_well(tmp_path):
    class Middle(BaseStrategy):
        def next_proposal(self):
            return np.full(2, 0.5)

    strategy = Middle(sampler(), io_save_dir=tmp_path)
    strategy.add_point(strategy.next_proposal(), 1.0)

    assert Middle(sampler(), io_load_dir=tmp_path).iteration == 1
