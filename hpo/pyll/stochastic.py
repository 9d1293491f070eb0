"""Random draws: the distributions as operations, and sampling of whole expressions.

Each distribution takes a generator `rng` and a `size` as its last arguments.
Spaces leave both out; `sample` fills in the generator.

Source: the draws are those of hyperopt.pyll.stochastic, number for number, but
for `categorical`, which gives one integer, not an array, when no size is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from hpo.pyll.evaluate import rec_eval
from hpo.pyll.graph import Apply, as_apply
from hpo.pyll.symbols import scope
from hpo.pyll.traversal import clone, dfs

__all__ = [
    "implicit_stochastic",
    "implicit_stochastic_symbols",
    "recursive_set_rng_kwarg",
    "sample",
]

F = TypeVar("F", bound=Callable[..., Any])
Rng = np.random.Generator
Size = int | tuple[int, ...] | None

implicit_stochastic_symbols: set[str] = set()


def implicit_stochastic(f: F) -> F:
    """Mark a function as a distribution: sampling gives it the keyword `rng`."""
    implicit_stochastic_symbols.add(f.__name__)
    return f


@scope.define
def rng_from_seed(seed: int) -> Rng:
    """A new generator."""
    return np.random.default_rng(seed)


# --- uniform ----------------------------------------------------------------------


@implicit_stochastic
@scope.define
def uniform(low: float, high: float, rng: Any = None, size: Size = ()) -> Any:
    """Uniform between `low` and `high`."""
    return rng.uniform(low, high, size=size)


@implicit_stochastic
@scope.define
def loguniform(low: float, high: float, rng: Any = None, size: Size = ()) -> Any:
    """The logarithm is uniform between `low` and `high`."""
    return np.exp(rng.uniform(low, high, size=size))


@implicit_stochastic
@scope.define
def quniform(low: float, high: float, q: float, rng: Any = None, size: Size = ()) -> Any:
    """Uniform, rounded to a multiple of `q`."""
    return np.rint(rng.uniform(low, high, size=size) / q) * q


@implicit_stochastic
@scope.define
def qloguniform(low: float, high: float, q: float, rng: Any = None, size: Size = ()) -> Any:
    """The logarithm is uniform; rounded to a multiple of `q`."""
    return np.rint(np.exp(rng.uniform(low, high, size=size)) / q) * q


# --- normal -----------------------------------------------------------------------


@implicit_stochastic
@scope.define
def normal(mu: float, sigma: float, rng: Any = None, size: Size = ()) -> Any:
    """Normal with mean `mu` and standard deviation `sigma`."""
    return rng.normal(mu, sigma, size=size)


@implicit_stochastic
@scope.define
def lognormal(mu: float, sigma: float, rng: Any = None, size: Size = ()) -> Any:
    """The logarithm is normal."""
    return np.exp(rng.normal(mu, sigma, size=size))


@implicit_stochastic
@scope.define
def qnormal(mu: float, sigma: float, q: float, rng: Any = None, size: Size = ()) -> Any:
    """Normal, rounded to a multiple of `q`."""
    return np.rint(rng.normal(mu, sigma, size=size) / q) * q


@implicit_stochastic
@scope.define
def qlognormal(mu: float, sigma: float, q: float, rng: Any = None, size: Size = ()) -> Any:
    """The logarithm is normal; rounded to a multiple of `q`."""
    return np.rint(np.exp(rng.normal(mu, sigma, size=size)) / q) * q


# --- integers ---------------------------------------------------------------------


@implicit_stochastic
@scope.define
def randint(low: int, high: int | None = None, rng: Any = None, size: Size = ()) -> Any:
    """An integer of [low, high), or of [0, low) if there is no `high`."""
    return rng.integers(low, high, size=size)


@implicit_stochastic
@scope.define
def categorical(p: Any, rng: Any = None, size: Size = ()) -> Any:
    """The index i with probability p[i].

    Args:
        p: probabilities, shape (n_options,), or one such row in a list.
        size: shape of the draws; (): one integer.
    """
    probabilities = np.asarray(p, dtype=np.float64)
    if probabilities.ndim == 2 and len(probabilities) == 1:
        probabilities = probabilities[0]
    draws = rng.multinomial(1, probabilities, size=size)
    return draws.argmax(axis=-1)


@implicit_stochastic
@scope.define
def randint_via_categorical(p: Any, rng: Any = None, size: Size = ()) -> Any:
    """As `categorical`, for integers whose probabilities were estimated."""
    return categorical(p, rng, size)


@implicit_stochastic
@scope.define
def frozen_distribution(dist: Any, rng: Any = None, size: Size = ()) -> Any:
    """A draw from a frozen scipy distribution."""
    draws = dist.rvs(size=1 if size == () else size, random_state=rng)
    return draws[0] if size == () else draws


@scope.define_macro("one_of")
def one_of(*args: Any) -> Apply:
    """One of the arguments, all equally likely; not a labelled hyperparameter."""
    return scope.switch(scope.randint(len(args)), *args)


@scope.define_macro("choice")
def choice(args: Any) -> Apply:
    """One of the items of a sequence; see `one_of`."""
    return one_of(*args)


# --- whole expressions --------------------------------------------------------------


def recursive_set_rng_kwarg(expr: Apply, rng: Any = None) -> Apply:
    """Give every distribution in `expr` the generator `rng`, in place; return `expr`."""
    generator = as_apply(np.random.default_rng() if rng is None else rng)
    for node in dfs(expr):
        if node.name in implicit_stochastic_symbols:
            node.set_kwarg("rng", generator)
    return expr


def sample(expr: Any, rng: Rng | None = None, **kwargs: Any) -> Any:
    """Draw one value of an expression.

    Args:
        expr: a node, or anything that `as_apply` takes.
        rng: default: a new generator with fresh entropy.
        **kwargs: passed on to `rec_eval`.
    """
    return rec_eval(recursive_set_rng_kwarg(clone(as_apply(expr)), rng), **kwargs)
