"""Compiled search spaces: an expression graph with everything known about it.

    space                    Space: sample, evaluate, show
    hyperparameter           Hyperparameter: label, prior, conditions, options
    priors, discrete, frozen the distributions; `kinds` has them by hyperopt's names
    compile                  from the graph to the hyperparameters, by way of
    leaves                     labels for distributions that have none
    structure                  the branches of the graph
    conditions                 the algebra of "active when"
    options, readable        plain data for people and databases
    columns                  the space as one expression over many trials

Algorithms and drivers need no more than `Space` and what it leads to.
"""

from hpo.space.conditions import ALWAYS, NEVER, Alternative, Condition
from hpo.space.discrete import Categorical, Integers
from hpo.space.frozen import Frozen, is_frozen_distribution
from hpo.space.hyperparameter import Hyperparameter
from hpo.space.priors import Continuous, Normal, Prior, Uniform
from hpo.space.space import Space

__all__ = [
    "ALWAYS",
    "NEVER",
    "Alternative",
    "Categorical",
    "Condition",
    "Continuous",
    "Frozen",
    "Hyperparameter",
    "Integers",
    "Normal",
    "Prior",
    "Space",
    "Uniform",
    "is_frozen_distribution",
]
