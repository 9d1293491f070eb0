"""fmin: minimise a function over a search space.

    best = fmin(objective, {"lr": hp.loguniform("lr", -9, 0)}, max_evals=100)

runs in this process. With `trials="mongodb://…"` every trial is a document in
MongoDB and `hpo-worker` processes anywhere evaluate it; with `workers=4` four
of them are started here for the length of the call.

The arguments are hyperopt's, with their meanings; `exp_key` and `workers` are
new.
"""

from __future__ import annotations

import functools
import os
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hpo.arguments import (
    annotated,
    as_generator,
    check_displays,
    check_limits,
    check_patience,
    check_points,
    check_roles,
    check_stopper,
    check_trial_timeout,
)
from hpo.by_name import objective_and_space
from hpo.document import Document, Tid, active_values, columns_of, new_trial
from hpo.domain import Domain
from hpo.driver import FMinIter
from hpo.exceptions import AllTrialsFailed, EmptySpace, InvalidOption
from hpo.mongo_trials import MongoTrials
from hpo.outage import DEFAULT_PATIENCE_SECS, Outage
from hpo.points import complete_point
from hpo.pool import LocalWorkers
from hpo.pyll import as_apply
from hpo.robust import robust_trial
from hpo.space import Space
from hpo.stopping import Stopper
from hpo.trials import Trials, trials_from_docs

__all__ = [
    "FMinIter",
    "fmin",
    "fmin_pass_expr_memo_ctrl",
    "generate_trial",
    "generate_trials_to_calculate",
    "partial",
    "space_eval",
]


