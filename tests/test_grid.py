"""Grid search proposes every combination of active hyperparameters once, and then stops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hpo import fmin, grid, hp
from hpo.document import JOB_STATE_CANCEL, new_trial
from hpo.domain import Domain
from hpo.exceptions import BadSearchSpace, InvalidOption
from hpo.pyll import scope
from hpo.space import Space
from hpo.trials import Trials
from tests.searches import EVERY_KIND, failed, finished, observe


def zero(config):
    return 0.0


def points(space, **options):
    """All points in the order of their proposal, each as a frozenset of items."""
    trials, domain = Trials(), Domain(zero, space)
    found = []
    while documents := grid.suggest(trials.new_trial_ids(7), domain, trials, 0, **options):
        trials.insert_trial_docs(documents)
        trials.refresh()
        found += [
            frozenset((label, vals[0]) for label, vals in d["misc"]["vals"].items() if vals)
            for d in documents
        ]
    return found


def combinations(**axes):
    return [
        frozenset(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())
    ]


def test_a_box_has_the_product_of_its_axes():
    space = {
        "n": hp.randint("n", 2, 5),
        "q": hp.quniform("q", 0.0, 1.0, 0.25),
        "c": hp.choice("c", ["a", "b"]),
        "x": hp.uniform("x", 0.0, 1.0),
    }

    found = points(space, n_steps=4)

    expected = combinations(
        n=[2, 3, 4], q=[0.0, 0.25, 0.5, 0.75, 1.0], c=[0, 1], x=[0.125, 0.375, 0.625, 0.875]
    )
    assert len(found) == grid.size(space, 4) == 3 * 5 * 2 * 4
    assert set(found) == set(expected)


def test_branches_add_their_own_combinations():
    shared = hp.choice("scale", [0, 1])
    space = {
        "model": hp.choice(
            "model",
            [
                {
                    "kind": "svm",
                    "kernel": hp.choice("kernel", ["rbf", {"d": hp.randint("d", 2, 4)}]),
                },
                {"kind": "forest", "depth": hp.randint("depth", 1, 4), "scale": shared},
                "dummy",
            ],
        ),
        "seed": hp.randint("seed", 2),
    }

    found = points(space)

    expected = [
        point | seed
        for point in [
            *combinations(model=[0], kernel=[0]),
            *combinations(model=[0], kernel=[1], d=[2, 3]),
            *combinations(model=[1], depth=[1, 2, 3], scale=[0, 1]),
            *combinations(model=[2]),
        ]
        for seed in combinations(seed=[0, 1])
    ]
    assert len(found) == len(expected) == grid.size(space)
    assert set(found) == set(expected)


def test_a_label_under_several_branches_is_combined_within_each():
    c = hp.uniform("c", 0.0, 1.0)
    space = hp.choice("model", [{"c": c}, {"c": c, "d": hp.randint("d", 2)}, {}])

    found = points(space, n_steps=2)

    expected = [
        *combinations(model=[0], c=[0.25, 0.75]),
        *combinations(model=[1], c=[0.25, 0.75], d=[0, 1]),
        *combinations(model=[2]),
    ]
    assert sorted(map(sorted, found)) == sorted(map(sorted, expected))


def test_a_label_under_every_option_is_combined_with_each():
    c = hp.randint("c", 3)
    space = hp.choice("model", [{"c": c, "a": hp.randint("a", 2)}, {"c": c}])

    found = points(space)

    expected = [
        *combinations(model=[0], a=[0, 1], c=[0, 1, 2]),
        *combinations(model=[1], c=[0, 1, 2]),
    ]
    assert sorted(map(sorted, found)) == sorted(map(sorted, expected))


def test_a_switch_on_a_computed_number_is_enumerated():
    a, b = hp.randint("a", 2), hp.randint("b", 2)
    space = {"s": scope.switch(a + b, "none", hp.randint("one", 3), hp.randint("two", 2))}

    found = points(space)

    expected = [
        *combinations(a=[0], b=[0]),
        *combinations(a=[0], b=[1], one=[0, 1, 2]),
        *combinations(a=[1], b=[0], one=[0, 1, 2]),
        *combinations(a=[1], b=[1], two=[0, 1]),
    ]
    assert sorted(map(sorted, found)) == sorted(map(sorted, expected))


# An axis' length, or a list of branches, each a list of trees.
TREES = st.recursive(
    st.integers(1, 3),
    lambda trees: st.lists(st.lists(trees, max_size=2), min_size=1, max_size=3),
    max_leaves=6,
)


def as_space(tree, path):
    if isinstance(tree, int):
        return hp.randint(path, tree)
    branches = [
        [as_space(sub, f"{path}.{b}{i}") for i, sub in enumerate(branch)]
        for b, branch in enumerate(tree)
    ]
    return hp.choice(path, branches)


def brute_force(tree, path):
    if isinstance(tree, int):
        return [{path: value} for value in range(tree)]
    found = []
    for b, branch in enumerate(tree):
        parts = [brute_force(sub, f"{path}.{b}{i}") for i, sub in enumerate(branch)]
        for combination in itertools.product(*parts):
            found.append({path: b} | {k: v for part in combination for k, v in part.items()})
    return found


@settings(max_examples=40, deadline=None)
@given(st.lists(TREES, min_size=1, max_size=2))
def test_any_tree_is_enumerated_like_nested_loops_do(trees):
    expected = [
        frozenset((left | right).items())
        for left in brute_force(trees[0], "x")
        for right in (brute_force(trees[1], "y") if len(trees) > 1 else [{}])
    ]
    space = [as_space(tree, path) for tree, path in zip(trees, "xy", strict=False)]
    compiled = grid.Grid(Space(space), 1, {})

    found = [frozenset(compiled.point(number).items()) for number in range(len(compiled))]

    assert len(found) == len(expected)
    assert set(found) == set(expected)


@pytest.mark.parametrize("kind", sorted(EVERY_KIND.keys() - {"wide randint"}))
def test_discrete_kinds_are_exact_and_the_others_take_middle_quantiles(kind):
    space = Space({"v": EVERY_KIND[kind]})
    ((label, parameter),) = space.hyperparameters.items()
    prior = parameter.prior

    values = sorted(dict(p)[label] for p in points({"v": EVERY_KIND[kind]}, n_steps=7))

    drawn = set(prior.sample(np.random.default_rng(0), 5000).tolist())
    if prior.is_discrete and math.isfinite(prior.bounds[1]):
        assert set(values) == drawn
    elif not prior.is_discrete:
        np.testing.assert_allclose(prior.cdf(values), (np.arange(7) + 0.5) / 7, rtol=1e-9)
    else:
        assert set(values) <= drawn and len(values) == len(set(values))


def test_options_of_probability_0_are_none():
    space = hp.pchoice("c", [(0.5, "a"), (0.0, "b"), (0.5, "c")])

    assert set(points(space)) == {frozenset({("c", 0)}), frozenset({("c", 2)})}


def test_a_dictionary_gives_counts_and_values_by_label():
    space = {
        "x": hp.uniform("x", 0.0, 1.0),
        "lr": hp.loguniform("lr", -9.0, 0.0),
        "n": hp.randint("n", 1000),
        "z": hp.normal("z", 0.0, 1.0),
    }

    found = points(space, n_steps={"x": 2, "lr": [0.1, 0.01, 0.1], "n": 4})

    assert {dict(p)["x"] for p in found} == {0.25, 0.75}
    assert {dict(p)["lr"] for p in found} == {0.1, 0.01}
    assert {dict(p)["n"] for p in found} == {125, 375, 625, 875}
    middle = stats.norm.ppf((np.arange(10) + 0.5) / 10)
    np.testing.assert_allclose(sorted({dict(p)["z"] for p in found}), middle, atol=1e-12)
    assert len(found) == 2 * 2 * 4 * 10


def test_numpys_numbers_are_as_good_as_pythons():
    space = {"x": hp.uniform("x", 0.0, 1.0), "n": hp.randint("n", 9)}

    found = points(space, n_steps={"x": np.linspace(0.0, 1.0, 3), "n": np.arange(2)})

    assert set(found) == set(combinations(x=[0.0, 0.5, 1.0], n=[0, 1]))


def test_the_first_few_points_are_spread_over_the_whole_grid():
    space = {name: hp.randint(name, 10) for name in "ab"}

    first = [dict(p) for p in points(space)[:20]]

    for name in "ab":
        _, counts = np.unique([p[name] for p in first], return_counts=True)
        assert len(counts) == 10 and counts.max() <= 3


def test_what_was_tried_is_left_out_and_what_was_cancelled_comes_again():
    space = {"n": hp.randint("n", 6)}
    cancelled = {**new_trial(3, values={"n": 3}), "state": JOB_STATE_CANCEL}
    observations = observe(
        finished(0, {"n": 0}, 1.0), failed(1, {"n": 1}), new_trial(2, values={"n": 2}), cancelled
    )

    compiled = grid.Grid(Space(space), 1, {})
    untried = [compiled.at_turn(turn) for turn in compiled.untried(observations)]

    assert sorted(values["n"] for values in untried) == [3, 4, 5]


def test_a_resumed_search_goes_on_and_fmin_ends_when_nothing_is_left():
    space = {"a": hp.choice("a", ["x", "y"]), "n": hp.randint("n", 5)}
    seen = []
    trials = Trials()

    for max_evals in (4, 100):
        fmin(
            lambda config: float(seen.append(config) or config["n"]),
            space,
            algo=grid.suggest,
            max_evals=max_evals,
            trials=trials,
            show_progressbar=False,
        )

    assert len(seen) == 10
    assert {(config["a"], config["n"]) for config in seen} == set(
        itertools.product("xy", range(5))
    )


def test_a_grid_over_nothing_is_one_point():
    assert grid.size({"a": 1}) == 1
    assert points({"a": 1}) == [frozenset()]


@pytest.mark.parametrize(
    ("space", "options", "error", "message"),
    [
        ({n: hp.randint(n, 100) for n in "abcd"}, {}, BadSearchSpace, "100,000,000 points"),
        ({"n": hp.randint("n", 10**9)}, {}, BadSearchSpace, "'n' alone has 1,000,000,000 values"),
        ({"y": hp.uniform("y", 0, hp.uniform("x", 1, 2))}, {}, BadSearchSpace, "n_steps={'y'"),
        ({"x": hp.uniform("x", 0, 1)}, {"n_steps": 0}, InvalidOption, "at least 1, not 0"),
        ({"x": hp.uniform("x", 0, 1)}, {"n_steps": "3"}, InvalidOption, "not '3'"),
        ({"xs": hp.uniform("xs", 0, 1)}, {"n_steps": {"x": 3}}, InvalidOption, "mean 'xs'"),
        ({"x": hp.uniform("x", 0, 1)}, {"n_steps": {"x": [2.0]}}, InvalidOption, "2.0"),
        ({"x": hp.uniform("x", 0, 1)}, {"n_steps": {"x": []}}, InvalidOption, "no value"),
        (
            {"c": hp.choice("c", ["a", "b"])},
            {"n_steps": {"c": ["a"]}},
            InvalidOption,
            "numbers of",
        ),
        ({"c": hp.choice("c", ["a", "b"])}, {"n_steps": {"c": [2]}}, InvalidOption, "value 2"),
        ({"x": hp.uniform("x", 0, 1)}, {"n_steps": {"x": [[0.5]]}}, InvalidOption, "not a number"),
        ({"x": hp.uniform("x", 0, 1)}, {"steps": 3}, InvalidOption, "no option 'steps'"),
    ],
)
def test_what_makes_no_grid_is_refused_with_the_next_step(space, options, error, message):
    with pytest.raises(error, match=message):
        points(space, **options)


def test_a_dependent_distribution_takes_given_values():
    space = {"y": hp.uniform("y", 0, hp.randint("x", 1, 3))}

    found = points(space, n_steps={"y": [0.25, 0.5]})

    assert set(found) == set(combinations(x=[1, 2], y=[0.25, 0.5]))
