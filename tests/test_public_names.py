"""The names that `hpo` promises: there, complete, and documented."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import hpo
from hpo import exceptions

SOURCE = ast.parse(Path(hpo.__file__).read_text(encoding="utf-8"))


def names_bound_in_the_source() -> set[str]:
    """What hpo/__init__.py takes from hpo, or assigns, for others to see."""
    bound = set()
    for node in SOURCE.body:
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("hpo"):
            bound |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            bound |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {name for name in bound if name == "__version__" or not name.startswith("_")}


def test_all_lists_exactly_what_the_module_binds():
    assert set(hpo.__all__) == names_bound_in_the_source()


def test_all_lists_each_name_once():
    assert len(hpo.__all__) == len(set(hpo.__all__))


@pytest.mark.parametrize("name", hpo.__all__)
def test_a_public_name_is_there_and_documented(name):
    value = getattr(hpo, name)

    if callable(value) or inspect.ismodule(value):
        assert inspect.getdoc(value), f"hpo.{name} has no docstring"


@pytest.mark.parametrize(
    "name", [name for name in hpo.__all__ if inspect.isclass(getattr(hpo, name))]
)
def test_the_methods_of_a_public_class_are_documented(name):
    silent = [
        attribute
        for attribute, value in vars(getattr(hpo, name)).items()
        if not attribute.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property))
        and not inspect.getdoc(value)
    ]

    assert not silent


def test_the_functions_of_public_modules_are_documented():
    modules = [value for value in vars(hpo).values() if inspect.ismodule(value)]
    silent = [
        f"{module.__name__}.{name}"
        for module in modules
        if module.__name__.startswith("hpo.")
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
        and not inspect.getdoc(value)
    ]

    assert not silent


def test_fmin_is_the_function_and_not_the_module():
    import hpo.fmin

    assert inspect.isfunction(hpo.fmin)


@pytest.mark.parametrize("name", exceptions.__all__)
def test_every_error_is_named_in_the_tree_and_documented(name):
    value = getattr(exceptions, name)

    assert inspect.getdoc(value)
    if inspect.isclass(value):
        assert issubclass(value, exceptions.HpoError)
        assert name in str(exceptions.__doc__), f"{name} is missing in the drawn tree"


def test_every_error_of_the_module_is_public():
    defined = {
        name
        for name, value in vars(exceptions).items()
        if inspect.isclass(value) and value.__module__ == exceptions.__name__
    }

    assert defined <= set(exceptions.__all__)


@pytest.mark.parametrize("name", sorted(hpo._MODULES_ON_DEMAND))
def test_modules_load_when_they_are_asked_for(name):
    assert getattr(hpo, name).__name__ == f"hpo.{name}"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'fminn'"):
        _ = hpo.fminn