def fmin(
    fn: Callable[..., Any] | str,
    space: Any,
    algo: Callable[..., Sequence[Document]] | None = None,
    max_evals: int | None = None,
    timeout: float | None = None,
    loss_threshold: float | None = None,
    trials: Trials | str | None = None,
    rstate: np.random.Generator | np.random.RandomState | int | None = None,
    allow_trials_fmin: bool = True,
    pass_expr_memo_ctrl: bool | None = None,
    catch_eval_exceptions: bool = False,
    verbose: bool = True,
    return_argmin: bool = True,
    points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
    max_queue_len: int | None = None,
    show_progressbar: Any = True,
    early_stop_fn: Callable[..., tuple[bool, Sequence[Any]]] | None = None,
    trials_save_file: str | os.PathLike[str] = "",
    *,
    exp_key: str | None = None,
    workers: int | None = None,
    return_values: bool = False,
    noisy: bool = False,
    stopper: Stopper | None = None,
    trial_timeout: float | None = None,
    patience_secs: float = DEFAULT_PATIENCE_SECS,
) -> Any:
    """Minimise `fn` over `space`; return the best configuration found.

    Args:
        fn: called with one configuration; returns its loss, or a dictionary with
            "status" and, if that is ok, "loss"; other keys are stored with the trial.
            Given as "package.module:function" it is imported where it runs, not pickled.
        space: any nest of dicts, lists, tuples and constants around `hp.…`
            hyperparameters; or "annotated": taken from the annotations of fn's parameters;
            or "package.module:name".
        algo: suggest(new_ids, domain, trials, seed) -> trial documents; default `tpe.suggest`.
        max_evals: how many trials there shall be in `trials` in all, those of earlier
            calls included, points_to_evaluate on top; None: no limit.
        timeout: stop after so many seconds; finished trials are kept.
        loss_threshold: stop once a loss is this small.
        trials: where trials are kept: None (this process), a Trials, a MongoTrials, or a
            URL: "mongodb://…", "embedded:DIRECTORY". An experiment that exists is continued.
        rstate: a Generator, RandomState or seed; None: the environment variable
            HYPEROPT_FMIN_SEED, or fresh entropy.
        allow_trials_fmin: call `trials.fmin` if a subclass of Trials has its own.
        pass_expr_memo_ctrl: call fn(expr=…, memo=…, ctrl=…) and let it evaluate the space.
        catch_eval_exceptions: record an exception of fn with its trial and go on, instead of
            raising it. Workers always go on.
        verbose: show progress.
        return_argmin: True: return {label: value} of the best trial, a choice by its index,
            inactive labels absent; False: the best configuration itself, or None.
        return_values: return {label: value} with options instead of indexes, as `params` has them.
        points_to_evaluate: [{label: value}] to evaluate first; a choice by its index or by
            the option itself; labels left out are drawn (see `hpo.points`).
        max_queue_len: keep so many suggestions queued; None: one in this process, and as
            many as the live workers can take otherwise.
        show_progressbar: False, or a display of hyperopt's form (see `hpo.progress`).
        early_stop_fn: (trials, *state) -> (stop, state); see `hpo.early_stop`.
        trials_save_file: pickle the trials there after each one; continue from it if it exists.
        exp_key: name of the experiment in the database; default the name of `fn`.
        noisy: evaluating a configuration again may give another loss: models smooth the losses,
            configurations may come again, and the best is the `robust_trial`.
        stopper: which trials end early, by what they report with `ctrl.report`; for example
            `hpo.stopping.ASHA(min_steps=3, max_steps=81)`. Trials that it has taken up again
            do not count against `max_evals`.
        trial_timeout: seconds after which a worker ends an evaluation, and fails the trial.
        patience_secs: how long a MongoDB server that is away is waited for, each time; 0 not at
            all, float("inf") for ever.
        workers: start so many `hpo-worker` processes here, on the given URL or, without
            `trials`, on the embedded MongoDB, and stop them at the end.

    Returns:
        See `return_argmin`. `trials.best_trial["params"]` and `space_eval(space, best)`
        give values instead of indexes. Ctrl-C returns the best so far.

    Raises:
        AllTrialsFailed: no trial ended with status ok.
        BadSearchSpace, InvalidOption, InvalidUrl, UnpicklableObjective, SpaceChanged:
            before any trial is written.
        Whatever fn raises, when it runs in this process and `catch_eval_exceptions` is False.

    Source: hyperopt.fmin.fmin.
    """
    fn, space = objective_and_space(fn, space)
    check_roles(fn, algo, trials)
    check_displays(show_progressbar, early_stop_fn)
    check_stopper(stopper)
    check_trial_timeout(trial_timeout)
    check_points(points_to_evaluate or [])
    check_limits(max_evals, timeout, loss_threshold, max_queue_len, workers)
    check_patience(patience_secs)
    if isinstance(space, str):
        fn, space = annotated(fn, space)
    domain = Domain(fn, space, pass_expr_memo_ctrl=pass_expr_memo_ctrl)
    domain.noisy = bool(noisy)
    domain.stopper = stopper
    domain.trial_timeout_secs = trial_timeout
    if not len(domain.space):
        raise EmptySpace(
            "the search space holds no hyperparameter; put at least one hp.… into it, "
            'for example {"x": hp.uniform("x", 0, 1)}'
        )
    if allow_trials_fmin and _has_own_fmin(trials):
        return trials.fmin(  # type: ignore[union-attr]
            fn,
            space,
            algo=algo,
            max_evals=max_evals,
            timeout=timeout,
            loss_threshold=loss_threshold,
            max_queue_len=max_queue_len,
            rstate=rstate,
            pass_expr_memo_ctrl=pass_expr_memo_ctrl,
            verbose=verbose,
            catch_eval_exceptions=catch_eval_exceptions,
            return_argmin=return_argmin,
            show_progressbar=show_progressbar,
            early_stop_fn=early_stop_fn,
            trials_save_file=trials_save_file,
            # A class of hyperopt's time knows neither.
            **({} if stopper is None else {"stopper": stopper}),
            **({} if patience_secs == DEFAULT_PATIENCE_SECS else {"patience_secs": patience_secs}),
        )
    rng = as_generator(rstate)
    first_patience_secs = patience_secs if timeout is None else min(patience_secs, timeout)
    opened = _open_trials(trials, trials_save_file, exp_key, workers, domain, first_patience_secs)
    if trial_timeout is not None and not opened.asynchronous:
        raise InvalidOption(
            "trial_timeout= needs a worker to end the evaluation: add workers=1, or give a "
            "MongoDB URL as trials="
        )
    try:
        n_points = Outage(first_patience_secs).outlive(
            opened.store, lambda: _insert_points(opened, domain, points_to_evaluate, rng)
        )
        search = FMinIter(
            _default_algorithm() if algo is None else algo,
            domain,
            opened,
            rng,
            max_queue_len=max_queue_len,
            max_evals=None if max_evals is None else max_evals + n_points,
            timeout=timeout,
            loss_threshold=loss_threshold,
            verbose=verbose,
            show_progressbar=show_progressbar,
            early_stop_fn=early_stop_fn,
            trials_save_file=trials_save_file,
            catch_eval_exceptions=catch_eval_exceptions,
            patience_secs=patience_secs,
            start_workers=_pool_starter(opened, workers, patience_secs),
        )
        _run(search, verbose)
        return search.outage.outlive(
            opened.store, lambda: _answer(opened, domain, return_argmin, return_values)
        )
    finally:
        if opened is not trials:
            opened.close()


