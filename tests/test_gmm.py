"""brainiak's optimiser: its definitions, its rules for the next value, its search."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from hpo.exceptions import AllTrialsFailed, InvalidLoss
from hpo.gmm import fmin, get_next_sample, get_sigma, gmm_1d_distribution

LIMITS = [(-math.inf, math.inf), (0.0, math.inf), (-math.inf, 10.0), (0.0, 10.0)]


def space_of_x(**extra):
    return {"x": {"dist": stats.uniform(-10, 20), "lo": -10.0, "hi": 10.0, **extra}}


def square(values):
    return values["x"] ** 2


# --- widths ---


def sigma_by_definition(points, min_limit, max_limit):
    """The larger distance to the nearest on either side; the smaller if that is infinite."""
    widths = []
    for point in points:
        others = [*points, min_limit, max_limit]
        left = min((point - other for other in others if other < point), default=math.inf)
        right = min((other - point for other in others if other > point), default=math.inf)
        larger, smaller = max(left, right), min(left, right)
        widths.append(smaller if math.isinf(larger) else larger)
    return widths


@given(
    points=st.lists(st.integers(0, 12).map(lambda n: n / 1.2), max_size=12),
    limits=st.sampled_from([*LIMITS, (2.0, 5.0)]),
)
def test_widths_equal_their_definition(points, limits):
    widths = get_sigma(points, *limits)

    np.testing.assert_array_equal(widths, sigma_by_definition(points, *limits))


def test_a_width_is_the_larger_gap_to_a_neighbour_or_limit():
    np.testing.assert_array_equal(get_sigma([4.0, 1.0, 2.0], 0.0, 10.0), [6.0, 1.0, 2.0])


def test_equal_points_share_their_neighbours():
    np.testing.assert_array_equal(get_sigma([1.0, 1.0, 3.0]), [2.0, 2.0, 2.0])


# --- the mixture ---


def pdf_by_definition(at, points, low, high, weights):
    """sum w_i N(at; x_i, s_i) / sum w_i, with w_i the weight over the mass inside the limits."""
    if at < low or at > high:
        return 0.0
    sigmas = sigma_by_definition(points, low, high)
    normals = [stats.norm(point, sigma) for point, sigma in zip(points, sigmas, strict=True)]
    scaled = [w / (n.cdf(high) - n.cdf(low)) for w, n in zip(weights, normals, strict=True)]
    return sum(w * n.pdf(at) for w, n in zip(scaled, normals, strict=True)) / sum(scaled)


@pytest.mark.parametrize(("low", "high"), LIMITS)
def test_the_likelihood_equals_its_definition(low, high):
    points, weights = [1.0, 4.0, 4.0, 9.5], [1.0, 0.0, 2.0, 0.5]
    mixture = gmm_1d_distribution(np.array(points), low, high, weights=np.array(weights))

    for at in (-1.0, 0.0, 2.2, 4.0, 9.9, 10.0, 11.0):
        expected = pdf_by_definition(at, points, low, high, weights)
        assert mixture(at) == pytest.approx(expected, rel=1e-12), at


def test_numbers_and_arrays_of_any_shape_give_the_same_likelihood():
    mixture = gmm_1d_distribution([1.0, 2.0, 3.0], 0.0, 4.0)

    values = mixture.get_gmm_pdf(np.array([[0.5, 2.0], [3.9, 4.1]]))

    assert isinstance(mixture(0.5), float)
    assert values.tolist() == [[mixture(0.5), mixture(2.0)], [mixture(3.9), 0.0]]


def test_a_weight_counts_as_so_many_equal_points():
    repeated = gmm_1d_distribution(np.array([1.0, 1.0, 2.0, 3.0, 1.0, 3.0]))
    weighted = gmm_1d_distribution(np.array([1.0, 2.0, 3.0]), weights=np.array([3.0, 1.0, 2.0]))

    at = np.linspace(-2.0, 6.0, 50)
    np.testing.assert_allclose(repeated(at), weighted(at), rtol=1e-12)


def test_its_attributes_are_brainiaks():
    mixture = gmm_1d_distribution(np.array([1.0, 3.0]), 0.0, 4.0, weights=2.0)

    assert (mixture.N, mixture.min_limit, mixture.max_limit) == (2, 0.0, 4.0)
    np.testing.assert_array_equal(mixture.points, [1.0, 3.0])
    np.testing.assert_array_equal(mixture.sigma, [2.0, 2.0])
    mass = stats.norm(1.0, 2.0).cdf(4.0) - stats.norm(1.0, 2.0).cdf(0.0)
    np.testing.assert_allclose(mixture.weights, [2.0 / mass, 2.0 / mass], rtol=1e-12)
    assert mixture.W_sum == pytest.approx(4.0 / mass)


@pytest.mark.parametrize(("low", "high"), LIMITS)
def test_samples_follow_the_likelihood(low, high):
    mixture = gmm_1d_distribution([0.5, 3.0, 3.5, 9.0], low, high, weights=[1.0, 2.0, 0.0, 1.0])
    grid = np.linspace(max(low, -60.0), min(high, 70.0), 20_001)
    cumulative = integrate.cumulative_trapezoid(mixture(grid), grid, initial=0)

    samples = mixture.get_samples(4000, seed=1)

    outcome = stats.kstest(samples, lambda t: np.interp(t, grid, cumulative / cumulative[-1]))
    assert outcome.pvalue > 1e-3, outcome


def test_a_point_alone_without_limits_has_the_given_width():
    assert gmm_1d_distribution([5.0]).sigma.tolist() == [1.0]
    assert gmm_1d_distribution([5.0], lone_sigma=0.1).sigma.tolist() == [0.1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([],), "no point"),
        (([[1.0]],), "list of finite numbers"),
        (([math.nan],), "list of finite numbers"),
        (([1.0], 5.0, 2.0), "limits are 5.0 and 2.0"),
        (([1.0, 2.0], 0.0, 5.0, [1.0, 2.0, 3.0]), "one number or 2"),
        (([1.0, 2.0], 0.0, 5.0, [0.0, 0.0]), "not all 0"),
        (([1.0, 2.0], 0.0, 5.0, -1.0), "at least 0"),
        (([3.0, 1e9, 1e9 + 1e-6], -math.inf, 5.0), "too far outside"),
    ],
)
def test_a_mixture_that_makes_no_sense_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        gmm_1d_distribution(*arguments)


# --- the next value ---


def test_the_next_value_lies_where_losses_are_low():
    rng = np.random.default_rng(0)
    x = rng.uniform(0.0, 10.0, 60)

    proposed = [get_next_sample(x, np.abs(x - 7.0), 0.0, 10.0, seed=s) for s in range(20)]

    assert np.median(np.abs(np.array(proposed) - 7.0)) < 1.0, proposed


def test_the_next_value_keeps_its_distance_from_those_tried():
    x = np.random.default_rng(0).uniform(0.0, 10.0, 40)
    least = np.ptp(x) / (10 * len(x))

    for seed in range(20):
        proposed = get_next_sample(x, (x - 3.0) ** 2, 0.0, 10.0, seed=seed)
        assert 0.0 <= proposed <= 10.0
        assert np.abs(x - proposed).min() >= least


@pytest.mark.parametrize("n", range(2, 15))
@pytest.mark.parametrize("limits", [(-math.inf, math.inf), (0.0, 20.0)])
def test_few_values_and_equal_losses_are_enough(n, limits):
    x = np.arange(1.0, n + 1.0)

    for y in (np.ones(n), x, np.zeros(n)):
        assert math.isfinite(get_next_sample(x, y, *limits, seed=0))


def test_values_that_are_all_equal_can_be_left():
    proposed = get_next_sample(np.full(10, 3.0), np.ones(10), seed=0)

    assert math.isfinite(proposed)
    assert proposed != 3.0


def test_values_whose_loss_is_nan_or_infinite_push_the_next_one_away():
    x = np.concatenate([np.linspace(0.0, 4.0, 15), np.linspace(6.0, 10.0, 5)])
    for bad in (math.nan, math.inf):
        y = np.where(x < 5.0, bad, 1.0)

        proposed = [get_next_sample(x, y, 0.0, 10.0, seed=seed) for seed in range(20)]

        assert np.mean(np.array(proposed) > 5.0) > 0.8, proposed


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ([1.0], [1.0], "at least two"),
        ([1.0, 2.0], [1.0], r"\(2,\) and \(1,\)"),
        ([1.0, 2.0], [math.nan, math.inf], "no loss to learn from"),
        ([1.0, math.nan], [1.0, 2.0], "finite numbers"),
    ],
)
def test_values_that_teach_nothing_are_refused(x, y, words):
    with pytest.raises(ValueError, match=words):
        get_next_sample(x, y)


# --- the search ---


def test_trials_are_plain_dictionaries_appended_in_place():
    trials = []

    best = fmin(square, space_of_x(), 35, trials, seed=0)
    again = fmin(square, space_of_x(), 10, trials, seed=1)

    assert len(trials) == 45
    assert all(type(trial) is dict and set(trial) == {"x", "loss"} for trial in trials)
    assert all(type(number) is float for trial in trials for number in trial.values())
    assert all(trial["loss"] == trial["x"] ** 2 for trial in trials)
    assert best is min(trials[:35], key=lambda trial: trial["loss"])
    assert again is min(trials, key=lambda trial: trial["loss"])


def test_it_beats_random_search():
    def best_loss(seed, explore_prob):
        return fmin(square, space_of_x(), 60, [], 20, explore_prob, seed=seed)["loss"]

    searched = [best_loss(seed, explore_prob=0.2) for seed in range(10)]
    at_random = [best_loss(seed, explore_prob=1.0) for seed in range(10)]

    assert np.median(searched) < 0.5 * np.median(at_random), (searched, at_random)


def test_a_seed_makes_it_repeatable():
    def values(seed):
        trials = []
        fmin(square, space_of_x(), 40, trials, 10, seed=seed)
        return [trial["x"] for trial in trials]

    assert values(7) == values(7)
    assert values(7) != values(8)
    assert values(None) != values(None)


def test_the_global_generator_of_numpy_is_left_alone():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002

    fmin(square, space_of_x(), 40, [], 10, seed=7)

    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_the_space_is_not_changed():
    dist = stats.norm(0, 1)
    space = {"x": {"dist": dist}}

    fmin(square, space, 5, [], seed=0)

    assert space == {"x": {"dist": dist}}


@pytest.mark.parametrize(("n_before", "n_random"), [(0, 4), (4, 4), (5, 0)])
def test_a_resumed_list_longer_than_the_random_start_has_none(n_before, n_random, caplog):
    trials = [{"x": float(i), "loss": float(i)} for i in range(n_before)]

    with caplog.at_level(logging.INFO, logger="hpo.gmm"):
        fmin(square, space_of_x(), 8, trials, init_random_evals=4, explore_prob=0.0, seed=0)

    how = ["drawn at random" in message for message in caplog.messages]
    assert how == [True] * n_random + [False] * (8 - n_random)


@pytest.mark.parametrize(
    ("explore_prob", "least", "most"), [(0.0, 0, 0), (0.2, 4, 40), (1.0, 99, 99)]
)
def test_the_probability_to_explore_is_kept(explore_prob, least, most, caplog):
    trials = [{"x": 1.0, "loss": 1.0}, {"x": 2.0, "loss": 2.0}]

    with caplog.at_level(logging.INFO, logger="hpo.gmm"):
        fmin(square, space_of_x(), 99, trials, 0, explore_prob, seed=0)

    assert least <= sum("at random" in message for message in caplog.messages) <= most


def test_without_a_random_start_the_first_values_are_drawn_all_the_same():
    trials = []

    fmin(square, space_of_x(), 5, trials, init_random_evals=0, explore_prob=0.0, seed=0)

    assert len({trial["x"] for trial in trials}) == 5


def test_no_evaluations_return_the_best_trial_so_far():
    trials = [{"x": 3.0, "loss": 9.0}, {"x": 1.0, "loss": 1.0}]

    assert fmin(square, space_of_x(), 0, trials) is trials[1]
    with pytest.raises(AllTrialsFailed, match="none of 0 trials"):
        fmin(square, space_of_x(), 0, [])


def test_a_loss_of_nan_is_never_the_best_and_does_not_stop_the_search():
    def loss(values):
        return math.nan if values["x"] < 0 else values["x"]

    trials = []
    best = fmin(loss, space_of_x(), 50, trials, 10, seed=0)

    assert any(math.isnan(trial["loss"]) for trial in trials)
    assert 0.0 <= best["loss"] < 2.0


def test_a_search_where_every_loss_is_nan_says_so_and_keeps_the_trials():
    trials = []

    with pytest.raises(AllTrialsFailed, match="none of 20 trials"):
        fmin(lambda values: math.nan, space_of_x(), 20, trials, 5, seed=0)

    assert len(trials) == 20


def test_equal_losses_keep_it_searching():
    trials = []

    best = fmin(lambda values: 1.0, space_of_x(), 50, trials, 5, seed=0)

    assert best is trials[0]
    assert len({trial["x"] for trial in trials}) == 50


def test_values_lie_within_the_limits_though_the_distribution_goes_further():
    trials = []

    fmin(square, {"x": {"dist": stats.norm(0, 5), "lo": -1.0, "hi": 4.0}}, 60, trials, 20, seed=0)

    assert all(-1.0 <= trial["x"] <= 4.0 for trial in trials)


def test_trials_outside_the_limits_or_of_other_variables_are_no_obstacle():
    trials = [{"x": 500.0 + i, "loss": -1.0} for i in range(20)]
    trials += [{"y": float(i), "loss": 0.0} for i in range(20)]

    fmin(square, space_of_x(), 10, trials, seed=0)

    assert all(abs(trial["x"]) <= 10.0 for trial in trials[40:])


def test_discrete_distributions_keep_whole_numbers():
    trials = []

    best = fmin(
        lambda values: abs(values["n"] - 37),
        {"n": {"dist": stats.randint(0, 100), "lo": 0, "hi": 99}},
        80,
        trials,
        20,
        seed=0,
    )

    assert all(type(trial["n"]) is int and 0 <= trial["n"] <= 99 for trial in trials)
    assert best["loss"] <= 2


def test_anything_with_rvs_is_a_distribution():
    class Coin:
        def rvs(self):
            return 0.25

    trials = []
    fmin(square, {"x": {"dist": Coin()}}, 3, trials, seed=0)

    assert [trial["x"] for trial in trials] == [0.25] * 3


@pytest.mark.parametrize("dist", ["normal", None, 3.0])
def test_a_distribution_without_rvs_is_named(dist):
    with pytest.raises(ValueError, match="Unknown distribution type for variable 'x'"):
        fmin(square, {"x": {"dist": dist, "mu": 0.0, "sigma": 1.0}}, 5, [])


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({}, "empty"),
        ({"loss": {"dist": stats.norm()}}, "cannot be called 'loss'"),
        ({"x": stats.norm(0, 1)}, "variable 'x' must be given as"),
        ({"x": {"dist": stats.norm(), "lo": 1, "hi": 1}}, "variable 'x': the limits are 1 and 1"),
        ({"x": {"dist": stats.norm(), "lo": "low"}}, "variable 'x': the limits are 'low'"),
        ({"x": {"dist": stats.uniform(), "lo": 5, "hi": 6}}, "none lies between lo = 5"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(space, words):
    with pytest.raises(ValueError, match=words):
        fmin(square, space, 5, [])


@pytest.mark.parametrize("trial", [{"x": 1.0}, {"x": 1.0, "loss": None}])
def test_a_trial_without_a_loss_is_named(trial):
    with pytest.raises(ValueError, match=r"trials\[1\] has no number as its 'loss'"):
        fmin(square, space_of_x(), 5, [{"x": 0.0, "loss": 0.0}, trial])


@pytest.mark.parametrize(
    "arguments",
    [{"max_evals": -1}, {"explore_prob": 1.5}, {"explore_prob": -0.1}, {"init_random_evals": -1}],
)
def test_an_argument_that_makes_no_sense_is_refused(arguments):
    name = next(iter(arguments))

    with pytest.raises(ValueError, match=name):
        fmin(square, space_of_x(), **{"max_evals": 5, "trials": [], **arguments})


@pytest.mark.parametrize("returned", [None, "low", [1.0, 2.0]])
def test_a_loss_that_is_no_number_is_refused_and_earlier_trials_are_kept(returned):
    trials = [{"x": 1.0, "loss": 1.0}]

    with pytest.raises(InvalidLoss, match="one number"):
        fmin(lambda values: returned, space_of_x(), 5, trials)

    assert trials == [{"x": 1.0, "loss": 1.0}]


def test_what_the_loss_function_does_to_its_argument_spoils_no_values():
    def greedy(values):
        values["note"] = "seen"
        return values.pop("x") ** 2

    trials = []
    fmin(greedy, space_of_x(), 10, trials, 2, seed=0)

    assert all(trial["loss"] == trial["x"] ** 2 for trial in trials)
    assert all(trial["note"] == "seen" for trial in trials)
