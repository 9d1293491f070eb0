"""A loss is judged by the losses around it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hpo.surrogate.smoothing import smoothed_losses

NAN = math.nan


def smooth(x, losses, variances=None, codes=None, **options):
    n = len(x)
    u = np.array([x], dtype=float)
    codes = np.empty((0, n), dtype=np.int64) if codes is None else np.array([codes])
    variances = np.full(n, NAN) if variances is None else np.array(variances, dtype=float)
    return smoothed_losses(u, codes, np.array(losses, dtype=float), variances, **options)


def kernel(x, centre, sigma):
    return math.exp(-0.5 * ((x - centre) / sigma) ** 2)


def test_it_is_the_average_with_the_kernels_as_weights():
    x, losses = [0.1, 0.2, 0.7], [1.0, 2.0, 4.0]

    expected = []
    for at in x:
        shares = np.array([kernel(at, centre, 0.2) for centre in x])
        expected.append(shares @ losses / shares.sum())
    assert smooth(x, losses, sigma=0.2) == pytest.approx(expected, rel=1e-12)


def test_a_precise_loss_counts_for_more():
    x, losses, variances = [0.4, 0.6], [0.0, 1.0], [0.01, 0.04]

    far = kernel(0.4, 0.6, 0.1)
    expected = (far / 0.04) / (1.0 / 0.01 + far / 0.04)
    assert smooth(x, losses, variances)[0] == pytest.approx(expected, rel=1e-12)


def test_a_trial_with_another_option_counts_for_a_tenth():
    smoothed = smooth([0.5, 0.5], [0.0, 1.0], codes=[0, 1])

    assert smoothed == pytest.approx([0.1 / 1.1, 1.0 / 1.1])


def test_where_one_of_two_is_inactive_the_axis_does_not_count():
    smoothed = smooth([0.5, NAN], [0.0, 1.0], codes=[0, 1])

    assert smoothed == pytest.approx([0.1 / 1.1, 1.0 / 1.1])


def test_a_lucky_loss_at_the_border_is_pulled_up_like_one_inside():
    luck = [smooth([at, at + 0.05, at + 0.1], [-5.0, 1.0, 1.0])[0] for at in (0.0, 0.4)]

    assert luck[0] == pytest.approx(luck[1])


def test_an_unknown_variance_counts_as_the_usual_one():
    x, losses = [0.1, 0.5, 0.9], [0.0, 1.0, 2.0]

    given = smooth(x, losses, [0.3, NAN, 0.3])

    assert given == pytest.approx(smooth(x, losses, [0.3, 0.3, 0.3]))
    assert given == pytest.approx(smooth(x, losses))


def test_a_lucky_loss_among_worse_ones_is_pulled_up_and_one_among_equals_stays():
    x = [0.10, 0.11, 0.12, 0.13, 0.80, 0.81, 0.82, 0.83]
    losses = [5.0, -1.0, 5.0, 5.0, 0.0, 0.0, 0.0, 0.0]

    smoothed = smooth(x, losses)

    assert smoothed[1] > 2.0
    assert 0.0 <= smoothed[5] < 0.5
    assert np.argmin(losses) == 1
    assert np.argmin(smoothed) >= 4


def test_smoothing_removes_most_of_the_noise():
    rng = np.random.default_rng(0)
    x = np.sort(rng.random(200))
    noise = rng.normal(size=200)

    smoothed = smooth(x, (x - 0.5) ** 2 + noise)

    errors = smoothed - (x - 0.5) ** 2
    assert np.sqrt(np.mean(errors**2)) < 0.35 * np.sqrt(np.mean(noise**2))


@pytest.mark.parametrize("infinite", [math.inf, -math.inf])
def test_an_infinite_loss_stays_and_is_nobodys_neighbour(infinite):
    x = [0.1, 0.2, 0.3]

    smoothed = smooth(x, [1.0, infinite, 3.0])

    assert smoothed[1] == infinite
    assert 1.0 < smoothed[0] < smoothed[2] < 3.0


@pytest.mark.parametrize("losses", [[], [3.0], [3.0, math.inf]])
def test_without_a_second_finite_loss_nothing_changes(losses):
    assert smooth(np.linspace(0, 1, len(losses)), losses).tolist() == losses


def test_equal_losses_stay_however_large():
    for loss in (0.0, 1e-300, -1e308, 1.7e308):
        assert smooth([0.1, 0.2, 0.9], [loss] * 3) == pytest.approx([loss] * 3, rel=1e-12)
