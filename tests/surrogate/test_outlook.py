"""What to hope for where no trial was yet, judged by all that were."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hpo.surrogate.outlook import Outlook
from tests.surrogate.joint_slowly import BOUNDED, NAN, NORMAL, axes_of, points_of

LENGTHSCALES = (0.15, 0.3, 0.6, 1.2)


def matern(distance):
    root = math.sqrt(5.0) * distance
    return (1.0 + root + root**2 / 3.0) * math.exp(-root)


def slow_outlook(distance, trials, losses, points, running=()):
    """The definition, with an inverse, and the likelihood of a normal distribution.

    Args:
        distance: of two configurations, for a lengthscale of 1.
        running: configurations that have the loss which is expected of them.
    """
    y = np.minimum(losses, np.median(losses))
    y = (y - y.mean()) / y.std()
    n, found = len(y), []
    for lengthscale in LENGTHSCALES:

        def correlations(those, others, lengthscale=lengthscale):
            return np.array(
                [[matern(distance(p, q) / lengthscale) for q in others] for p in those]
            )

        K = correlations(trials, trials) + 0.01 * np.eye(n)
        v = y @ np.linalg.inv(K) @ y / n
        likelihood = stats.multivariate_normal(np.zeros(n), v * K).logpdf(y)
        believed, everything = y, [*trials, *running]
        if running:
            mean = correlations(running, trials) @ np.linalg.inv(K) @ y
            believed = np.concatenate([y, mean])
        K = correlations(everything, everything) + 0.01 * np.eye(len(everything))
        inverse, outlooks = np.linalg.inv(K), []
        for k in correlations(points, everything):
            deviation = math.sqrt(v * (1.0 - k @ inverse @ k))
            outlooks.append(4.0 * deviation - k @ inverse @ believed)
        found.append((likelihood, lengthscale, outlooks))
    return max(found)


@pytest.mark.parametrize("roughness", [0.5, 3.0, 12.0])
def test_it_is_the_bound_of_the_likeliest_process(roughness):
    rng = np.random.default_rng(0)
    axes = axes_of(BOUNDED, BOUNDED, options=([0.5, 0.3, 0.2],))
    u, codes = rng.random((2, 40)), rng.integers(3, size=(1, 40))
    losses = np.sin(roughness * u[0]) + np.cos(roughness * u[1]) + 0.3 * codes[0]
    new_u, new_codes = rng.random((2, 9)), rng.integers(3, size=(1, 9))

    running_u, running_codes = rng.random((2, 4)), rng.integers(3, size=(1, 4))

    outlook = Outlook(axes, points_of(axes, u, codes), losses)
    awaiting = outlook.awaiting(points_of(axes, running_u, running_codes))

    def distance(p, q):
        return math.sqrt((4 * (p[0] - q[0]) ** 2 + 4 * (p[1] - q[1]) ** 2 + (p[2] != q[2])) / 3)

    def listed(u, codes):
        # Next to the bounds it does not look closer.
        return list(zip(*u.clip(0.1, 0.9), *codes, strict=True))

    there, new = listed(u, codes), listed(new_u, new_codes)
    running = listed(running_u, running_codes)
    _, _, expected = slow_outlook(distance, there, losses, new)
    _, _, expected_awaiting = slow_outlook(distance, there, losses, new, running)
    points = points_of(axes, new_u, new_codes)
    np.testing.assert_allclose(outlook(points), expected, rtol=1e-7)
    np.testing.assert_allclose(awaiting(points), expected_awaiting, rtol=1e-7)


def test_a_running_trial_leaves_little_to_hope_for_around_it():
    axes = axes_of(BOUNDED)
    u = np.array([[*np.linspace(0.0, 0.2, 10), *np.linspace(0.8, 1.0, 10)]])
    outlook = Outlook(axes, points_of(axes, u), np.cos(3.0 * u[0]))
    middle = points_of(axes, [[0.5, 0.45]])

    here, beside = outlook(middle) - outlook.awaiting(points_of(axes, [[0.5]]))(middle)

    assert here > beside > 0.0
    assert (outlook.awaiting(points_of(axes, [[]]))(middle) == outlook(middle)).all()


def test_beyond_the_best_trial_a_slope_promises_more():
    axes = axes_of(BOUNDED, BOUNDED)
    u = 0.4 + 0.4 * np.random.default_rng(0).random((2, 30))
    outlook = Outlook(axes, points_of(axes, u), u.sum(axis=0))

    best = u[:, [u.sum(axis=0).argmin()]]
    at_best, beyond, back = (outlook(points_of(axes, best + step))[0] for step in (0.0, -0.1, 0.1))

    assert beyond > at_best > back


def test_far_from_all_trials_it_is_their_mean_and_four_deviations():
    axes = axes_of(NORMAL)
    rng = np.random.default_rng(0)
    u, losses = rng.normal(scale=0.05, size=(1, 20)), rng.normal(size=20)
    outlook = Outlook(axes, points_of(axes, u), losses)

    far, farther, out_of_sight = outlook(points_of(axes, [[15.0, 19.0, 1e300]]))

    assert far == pytest.approx(farther, rel=1e-3) == pytest.approx(out_of_sight, rel=1e-3)
    # Of targets with variance 1.
    assert far > 1.5


def test_next_to_a_bound_there_is_no_more_to_hope_for():
    axes, cells = axes_of(BOUNDED), axes_of(20)
    u = 0.2 + 0.6 * np.random.default_rng(0).random((1, 20))
    near_a_bound = [[0.001, 0.099], [0.999, 0.901]]

    outlook = Outlook(axes, points_of(axes, u), u[0])
    for near, farther in (outlook(points_of(axes, [pair])) for pair in near_a_bound):
        assert near == farther
    # Of values that can be told apart each has its own.
    of_cells = Outlook(cells, points_of(cells, u), u[0])
    for near, farther in (of_cells(points_of(cells, [pair])) for pair in near_a_bound):
        assert near != farther


def test_a_trial_that_failed_is_a_bad_one():
    axes = axes_of(BOUNDED)
    u = np.linspace(0.0, 1.0, 21)[None]
    losses = np.where(u[0] < 0.5, 0.0, 1.0)
    losses[-8:] = np.nan
    outlook = Outlook(axes, points_of(axes, u), losses)

    good, failed = outlook(points_of(axes, [[0.2, 0.9]]))

    assert good > failed + 1.0


def test_among_many_equal_ones_a_bad_loss_is_still_bad():
    axes = axes_of(BOUNDED)
    u = np.linspace(0.0, 1.0, 21)[None]
    outlook = Outlook(axes, points_of(axes, u), np.where(u[0] < 0.7, 0.0, 1.0))

    good, bad = outlook(points_of(axes, [[0.3, 0.9]]))

    assert good > bad + 1.0


def test_how_bad_bad_trials_are_does_not_matter():
    axes = axes_of(BOUNDED)
    u = np.random.default_rng(0).random((1, 31))
    losses = (u[0] - 0.3) ** 2
    worse = np.where(losses > np.median(losses), 1e200, losses)
    worst = np.where(losses > np.median(losses), np.inf, losses)
    points = points_of(axes, [[0.1, 0.5, 0.9]])

    plain = Outlook(axes, points_of(axes, u), losses)(points)

    for others in (worse, worst):
        there = Outlook(axes, points_of(axes, u), others)(points)
        np.testing.assert_allclose(there, plain, rtol=1e-9)


def test_axes_that_never_vary_do_not_count():
    alone, beside = axes_of(BOUNDED), axes_of(BOUNDED, BOUNDED, options=([1.0], [0.5, 0.5]))
    x = np.random.default_rng(0).random(25)
    losses = np.abs(x - 0.3)
    new = np.linspace(0.0, 1.0, 7)

    there = Outlook(alone, points_of(alone, [x]), losses)(points_of(alone, [new]))

    # The second axis is inactive in all trials, and so is the second choice.
    blank, none = np.full_like, np.zeros
    trials = points_of(beside, [x, blank(x, NAN)], [none(25, int), blank(none(25, int), -1)])
    points = points_of(beside, [new, blank(new, NAN)], [none(7, int), blank(none(7, int), -1)])
    np.testing.assert_allclose(Outlook(beside, trials, losses)(points), there, rtol=1e-9)


@pytest.mark.parametrize(
    "losses",
    [
        np.zeros(12),
        np.full(12, np.nan),
        np.full(12, np.inf),
        np.r_[-np.inf, np.arange(11.0)],
        np.r_[np.full(7, -np.inf), np.arange(5.0)],
        np.r_[np.full(6, -np.inf), np.full(6, np.inf)],
        1e308 * np.linspace(1.0, 1.7, 12),
        1e308 * np.linspace(-1.0, 1.0, 12),
        1e-320 * np.arange(12.0),
    ],
    ids=["equal", "all failed", "infinite", "one at minus infinity", "most at minus infinity",
         "half at each infinity", "all huge", "huge", "tiny"],
)  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_it_is_finite_whatever_the_losses(losses):
    axes = axes_of(BOUNDED, options=([0.5, 0.5],))
    rng = np.random.default_rng(0)
    trials = points_of(axes, rng.random((1, 12)), rng.integers(2, size=(1, 12)))

    seen = Outlook(axes, trials, losses)(points_of(axes, rng.random((1, 5)), np.zeros((1, 5))))

    assert np.isfinite(seen).all()


def test_where_all_losses_are_the_same_nothing_is_promised():
    axes = axes_of(BOUNDED)
    u = np.random.default_rng(0).random((1, 20))

    assert (Outlook(axes, points_of(axes, u), np.full(20, 3.0))(points_of(axes, u)) == 0.0).all()


def test_trials_in_one_place_can_be_compared():
    axes = axes_of(BOUNDED)
    u = np.full((1, 20), 0.5)

    seen = Outlook(axes, points_of(axes, u), np.arange(20.0))(points_of(axes, [[0.5, 0.9]]))

    assert np.isfinite(seen).all()
    assert seen[1] > seen[0]
