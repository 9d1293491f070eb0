"""Arbitrary nested spaces: whatever the shape, the parts of `Space` agree with each other.

The independent truth is a naive evaluator: it recurses from the root, follows
each switch, and notes the hyperparameters that it meets.
"""

from __future__ import annotations

import json
import pickle

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo import hp
from hpo.pyll import as_apply, scope
from hpo.space import Space
from hpo.space.structure import label_of

KINDS = [
    lambda label: hp.uniform(label, -2, 3),
    lambda label: hp.loguniform(label, -5, 2),
    lambda label: hp.qloguniform(label, 0, 3, 2),
    lambda label: hp.normal(label, 0, 10),
    lambda label: hp.qlognormal(label, 0, 1, 0.1),
    lambda label: hp.uniformint(label, -3, 3),
    lambda label: scope.int(hp.quniform(label, 0, 20, 5)),
    lambda label: hp.randint(label, 4),
    lambda label: hp.randint(label, -2, 4),
]
CONSTANTS = [0, -1.5, "text", None, True, (), {}]


@st.composite
def spaces(draw):
    """A space of at most some 30 nodes, in which nodes may be shared."""
    counter = iter(range(1000))
    built = []

    def label():
        return f"p{next(counter)}"

    def build(depth):
        shape = draw(st.sampled_from(SHAPES if depth else LEAVES))
        node = shape(depth)
        built.append(node)
        return node

    def children(depth):
        return [build(depth - 1) for _ in range(draw(st.integers(1, 3)))]

    def probabilities(n):
        weights = draw(st.lists(st.integers(0, 5), min_size=n, max_size=n).filter(any))
        return [weight / sum(weights) for weight in weights]

    def constant(_):
        return draw(st.sampled_from(CONSTANTS))

    def hyperparameter(_):
        return draw(st.sampled_from(KINDS))(label())

    def shared(_):
        return draw(st.sampled_from(built)) if built else 0

    def dictionary(depth):
        return {f"k{i}": child for i, child in enumerate(children(depth))}

    def choice(depth):
        return hp.choice(label(), children(depth))

    def pchoice(depth):
        options = children(depth)
        return hp.pchoice(label(), list(zip(probabilities(len(options)), options, strict=True)))

    def switch(depth):
        options = children(depth)
        return scope.switch(hp.randint(label(), len(options)), *options)

    def computed_switch(depth):
        options = children(depth)
        return scope.switch(hp.randint(label(), 7) % len(options), *options)

    def arithmetic(depth):
        return 2 * as_apply(hyperparameter(depth)) + 1

    LEAVES = [constant, hyperparameter, shared, arithmetic]
    SHAPES = [
        *LEAVES,
        dictionary,
        children,
        lambda depth: tuple(children(depth)),
        choice,
        pchoice,
        switch,
        computed_switch,
    ]
    return as_apply(build(draw(st.integers(0, 3))))


seeds = st.integers(0, 2**32 - 1)


def naive(node, values, met):
    """Evaluate by recursion; add the labels on the way to `met`."""
    label = label_of(node)
    if label is not None:
        met.add(label)
        return values[label]
    if node.name == "literal":
        return node.obj
    if node.name == "switch":
        chosen = node.pos_args[1 + naive(node.pos_args[0], values, met)]
        return naive(chosen, values, met)
    args = [naive(child, values, met) for child in node.pos_args]
    kwargs = {keyword: naive(child, values, met) for keyword, child in node.named_args}
    return scope.implementation(node.name)(*args, **kwargs)


@settings(max_examples=50, deadline=None)
@given(spaces(), seeds)
def test_a_sample_evaluates_to_what_the_naive_evaluator_finds(expr, seed):
    space = Space(expr)
    values = space.sample(np.random.default_rng(seed))

    met = set()
    expected = naive(expr, values, met)

    assert space.evaluate(values) == expected
    assert set(values) == met
    assert tuple(values) == space.active_labels(values)


@settings(max_examples=50, deadline=None)
@given(spaces(), seeds)
def test_a_label_is_active_exactly_when_its_condition_holds(expr, seed):
    space = Space(expr)
    values = space.sample(np.random.default_rng(seed))

    held = {
        label
        for label, parameter in space.hyperparameters.items()
        if any(alternative <= values.items() for alternative in parameter.conditions)
    }

    assert held == set(values)


@settings(max_examples=50, deadline=None)
@given(spaces(), seeds)
def test_values_survive_a_document_and_the_space_a_pickle(expr, seed):
    space = Space(expr)
    values = space.sample(np.random.default_rng(seed))

    stored = json.loads(json.dumps(values))
    twin = pickle.loads(pickle.dumps(space))

    assert stored == values
    assert twin.digest == space.digest
    assert twin.evaluate(stored) == space.evaluate(values)


@settings(max_examples=50, deadline=None)
@given(spaces(), seeds)
def test_what_people_read_is_plain_and_complete(expr, seed):
    space = Space(expr)
    values = space.sample(np.random.default_rng(seed))

    params = space.params(values)

    assert list(params) == list(values)
    assert json.loads(json.dumps(params)) == params
    assert json.loads(json.dumps(space.describe())) == space.describe()


@settings(max_examples=50, deadline=None)
@given(spaces())
def test_parents_come_before_children(expr):
    found, seen = Space(expr).hyperparameters, set()
    for label, parameter in found.items():
        named = {parent for alternative in parameter.conditions for parent, _ in alternative}
        assert named <= parameter.parents
        # A shared branch can make two labels parents of each other.
        assert all(
            parent in seen or label in found[parent].parents for parent in parameter.parents
        )
        seen.add(label)
