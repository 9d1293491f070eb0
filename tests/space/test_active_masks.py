"""What is active in many configurations at once is what is active in each of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo import hp
from hpo.pyll import scope
from hpo.space import Space
from tests.space.recipes import recipes
from tests.space.spaces import conditional_space, rng

N = 15


def drawn(space, seed):
    """Values of all labels with a prior, active or not; arrays of shape (N,)."""
    source = rng(seed)
    return {
        label: np.array([parameter.prior.sample(source) for _ in range(N)])
        for label, parameter in space.hyperparameters.items()
        if parameter.prior is not None
    }


def assert_masks_equal_active_labels(space, columns):
    masks = space.active_masks(columns, N)

    assert list(masks) == list(space.hyperparameters)
    for index in range(N):
        active = space.active_labels({label: each[index] for label, each in columns.items()})
        assert tuple(label for label, mask in masks.items() if mask[index]) == active


@settings(max_examples=60, deadline=None)
@given(recipes(), st.integers(0, 1000))
def test_masks_equal_the_active_labels_one_by_one(recipe, seed):
    space = Space(recipe.build())

    assert_masks_equal_active_labels(space, drawn(space, seed))


def test_a_computed_selector_decides_for_each_configuration():
    n = hp.randint("n", 6)
    space = Space(scope.switch(n % 2, {"even": hp.uniform("e", 0, 1)}, hp.uniform("o", 0, 1)))

    assert_masks_equal_active_labels(space, drawn(space, 0))


def test_in_a_flat_space_everything_is_active():
    space = Space({"x": hp.uniform("x", 0, 1), "c": hp.choice("c", ["a", "b"])})

    masks = space.active_masks(drawn(space, 0), N)

    assert space.is_flat
    assert all(mask.shape == (N,) and mask.all() for mask in masks.values())


def test_what_is_missing_decides_nothing():
    space = Space(conditional_space())

    masks = space.active_masks({}, N)

    assert [label for label, mask in masks.items() if mask.any()] == ["model", "seed"]


# --- which choices decide ----------------------------------------------------------------


def test_only_choices_with_hyperparameters_in_their_branches_decide():
    space = Space({**conditional_space(), "plain": hp.choice("plain", ["a", "b"])})

    assert space.deciding_choices == {"model": 2, "depth": 2}
    assert space.choices_above("model") == ()
    assert space.choices_above("c") == ("model",)
    assert space.choices_above("levels") == ("model", "depth")


@settings(max_examples=60, deadline=None)
@given(recipes(), st.integers(0, 1000))
def test_a_choice_above_none_can_be_changed_without_any_effect(recipe, seed):
    space = Space(recipe.build())
    columns = drawn(space, seed)
    masks = space.active_masks(columns, N)
    undecided = {
        label: values
        for label, values in drawn(space, seed + 1).items()
        if space.hyperparameters[label].options is not None and label not in space.deciding_choices
    }

    changed = space.active_masks({**columns, **undecided}, N)

    for label, mask in masks.items():
        np.testing.assert_array_equal(changed[label], mask)


# --- whether there is an end -------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "is_discrete", "is_finite"),
    [
        ({"n": hp.randint("n", 3), "c": hp.choice("c", ["a", "b"])}, True, True),
        ({"q": hp.quniform("q", 0, 1, 0.1)}, True, True),
        ({"q": hp.qnormal("q", 0, 1, 1)}, True, False),
        ({"x": hp.uniform("x", 0, 1)}, False, False),
        (hp.choice("c", ["a", hp.uniform("x", 0, 1)]), False, False),
        ({"constant": 1}, True, True),
    ],
)
def test_a_space_of_bounded_discrete_values_is_finite(space, is_discrete, is_finite):
    space = Space(space)

    assert (space.is_discrete, space.is_finite) == (is_discrete, is_finite)
