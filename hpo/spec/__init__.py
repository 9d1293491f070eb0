"""Hyperparameters without labels: write the structure, and its paths become the labels.

    space = spec.new(
        learning_rate=10 ** spec.uniform(-3, -1),       # "learning_rate"
        conv={
            "filters": [spec.choice([20, 32]), spec.choice([64, 96])],
            "residual": spec.random_bool(),             # "conv-residual"
        },                                              # "conv-filters-0", "conv-filters-1"
        seed=spec.random_int(100, name="data seed"),    # "data seed"
    )
    best = fmin(lambda params: train(params.learning_rate, params.conv.filters), space)

Each function returns a node of an expression graph, as those of `hpo.hp` do, so both
kinds stand side by side in any nest of dictionaries, lists, tuples, choices and
arithmetic. A node that is used twice is one hyperparameter, with the label of its first
place; `name` gives it a label that does not depend on places. `hpo.space.leaves` says how
paths become labels.

A trial stores what varies, and computes the rest from it: with the space above, -2.1 for a
learning rate of 10 ** -2.1. Operators make nodes, but for `==` and `!=`, which compare the
nodes themselves; `scope.eq(a, b)` compares their values.

hyperparameters   uniform, normal, choice, random_…; merge and wrap
functions         exp, log, min, max, …: of numbers, some of which vary
named_dict        new, and the NamedDict that it gives the objective

Source: the names, their arguments and `NamedDict` are those of hyperengine.spec.
"""

from hpo.spec.functions import (
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cos,
    cosh,
    exp,
    expm1,
    frexp,
    ldexp,
    log,
    log1p,
    log10,
    max,
    min,
    pow,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
)
from hpo.spec.hyperparameters import (
    choice,
    merge,
    normal,
    random_bit,
    random_bool,
    random_int,
    uniform,
    wrap,
)
from hpo.spec.named_dict import NamedDict, new

__all__ = [
    "NamedDict",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "choice",
    "cos",
    "cosh",
    "exp",
    "expm1",
    "frexp",
    "ldexp",
    "log",
    "log1p",
    "log10",
    "max",
    "merge",
    "min",
    "new",
    "normal",
    "pow",
    "random_bit",
    "random_bool",
    "random_int",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "uniform",
    "wrap",
]
