"""Recipes of arbitrary spaces, and of the configurations that must come out of them.

From one recipe two things are made: a space of nodes, by way of `hp`, `spec`, `scope` and
scipy, and, without any node, the configuration. So the two cannot share a mistake.

To tell which value belongs to which part of a recipe without looking at labels, the
values of hyperparameter i lie between 10 i and 10 i + 10; choice i has i + 2 options.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import scipy.stats
from hypothesis import strategies as st

from hpo import hp, spec
from hpo.pyll import as_apply, scope

# --- parts of a space -----------------------------------------------------------------


@dataclass(frozen=True)
class Constant:
    value: Any

    def build(self, nodes):
        return self.value

    def expect(self, met):
        return self.value


@dataclass(frozen=True)
class Use:
    """Hyperparameter number i, wherever else it is used."""

    i: int

    def build(self, nodes):
        return nodes[self.i]

    def expect(self, met):
        return met.value(self.i)


@dataclass(frozen=True)
class Computed:
    """Arithmetic and a user's function of several hyperparameters."""

    numbers: tuple[int, ...]

    def build(self, nodes):
        first, *others = [as_apply(nodes[i]) for i in self.numbers]
        return spec.merge([2 * first + 1, *others], sum_and_count)

    def expect(self, met):
        first, *others = [met.value(i) for i in self.numbers]
        return sum_and_count(2 * first + 1, *others)


def sum_and_count(*numbers):
    return sum(numbers), len(numbers)


@dataclass(frozen=True)
class Items:
    """A list, tuple, dictionary or NamedDict; the last two with `keys`."""

    container: type
    keys: tuple[Any, ...]
    items: tuple[Any, ...]

    def build(self, nodes):
        built = [item.build(nodes) for item in self.items]
        if self.container in (list, tuple):
            return self.container(built)
        named = dict(zip(self.keys, built, strict=True))
        return spec.new(named) if self.container is spec.NamedDict else named

    def expect(self, met):
        expected = [item.expect(met) for item in self.items]
        if self.container in (list, tuple):
            return tuple(expected)  # spaces know no lists: a configuration has tuples
        return self.container(zip(self.keys, expected, strict=True))


NUMBERS = {
    "hp.uniform": lambda label, low: hp.uniform(label, low, low + 5),
    "hp.quniform": lambda label, low: hp.quniform(label, low, low + 5, 0.5),
    "hp.uniformint": lambda label, low: hp.uniformint(label, low, low + 5),
    "hp.randint": lambda label, low: hp.randint(label, low, low + 5),
    "hp.loguniform": lambda label, low: hp.loguniform(label, math.log(low), math.log(low + 5)),
    "spec.uniform": lambda label, low: spec.uniform(low + 5, low),
    "named spec.uniform": lambda label, low: spec.uniform(low, low + 5, name=label),
    "scope.uniform": lambda label, low: scope.uniform(low, low + 5),
    "scope.randint": lambda label, low: scope.randint(low, low + 5),
    "scipy's uniform": lambda label, low: as_apply(scipy.stats.uniform(low, 5)),
    "scipy's beta": lambda label, low: as_apply(scipy.stats.beta(2, 3, loc=low, scale=5)),
    "scipy's randint": lambda label, low: as_apply(scipy.stats.randint(low, low + 5)),
}


@dataclass(frozen=True)
class Number:
    """A hyperparameter that is a number."""

    kind: str
    label: str

    def node(self, i, nodes):
        return NUMBERS[self.kind](self.label.format(i), 10 * i + 2)

    def expect(self, value, i, met):
        return value


def weighted(label, options):
    total = len(options) * (len(options) + 1) / 2
    return hp.pchoice(label, [((i + 1) / total, option) for i, option in enumerate(options)])


CHOICES = {
    "hp.choice": hp.choice,
    "hp.pchoice": weighted,
    "spec.choice": lambda label, options: spec.choice(options),
    "named spec.choice": lambda label, options: spec.choice(options, name=label),
    "scope.one_of": lambda label, options: scope.one_of(*options),
}


