"""From observations to components: the definitions, written as they stand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.exceptions import InvalidOption
from hpo.parzen_nodes import (
    DEFAULT_LF,
    adaptive_parzen_normal,
    adaptive_parzen_normal_orig,
    linear_forgetting_weights,
)
from hpo.pyll import rec_eval, scope

PRIOR = {"prior_weight": 0.5, "prior_mu": 0.0, "prior_sigma": 4.0}

observations = st.lists(
    st.integers(-50, 50).map(lambda n: n / 7), min_size=0, max_size=12, unique=True
)


def widths_by_definition(observed, prior_sigma):
    """The larger gap; at both ends that to the next but one; alone, half the prior."""
    places = sorted(observed)
    widths = []
    for value in observed:
        k, last = places.index(value), len(places) - 1
        if last == 0:
            width = prior_sigma / 2
        elif k in (0, last):
            reach = min(2, last)
            width = places[reach] - places[0] if k == 0 else places[last] - places[last - reach]
        else:
            width = max(places[k] - places[k - 1], places[k + 1] - places[k])
        least = prior_sigma / (2 + len(observed)) ** 0.5
        widths.append(min(max(width, least), prior_sigma))
    return widths


@given(observations)
def test_the_published_estimator_equals_its_definition(observed):
    weights, mus, sigmas = adaptive_parzen_normal_orig(observed, **PRIOR)

    total = len(observed) + PRIOR["prior_weight"]
    assert mus.tolist() == [0.0, *observed]
    assert sigmas == pytest.approx([4.0, *widths_by_definition(observed, 4.0)])
    if observed:
        assert weights == pytest.approx([0.5 / total] + [1.0 / total] * len(observed))
    assert weights.sum() == pytest.approx(1.0)


def test_whole_numbers_keep_the_fraction_of_the_priors_weight():
    weights, mus, _ = adaptive_parzen_normal_orig(np.array([3, 1]), **PRIOR)

    assert weights == pytest.approx([0.2, 0.4, 0.4])
    assert mus.tolist() == [0.0, 3.0, 1.0]


@given(observations)
def test_the_estimator_of_suggest_has_one_component_more_than_observations(observed):
    weights, mus, sigmas = adaptive_parzen_normal(observed, **PRIOR)

    assert mus.tolist() == sorted([*observed, 0.0])
    assert weights.sum() == pytest.approx(1.0)
    assert np.all((sigmas >= 4.0 / min(100, 2 + len(observed)) - 1e-12) & (sigmas <= 4.0))


@pytest.mark.parametrize("forgets_nothing", [None, 0])
def test_forgetting_can_be_set_and_turned_off(forgets_nothing):
    observed = np.arange(1.0, 5.0)

    by_default, _, _ = adaptive_parzen_normal(observed, **PRIOR)
    all_alike, _, _ = adaptive_parzen_normal(observed, **PRIOR, LF=forgets_nothing)
    ramped, _, _ = adaptive_parzen_normal(observed, **PRIOR, LF=2)

    assert by_default == pytest.approx(np.array([0.5, 1, 1, 1, 1]) / 4.5)
    assert all_alike == pytest.approx(by_default)
    assert ramped == pytest.approx(np.array([0.5, 0.25, 1, 1, 1]) / 3.75)


def test_the_weights_ramp_up_to_the_newest():
    assert linear_forgetting_weights(5, 2) == pytest.approx([0.2, 0.6, 1.0, 1.0, 1.0])
    assert linear_forgetting_weights(3, DEFAULT_LF).tolist() == [1.0, 1.0, 1.0]
    assert linear_forgetting_weights(0, 1).shape == (0,)


def test_the_estimators_are_operations_that_unpack():
    node_weights, node_mus, node_sigmas = scope.adaptive_parzen_normal([1.0, 2.0], 1.0, 0.0, 4.0)

    assert rec_eval(node_mus).tolist() == [0.0, 1.0, 2.0]
    assert rec_eval(node_weights) == pytest.approx([1 / 3] * 3)
    assert rec_eval(node_sigmas).tolist() == [4.0, 1.0, 1.0]
    assert rec_eval(scope.linear_forgetting_weights(2, LF=3)).tolist() == [1.0, 1.0]


def test_what_makes_no_sense_is_refused():
    for estimator in (adaptive_parzen_normal, adaptive_parzen_normal_orig):
        with pytest.raises(InvalidOption, match=r"must be a vector, but its shape is \(1, 2\)"):
            estimator([[1.0, 2.0]], **PRIOR)
    with pytest.raises(ValueError, match="not 3 and 0"):
        linear_forgetting_weights(3, 0)