def space_eval(space: Any, hp_assignment: Mapping[str, Any]) -> Any:
    """The configuration that an assignment stands for.

    Args:
        space: a search space, as for `fmin`.
        hp_assignment: {label: value}, a choice by its index; as `fmin` returns it.

    Source: hyperopt.fmin.space_eval.
    """
    return Space(as_apply(space)).evaluate(hp_assignment)


def generate_trial(tid: Tid, space: Mapping[str, Any]) -> Document:
    """The document of a trial still to be evaluated, not yet inserted.

    Args:
        space: {label: value} of the active hyperparameters; a choice by its index.

    Source: hyperopt.fmin.generate_trial.
    """
    return new_trial(tid, values=space)


def generate_trials_to_calculate(points: Sequence[Mapping[str, Any]]) -> Trials:
    """A Trials that holds `points` ({label: value}) as trials still to be evaluated.

    Raises:
        InvalidOption: `points` is not a list.
        InvalidTrial: one of them is not a dictionary.

    Source: hyperopt.fmin.generate_trials_to_calculate.
    """
    check_points(points)
    trials = Trials()
    tids = trials.new_trial_ids(len(points))
    miscs = [
        {"tid": tid, "cmd": None, **columns_of(tid, point, point)}
        for tid, point in zip(tids, points, strict=True)
    ]
    results = [{"status": "new"} for _ in points]
    documents = trials.new_trial_docs(tids, [None] * len(tids), results, miscs)
    return trials_from_docs(documents)


