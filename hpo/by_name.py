"""Objectives by name: "package.module:function" travels as text, without a pickle.

    fmin("digits.training:train", space, trials=url)
    fmin("digits.training:train", "digits.training:SPACE", trials=url)

Driver and workers import the module, each where it runs; what the database
holds is only its name. The space travels as plain data (`hpo.pyll.as_data`),
or by name as well if it holds what is not plain.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable
from typing import Any

from hpo.exceptions import InvalidOption

_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


class NamedFunction:
    """A function that is imported when it is first called.

    Args:
        reference: "package.module:function"; "module:Class.method" is one too.
        by_keyword: pass the items of a configuration as keywords.
        space: the reference of the space that it is searched over, or None.

    Attributes:
        func: the function itself.

    Raises:
        InvalidOption: `reference` is not of that form.
    """

    def __init__(
        self, reference: str, *, by_keyword: bool = False, space: str | None = None
    ) -> None:
        if not is_reference(reference):
            raise InvalidOption(
                f"fn must be a function, or text such as 'package.module:function', "
                f"not {reference!r}"
            )
        if reference.startswith("__main__:"):
            raise InvalidOption(
                f"fn={reference!r} means another script on each machine; move the function into "
                "a module of its own, and name that"
            )
        self.reference, self.by_keyword, self.space = reference, by_keyword, space

    @functools.cached_property
    def func(self) -> Callable[..., Any]:
        found = import_by_name(self.reference)
        if not callable(found):
            raise InvalidOption(
                f"{self.reference!r} is a {type(found).__name__}, which cannot be called"
            )
        return found  # type: ignore[no-any-return]

    @property
    def fmin_pass_expr_memo_ctrl(self) -> bool:
        """Whether the function is marked as one that evaluates the space itself."""
        return bool(getattr(self.func, "fmin_pass_expr_memo_ctrl", False))

    def with_keywords(self) -> NamedFunction:
        """The same function, called with the items of a configuration as keywords."""
        return NamedFunction(self.reference, by_keyword=True, space=self.space)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.by_keyword:
            (configuration,) = args
            return self.func(**configuration)
        return self.func(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self.reference, self.by_keyword, self.space)


def _rebuilt(reference: str, by_keyword: bool, space: str | None) -> NamedFunction:
    return NamedFunction(reference, by_keyword=by_keyword, space=space)


def is_reference(text: Any) -> bool:
    """Whether `text` has the form "package.module:name"."""
    return isinstance(text, str) and _REFERENCE.fullmatch(text) is not None


def import_by_name(reference: str) -> Any:
    """Import what a reference names.

    Raises:
        ImportError: the module or the name is not there; whatever importing it raises.
    """
    module_name, _, path = reference.partition(":")
    found: Any = importlib.import_module(module_name)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise ImportError(
                f"module {module_name!r} has no {path!r}", name=module_name
            ) from None
    return found


def objective_and_space(
    fn: Callable[..., Any] | str, space: Any
) -> tuple[Callable[..., Any], Any]:
    """What `fn` and `space` stand for, when one or both are names.

    Raises:
        InvalidOption: a name has the wrong form, or cannot be imported here.
    """
    space_name = space if is_reference(space) else None
    try:
        if isinstance(fn, str):
            fn = NamedFunction(fn, space=space_name)
            # Now, not on every worker: it may be misspelt.
            _ = fn.func
        return fn, space if space_name is None else import_by_name(space_name)
    except ImportError as error:
        raise InvalidOption(
            f"{error}; correct the name, or start the driver where the module lies (its "
            "directory on PYTHONPATH)"
        ) from error
