"""`scope`: the table of operations that expressions can use.

`scope.log(x)` makes a node "log"; evaluating the node calls the Python function
that is registered under that name. `@scope.define` registers more of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from hpo.exceptions import PyllImportError, SymbolTaken, did_you_mean
from hpo.pyll.graph import Apply, as_apply

__all__ = ["SymbolTable", "SymbolTableEntry", "scope"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class SymbolTableEntry:
    """One operation: calling it makes a node."""

    apply_name: str
    o_len: int | None = None
    pure: bool = False

    def __call__(self, *args: Any, **kwargs: Any) -> Apply:
        named_args = [(keyword, as_apply(kwargs[keyword])) for keyword in sorted(kwargs)]
        pos_args = [as_apply(value) for value in args]
        return Apply(self.apply_name, pos_args, named_args, self.o_len, self.pure)


class SymbolTable:
    """Operations by name: `table.name(...)` makes a node."""

    def __init__(self) -> None:
        # What makes the node of each symbol, and what evaluates it.
        self._entries: dict[str, Callable[..., Apply]] = {}
        self._impls: dict[str, Callable[..., Any]] = {}
        self._builtin_names: frozenset[str] = frozenset()
        self._unpickled_names: set[str] = set()

    def __getattr__(self, name: str) -> Callable[..., Apply]:
        # Only called when normal look-up fails; `_entries` itself is missing while copying.
        entries: dict[str, Callable[..., Apply]] = self.__dict__.get("_entries", {})
        try:
            return entries[name]
        except KeyError:
            raise AttributeError(
                f"scope has no symbol {name!r}{did_you_mean(name, entries)}; "
                "register a function with @scope.define"
            ) from None

    def __reduce__(self) -> str | tuple[Any, ...]:
        # A function that mentions `scope` must find the worker's own when it is unpickled there.
        return "scope" if self is scope else super().__reduce__()

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *self._entries]

    def implementation(self, name: str) -> Callable[..., Any]:
        """The Python function that evaluates the operation `name`.

        Raises:
            PyllImportError: there is none.
        """
        try:
            return self._impls[name]
        except KeyError:
            raise PyllImportError(
                f"the space uses {name!r}, which scope does not know here"
                f"{did_you_mean(name, self._impls)}; import the module whose @scope.define "
                "registers it"
            ) from None

    # --- registering ---

    def define(self, f: F, o_len: int | None = None, pure: bool = False) -> F:
        """Register `f` under its name, as a decorator; `f` itself stays as it is.

        Args:
            o_len: how many values the result unpacks to.
            pure: whether calling it twice is the same as once, and changes nothing.

        Raises:
            SymbolTaken: the name is in use.
        """
        if hasattr(self, f.__name__):
            raise SymbolTaken(f.__name__)
        return self._register(f.__name__, f, o_len, pure)

    def define_pure(self, f: F) -> F:
        """Register a function without side effects, as a decorator."""
        return self.define(f, pure=True)

    def define_info(self, o_len: int | None = None, pure: bool = False) -> Callable[[F], F]:
        """Make a decorator that registers with these properties."""
        return lambda f: self.define(f, o_len=o_len, pure=pure)

    def define_if_new(self, f: F, o_len: int | None = None, pure: bool = False) -> F:
        """As `define`; registering the same function again is no error.

        Raises:
            SymbolTaken: the name belongs to another function.
        """
        if hasattr(self, f.__name__) and self._impls.get(f.__name__) is not f:
            raise SymbolTaken(f.__name__)
        return self._register(f.__name__, f, o_len, pure)

    def define_macro(self, name: str) -> Callable[[F], F]:
        """Make a decorator for a function that builds the nodes of `scope.name(...)` itself."""

        def register(build: F) -> F:
            self._entries[name] = build
            return build

        return register

    def undefine(self, f: Callable[..., Any] | str) -> None:
        """Forget a function, given itself or its name.

        Raises:
            PyllImportError: it is not defined.
        """
        name = f if isinstance(f, str) else f.__name__
        if name not in self._entries:
            self.implementation(name)  # raises, saying what the name is close to
        self._impls.pop(name, None)
        del self._entries[name]
        self._unpickled_names.discard(name)

    def _register(self, name: str, f: F, o_len: int | None, pure: bool) -> F:
        self._entries[name] = SymbolTableEntry(name, o_len, pure)
        self._impls[name] = f
        return f

    # --- symbols that travel with a pickled space ---

    def seal_builtins(self) -> None:
        """Take all symbols so far as known to every process that imports hpo."""
        self._builtin_names = frozenset(self._impls)

    def is_builtin(self, name: str) -> bool:
        """Whether `name` is one of hpo's own operations."""
        return name in self._builtin_names

    def portable_definition(self, name: str) -> dict[str, Any] | None:
        """Keywords for `define_unpickled`, so that a worker knows the user's own symbols."""
        if name in self._builtin_names or name not in self._impls:
            return None
        entry, f = self._entries[name], self._impls[name]
        if not isinstance(entry, SymbolTableEntry):
            return {"f": f}
        return {"f": f, "o_len": entry.o_len, "pure": entry.pure}

    def define_unpickled(self, f: F, o_len: int | None = None, pure: bool = False) -> F:
        """Register a symbol that came with a pickled space.

        It never replaces a symbol that this process defined itself, but does
        replace one of an earlier pickle: each time it is unpickled, a function of
        the driver's script becomes a new object.
        """
        name = f.__name__
        if hasattr(self, name) and name not in self._unpickled_names:
            return f
        self._unpickled_names.add(name)
        return self._register(name, f, o_len, pure)

    # --- importing symbols into a namespace ---

    def inject(self, *names: str, **renamed: str) -> dict[str, Any]:
        """{name: symbol}; `inject("log", ln="log")` has both "log" and "ln".

        Raises:
            PyllImportError: a symbol is not defined.
        """
        wanted = {name: name for name in names} | renamed
        try:
            return {name: getattr(self, symbol) for name, symbol in wanted.items()}
        except AttributeError as error:
            raise PyllImportError(str(error)) from None

    def import_(self, namespace: dict[str, Any], *names: str, **renamed: str) -> None:
        """Add symbols to a namespace such as `globals()`."""
        namespace.update(self.inject(*names, **renamed))


scope = SymbolTable()