def fmin_pass_expr_memo_ctrl(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Mark an objective as one that evaluates the space itself.

    It is called as fn(expr=…, memo=…, ctrl=…).

    Source: hyperopt.fmin.fmin_pass_expr_memo_ctrl.
    """
    fn.fmin_pass_expr_memo_ctrl = True  # type: ignore[attr-defined]
    return fn


def partial(fn: Callable[..., Any], **kwargs: Any) -> Callable[..., Any]:
    """functools.partial that keeps the mark of `fmin_pass_expr_memo_ctrl`.

    Source: hyperopt.fmin.partial.
    """
    bound = functools.partial(fn, **kwargs)
    if hasattr(fn, "fmin_pass_expr_memo_ctrl"):
        bound.fmin_pass_expr_memo_ctrl = fn.fmin_pass_expr_memo_ctrl  # type: ignore[attr-defined]
    return bound


# --- the steps of fmin ----------------------------------------------------------------


def _default_algorithm() -> Callable[..., Sequence[Document]]:
    from hpo import tpe

    return tpe.suggest


def _has_own_fmin(trials: Any) -> bool:
    """Whether trials is of a class that brings its own way to run a search."""
    own = getattr(type(trials), "fmin", None)
    return own is not None and own is not Trials.fmin


def _open_trials(
    trials: Trials | str | None,
    save_file: str | os.PathLike[str],
    exp_key: str | None,
    workers: int | None,
    domain: Domain,
    patience_secs: float,
) -> Trials:
    """The Trials that the arguments mean."""
    if isinstance(trials, str) or (trials is None and workers is not None):
        if os.fspath(save_file):
            raise InvalidOption("trials_save_file is not needed: the trials are in the database")
        url = "embedded:" if trials is None else trials
        key = exp_key or _default_exp_key(domain)
        return MongoTrials(url, exp_key=key, patience_secs=patience_secs)
    if exp_key is not None and getattr(trials, "exp_key", None) != exp_key:
        raise InvalidOption(
            f"exp_key={exp_key!r} names an experiment in a database; give trials=URL with it, "
            "or make the Trials with that exp_key"
        )
    if trials is None:
        return _load_or_new(os.fspath(save_file))
    if workers is not None and not trials.asynchronous:
        raise InvalidOption(
            "workers= needs trials that other processes can reach: give a MongoDB URL or "
            "a MongoTrials, or leave trials out for the embedded MongoDB"
        )
    return trials


def _default_exp_key(domain: Domain) -> str:
    """Name an experiment after its objective: "train.objective" for train.py."""
    inner = getattr(domain.fn, "func", domain.fn)
    module = str(getattr(inner, "__module__", None) or "")
    if module == "__main__":
        script = getattr(sys.modules["__main__"], "__file__", None) or "interactive"
        module = os.path.splitext(os.path.basename(script))[0]
    return f"{module}.{domain.name}".lstrip(".")


def _load_or_new(save_file: str) -> Trials:
    if not save_file or not os.path.exists(save_file):
        return Trials()
    try:
        with open(save_file, "rb") as file:
            loaded = pickle.load(file)
    except Exception as error:  # a damaged pickle can raise anything
        raise InvalidOption(
            f"trials_save_file {save_file!r} cannot be read ({type(error).__name__}: {error}); "
            "move it away to start anew"
        ) from error
    if not isinstance(loaded, Trials):
        raise InvalidOption(
            f"trials_save_file {save_file!r} holds a {type(loaded).__name__}, not Trials; "
            "choose another name"
        )
    return loaded


def _insert_points(
    trials: Trials,
    domain: Domain,
    points: Sequence[Mapping[str, Any]] | None,
    rng: np.random.Generator,
) -> int:
    """Queue the points that are not among the trials yet. Returns how many there are in all."""
    if not points:
        return 0
    complete = [complete_point(domain.space, point, rng) for point in points]
    trials.refresh()
    known = [active_values(trial) for trial in trials.trials]
    fresh = [
        complete_values
        for point, complete_values in zip(points, complete, strict=True)
        if not any(_agree(complete_values, trial, point) for trial in known)
    ]
    tids = trials.new_trial_ids(len(fresh))
    trials.insert_trial_docs(domain.new_trials(trials, tids, fresh))
    trials.refresh()
    return len(points)


def _agree(
    complete: Mapping[str, Any], known: Mapping[str, Any], point: Mapping[str, Any]
) -> bool:
    """Whether a trial has the values of a point, whatever was drawn for the labels it lacks."""
    given = [label for label in complete if label in point]
    return all(label in known and known[label] == complete[label] for label in given)


def _pool_starter(
    trials: Trials, workers: int | None, patience_secs: float
) -> Callable[[Callable[[str], None]], LocalWorkers] | None:
    if workers is None or not isinstance(trials, MongoTrials):
        return None
    url, exp_key = trials.url, trials.exp_key
    if url is None:
        raise InvalidOption(
            "workers= needs the URL: make the MongoTrials from it, not from a store"
        )
    options = ("--patience", f"{patience_secs:g}")
    return lambda say: LocalWorkers(workers, url, exp_key, say=say, options=options)


def _run(search: FMinIter, verbose: bool) -> None:
    """Run to the end; Ctrl-C ends early as long as there is something to return."""
    try:
        search.exhaust()
    except KeyboardInterrupt:
        if search.outage.is_on:
            raise
        search.trials.refresh()
        if search.trials.best_loss is None:
            raise
        if verbose:
            print("interrupted: returning the best so far; run again to go on", file=sys.stderr)


def _answer(trials: Trials, domain: Domain, return_argmin: bool, return_values: bool) -> Any:
    if return_argmin or return_values:
        if not len(trials.observations()):
            raise AllTrialsFailed(
                "there are no evaluation tasks, cannot return argmin of task losses; "
                "raise max_evals or timeout, or use return_argmin=False"
            )
        argmin = _argmin(trials, domain)
        return domain.space.params(argmin) if return_values else argmin
    if trials.best_loss is None:
        return None
    return domain.space.evaluate(_argmin(trials, domain))


def _argmin(trials: Trials, domain: Domain) -> dict[str, Any]:
    return active_values(robust_trial(trials, domain)) if domain.noisy else trials.argmin
