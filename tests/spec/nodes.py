"""What nodes evaluate to, for the tests of `spec`."""

from __future__ import annotations

import numpy as np

from hpo import spec
from hpo.pyll import Apply, stochastic
from hpo.space import Space


def labels(expr):
    return set(Space(expr).hyperparameters)


def only_prior(expr):
    (hyperparameter,) = Space(expr).hyperparameters.values()
    return hyperparameter.prior


def value_of(node, *numbers):
    """The value of a node when its hyperparameters, in the order of the graph, have these."""
    space = Space(node)
    return space.evaluate(dict(zip(space.hyperparameters, numbers, strict=True)))


def samples(node, n=200):
    rng = np.random.default_rng(0)
    return [stochastic.sample(node, rng) for _ in range(n)]


def constant(value):
    """A node whose value is not known before it is evaluated, and always the same."""
    return spec.choice([value])


def fixed_value(node):
    assert isinstance(node, Apply)
    return stochastic.sample(node, np.random.default_rng(0))
