"""hyperopt's import path `pyll_utils`: the conditions of a space as sets of paths.

`hpo.space.Space` holds the same in a simpler form.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hpo.exceptions import BadSearchSpace, DuplicateLabel, InvalidLabel
from hpo.hp import choice as hp_choice
from hpo.hp import lognormal as hp_lognormal
from hpo.hp import loguniform as hp_loguniform
from hpo.hp import normal as hp_normal
from hpo.hp import pchoice as hp_pchoice
from hpo.hp import qlognormal as hp_qlognormal
from hpo.hp import qloguniform as hp_qloguniform
from hpo.hp import qnormal as hp_qnormal
from hpo.hp import quniform as hp_quniform
from hpo.hp import randint as hp_randint
from hpo.hp import uniform as hp_uniform
from hpo.hp import uniformint as hp_uniformint
from hpo.pyll import Apply, Literal, as_apply, hyperopt_param
from hpo.space.compile import compile_space
from hpo.space.hyperparameter import Hyperparameter
from hpo.space.structure import Regions

__all__ = [
    "EQ",
    "Cond",
    "expr_to_config",
    "hp_choice",
    "hp_lognormal",
    "hp_loguniform",
    "hp_normal",
    "hp_pchoice",
    "hp_qlognormal",
    "hp_qloguniform",
    "hp_qnormal",
    "hp_quniform",
    "hp_randint",
    "hp_uniform",
    "hp_uniformint",
    "hyperopt_param",
    "validate_distribution_range",
    "validate_label",
]

Path = tuple[Any, ...]


@dataclass(frozen=True)
class Cond:
    """A hyperparameter has a value."""

    name: str
    val: Any
    op: str

    def __str__(self) -> str:
        return f"Cond{{{self.name} {self.op} {self.val}}}"


EQ = functools.partial(Cond, op="=")


def expr_to_config(expr: Any, conditions: Path | None, hps: dict[str, dict[str, Any]]) -> None:
    """Add each hyperparameter of a space to `hps`.

    Args:
        expr: the space.
        conditions: what holds for the whole space; it starts every path. None: ().
        hps: gets {label: {"node": the distribution's node, "conditions": paths,
            "label": label}}. A path is a tuple of `EQ(label, branch)`, in the order
            in which they are met; the hyperparameter is active if one path holds.

    Raises:
        DuplicateLabel: two different hyperparameters carry one label.

    Source: hyperopt.pyll_utils.expr_to_config.
    """
    start = conditions or ()
    compiled = compile_space(as_apply(expr))
    paths = _paths_by_label(compiled.expr, compiled.regions, start)
    for label, parameter in compiled.hyperparameters.items():
        found = paths[label]
        if _covers_a_choice(found, start, compiled.hyperparameters):
            found = {start}
        config = {"node": parameter.distribution, "conditions": set(), "label": label}
        if hps.setdefault(label, config)["node"] is not parameter.distribution:
            raise DuplicateLabel(
                f"`hps` has another hyperparameter labelled {label!r}; rename one"
            )
        hps[label]["conditions"] |= found


def _paths_by_label(expr: Apply, regions: Regions, start: Path) -> dict[str, set[Path]]:
    paths: dict[str, set[Path]] = {}
    todo: list[tuple[Apply, Path]] = [(expr, start)]
    while todo:
        root, path = todo.pop()
        for label in regions[root].labels:
            paths.setdefault(label, set()).add(path)
        for switch in regions[root].switches:
            for number, branch in enumerate(switch.branches):
                if branch in regions:
                    step = () if switch.label is None else (EQ(switch.label, number),)
                    todo.append((branch, path + step))
    return paths


def _covers_a_choice(
    paths: set[Path], start: Path, hyperparameters: dict[str, Hyperparameter]
) -> bool:
    """Whether the paths are one step each, and lead through all branches of one choice."""
    steps = [path[len(start) :] for path in paths]
    if len(steps) < 2 or any(len(step) != 1 for step in steps):
        return False
    labels = {step[0].name for step in steps}
    options = hyperparameters[steps[0][0].name].options
    return len(labels) == 1 and options is not None and len(steps) == len(options)


# --- checks for functions that make hyperparameters ------------------------------------


def validate_label(f: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate f(label, ...) to raise InvalidLabel (a TypeError) unless the label is text."""

    @functools.wraps(f)
    def checked(label: Any, *args: Any, **kwargs: Any) -> Any:
        text = label.obj if isinstance(label, Literal) else label
        if not isinstance(text, str):
            raise InvalidLabel(f"a label must be text, not {label!r}")
        return f(label, *args, **kwargs)

    return checked


def validate_distribution_range(f: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate f(label, low, high, ...) to raise BadSearchSpace unless low < high."""

    @functools.wraps(f)
    def checked(label: Any, *args: Any, **kwargs: Any) -> Any:
        low, high = [*args, *(kwargs[name] for name in ("low", "high") if name in kwargs)][:2]
        if not isinstance(low, Apply) and not isinstance(high, Apply) and not low < high:
            raise BadSearchSpace(
                f"{label!r} has low = {low!r} and high = {high!r}; low must be less"
            )
        return f(label, *args, **kwargs)

    return checked
