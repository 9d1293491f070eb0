"""Functions made of expressions: `Lambda`, and `scope.partial`.

A `Lambda` is an expression with holes (`p0`, `p1`, …); calling it fills them and
returns an expression. It may be registered with `scope.define` and may use its
own name, so that expressions can recurse.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hpo.pyll.graph import Apply, Literal, as_apply
from hpo.pyll.symbols import SymbolTableEntry, scope
from hpo.pyll.traversal import clone

__all__ = ["Lambda", "UndefinedValue", "p0", "p1", "p2", "p3", "p4"]


class UndefinedValue:
    """What the holes of a `Lambda` hold while it is not called."""


p0 = Literal(UndefinedValue)
p1 = Literal(UndefinedValue)
p2 = Literal(UndefinedValue)
p3 = Literal(UndefinedValue)
p4 = Literal(UndefinedValue)


class Lambda:
    """A function whose body is an expression.

    Args:
        name: the name under which `scope.define` registers it.
        params: pairs (name, hole), in the order of the call's arguments.
        expr: the body, which mentions the holes.
    """

    def __init__(self, name: str, params: Sequence[tuple[str, Apply]], expr: Apply) -> None:
        self.__name__ = name
        self.params = list(params)
        self.expr = expr

    @property
    def __signature__(self) -> inspect.Signature:
        kind = inspect.Parameter.POSITIONAL_ONLY
        return inspect.Signature([inspect.Parameter(name, kind) for name, _ in self.params])

    def __call__(self, *args: Any) -> Apply:
        """The body with its holes filled.

        Raises:
            TypeError: the number of arguments is not that of the holes.
        """
        if len(args) != len(self.params):
            raise TypeError(f"{self.__name__} takes {len(self.params)} arguments, not {len(args)}")
        holes = [hole for _, hole in self.params]
        return clone(self.expr, dict(zip(holes, map(as_apply, args), strict=True)))


@dataclass(frozen=True)
class _PartialApplication:
    """An operation that has some of its arguments and awaits the rest."""

    operation: SymbolTableEntry
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self, *args: Any) -> Apply:
        if not args:
            raise NotImplementedError(
                f"partial({self.operation.apply_name!r}, …) awaits at least one more argument"
            )
        return self.operation(*self.args, *args, **self.kwargs)


@scope.define
def partial(name: str | SymbolTableEntry, *args: Any, **kwargs: Any) -> _PartialApplication:
    """An operation with its first arguments filled in: `scope.partial("add", 2)(3)` is 5."""
    operation = name if isinstance(name, SymbolTableEntry) else getattr(scope, name)
    return _PartialApplication(operation, args, kwargs)


@scope.define
def callpipe1(fn_list: Sequence[Callable[[Any], Any]], arg: Any) -> Any:
    """Pass `arg` through the functions, first to last."""
    for fn in fn_list:
        arg = fn(arg)
    return arg
