"""The expression graph: what a search space is made of.

A node names an operation and holds its arguments, which are nodes too. Nothing
is computed while a graph is built: `hp.uniform("x", 0, 1) + 1` is a node "add"
with two inputs, and stays one until somebody evaluates it (`hpo.pyll.rec_eval`).

Nodes compare and hash by identity, because one node used in two places is one
hyperparameter and two nodes that look alike are two. That is why there is no
`==` on nodes; `scope.eq(a, b)` makes the comparison.

Source: the names and their meanings are those of hyperopt.pyll.base.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO, cast

import numpy as np

from hpo.pyll.pickling import inputs_first, new_node
from hpo.pyll.printing import print_tree

__all__ = ["Apply", "Literal", "MissingArgument", "apply", "as_apply"]


class MissingArgument:
    """Stands in `Apply.arg` for a parameter that was given no argument."""


class Apply:
    """The application of a named operation to argument nodes.

    Args:
        name: the operation, a symbol of `scope`.
        pos_args: nodes of the positional arguments.
        named_args: pairs (keyword, node), or an empty mapping.
        o_len: how many values the result unpacks to, or None if that is not known.
        pure: whether evaluating it twice is the same as once, and changes nothing.
        define_params: keywords for `scope.define_if_new` that make the operation
            known where the node is unpickled; or None.

    Attributes:
        named_args: a list of two-item lists [keyword, node], which may be edited.

    Raises:
        TypeError: an argument is not a node, or a keyword is not text.
    """

    # Arrays must leave `array * node` to the node instead of looping over it.
    __array_ufunc__ = None

    def __init__(
        self,
        name: str,
        pos_args: Iterable[Apply],
        named_args: Iterable[Sequence[Any]] | Mapping[str, Apply],
        o_len: int | None = None,
        pure: bool = False,
        define_params: Mapping[str, Any] | None = None,
    ) -> None:
        pairs = named_args.items() if isinstance(named_args, Mapping) else named_args
        self.name = name
        self.pos_args = list(pos_args)
        self.named_args: list[list[Any]] = [list(pair) for pair in pairs]
        self.o_len = o_len
        self.pure = pure
        self.define_params = define_params
        for node in self.inputs():
            if not isinstance(node, Apply):
                raise TypeError(
                    f"argument {node!r} of {name!r} is not a node; wrap it with pyll.as_apply"
                )
        for keyword, _ in self.named_args:
            if not isinstance(keyword, str):
                raise TypeError(f"keyword {keyword!r} of {name!r} is not text")

    # --- the arguments ---

    def inputs(self) -> list[Apply]:
        """The argument nodes, positional before named."""
        if not self.named_args:
            return self.pos_args
        return self.pos_args + [node for _, node in self.named_args]

    @property
    def arg(self) -> dict[str, Any]:
        """{parameter: node}, as Python would bind the arguments in a call.

        A parameter without argument maps to `MissingArgument`; `*args` maps to a
        list of nodes, `**kwargs` to a dictionary of them.

        Raises:
            TypeError: the arguments do not fit the operation, or its
                implementation (a builtin such as `dict`) hides its parameters.
        """
        signature = self._signature()
        bound = signature.bind_partial(*self.pos_args, **dict(self.named_args)).arguments
        binding: dict[str, Any] = {}
        for name, parameter in signature.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                binding[name] = list(bound.get(name, ()))
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                binding[name] = dict(bound.get(name, {}))
            else:
                binding[name] = bound.get(name, MissingArgument)
        return binding

    def _signature(self) -> inspect.Signature:
        # The table of implementations is built on this module, hence the late import.
        from hpo.pyll.symbols import scope

        try:
            return inspect.signature(scope.implementation(self.name))
        except ValueError:
            raise TypeError(
                f"the parameters of {self.name!r} have no names; use pos_args and named_args"
            ) from None

    def set_kwarg(self, name: str, value: Any) -> None:
        """Give the parameter `name` the argument `value`, replacing any it has."""
        node = as_apply(value)
        for pair in self.named_args:
            if pair[0] == name:
                pair[1] = node
                return
        positions = [
            parameter.name
            for parameter in self._signature().parameters.values()
            if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        ]
        if name in positions[: len(self.pos_args)]:
            self.pos_args[positions.index(name)] = node
            return
        self.named_args.append([name, node])
        self.named_args.sort(key=lambda pair: cast(str, pair[0]))

    def replace_input(self, old_node: Apply, new_node: Apply) -> list[int]:
        """Put `new_node` wherever `old_node` is an argument; return the places in `inputs()`."""
        places = [place for place, node in enumerate(self.inputs()) if node is old_node]
        for place in places:
            if place < len(self.pos_args):
                self.pos_args[place] = new_node
            else:
                self.named_args[place - len(self.pos_args)][1] = new_node
        return places

    def clone_from_inputs(self, inputs: Sequence[Apply], o_len: Any = "same") -> Apply:
        """The same operation on other arguments, given in the order of `inputs()`.

        Raises:
            TypeError: the number of arguments differs.
        """
        if len(inputs) != len(self.inputs()):
            raise TypeError(
                f"{self.name!r} has {len(self.inputs())} inputs, but {len(inputs)} were given"
            )
        n_positional = len(self.pos_args)
        keywords = [keyword for keyword, _ in self.named_args]
        return type(self)(
            self.name,
            inputs[:n_positional],
            zip(keywords, inputs[n_positional:], strict=True),
            self.o_len if o_len == "same" else o_len,
            self.pure,
            self.define_params,
        )

    # --- evaluating and showing ---

    def eval(self, memo: Mapping[Apply, Any] | None = None) -> Any:
        """The value of this node; `memo` maps nodes to values that are known already."""
        # The evaluator is built on this module, hence the late import.
        from hpo.pyll.evaluate import rec_eval

        return rec_eval(self, memo=memo, print_node_on_error=False)

    def summary(self) -> str:
        """The node itself, without its inputs, on one line."""
        return self.name

    def pprint(
        self,
        ofile: TextIO,
        lineno: list[int] | None = None,
        indent: int = 0,
        memo: dict[Apply, str] | None = None,
    ) -> None:
        """Write the graph as a numbered tree; see `print_tree`."""
        print_tree(
            self, ofile, [0] if lineno is None else lineno, indent, {} if memo is None else memo
        )

    def __str__(self) -> str:
        text = io.StringIO()
        self.pprint(text)
        return text.getvalue().rstrip("\n")

    # --- operators make nodes ---

    def __add__(self, other: Any) -> Apply:
        return _operation("add", self, other)

    def __radd__(self, other: Any) -> Apply:
        return _operation("add", other, self)

    def __sub__(self, other: Any) -> Apply:
        return _operation("sub", self, other)

    def __rsub__(self, other: Any) -> Apply:
        return _operation("sub", other, self)

    def __mul__(self, other: Any) -> Apply:
        return _operation("mul", self, other)

    def __rmul__(self, other: Any) -> Apply:
        return _operation("mul", other, self)

    def __truediv__(self, other: Any) -> Apply:
        return _operation("truediv", self, other)

    def __rtruediv__(self, other: Any) -> Apply:
        return _operation("truediv", other, self)

    def __floordiv__(self, other: Any) -> Apply:
        return _operation("floordiv", self, other)

    def __rfloordiv__(self, other: Any) -> Apply:
        return _operation("floordiv", other, self)

    def __mod__(self, other: Any) -> Apply:
        return _operation("mod", self, other)

    def __rmod__(self, other: Any) -> Apply:
        return _operation("mod", other, self)

    def __pow__(self, other: Any) -> Apply:
        return _operation("pow", self, other)

    def __rpow__(self, other: Any) -> Apply:
        return _operation("pow", other, self)

    def __and__(self, other: Any) -> Apply:
        return _operation("and_", self, other)

    def __rand__(self, other: Any) -> Apply:
        return _operation("and_", other, self)

    def __or__(self, other: Any) -> Apply:
        return _operation("or_", self, other)

    def __ror__(self, other: Any) -> Apply:
        return _operation("or_", other, self)

    def __xor__(self, other: Any) -> Apply:
        return _operation("xor", self, other)

    def __rxor__(self, other: Any) -> Apply:
        return _operation("xor", other, self)

    def __lshift__(self, other: Any) -> Apply:
        return _operation("lshift", self, other)

    def __rlshift__(self, other: Any) -> Apply:
        return _operation("lshift", other, self)

    def __rshift__(self, other: Any) -> Apply:
        return _operation("rshift", self, other)

    def __rrshift__(self, other: Any) -> Apply:
        return _operation("rshift", other, self)

    def __neg__(self) -> Apply:
        return _operation("neg", self)

    def __pos__(self) -> Apply:
        return _operation("pos", self)

    def __abs__(self) -> Apply:
        return _operation("abs", self)

    def __invert__(self) -> Apply:
        return _operation("invert", self)

    def __lt__(self, other: Any) -> Apply:
        return _operation("lt", self, other)

    def __le__(self, other: Any) -> Apply:
        return _operation("le", self, other)

    def __gt__(self, other: Any) -> Apply:
        return _operation("gt", self, other)

    def __ge__(self, other: Any) -> Apply:
        return _operation("ge", self, other)

    def __getitem__(self, key: Any) -> Apply:
        if self.o_len is not None and isinstance(key, int) and key >= self.o_len:
            raise IndexError(f"{self.name!r} has {self.o_len} items, so there is no item {key}")
        return _operation("getitem", self, key)

    def __call__(self, *args: Any, **kwargs: Any) -> Apply:
        return Apply("call", [self, as_apply(args), as_apply(kwargs)], [])

    # --- what a node cannot know before it is evaluated ---

    def __len__(self) -> int:
        if self.o_len is None:
            raise TypeError(
                f"len of the node {self.name!r} is not known before it is evaluated; "
                "use scope.len(node) inside the space"
            )
        return self.o_len

    def __bool__(self) -> bool:
        if self.o_len is None:
            raise TypeError(
                f"the node {self.name!r} is neither true nor false before it is evaluated; "
                "inside the space use scope.switch(condition, if_false, if_true) instead of `if`"
            )
        return self.o_len > 0

    def __iter__(self) -> Iterator[Apply]:
        return (self[position] for position in range(len(self)))

    # --- pickling ---

    def __reduce__(self) -> tuple[Any, ...]:
        return new_node, (type(self), inputs_first(self)), self._pickled_state()

    def _pickled_state(self) -> dict[str, Any]:
        from hpo.pyll.symbols import scope

        state = self.__dict__.copy()
        if self.define_params is None:
            state["define_params"] = scope.portable_definition(self.name)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.define_params:
            from hpo.pyll.symbols import scope

            scope.define_unpickled(**self.define_params)


class Literal(Apply):
    """A constant: any Python object, handed to the objective as it is."""

    def __init__(self, obj: Any = None) -> None:
        super().__init__("literal", [], [], _length(obj), pure=True)
        self._obj = obj

    @property
    def obj(self) -> Any:
        """The constant."""
        return self._obj

    @property
    def arg(self) -> dict[str, Any]:
        """Empty: a constant has no arguments."""
        return {}

    def clone_from_inputs(self, inputs: Sequence[Apply], o_len: Any = "same") -> Literal:
        """Another node for the same constant."""
        return type(self)(self._obj)

    def summary(self) -> str:
        """The constant on one line, an array by its shape and bounds."""
        if isinstance(self._obj, np.ndarray) and self._obj.size and self._obj.dtype.kind in "iuf":
            bounds = f"min={self._obj.min():f},max={self._obj.max():f}"
            return f"Literal{{np.ndarray,shape={self._obj.shape},{bounds}}}"
        return f"Literal{{{self._obj}}}"


def as_apply(obj: Any) -> Apply:
    """Turn any object into a node.

    A node stays itself. A tuple or list becomes "pos_args" (both evaluate to a
    tuple; only a tuple's length is known beforehand); a dictionary becomes
    "dict", its keys in sorted order where they can be sorted; everything else
    becomes a `Literal`.
    """
    if isinstance(obj, Apply):
        return obj
    if isinstance(obj, (tuple, list)):
        length = len(obj) if isinstance(obj, tuple) else None
        return Apply("pos_args", [as_apply(item) for item in obj], [], length, pure=True)
    if isinstance(obj, dict):
        return _dict_node(obj)
    return Literal(obj)


def _dict_node(items: dict[Any, Any]) -> Apply:
    try:
        keys = sorted(items)
    except TypeError:  # keys of several types
        keys = list(items)
    if all(isinstance(key, str) for key in keys):
        named_args = [(key, as_apply(items[key])) for key in keys]
        return Apply("dict", [], named_args, len(keys), pure=True)
    # A call has only text as keywords, so other keys travel as a list of pairs.
    pairs = as_apply([(key, items[key]) for key in keys])
    return Apply("dict", [pairs], [], None, pure=True)


def apply(name: str, *args: Any, **kwargs: Any) -> Apply:
    """Apply the operation `name`, which need not be defined yet, to any objects."""
    named_args = [(keyword, as_apply(value)) for keyword, value in sorted(kwargs.items())]
    return Apply(name, [as_apply(value) for value in args], named_args)


def _operation(name: str, *args: Any) -> Apply:
    return Apply(name, [as_apply(value) for value in args], [], pure=True)


def _length(obj: Any) -> int | None:
    try:
        return len(obj)
    # AttributeError: unfitted scikit-learn ensembles have a len() that fails so.
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        return None
