"""Letting unchanged code that imports hyperopt run on hpo.

    from hpo.compat import install_as_hyperopt

    install_as_hyperopt()
    import hyperopt                        # is hpo
    from hyperopt.pyll.base import scope   # is hpo.pyll.base.scope

`import hyperopt.x.y` then gives the very module `hpo.x.y`, so a class is the same
under both names. Modules load when they are asked for. Workers that this process
starts do likewise; others are told to: `hpo-worker --as-hyperopt`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from hpo.exceptions import HpoError

__all__ = [
    "AS_HYPEROPT_VARIABLE",
    "INTERFACE_VERSION",
    "install_as_hyperopt",
    "install_if_asked",
    "is_installed_as_hyperopt",
]

# The version of hyperopt whose interface this is; libraries compare it.
INTERFACE_VERSION = "0.3.0"

# Set, it makes every worker started from here do likewise: what it unpickles may
# say "hyperopt".
AS_HYPEROPT_VARIABLE = "HPO_AS_HYPEROPT"

# Names of hyperopt's package that hpo has only in a module of their own.
_NAMES_ELSEWHERE = {"SparkTrials": "hpo.spark"}


def install_as_hyperopt() -> None:
    """Let every later `import hyperopt` in this process find hpo.

    Calling it again changes nothing. A hyperopt that is installed, but not yet
    imported, stays out of sight.

    Raises:
        HpoError: the real hyperopt is imported already: what holds one of its
            modules would not notice.
    """
    present = sys.modules.get("hyperopt")
    if isinstance(present, _Hyperopt):
        return
    if present is not None or any(name.startswith("hyperopt.") for name in sys.modules):
        where = getattr(present, "__file__", None) or "a place unknown"
        raise HpoError(
            f"hyperopt is imported already, from {where}; call install_as_hyperopt() at the very "
            "start of the program, before anything imports hyperopt"
        )
    os.environ[AS_HYPEROPT_VARIABLE] = "1"
    hpo = importlib.import_module("hpo")
    sys.modules["hyperopt"] = _Hyperopt(hpo)
    # Were these left to the finder, `import hyperopt.fmin` would rebind hyperopt.fmin,
    # which is the function, to the module.
    for name, module in list(sys.modules.items()):
        if name.startswith("hpo."):
            sys.modules[_their_name(name)] = module
    sys.meta_path.insert(0, _Finder())


def install_if_asked() -> None:
    """Do so in a worker whose starter did, or that was told to (--as-hyperopt)."""
    if os.environ.get(AS_HYPEROPT_VARIABLE):
        install_as_hyperopt()


def is_installed_as_hyperopt() -> bool:
    """Whether `import hyperopt` means hpo in this process."""
    return isinstance(sys.modules.get("hyperopt"), _Hyperopt)


class _Hyperopt(ModuleType):
    """The package `hyperopt`: hpo's names, under hyperopt's version.

    Not hpo itself: pickles have to say "hyperopt", and what a script assigns to
    hyperopt's package must not change hpo's.
    """

    def __init__(self, hpo: ModuleType) -> None:
        super().__init__("hyperopt", hpo.__doc__)
        self.__version__ = INTERFACE_VERSION
        self.__all__ = [name for name in hpo.__all__ if not name.startswith("__")]
        self.__file__ = hpo.__file__
        self.__path__ = hpo.__path__
        self.__package__ = "hyperopt"
        self.__spec__ = ModuleSpec("hyperopt", _Loader(), origin=hpo.__file__, is_package=True)
        self._hpo = hpo

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if hasattr(self._hpo, name):
            return getattr(self._hpo, name)
        if name in _NAMES_ELSEWHERE:
            return getattr(importlib.import_module(_NAMES_ELSEWHERE[name]), name)
        # hyperopt loads all of its modules at once: `import hyperopt` gives hyperopt.base.
        if importlib.util.find_spec(f"hpo.{name}") is not None:
            return importlib.import_module(f"hyperopt.{name}")
        raise AttributeError(
            f"hyperopt stands for hpo in this process, and hpo has no {name!r}",
            name=name,
            obj=self,
        )

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._hpo)})

    def __reduce__(self) -> tuple[Any, ...]:
        # Objectives refer to modules by name; cloudpickle knows plain modules only.
        return importlib.import_module, ("hyperopt",)


class _Finder(MetaPathFinder):
    """Finds `hyperopt.x` wherever there is an `hpo.x`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("hyperopt.") or not is_installed_as_hyperopt():
            return None
        try:
            ours = importlib.util.find_spec(_our_name(fullname))
        except ModuleNotFoundError:  # not even its package is hpo's
            return None
        if ours is None:
            return None
        is_package = ours.submodule_search_locations is not None
        return ModuleSpec(fullname, _Loader(), origin=ours.origin, is_package=is_package)


class _Loader(Loader):
    """Puts hpo's module in the place of the one being imported."""

    def create_module(self, spec: ModuleSpec) -> None:
        # Not hpo's module: the import system would write hyperopt's spec into it.
        return None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(_our_name(module.__name__))


def _our_name(name: str) -> str:
    return "hpo" + name.removeprefix("hyperopt")


def _their_name(name: str) -> str:
    return "hyperopt" + name.removeprefix("hpo")
