"""Hyper-Engine's names, and its specifications as unit cubes.

Numbers that are called Hyper-Engine's were computed by hyperengine 0.1.1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hpo import hp
from hpo import hyperengine as hype
from hpo.exceptions import BadSearchSpace, InvalidConfiguration
from hpo.hyperengine import ParsedSpec, get_instance, spec

# --- names ------------------------------------------------------------------------------


def test_every_public_name_is_there():
    assert all(hasattr(hype, name) for name in hype.__all__)


def test_the_specification_and_the_curves_are_those_of_the_house():
    from hpo.surrogate.learning_curve import LinearCurvePredictor

    assert hype.LinearCurvePredictor is LinearCurvePredictor
    assert hype.NamedDict is spec.NamedDict


def test_what_trains_with_tensorflow_1_is_answered_with_a_pointer():
    with pytest.raises(ImportError, match=r"TensorflowSolver .* write a class with train\(\)"):
        from hpo.hyperengine import TensorflowSolver  # noqa: F401
    with pytest.raises(AttributeError, match="Tuner"):
        hype.Tuner  # noqa: B018


# --- dimensions -------------------------------------------------------------------------

SHARED = spec.uniform()

# {what it shows: (specification, names, [(point, instance), …])}; but for the names of
# what is in a list or is all there is, Hyper-Engine's.
SPECIFICATIONS: dict[str, tuple[Any, Any, Any]] = {
    "a node in two places is one dimension": (
        {"a": SHARED, "b": [SHARED, spec.uniform(3, 1)], "c": {"d": spec.choice([10, 20, 30])}},
        ["a-uniform(0.000000, 1.000000)", "b-1-uniform(1.000000, 3.000000)", "c-d-choice(3)"],
        [
            ([0, 0, 0], {"a": 0.0, "b": (0.0, 1), "c": {"d": 10}}),
            ([0.5, 0.25, 0.34], {"a": 0.5, "b": (0.5, 1.5), "c": {"d": 20}}),
            ([1, 1, 1], {"a": 1.0, "b": (1.0, 3), "c": {"d": 30}}),
        ],
    ),
    "a specification may be one expression": (
        10 ** spec.uniform(-3, -1),
        ["x-uniform(-3.000000, -1.000000)"],
        [([0], 0.001), ([0.5], 0.01), ([1], 0.1)],
    ),
    "options come before their choice": (
        {"c": spec.choice([spec.uniform(0, 1), spec.uniform(5, 6)])},
        ["c-0-uniform(0.000000, 1.000000)", "c-1-uniform(5.000000, 6.000000)", "c-choice(2)"],
        [([0.1, 0.2, 0.3], {"c": 0.1}), ([0.1, 0.2, 0.8], {"c": 5.2})],
    ),
    "a normal value is its quantile": (
        {"n": spec.normal(1, 2)},
        ["n-normal(1.000000, 2.000000)"],
        [([0.5], {"n": 1.0}), ([0.975], {"n": 4.919927969080108})],
    ),
    "bits, truth values and integers are choices": (
        {"bit": spec.random_bit(), "bool": spec.random_bool(), "int": spec.random_int(4)},
        ["bit-choice(2)", "bool-choice(2)", "int-choice(4)"],
        [
            ([0.49, 0.5, 0.99], {"bit": 0, "bool": True, "int": 3}),
            ([0.5, 0.1, 0.5], {"bit": 1, "bool": False, "int": 2}),
        ],
    ),
    "numbers and texts are computed": (
        spec.new(
            x=spec.merge([spec.uniform(0, 2), spec.uniform(0, 4)], lambda a, b: a + b),
            y="foo" + spec.choice(["-a", "-b"]),
        ),
        None,
        [([0.5, 0.5, 0.6], {"x": 3.0, "y": "foo-b"})],
    ),
    "functions take nodes and constants": (
        {
            "k": spec.min(spec.uniform(), spec.uniform()),
            "m": spec.max(spec.uniform(0, 2), 0.5),
        },
        None,
        [([0.7, 0.4, 0.1], {"k": 0.4, "m": 0.5})],
    ),
    "a name is the name": (
        {"a": -spec.uniform(), "e": spec.exp(spec.uniform()), "z": spec.uniform(name="lr")},
        ["a-uniform(0.000000, 1.000000)", "e-uniform(0.000000, 1.000000)", "lr"],
        [([0.5, 0.5, 0.5], {"a": -0.5, "e": math.sqrt(math.e), "z": 0.5})],
    ),
}


@pytest.mark.parametrize("shown", SPECIFICATIONS)
def test_points_are_instantiated_as_by_hyperengine(shown):
    specification, names, instances = SPECIFICATIONS[shown]
    parsed = ParsedSpec(specification)

    assert parsed.size() == len(instances[0][0])
    if names is not None:
        assert parsed.get_names() == dict(enumerate(names))
    for point, expected in instances:
        assert approximately(parsed.instantiate(point)) == approximately(expected), point


def approximately(instance):
    if isinstance(instance, dict):
        return {key: approximately(value) for key, value in instance.items()}
    if isinstance(instance, (list, tuple)):
        return tuple(map(approximately, instance))
    return round(instance, 9) if isinstance(instance, float) else instance


def test_dimensions_are_named_as_trials_name_them():
    parsed = ParsedSpec({"conv": {"filters": [spec.choice([1, 2]), spec.choice([3, 4])]}})

    assert parsed.labels() == ["conv-filters-0", "conv-filters-1"]
    assert set(parsed.labels()) == set(parsed.space.hyperparameters)


def test_the_ends_of_a_normal_value_are_finite():
    low, high = (ParsedSpec(spec.normal()).instantiate([end]) for end in (0, 1))

    assert low == pytest.approx(-high)
    assert 8 < high < 9


def test_nodes_of_hp_are_dimensions_too():
    parsed = ParsedSpec({"rate": hp.loguniform("rate", math.log(0.01), 0.0)})

    assert parsed.get_names() == {0: "rate"}
    assert parsed.instantiate([0.5])["rate"] == pytest.approx(0.1)


def test_attributes_of_objects_may_vary():
    class Layer:
        def __init__(self):
            self.rate, self.width, self.above = spec.uniform(0, 2), 3, self

    layer = Layer()
    parsed = ParsedSpec({"layer": layer})

    made = parsed.instantiate([0.25])["layer"]

    assert parsed.get_names() == {0: "layer-rate-uniform(0.000000, 2.000000)"}
    assert isinstance(made, Layer)
    assert vars(made) == {"rate": 0.5, "width": 3, "above": layer}
    assert made is not layer
    assert not isinstance(layer.rate, float)


def test_a_specification_may_vary_in_nothing():
    parsed = ParsedSpec({"a": 1})

    assert parsed.size() == 0
    assert parsed.instantiate([]) == {"a": 1}


def test_instances_are_independent():
    parsed = ParsedSpec({"a": spec.uniform(), "b": spec.merge([spec.uniform()], lambda x: 2 * x)})

    assert parsed.instantiate([0.1, 0.2]) == {"a": 0.1, "b": 0.4}
    assert parsed.instantiate([0.3, 0.4]) == {"a": 0.3, "b": 0.8}


def test_random_instances_follow_the_distributions():
    drawn = [get_instance({"n": spec.normal(1, 2)}, seed=seed)["n"] for seed in range(300)]

    assert np.mean(drawn) == pytest.approx(1, abs=0.4)
    assert np.std(drawn) == pytest.approx(2, abs=0.4)
    assert 0 <= get_instance(ParsedSpec(spec.uniform())) <= 1


@pytest.mark.parametrize("point", [[0.5], [0.5, 0.5, 0.5], [0.5, 1.1], [-0.1, 0.5], [0.5, np.nan]])
def test_a_point_outside_of_the_cube_is_refused(point):
    parsed = ParsedSpec([spec.uniform(), spec.uniform()])

    with pytest.raises(InvalidConfiguration, match="2 coordinates from 0 to 1"):
        parsed.instantiate(point)


def test_a_distribution_that_depends_on_another_has_no_dimension():
    with pytest.raises(BadSearchSpace, match="multiply or shift"):
        ParsedSpec({"low": (low := spec.uniform()), "x": spec.uniform(low, 2)})
