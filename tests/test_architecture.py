"""The shape of the source tree: who may import whom, what loads when, what files are called.

Imports are read from the source, so one inside a function counts as well: it
would load late, but the dependency is the same.
"""

from __future__ import annotations

import ast
import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Lowest first. A module may import from the layers below its own; modules of
# one layer do not know each other.
LAYERS = (
    {"exceptions"},
    {"by_name", "document", "pyll", "reports", "sequence", "signing", "surrogate"},
    {"defects", "progress", "seeds", "value_table"},
    {"space", "stopping", "store", "observations", "parzen_nodes"},
    {"hp", "spec", "partial", "provenance", "checkpoints", "outage", "mirror", "trial_points"},
    {"trials"},
    {"ctrl", "mongo_trials", "continuations"},
    {"domain"},
    {"algobase", "objective"},
    {"rand"},
    {"tree_model", "univariate", "gp_inputs"},
    {"candidates", "robust", "gp_model"},
    {"gp_search"},
    {"gp_choice"},
    {"tpe", "anneal", "qmc", "grid", "cma", "gp", "atpe"},
    {"mix", "auto", "replay"},
    {"explain"},
    {"early_stop", "plotting", "graph_viz", "pool"},
    {"arguments", "demand", "leadership", "points"},
    {"standing"},
    {"supply"},
    {"driver"},
    {"fmin"},
    {"legacy"},
    # other systems' names
    {"base", "compat", "criteria", "gmm", "hyperengine", "mongoexp"}
    | {"ipy", "pyll_utils", "rdists", "sklearn", "spark", "utils", "vectorize"},
    {"__init__"},
    {"cli", "dashboard"},
)

# Imports against the direction, each with its reason.
UPWARD = {
    ("trials", "fmin"): "Trials.fmin is hyperopt's other way into fmin",
}

ALGORITHMS = {"algobase", "rand", "tree_model", "candidates", "tpe", "univariate", "anneal"} | {
    "qmc",
    "grid",
    "cma",
    "gp",
    "gp_choice",
    "gp_inputs",
    "gp_model",
    "gp_search",
    "mix",
    "auto",
}

# Import names of the core dependencies in pyproject.toml.
CORE_DEPENDENCIES = {"bson", "cloudpickle", "gridfs", "numpy", "pymongo", "scipy", "tqdm"}
# Import names of optional ones, and the only parts of hpo that may ask for them.
OPTIONAL_DEPENDENCIES = {"cmaes": {"cma"}, "matplotlib": {"plotting"}, "sklearn": {"sklearn"}}

NAMELESS = {"common", "helper", "helpers", "misc", "types", "util", "utils"}


def python_files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def module_name(path: Path) -> str:
    """hpo/store/base.py is "hpo.store.base", hpo/pyll/__init__.py is "hpo.pyll"."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "worker" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_names(path: Path) -> Iterator[str]:
    """Every dotted name that a file imports, wherever in the file; `from a import b` is "a.b"."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def part(name: str) -> str | None:
    """The part of hpo that a dotted name belongs to: "hpo.store.base.Store" is in "store"."""
    words = name.split(".")
    if words[0] != "hpo":
        return None
    if len(words) > 1 and words[1] in PARTS:
        return words[1]
    return "__init__"


PARTS = {
    "__init__" if name == "hpo" else name.split(".")[1]
    for name in map(module_name, python_files("hpo"))
}
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer}


@functools.cache
def dependencies() -> dict[str, set[str]]:
    """{part: the other parts of hpo that it imports}."""
    found: dict[str, set[str]] = {name: set() for name in PARTS}
    for path in python_files("hpo"):
        own = part(module_name(path))
        assert own is not None
        found[own] |= {other for name in imported_names(path) if (other := part(name))} - {own}
    return found


def test_every_part_has_a_layer():
    homeless = PARTS - set(HEIGHT)

    assert not homeless, f"say in LAYERS where these belong: {sorted(homeless)}"


