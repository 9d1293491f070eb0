"""Trials: the history of a search, as the driver and its algorithms read it.

A `Trials` is a read model over a `Store`. It follows one experiment: `refresh`
takes in only what changed since the last one, and keeps columns of values and
losses (`observations()`). Documents are fetched when somebody asks for them
(`trials.trials`, `trials.best_trial`), not kept: an experiment of a hundred
thousand trials fits into a small driver.

`Trials()` holds its documents in this process; `hpo.mongo_trials` has the one
that reads and writes a MongoDB database. The names and meanings are those of
hyperopt.base.Trials.
"""

from __future__ import annotations

import math
import time
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    Sequence,
)
from typing import Any

import numpy as np

from hpo.document import (
    JOB_STATE_ERROR,
    JOB_STATE_RUNNING,
    JOB_STATES,
    JOB_VALID_STATES,
    STATUS_OK,
    Document,
    Tid,
    active_values,
    cancelled_stub,
    check_trial,
    new_trial,
)
from hpo.exceptions import AllTrialsFailed, InvalidOption, InvalidTrial, Overtaken
from hpo.observations import Observations
from hpo.partial import ranking_losses
from hpo.store.base import Horizon, Store, as_tuple
from hpo.store.memory import MemoryStore

# What `refresh` needs of a document; everything else is fetched when asked for.
_FOLLOWED_FIELDS = (
    "result.loss",
    "result.status",
    "result.loss_variance",
    "misc.vals",
    # Tells a document that somebody has renamed, for whose end nobody need wait.
    "misc.tid",
    "misc.from_tid",
    "last_report",
    "continues",
    "settled_step",
    "owner",
    "book_time",
    "finish_time",
    "error",
    "exp_key",
)


# How late a driver may learn that somebody deleted trials beside it.
_EPOCH_INTERVAL_SECS = 1.0


