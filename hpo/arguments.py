"""What `fmin` was called with, checked before anything is done with it.

Everything here raises `InvalidOption`, which names the argument, its value and what it should
be; `check_points` also `InvalidTrial`, `annotated` also `InvalidAnnotatedParameter`.
"""

from __future__ import annotations

import functools
import inspect
import numbers
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hpo.by_name import NamedFunction
from hpo.exceptions import InvalidAnnotatedParameter, InvalidOption, InvalidTrial
from hpo.pyll import Apply
from hpo.stopping import Stopper

__all__ = [
    "annotated",
    "as_generator",
    "check_displays",
    "check_limits",
    "check_patience",
    "check_points",
    "check_roles",
    "check_stopper",
    "check_trial_timeout",
    "validate_loss_threshold",
    "validate_timeout",
]


def check_roles(fn: Any, algo: Any, trials: Any) -> None:
    """That the objective, the algorithm and the trials are what they are called."""
    if not callable(fn):
        raise InvalidOption(f"fn must be a function of one configuration, not {fn!r}")
    if algo is not None and not callable(algo):
        raise InvalidOption(
            f"algo must be a function such as hpo.tpe.suggest or hpo.rand.suggest, not {algo!r}"
        )
    if not (trials is None or isinstance(trials, str) or hasattr(trials, "asynchronous")):
        raise InvalidOption(
            f"trials must be None, a Trials, a MongoTrials or a MongoDB URL, not {trials!r}"
        )


def check_displays(show_progressbar: Any, early_stop_fn: Any) -> None:
    """That what shows, or ends, the search can be called."""
    if not (show_progressbar in (True, False, None) or callable(show_progressbar)):
        raise InvalidOption(
            "show_progressbar must be True, False or a context manager called with initial= and "
            f"total=, not {show_progressbar!r}"
        )
    if not (early_stop_fn is None or callable(early_stop_fn)):
        raise InvalidOption(
            "early_stop_fn must be a function of the trials that returns (stop, state), such as "
            f"hpo.early_stop.no_progress_loss(20), not {early_stop_fn!r}"
        )


def check_stopper(stopper: Any) -> None:
    """That it is a rule, and not the class of one."""
    if stopper is not None and (isinstance(stopper, type) or not isinstance(stopper, Stopper)):
        raise InvalidOption(
            "stopper must be a stopping rule such as hpo.stopping.ASHA(min_steps=3, "
            f"max_steps=81), not {stopper!r}"
        )


def check_trial_timeout(secs: Any) -> None:
    """That it is a time."""
    if secs is not None and not (_is_number(secs, numbers.Real) and 0 < secs < float("inf")):
        raise InvalidOption(f"trial_timeout must be a number of seconds above 0, not {secs!r}")


def check_points(points: Any) -> None:
    """That they are a list of configurations; which labels they have is not looked at."""
    if isinstance(points, (Mapping, str)) or not isinstance(points, Sequence):
        raise InvalidOption(
            f"points_to_evaluate must be a list of dictionaries {{label: value}}, not {points!r}"
        )
    for point in points:
        if not isinstance(point, Mapping):
            raise InvalidTrial(
                f"a point must be a dictionary of labels and values, not {point!r}", point
            )


def check_limits(
    max_evals: Any, timeout: Any, loss_threshold: Any, max_queue_len: Any, workers: Any
) -> None:
    """That what ends or bounds the search is a number, and large enough."""
    for name, value, least in (
        ("max_evals", max_evals, 0),
        ("max_queue_len", max_queue_len, 1),
        ("workers", workers, 1),
    ):
        if value is None:
            continue
        if isinstance(value, float) and value.is_integer():
            continue
        if value == float("inf") and name == "max_evals":
            continue
        if not _is_number(value, numbers.Integral) or value < least:
            raise InvalidOption(
                f"{name} must be None or a whole number of at least {least}, not {value!r}"
            )
    validate_timeout(timeout)
    validate_loss_threshold(loss_threshold)


def validate_timeout(timeout: Any) -> None:
    """That it is None or a time.

    Source: hyperopt.base.validate_timeout.
    """
    if timeout is not None and (not _is_number(timeout, numbers.Real) or timeout <= 0):
        raise InvalidOption(
            f"The timeout argument should be None or a positive value. Given value: {timeout}"
        )


def validate_loss_threshold(loss_threshold: Any) -> None:
    """That it is None or a number.

    Source: hyperopt.base.validate_loss_threshold.
    """
    if loss_threshold is not None and not _is_number(loss_threshold, numbers.Real):
        raise InvalidOption(
            "The loss_threshold argument should be None or a numeric value. "
            f"Given value: {loss_threshold}"
        )


def check_patience(secs: Any) -> None:
    """That it is a time, or infinite."""
    if not _is_number(secs, numbers.Real) or not secs >= 0:
        raise InvalidOption(
            f"patience_secs must be a number of seconds of at least 0, not {secs!r}; "
            'float("inf") waits for ever'
        )


def _is_number(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, (bool, np.bool_))


def annotated(fn: Callable[..., Any], space: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Take the space from fn's annotations, and call fn by keyword.

    Args:
        space: "annotated".
    """
    if space != "annotated":
        raise InvalidOption(f"space must be a search space or 'annotated', not {space!r}")
    function = fn.func if isinstance(fn, NamedFunction) else fn
    annotations = inspect.get_annotations(function, eval_str=True)
    parameters = inspect.signature(function).parameters
    for name in parameters:
        if not isinstance(annotations.get(name), Apply):
            raise InvalidAnnotatedParameter(
                f"parameter {name!r} of {function.__name__} must be annotated with a "
                f"hyperparameter, for example {name}: hp.uniform({name!r}, 0, 1)"
            )

    space_of_fn = {name: annotations[name] for name in parameters}
    if isinstance(fn, NamedFunction):
        return fn.with_keywords(), space_of_fn

    @functools.wraps(fn)
    def by_keyword(configuration: Mapping[str, Any]) -> Any:
        return fn(**configuration)

    return by_keyword, space_of_fn


def as_generator(rstate: Any) -> np.random.Generator:
    """The generator that `rstate` stands for; None asks the environment for a seed."""
    if rstate is None:
        seed = os.environ.get("HYPEROPT_FMIN_SEED", "")
        if seed and not seed.isdigit():
            raise InvalidOption(f"HYPEROPT_FMIN_SEED must be a whole number, not {seed!r}")
        return np.random.default_rng(int(seed) if seed else None)
    if isinstance(rstate, np.random.Generator):
        return rstate
    if isinstance(rstate, np.random.RandomState):
        return np.random.default_rng(rstate.randint(2**31 - 1))
    if _is_number(rstate, numbers.Integral) and rstate >= 0:
        return np.random.default_rng(int(rstate))
    raise InvalidOption(
        "rstate must be None, a seed of at least 0, a numpy Generator or a RandomState, "
        f"not {rstate!r}"
    )