@pytest.mark.parametrize("importer", sorted(PARTS & set(HEIGHT)))
def test_imports_point_downwards(importer):
    upward = [
        f"hpo.{importer} (layer {HEIGHT[importer]}) imports hpo.{imported} "
        f"(layer {HEIGHT[imported]})"
        for imported in sorted(dependencies()[importer] & set(HEIGHT))
        if HEIGHT[imported] >= HEIGHT[importer] and (importer, imported) not in UPWARD
    ]

    assert not upward, "\n".join(upward)


def test_every_exception_to_the_layers_is_still_needed():
    unused = [pair for pair in UPWARD if pair[1] not in dependencies().get(pair[0], ())]

    assert not unused


def test_hpo_never_imports_the_worker():
    offenders = [
        f"{module_name(path)} imports {name}"
        for path in python_files("hpo")
        for name in imported_names(path)
        if name.split(".")[0] == "hpo_worker"
    ]

    assert not offenders


def test_only_the_mongo_store_knows_pymongo():
    offenders = [
        f"{module_name(path)} imports {name}"
        for folder in ("hpo", "worker")
        for path in python_files(folder)
        for name in imported_names(path)
        if name.split(".")[0] in {"pymongo", "gridfs", "bson"}
        and not module_name(path).startswith("hpo.store.mongo")
    ]

    assert not offenders


def test_algorithms_receive_their_history_instead_of_reading_it():
    known = {name: dependencies()[name] for name in ALGORITHMS & PARTS}

    forbidden = {"store", "trials", "fmin", "driver"}
    assert not {name: found & forbidden for name, found in known.items() if found & forbidden}


def test_the_surrogate_knows_arrays_only():
    allowed = {"numpy", "scipy", "hpo.exceptions", "hpo.surrogate"} | sys.stdlib_module_names
    offenders = [
        f"{module_name(path)} imports {name}"
        for path in python_files("hpo/surrogate")
        for name in imported_names(path)
        if name.split(".")[0] not in allowed and ".".join(name.split(".")[:2]) not in allowed
    ]

    assert not offenders


def test_every_third_party_import_is_a_declared_dependency():
    known = CORE_DEPENDENCIES | {"hpo", "hpo_worker"} | sys.stdlib_module_names
    offenders = [
        f"{module_name(path)} imports {name}"
        for folder in ("hpo", "worker")
        for path in python_files(folder)
        for name in imported_names(path)
        if name.split(".")[0] not in known
        and part(module_name(path)) not in OPTIONAL_DEPENDENCIES.get(name.split(".")[0], ())
    ]

    assert not offenders


def test_importing_hpo_loads_nothing_heavy():
    heavy = {"bson", "cloudpickle", "gridfs", "matplotlib", "pymongo", "scipy", "sklearn", "tqdm"}
    code = "import json, sys, hpo; print(json.dumps(sorted(sys.modules)))"

    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    loaded = set(json.loads(answer.stdout))
    assert "hpo.fmin" in loaded
    assert not loaded & heavy


def test_files_are_named_after_what_they_hold():
    nameless = [
        path
        for folder in ("hpo", "worker", "scripts", "tests")
        for path in python_files(folder)
        if path.stem in NAMELESS and not is_thin_face(path)
    ]

    assert not nameless, "a module without a home lacks a name"


def is_thin_face(path: Path) -> bool:
    """A file that only lends other modules' names to one of hyperopt's import paths."""
    source = path.read_text(encoding="utf-8")
    statements = ast.parse(source).body
    without_logic = all(
        isinstance(node, (ast.Import, ast.ImportFrom, ast.Assign))
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in statements
    )
    return without_logic and len(source.splitlines()) < 40


def test_every_module_opens_with_its_concept():
    silent = [
        str(path.relative_to(ROOT))
        for folder in ("hpo", "worker", "scripts")
        for path in python_files(folder)
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]

    assert not silent