class Trials:
    """The trials of one experiment, kept in this process.

    Args:
        exp_key: the experiment's name; None sees every experiment of the store.
        refresh: read what the store holds already.
        store: where the documents live; default a new MemoryStore.

    Source: hyperopt.base.Trials.
    """

    asynchronous = False

    def __init__(
        self, exp_key: str | None = None, refresh: bool = True, *, store: Store | None = None
    ) -> None:
        self._exp_key = exp_key
        self._store: Store = store if store is not None else MemoryStore()
        self._forget()
        if refresh:
            self.refresh()

    def _forget(self) -> None:
        self._observations = Observations()
        self._horizons: dict[str | None, Horizon] = {}
        self._epochs: dict[str | None, int] = {}
        self._epochs_seen_at = -math.inf
        self._passed_number = 0
        self._running: dict[Tid, str] = {}
        self._documents: list[Document] | None = None

    # --- following the store ---

    @property
    def store(self) -> Store:
        """Where the documents live."""
        return self._store

    @property
    def exp_key(self) -> str | None:
        """The experiment's name; None sees every experiment of the store."""
        return self._exp_key

    def refresh(self) -> None:
        """Take in what changed in the store since the last refresh."""
        exp_keys = self._followed_exp_keys()
        self._start_over_if_rewritten(exp_keys)
        for _ in self._changes(exp_keys):
            pass

    def follow(self) -> list[Document]:
        """Refresh, and return the changed trials (only the fields that refreshing needs).

        Whether finished trials were deleted or rewritten, which is rare, is
        looked up now and then, not each time: for those who follow closely.
        """
        exp_keys = self._followed_exp_keys()
        if time.monotonic() - self._epochs_seen_at > _EPOCH_INTERVAL_SECS:
            self._start_over_if_rewritten(exp_keys)
        return list(self._changes(exp_keys))

    def _changes(self, exp_keys: Sequence[str | None]) -> Iterator[Document]:
        """Take in the changed trials one by one; an experiment may be larger than memory."""
        self._documents = None
        for exp_key in exp_keys:
            horizon = self._horizons.setdefault(exp_key, Horizon())
            for trial in self._store.changes(exp_key, horizon, fields=_FOLLOWED_FIELDS):
                self._observations.update(trial)
                self._note_owner(trial)
                yield trial

    def pass_by_removed(self) -> list[Tid]:
        """Stop waiting for open trials that somebody removed one by one; returns their tids.

        Whoever deletes through a store says so, and readers start over. Others do not.
        """
        removed: list[Tid] = []
        for exp_key, horizon in self._horizons.items():
            waited_for = horizon.new | horizon.running
            there = self._store.find(exp_key, tids=waited_for, fields=["tid"])
            for tid in waited_for - {trial["tid"] for trial in there}:
                self._observations.update(cancelled_stub(tid, number=0))
                self._running.pop(tid, None)
                horizon.new.discard(tid)
                horizon.running.discard(tid)
                removed.append(tid)
        return removed

    def _followed_exp_keys(self) -> list[str | None]:
        return [self._exp_key] if self._exp_key is not None else self._store.exp_keys()

    def _start_over_if_rewritten(self, exp_keys: Sequence[str | None]) -> None:
        """Forget everything when finished trials were deleted or rewritten."""
        epochs = {exp_key: self._store.experiment(exp_key).epoch for exp_key in exp_keys}
        if any(self._epochs.get(exp_key, epoch) != epoch for exp_key, epoch in epochs.items()):
            self._forget()
        self._epochs.update(epochs)
        self._epochs_seen_at = time.monotonic()

    def _note_owner(self, trial: Mapping[str, Any]) -> None:
        if trial["state"] == JOB_STATE_RUNNING:
            self._running[trial["tid"]] = str(trial.get("owner"))
        else:
            self._running.pop(trial["tid"], None)

    @property
    def running_owners(self) -> dict[Tid, str]:
        """{tid: owner} of the trials that were running at the last refresh."""
        return dict(self._running)

    @property
    def new_tids(self) -> set[Tid]:
        """The trials that nobody had claimed at the last refresh."""
        return set().union(*(horizon.new for horizon in self._horizons.values()))

    def observations(self) -> Observations:
        """Losses and values as growing columns, one row for each trial seen."""
        return self._observations

    # --- the documents ---

    @property
    def _trials(self) -> list[Document]:
        if self._documents is None:
            self._documents = self._fetch(states=JOB_VALID_STATES)
        return self._documents

    def _fetch(
        self,
        *,
        states: Collection[int] | None = None,
        tids: Collection[Tid] | None = None,
    ) -> list[Document]:
        found = self._store.find(
            self._exp_key, states=states, tids=tids, all_experiments=self._exp_key is None
        )
        # What was inserted after the last refresh shows with the next one.
        return [trial for trial in found if trial["tid"] in self._observations]

    @property
    def _dynamic_trials(self) -> list[Document]:
        """Every document, failed ones as well, refreshed or not."""
        return list(self._store.find(self._exp_key, all_experiments=self._exp_key is None))

    @property
    def _ids(self) -> set[Tid]:
        return set(self._observations.tids)

    @property
    def trials(self) -> list[Document]:
        """Documents that are new, running or done; those that raised are left out."""
        return self._trials

    @property
    def tids(self) -> list[Tid]:
        """Their ids."""
        return [trial["tid"] for trial in self._trials]

    @property
    def specs(self) -> list[Any]:
        """Their specs (None, unless the algorithm left something there)."""
        return [trial["spec"] for trial in self._trials]

    @property
    def results(self) -> list[dict[str, Any]]:
        """Their results."""
        return [trial["result"] for trial in self._trials]

    @property
    def miscs(self) -> list[dict[str, Any]]:
        """Their miscs, which hold the encoded configurations."""
        return [trial["misc"] for trial in self._trials]

    @property
    def idxs_vals(self) -> tuple[dict[str, list[Tid]], dict[str, list[Any]]]:
        """({label: tids}, {label: values}) over all trials in which the label is active."""
        return miscs_to_idxs_vals(self.miscs)

    @property
    def idxs(self) -> dict[str, list[Tid]]:
        """{label: tids of the trials in which it is active}."""
        return self.idxs_vals[0]

    @property
    def vals(self) -> dict[str, list[Any]]:
        """{label: its values in the trials in which it is active}."""
        return self.idxs_vals[1]

    def losses(self, bandit: Any = None) -> list[float | None]:
        """The loss of each of `trials`, None where there is none."""
        if bandit is not None:
            return list(map(bandit.loss, self.results, self.specs))
        return [result.get("loss") for result in self.results]

    def statuses(self, bandit: Any = None) -> list[str | None]:
        """The status of each of `trials`."""
        if bandit is not None:
            return list(map(bandit.status, self.results, self.specs))
        return [result.get("status") for result in self.results]

    def __iter__(self) -> Iterator[Document]:
        return iter(self._trials)

    def __len__(self) -> int:
        states = self._observations.states
        return int(np.isin(states, tuple(JOB_VALID_STATES)).sum())

    def __getitem__(self, item: Any) -> Document:
        raise InvalidOption(
            "trials[…] would be ambiguous between position and tid; "
            "use trials.trials[position] or trials.trial(tid)"
        )

    def trial(self, tid: Tid) -> Document:
        """The document with this tid, whatever its state. Raises KeyError when there is none."""
        for document in self._fetch(tids=[tid]):
            return document
        raise KeyError(f"no trial {tid!r} in experiment {self._exp_key!r}")

    # --- the best ---

    @property
    def best_loss(self) -> float | None:
        """The loss of the best trial, or None; see `best_trial`."""
        row = self._best_row()
        if row is None:
            return None
        loss = self._observations.losses[row]
        return float(self._observations.partial_losses[row] if np.isnan(loss) else loss)

    def _best_row(self) -> int | None:
        observations = self._observations
        losses = observations.losses
        rows = np.flatnonzero(observations.is_ok & ~np.isnan(losses))
        if not len(rows):
            # The fallback: partial results, by the rule that algorithms learn from them.
            losses = ranking_losses(observations)
            rows = np.flatnonzero(observations.is_stopped)
        return int(rows[losses[rows].argmin()]) if len(rows) else None

    @property
    def best_trial(self) -> Document:
        """The ok trial with the least loss that is a number.

        Stopped trials count only while there is no ok one: then it is the one that came
        furthest, and among those the one with the least loss.

        Raises:
            AllTrialsFailed: there is none; the text counts how the trials ended.
        """
        row = self._best_row()
        if row is None:
            raise AllTrialsFailed(self._why_nothing_is_best())
        return self.trial(self._observations.tids[row])

    def _why_nothing_is_best(self) -> str:
        failed = [trial["error"] for trial in self._failed_trials() if trial.get("error")]
        counted = f"none of {len(self._observations)} trials ended with status ok"
        if not failed:
            return f"{counted}; the objective must return a loss, or status ok with one"
        kind, text = failed[0][0], failed[0][1]
        return f"{counted}: {len(failed)} raised, the first one {kind}: {text}"

    def _failed_trials(self) -> list[Document]:
        return self._fetch(states=[JOB_STATE_ERROR])

    @property
    def argmin(self) -> dict[str, Any]:
        """{label: value} of the best trial; a choice by index, inactive labels absent.

        `space_eval(space, trials.argmin)` or `trials.best_trial["params"]` give values.
        """
        return active_values(self.best_trial)

    def average_best_error(self, bandit: Any = None) -> float:
        """The true loss of the best trial, allowing for noise in the losses.

        With loss variances, the mean of `true_loss` weighted by each trial's
        probability of being the best one.

        Raises:
            ValueError: no trial has a loss.

        Source: hyperopt.base.Trials.average_best_error.
        """
        rows = sorted(self._loss_rows(bandit))
        if not rows:
            raise ValueError("there is no trial with a loss yet, so there is no best error")
        loss, variance, true_loss = np.asarray(rows, dtype=float).T
        if not variance.any():
            return float(true_loss[0])
        within_reach = loss < loss[0] + 3.0 * np.sqrt(variance[0])
        within_reach[0] = True
        weights = _probability_of_being_least(loss[within_reach], variance[within_reach])
        return float(weights @ true_loss[within_reach])

    def _loss_rows(self, bandit: Any) -> list[tuple[float, float, float]]:
        if bandit is not None:
            return [
                (bandit.loss(r, s), bandit.loss_variance(r, s), bandit.true_loss(r, s))
                for r, s in zip(self.results, self.specs, strict=True)
                if bandit.status(r) == STATUS_OK
            ]
        return [
            (r["loss"], r.get("loss_variance", 0.0), r.get("true_loss", r["loss"]))
            for r in self.results
            if r["status"] == STATUS_OK
        ]

    # --- adding trials ---

    def new_trial_ids(self, n: int) -> list[Tid]:
        """Reserve `n` fresh tids."""
        return list(self._store.allocate_tids(n))

    def new_trial_docs(
        self,
        tids: Sequence[Tid],
        specs: Sequence[Any],
        results: Sequence[Mapping[str, Any]],
        miscs: Sequence[Mapping[str, Any]],
    ) -> list[Document]:
        """Build NEW documents, one for each tid. Nothing is stored yet."""
        return [
            new_trial(tid, exp_key=self._exp_key, spec=spec, result=result, misc=misc)
            for tid, spec, result, misc in zip(tids, specs, results, miscs, strict=True)
        ]

    def source_trial_docs(
        self,
        tids: Sequence[Tid],
        specs: Sequence[Any],
        results: Sequence[Mapping[str, Any]],
        miscs: Sequence[Mapping[str, Any]],
        sources: Sequence[Mapping[str, Any]],
    ) -> list[Document]:
        """Build documents with the state and times of `sources`, named in misc.from_tid."""
        documents = []
        given = zip(tids, specs, results, miscs, sources, strict=True)
        for tid, spec, result, misc, source in given:
            marked = {"tid": tid, "cmd": None, "from_tid": source["tid"], **misc}
            if marked["tid"] != tid or marked["from_tid"] != source["tid"]:
                raise InvalidTrial(
                    f"misc says tid {marked['tid']!r} from {marked['from_tid']!r}, "
                    f"but the trial is {tid!r} from {source['tid']!r}",
                    misc,
                )
            document = new_trial(
                tid, exp_key=source["exp_key"], spec=spec, result=result, misc=marked
            )
            for key in ("state", "owner", "book_time", "refresh_time"):
                document[key] = source[key]
            documents.append(document)
        return documents

    def insert_trial_doc(self, doc: Document) -> Tid:
        """Check and store one document; it shows after the next `refresh`."""
        return self.insert_trial_docs([doc])[0]

    def insert_trial_docs(self, docs: Iterable[Document]) -> list[Tid]:
        """Check and store documents; they show after the next `refresh`.

        Raises:
            InvalidTrial: a document breaks the format or belongs to another
                experiment; none was stored.
        """
        checked = [self.assert_valid_trial(dict(document)) for document in docs]
        return self._insert_trial_docs(checked)

    def insert_unless_overtaken(self, docs: Iterable[Document]) -> list[Tid]:
        """Check and store documents, unless others were stored since the last refresh.

        Raises:
            InvalidTrial: as `insert_trial_docs`.
            Overtaken: others were; none of `docs` was stored behind them.
        """
        checked = [self.assert_valid_trial(dict(document)) for document in docs]
        if checked:
            seen = self._horizons.get(checked[0]["exp_key"], Horizon())
            first_number = max(seen.next_number, self._passed_number)
            self._store.insert(checked, first_number=first_number)
        return [document["tid"] for document in checked]

    def pass_by(self, overtaken: Overtaken) -> None:
        """Make sure that nobody is overtaken twice by the same document.

        One that is no trial does not show after a refresh, and has its number all the same.
        """
        self.refresh()
        seen = self._horizons.get(overtaken.exp_key, Horizon())
        if seen.next_number <= overtaken.number:
            self._passed_number = overtaken.number + 1

    def assert_valid_trial(self, trial: Document) -> Document:
        """Return the trial, or raise InvalidTrial."""
        check_trial(trial)
        if trial["exp_key"] != self._exp_key and self._exp_key is not None:
            raise InvalidTrial(
                f"wrong exp_key {trial['exp_key']!r}; these trials belong to {self._exp_key!r}",
                trial,
            )
        return trial

    def _insert_trial_docs(self, docs: Sequence[Document]) -> list[Tid]:
        self._store.insert(docs)
        return [document["tid"] for document in docs]

    def delete_all(self) -> None:
        """Remove every trial of the experiment, with its attachments."""
        self._store.delete(self._exp_key, all_experiments=self._exp_key is None)
        self._forget()
        self.refresh()

    # --- counting ---

    def count_by_state_synced(
        self, arg: int | Iterable[int], trials: Iterable[Mapping[str, Any]] | None = None
    ) -> int:
        """How many of `trials` (default: those seen by now) are in a state, or any of some."""
        states = _checked_states(arg)
        counted = self._trials if trials is None else trials
        return sum(trial["state"] in states for trial in counted)

    def count_by_state_unsynced(self, arg: int | Iterable[int]) -> int:
        """How many trials are in a state, or any of some, in the store right now."""
        return self._store.count(
            self._exp_key, _checked_states(arg), all_experiments=self._exp_key is None
        )

    # --- attachments ---

    @property
    def attachments(self) -> MutableMapping[str, bytes]:
        """Named bytes beside the experiment."""
        return self._store.attachments(self._exp_key)

    def trial_attachments(self, trial: Document) -> MutableMapping[str, bytes]:
        """Named bytes beside one trial; deleted with it."""
        return self._store.trial_attachments(trial)

    def aname(self, trial: Mapping[str, Any], name: str) -> str:
        """hyperopt's name for a trial's attachment among the experiment's."""
        return f"ATTACH::{trial['tid']}::{name}"

    # --- other views, and running a search ---

    def view(self, exp_key: str | None = None, refresh: bool = True) -> Trials:
        """The same store seen as another experiment (None: all of them)."""
        return Trials(exp_key, refresh, store=self._store)

    def fmin(
        self,
        fn: Callable[..., Any],
        space: Any,
        algo: Any = None,
        max_evals: int | None = None,
        **options: Any,
    ) -> Any:
        """Minimise `fn` over `space`, adding to these trials; see `hpo.fmin` for the options."""
        from hpo.fmin import fmin

        options.setdefault("verbose", False)
        return fmin(
            fn,
            space,
            algo=algo,
            max_evals=max_evals,
            trials=self,
            allow_trials_fmin=False,
            **options,
        )

    def close(self) -> None:
        """Let go of connections; the documents stay."""
        self._store.close()


