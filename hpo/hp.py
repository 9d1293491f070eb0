"""Labelled hyperparameters: the leaves of a search space.

    space = {
        "optimizer": hp.choice("optimizer", ["sgd", "adam"]),
        "lr": hp.loguniform("lr", np.log(1e-5), np.log(1e-1)),
        "layers": hp.uniformint("layers", 1, 5),
    }

Each function returns a node of an expression graph, so it can stand anywhere in a
nest of dictionaries, lists and tuples, in an option of another choice (it is then
active only when that option is chosen), and under arithmetic: `2 ** hp.randint("k", 8)`.
The label names it in results; one space has each label once, though the same node
may be used in several places.

Bounds are checked at once, unless they are expressions themselves.

Source: the names, arguments and graphs are those of hyperopt.hp.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hpo.exceptions import BadSearchSpace, InvalidLabel, InvalidOption
from hpo.pyll import Apply, Literal, scope
from hpo.space.hyperparameter import prior_of

__all__ = [
    "choice",
    "lognormal",
    "loguniform",
    "normal",
    "pchoice",
    "qlognormal",
    "qloguniform",
    "qnormal",
    "quniform",
    "randint",
    "uniform",
    "uniformint",
]


# --- choices ----------------------------------------------------------------------------


def choice(label: str, options: Sequence[Any]) -> Apply:
    """One of the options, all equally likely.

    A trial stores the number of the option, from 0; the objective gets the option
    itself. Options may hold further hyperparameters.

    Raises:
        InvalidLabel: the label is not text.
        BadSearchSpace: there is no option, or `options` is not a sequence.
    """
    nodes = _options(_checked(label), options)
    return scope.switch(_parameter(label, scope.randint(len(nodes))), *nodes)


def pchoice(label: str, p_options: Sequence[tuple[float, Any]]) -> Apply:
    """One of the options, with a probability for each.

    Args:
        p_options: pairs (probability, option); the probabilities add up to 1.

    Raises:
        InvalidLabel: the label is not text.
        BadSearchSpace: there is no option, an item is not a pair, or the
            probabilities are negative or do not add up to 1.
    """
    pairs = _options(_checked(label), p_options)
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise BadSearchSpace(
                f"hp.pchoice({label!r}) has the item {pair!r}; give a list of pairs "
                "(probability, option)"
            )
    probabilities = tuple(probability for probability, _ in pairs)
    parameter = _parameter(label, scope.categorical(probabilities))
    return scope.switch(parameter, *(option for _, option in pairs))


# --- integers ---------------------------------------------------------------------------


def randint(label: str, low: int, high: int | None = None) -> Apply:
    """An integer, all equally likely: 0 to low - 1, or low to high - 1.

    Raises:
        InvalidLabel: the label is not text.
        BadSearchSpace: a bound is not whole, or no integer lies between them.
    """
    bounds = (low,) if high is None else (low, high)
    return scope.int(_parameter(_checked(label), scope.randint(*bounds)))


def uniformint(label: str, low: float, high: float, *surplus: Any, q: float = 1.0) -> Apply:
    """An integer from low to high, both included: a uniform number, rounded.

    Rounding gives the two ends half the probability of the integers between them;
    `randint(label, low, high + 1)` has them all equally likely. Bounds that are
    not whole are moved inwards.

    Raises:
        InvalidLabel: the label is not text.
        BadSearchSpace: low >= high, fewer than two integers from low to high, or q is not 1.
    """
    if q != 1:
        raise BadSearchSpace(
            f"hp.uniformint({label!r}) has the step 1, not q = {q!r}; for another step use "
            f"scope.int(hp.quniform({label!r}, low, high, q))"
        )
    _refuse(surplus, "uniformint", label, "low, high")
    if _is_number(low) and _is_number(high):
        _require_two_integers(label, low, high)
        low, high = math.ceil(low), math.floor(high)
    return scope.int(quniform(label, low, high, 1.0))


def _require_two_integers(label: str, low: float, high: float) -> None:
    if low < high and math.ceil(low) >= math.floor(high):
        raise BadSearchSpace(
            f"hp.uniformint({label!r}) has fewer than two integers from low = {low!r} to "
            f"high = {high!r}; widen the bounds"
        )


# --- uniform ----------------------------------------------------------------------------


def uniform(label: str, low: float, high: float, *surplus: Any) -> Apply:
    """A float, uniform between low and high.

    Raises:
        InvalidLabel: the label is not text.
        BadSearchSpace: low >= high, or one of them is not a finite number.
    """
    return _real(label, scope.uniform(low, high), "low, high", surplus)


def quniform(label: str, low: float, high: float, q: float, *surplus: Any) -> Apply:
    """round(u / q) * q for u uniform between low and high: a float.

    Rounding can step over a bound by up to q / 2. `scope.int(hp.quniform(…))` is an int.

    Raises:
        InvalidLabel: the label is not text.
        BadSearchSpace: low >= high, q <= 0, or one of them is not a finite number.
    """
    return _real(label, scope.quniform(low, high, q), "low, high, q", surplus)


def loguniform(label: str, low: float, high: float, *surplus: Any) -> Apply:
    """exp(u) for u uniform between low and high, which are the logarithms of the bounds.

    Raises:
        InvalidLabel: the label is not text.
        BadSearchSpace: low >= high, or exp of one of them is 0 or infinite.
    """
    return _real(label, scope.loguniform(low, high), "low, high", surplus)


def qloguniform(label: str, low: float, high: float, q: float, *surplus: Any) -> Apply:
    """round(exp(u) / q) * q for u uniform between low and high: a float.

    Raises:
        InvalidLabel: the label is not text.
        BadSearchSpace: low >= high, q <= 0, or exp(high) is infinite.
    """
    return _real(label, scope.qloguniform(low, high, q), "low, high, q", surplus)


# --- normal -----------------------------------------------------------------------------


def normal(label: str, mu: float, sigma: float, *surplus: Any) -> Apply:
    """A float, normal with mean mu and standard deviation sigma.

    Raises:
        InvalidLabel: the label is not text.
        BadSearchSpace: sigma <= 0, or one of them is not a finite number.
    """
    return _real(label, scope.normal(mu, sigma), "mu, sigma", surplus)


def qnormal(label: str, mu: float, sigma: float, q: float, *surplus: Any) -> Apply:
    """round(n / q) * q for n normal: a float.

    Raises:
        InvalidLabel: the label is not text.
        BadSearchSpace: sigma <= 0, q <= 0, or one of them is not a finite number.
    """
    return _real(label, scope.qnormal(mu, sigma, q), "mu, sigma, q", surplus)


def lognormal(label: str, mu: float, sigma: float, *surplus: Any) -> Apply:
    """exp(n) for n normal: mu and sigma describe the logarithm.

    Raises:
        InvalidLabel: the label is not text.
        BadSearchSpace: sigma <= 0, or exp(mu) is 0 or infinite.
    """
    return _real(label, scope.lognormal(mu, sigma), "mu, sigma", surplus)


def qlognormal(label: str, mu: float, sigma: float, q: float, *surplus: Any) -> Apply:
    """round(exp(n) / q) * q for n normal: a float.

    Raises:
        InvalidLabel: the label is not text.
        BadSearchSpace: sigma <= 0, q <= 0, or exp(mu) is 0 or infinite.
    """
    return _real(label, scope.qlognormal(mu, sigma, q), "mu, sigma, q", surplus)


# --- building and checking ----------------------------------------------------------------


def _real(label: Any, distribution: Apply, names: str, surplus: Sequence[Any]) -> Apply:
    parameter = _parameter(_checked(label), distribution)
    _refuse(surplus, distribution.name, label, names)
    return scope.float(parameter)


def _parameter(label: str, distribution: Apply) -> Apply:
    prior_of(label, distribution)  # raises when an argument makes no sense
    return scope.hyperopt_param(label, distribution)


def _checked(label: Any) -> str:
    text = label.obj if isinstance(label, Literal) else label
    if not isinstance(text, str):
        raise InvalidLabel(
            f"a label must be text, not {text!r}; the label comes first: hp.uniform('x', 0, 1)"
        )
    # No database stores these: MongoDB's keys end at a NUL, and half a surrogate pair
    # has no UTF-8.
    if not text or any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in text):
        raise InvalidLabel(f"{text!r} is no usable label; give it a name, such as 'x'")
    return text


def _options(label: str, options: Any) -> list[Any]:
    if isinstance(options, np.ndarray) and options.ndim == 1:
        options = options.tolist()  # numpy's scalars become Python's
    if isinstance(options, (str, bytes, dict, set, frozenset)) or not isinstance(
        options, Iterable
    ):
        raise BadSearchSpace(
            f"the options of {label!r} are {options!r}; give a list, in the order that their "
            "numbers mean"
        )
    listed = list(options)
    if not listed:
        raise BadSearchSpace(f"the choice {label!r} has no options; give it at least one")
    return listed


def _refuse(surplus: Sequence[Any], kind: str, label: Any, names: str) -> None:
    if surplus:
        hint = "" if kind.startswith(("q", "uniformint")) else f"; did you mean hp.q{kind}?"
        raise InvalidOption(
            f"hp.{kind}({label!r}) takes {names}, but was also given {list(surplus)}{hint}"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and math.isfinite(value)
