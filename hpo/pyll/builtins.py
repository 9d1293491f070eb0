"""The operations that every search space can use: arithmetic, comparison, containers, calls.

Some names shadow Python's own on purpose: a function's name is the symbol it is
registered under. Where numpy computes, a number in gives a plain Python number out.
"""

from __future__ import annotations

import builtins
import copy
import operator
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from hpo.exceptions import BadSearchSpace
from hpo.pyll.graph import Apply, as_apply
from hpo.pyll.symbols import scope

# --- Python's own functions -----------------------------------------------------

_PYTHON_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    *(builtins.list, builtins.dict, builtins.range, builtins.len, builtins.getattr),
    *(builtins.int, builtins.float, builtins.max, builtins.min, builtins.abs),
    *(operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv),
    *(operator.mod, operator.neg, operator.pos, operator.invert, operator.getitem),
    *(operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift),
    *(operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge),
)
for _function in _PYTHON_FUNCTIONS:
    scope.define_pure(_function)


@scope.define_pure
def pow(base: Any, exponent: Any) -> Any:
    """base ** exponent."""
    return base**exponent


# --- numpy's functions ------------------------------------------------------------


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


@scope.define_pure
def exp(a: Any) -> Any:
    """e to the power a."""
    return _plain(np.exp(a))


@scope.define_pure
def log(a: Any) -> Any:
    """Natural logarithm."""
    return _plain(np.log(a))


@scope.define_pure
def sqrt(x: Any) -> Any:
    """Square root."""
    return _plain(np.sqrt(x))


@scope.define_pure
def sin(a: Any) -> Any:
    """Sine of an angle in radians."""
    return _plain(np.sin(a))


@scope.define_pure
def cos(a: Any) -> Any:
    """Cosine of an angle in radians."""
    return _plain(np.cos(a))


@scope.define_pure
def tan(a: Any) -> Any:
    """Tangent of an angle in radians."""
    return _plain(np.tan(a))


@scope.define_pure
def sum(x: ArrayLike, axis: int | None = None) -> Any:
    """Sum of all elements, or along one axis."""
    return _plain(np.sum(x, axis=axis))


@scope.define_pure
def minimum(x: Any, y: Any) -> Any:
    """The smaller of two, element by element."""
    return _plain(np.minimum(x, y))


@scope.define_pure
def maximum(x: Any, y: Any) -> Any:
    """The larger of two, element by element."""
    return _plain(np.maximum(x, y))


@scope.define_pure
def asarray(a: Any, dtype: DTypeLike | None = None) -> NDArray[Any]:
    """The argument as a numpy array."""
    return np.asarray(a, dtype=dtype)


@scope.define_pure
def array_union1(args: Iterable[Iterable[Any]]) -> NDArray[Any]:
    """The different elements of all the sequences in `args`, sorted."""
    return np.asarray(sorted(set().union(*args)))


@scope.define_pure
def array_union(*args: Iterable[Any]) -> NDArray[Any]:
    """The different elements of all arguments, sorted."""
    return array_union1(args)


@scope.define_pure
def bincount(
    x: ArrayLike,
    offset: int = 0,
    weights: ArrayLike | None = None,
    minlength: int = 0,
    p: NDArray[np.float64] | None = None,
) -> NDArray[Any]:
    """Count how often each whole number occurs.

    Args:
        x: whole numbers, at least `offset`.
        offset: the number that is counted at index 0.
        weights: what each element of `x` counts for; default 1.
        minlength: least length of the result.
        p: a probability for each number, or rows that repeat them; sets `minlength`.
    """
    if p is not None and p.ndim == 2:
        minlength = p.shape[1]
    return np.bincount(np.asarray(x, dtype=np.int64) - offset, weights, minlength)


# --- sequences and text -----------------------------------------------------------


@scope.define_pure
def pos_args(*args: Any) -> tuple[Any, ...]:
    """What a list or tuple in a space evaluates to."""
    return args


@scope.define_pure
def repeat(n_times: int, obj: Any) -> list[Any]:
    """A list with the same object `n_times`."""
    return [obj] * n_times


@scope.define_pure
def str_join(s: str, seq: Iterable[str]) -> str:
    """The texts of `seq` with `s` between them."""
    return s.join(seq)


@scope.define
def map(fn: Callable[[Any], Any], seq: Iterable[Any]) -> Any:
    """`fn` of each item of `seq`; a tuple if `fn` makes expressions, else a list."""
    results = [fn(item) for item in seq]
    # Expressions inside a list would stay unevaluated; the node "pos_args" evaluates them.
    return as_apply(results) if any(isinstance(r, Apply) for r in results) else results


@scope.define_macro("map")
def _map_node(fn: Any, seq: Any, pure: bool = False) -> Apply:
    """As many results as there are items; `pure` if `fn` changes nothing."""
    items = as_apply(seq)
    return Apply("map", [as_apply(fn), items], [], items.o_len, pure)


# --- calls ------------------------------------------------------------------------


@scope.define_pure
def identity(obj: Any) -> Any:
    """The argument."""
    return obj


@scope.define
def hyperopt_param(label: str, obj: Any) -> Any:
    """Mark a distribution as the hyperparameter `label`; the value is the distribution's."""
    return obj


@scope.define
def call(fn: Callable[..., Any], args: Sequence[Any] = (), kwargs: Any = None) -> Any:
    """`fn(*args, **kwargs)`: what calling a node means."""
    return fn(*args, **(kwargs or {}))


@scope.define
def call_method(obj: Any, methodname: str, *args: Any, **kwargs: Any) -> Any:
    """Call a method of `obj` by name."""
    return getattr(obj, methodname)(*args, **kwargs)


@scope.define_pure
def call_method_pure(obj: Any, methodname: str, *args: Any, **kwargs: Any) -> Any:
    """Call a method that changes nothing."""
    return getattr(obj, methodname)(*args, **kwargs)


@scope.define_pure
def copy_call_method_pure(obj: Any, methodname: str, *args: Any, **kwargs: Any) -> Any:
    """Call a method of a copy of `obj`, which itself stays as it is."""
    return getattr(copy.copy(obj), methodname)(*args, **kwargs)


@scope.define_info(o_len=2)
def curtime(obj: Any) -> tuple[float, Any]:
    """(seconds since 1970, the argument)."""
    return time.time(), obj


# --- choosing and failing -----------------------------------------------------------


@scope.define_pure
def switch(pos: int, *args: Any) -> Any:
    """Argument number `pos`. The evaluator computes no other: see `Evaluation`."""
    return args[pos]


@scope.define_pure
def key_position(keys: Sequence[str], key: str) -> int:
    """Where `key` is among `keys`.

    Raises:
        BadSearchSpace: it is not there.
    """
    if key not in keys:
        raise BadSearchSpace(f"kwswitch has no branch {key!r}; its branches are {list(keys)}")
    return keys.index(key)


@scope.define_macro("kwswitch")
def kwswitch(kw: Any, **branches: Any) -> Apply:
    """A switch whose branches have names; `kw` is the name of the one to take."""
    names = sorted(branches)
    return scope.switch(scope.key_position(names, kw), *(branches[name] for name in names))


@scope.define_pure
def Raise(etype: type[BaseException], *args: Any, **kwargs: Any) -> NoReturn:
    """Fail with an exception; useful as a branch that must not be taken."""
    raise etype(*args, **kwargs)