def trials_from_docs(docs: Iterable[Document], validate: bool = True, **kwargs: Any) -> Trials:
    """A Trials that holds these documents.

    Source: hyperopt.base.trials_from_docs.
    """
    trials = Trials(**kwargs)
    if validate:
        trials.insert_trial_docs(docs)
    else:
        trials._insert_trial_docs([dict(document) for document in docs])
    trials.refresh()
    return trials


def miscs_to_idxs_vals(
    miscs: Sequence[Mapping[str, Any]], keys: Iterable[str] | None = None
) -> tuple[dict[str, list[Tid]], dict[str, list[Any]]]:
    """Gather the per-trial lists into ({label: tids}, {label: values}).

    Source: hyperopt.base.miscs_to_idxs_vals.
    """
    labels = list(keys) if keys is not None else list(miscs[0]["idxs"]) if miscs else []
    idxs: dict[str, list[Tid]] = {label: [] for label in labels}
    vals: dict[str, list[Any]] = {label: [] for label in labels}
    for misc in miscs:
        for label in labels:
            idxs[label].extend(misc["idxs"].get(label, []))
            vals[label].extend(misc["vals"].get(label, []))
    return idxs, vals


def _checked_states(arg: int | Iterable[int]) -> tuple[int, ...]:
    states = as_tuple(arg)
    unknown = [state for state in states if state not in JOB_STATES]
    if unknown:
        raise InvalidOption(f"unknown state {unknown[0]!r}; expected one of {JOB_STATES}")
    return states


def _probability_of_being_least(
    means: np.ndarray[Any, Any], variances: np.ndarray[Any, Any], n_samples: int = 1000
) -> np.ndarray[Any, Any]:
    """How often each of several normal variables is the least one, by simulation.

    Args:
        means, variances: shape (n,).

    Returns:
        Shape (n,), sums to 1.

    Source: hyperopt.utils.pmin_sampled.
    """
    rng = np.random.default_rng(232342)
    draws = rng.normal(means, np.sqrt(variances), size=(n_samples, len(means)))
    return np.bincount(draws.argmin(axis=1), minlength=len(means)) / n_samples