@dataclass(frozen=True)
class Choice:
    """A hyperparameter that chooses between recipes, which take turns as its options."""

    kind: str
    label: str
    recipes: tuple[Any, ...]

    def options(self, i):
        return [self.recipes[j % len(self.recipes)] for j in range(i + 2)]

    def node(self, i, nodes):
        options = [recipe.build(nodes) for recipe in self.options(i)]
        return CHOICES[self.kind](self.label.format(i), options)

    def expect(self, value, i, met):
        return self.options(i)[value].expect(met)


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters, each made of earlier ones, and a structure made of all."""

    hyperparameters: tuple[Any, ...]
    structure: Any

    def build(self):
        nodes: list[Any] = []
        for i, hyperparameter in enumerate(self.hyperparameters):
            nodes.append(hyperparameter.node(i, nodes))
        return self.structure.build(nodes)

    def expect(self, values):
        """The configuration for {number of the hyperparameter: value}, and what it met."""
        met = Met(self.hyperparameters, values)
        return self.structure.expect(met), set(met.numbers)


class Met:
    """Gives values, and notes whose were asked for."""

    def __init__(self, hyperparameters, values):
        self.hyperparameters, self.values = hyperparameters, values
        self.numbers: set[int] = set()

    def value(self, i):
        self.numbers.add(i)
        return self.hyperparameters[i].expect(self.values[i], i, self)


def by_number(space, values):
    """{label: value} as {number of the hyperparameter in the recipe: value}."""
    found = {}
    for label, value in values.items():
        options = space.hyperparameters[label].options
        found[int(value // 10) if options is None else len(options) - 2] = value
    assert len(found) == len(values)
    return found


# --- strategies -----------------------------------------------------------------------


CONSTANTS = st.sampled_from([None, True, 0, -3, 2.5, "text", "", b"bytes", 10**30])
KEYS = st.sampled_from(["a", "b", "a.b", "a-b", "$x", "", "two words", "größe", "0", 0, 1.5])
# "{}" becomes the number, since a space has each label once.
LABELS = st.sampled_from(["p{}", "a.b{}", "${}", " {}", "größe {}", "a-{}", "_{}", "{}", "😀{}"])


def structures(n_below, numbers_below, max_leaves):
    """Structures that use the hyperparameters numbered below n."""
    leaves: st.SearchStrategy[Any] = CONSTANTS.map(Constant)
    if n_below:
        leaves |= st.integers(0, n_below - 1).map(Use)
    if numbers_below:
        several = st.lists(st.sampled_from(numbers_below), min_size=1, max_size=3)
        leaves |= several.map(lambda numbers: Computed(tuple(numbers)))

    def containers(children):
        def with_keys(keys):
            contents = st.tuples(*[children] * len(keys))
            kinds = st.sampled_from([dict, spec.NamedDict, list, tuple])
            return st.builds(Items, kinds, st.just(tuple(keys)), contents)

        return st.lists(KEYS, max_size=4, unique_by=lambda key: (type(key), key)).flatmap(
            with_keys
        )

    return st.recursive(leaves, containers, max_leaves=max_leaves)


@st.composite
def recipes(draw):
    """Up to seven hyperparameters, shared and nested at will."""
    hyperparameters: list[Any] = []
    for i in range(draw(st.integers(1, 7))):
        numbers = [j for j in range(i) if isinstance(hyperparameters[j], Number)]
        if draw(st.booleans()):
            number = st.builds(Number, st.sampled_from(sorted(NUMBERS)), LABELS)
            hyperparameters.append(draw(number))
        else:
            options = st.lists(structures(i, numbers, 3), min_size=1, max_size=3).map(tuple)
            choice = st.builds(Choice, st.sampled_from(sorted(CHOICES)), LABELS, options)
            hyperparameters.append(draw(choice))
    n = len(hyperparameters)
    numbers = [j for j in range(n) if isinstance(hyperparameters[j], Number)]
    return Recipe(tuple(hyperparameters), draw(structures(n, numbers, 8)))
