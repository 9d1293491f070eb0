"""What pyproject.toml promises agrees with the package and with the scripts."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

import hpo

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_version_is_stated_once(project):
    assert project["version"] == hpo.__version__


@pytest.mark.parametrize("command", ["hpo", "hpo-worker"])
def test_a_console_script_leads_to_a_function(project, command):
    module, function = project["scripts"][command].split(":")

    assert callable(getattr(importlib.import_module(module), function))


def test_types_are_published():
    assert (ROOT / "hpo" / "py.typed").exists()
    assert (ROOT / "worker" / "hpo_worker" / "py.typed").exists()


def test_the_lower_bounds_are_the_versions_that_are_tested(project):
    make_venv = load_script("make_venv")

    tested = make_venv.lowest_versions((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert tested == [bound.replace(">=", "==") for bound in project["dependencies"]]


def test_the_scripts_are_executable():
    scripts = [
        path
        for path in [*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"]
        if path.is_file() and path.suffix == ""
    ]

    assert scripts
    for path in scripts:
        assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env "), path
        assert path.stat().st_mode & 0o111, path


def load_script(name: str) -> Any:
    """A Python file of scripts/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
