"""A worker as an object: MongoWorker(jobs).run_one() evaluates one trial in this process.

It suits scripts and debuggers. `hpo-worker` is the worker for everything else: it
survives objectives that crash, stops cleanly, and serves many trials.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hpo.ctrl import Ctrl, TrialsChannel
from hpo.document import DEFAULT_LEASE_SECS, Claim, Document, plain
from hpo.exceptions import (
    HpoError,
    InvalidTrial,
    LeaseLost,
    ServerUnreachable,
    UnloadableObjective,
    UntrustedObjective,
)
from hpo.legacy.directories import temp_dir, working_dir
from hpo.legacy.idxs_vals import spec_from_misc
from hpo.legacy.mongo_trials import MongoTrials
from hpo.legacy.symbols import json_call, json_lookup
from hpo.objective import unpack, verify
from hpo.reports import Report
from hpo.signing import load_keys
from hpo.store.base import Store
from hpo.store.mongo.jobs import MongoJobs, owner_text

__all__ = ["MongoCtrl", "MongoWorker", "ReserveTimeout"]

logger = logging.getLogger(__name__)

# Set, it lets trials without a signed objective say what to run, as hyperopt's workers do.
TRUST_VARIABLE = "HPO_TRUST_DATABASE"

# The working directory belongs to the process: workers in threads that change it take turns.
_IN_DIRECTORY = threading.Lock()

Objective = Callable[[Mapping[str, Any], Ctrl], Mapping[str, Any]]


class ReserveTimeout(HpoError):
    """There was no trial to claim for as long as the worker was to wait."""

    def __init__(self, secs: float) -> None:
        super().__init__(secs)
        self.secs = secs

    def __str__(self) -> str:
        return (
            f"there was no trial to claim for {self.secs:g} s; start the driver, check the "
            "address and exp_key, or give a longer reserve_timeout"
        )


class MongoWorker:
    """Claims trials and evaluates them here, one for each call of `run_one`.

    Args:
        mj: the trials.
        poll_interval: seconds; look for work at least so often. New trials wake it anyway.
        workdir: the directory to work in; None: one named after the trial's `_id` in the
            directory that the trial names, if it names one.
        exp_key: only trials of this experiment; None takes from all.
        logfilename: log messages of a trial go there, too; None: nowhere else.

    Source: hyperopt.mongoexp.MongoWorker.
    """

    poll_interval = 3.0
    workdir: str | None = None

    def __init__(
        self,
        mj: MongoJobs,
        poll_interval: float = poll_interval,
        workdir: str | None = workdir,
        exp_key: str | None = None,
        logfilename: str | None = "logfile.txt",
    ) -> None:
        self.mj = mj
        self.poll_interval = poll_interval
        self.workdir = workdir
        self.exp_key = exp_key
        self.logfilename = logfilename

    def run_one(
        self,
        host_id: Any = None,
        reserve_timeout: float | None = None,
        erase_created_workdir: bool = False,
    ) -> None:
        """Claim a trial, evaluate it, and write how it ended.

        Args:
            host_id: who claims it; default this process.
            reserve_timeout: seconds to wait for a trial; None waits for ever.
            erase_created_workdir: remove a directory that was made for the trial.

        Raises:
            ReserveTimeout: there was nothing to claim.
            LeaseLost: somebody else holds the trial by now.
            Whatever the objective raises, after it was recorded with the trial.
        """
        trial = self._claim(owner_text(host_id or _this_process()), reserve_timeout)
        held = Claim.of(trial)
        store = self.mj.store
        logger.debug("claimed trial %s", trial["tid"])
        with _lease_kept(store, held), self._logging_to_file():
            try:
                with self._at_work(trial, erase_created_workdir):
                    result = self._evaluate(trial)
                store.finish(held, result)
            except LeaseLost:
                raise
            except (KeyboardInterrupt, UnloadableObjective) as error:
                # The trial is innocent: somebody else shall have it.
                is_stopped = isinstance(error, KeyboardInterrupt)
                store.release(held, "interrupted" if is_stopped else "unloadable")
                raise
            except BaseException as error:
                logger.info("trial %s raised %s: %s", trial["tid"], type(error).__name__, error)
                store.fail(held, (type(error).__name__, str(error)), traceback.format_exc())
                raise
        logger.info("trial %s done", trial["tid"])

    # --- claiming ---

    def _claim(self, owner: str, timeout_secs: float | None) -> Document:
        store, began_at = self.mj.store, time.monotonic()
        deadline = began_at + (float("inf") if timeout_secs is None else float(timeout_secs))
        with store.watch(self.exp_key, "work") as watch:
            while True:
                store.requeue_expired(self.exp_key)
                trial = store.claim(owner, host=socket.gethostname(), exp_key=self.exp_key)
                if trial is not None:
                    return trial
                secs_left = deadline - time.monotonic()
                if secs_left <= 0:
                    raise ReserveTimeout(time.monotonic() - began_at)
                watch.wait(min(secs_left, self.poll_interval))

    # --- evaluating ---

    def _evaluate(self, trial: Document) -> dict[str, Any]:
        trials = MongoTrials(self.mj, exp_key=trial["exp_key"], refresh=False)
        ctrl = MongoCtrl(trials, trial, read_only=False)
        objective = _objective_of(trial, trials)
        result = dict(objective(spec_from_misc(trial["misc"]), ctrl))
        for name, blob in result.pop("attachments", {}).items():
            ctrl.attachments[name] = blob
        as_stored: dict[str, Any] = plain(result)
        return as_stored

    @contextlib.contextmanager
    def _at_work(self, trial: Document, erase: bool) -> Iterator[None]:
        """In the trial's directory, if it has one."""
        of_trial = trial["misc"].get("workdir")
        if self.workdir is not None:
            workdir = self.workdir
        elif of_trial is not None:
            workdir = os.path.join(of_trial, str(trial["_id"]))
        else:
            yield
            return
        with _IN_DIRECTORY:
            path = os.path.abspath(os.path.expanduser(workdir))
            with temp_dir(path, erase), working_dir(path):
                yield

    @contextlib.contextmanager
    def _logging_to_file(self) -> Iterator[None]:
        if not self.logfilename:
            yield
            return
        handler = logging.FileHandler(self.logfilename, delay=True)
        handler.setFormatter(logging.Formatter("%(levelname)s (%(name)s): %(message)s"))
        handler.setLevel(logging.INFO)
        logging.getLogger().addHandler(handler)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(handler)
            handler.close()


class MongoCtrl(Ctrl):
    """Control object of an objective that runs beside a connection to its trial.

    Args:
        read_only: publish nothing.

    Source: hyperopt.mongoexp.MongoCtrl.
    """

    def __init__(
        self, trials: MongoTrials, current_trial: Document, read_only: bool = False
    ) -> None:
        channel = _StoreChannel(trials, current_trial, read_only)
        super().__init__(trials, current_trial, channel=channel)
        self.read_only = read_only


class _StoreChannel(TrialsChannel):
    """How the objective's words reach the documents: straight, unless they are not to."""

    def __init__(self, trials: MongoTrials, trial: Document, read_only: bool) -> None:
        super().__init__(trials, trial)
        self._store, self._trial, self._read_only = trials.store, trial, read_only

    def checkpoint(self, result: Mapping[str, Any]) -> None:
        if not self._read_only:
            self._store.checkpoint(Claim.of(self._trial), plain(result))

    def report(self, reports: Sequence[Report]) -> None:
        if not self._read_only:
            super().report(reports)

    def save_checkpoint(self, payload: bytes) -> None:
        if not self._read_only:
            super().save_checkpoint(payload)


@contextlib.contextmanager
def _lease_kept(store: Store, held: Claim) -> Iterator[None]:
    """Renew a lease from a thread for the length of the block."""
    is_over = threading.Event()

    def renew() -> None:
        while not is_over.wait(DEFAULT_LEASE_SECS / 3):
            try:
                store.heartbeat(held)
            except ServerUnreachable as error:
                logger.warning("%s; trying again", error)
            except LeaseLost:
                return  # the objective's next word, or its end, will be told

    thread = threading.Thread(target=renew, name="hpo-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _this_process() -> str:
    # Process ids are used again, also after a reboot: the token tells their owners apart.
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


# --- which function a trial calls ---------------------------------------------------------


def _objective_of(trial: Document, trials: MongoTrials) -> Objective:
    """The function that evaluates a trial: the objective it names, or what misc.cmd says.

    Raises:
        UnloadableObjective: it cannot be had here.
        InvalidTrial: the trial says nothing of the kind.
    """
    sha256 = trial.get("objective")
    if sha256 is not None:
        try:
            payload = trials.store.get_objective(sha256)
        except KeyError:
            raise UnloadableObjective(
                f"the objective {sha256[:12]}… of trial {trial['tid']} is not in the database. "
                "Start the driver again: it stores its objective anew."
            ) from None
        return unpack(verify(payload, sha256, trial["exp_key"], load_keys())).evaluate
    _require_trust(trial)
    protocol, *arguments = trial["misc"]["cmd"] or (None,)
    load = _LOADERS.get(str(protocol))
    if load is None:
        raise InvalidTrial(
            f"trial {trial['tid']} has the command {protocol!r}; known are {', '.join(_LOADERS)}",
            trial,
        )
    return load(trials, *arguments)


def _require_trust(trial: Document) -> None:
    """Raise UntrustedObjective, unless the user said that what the database says may run."""
    if not os.environ.get(TRUST_VARIABLE):
        raise UntrustedObjective(
            trial["exp_key"],
            f"trial {trial['tid']} names no signed objective but says by misc.cmd what to run, as "
            "hyperopt's drivers do. If everybody who can write to the database may run code "
            f"here, set {TRUST_VARIABLE}=1; else run the search with hpo.fmin",
        )


def _from_domain_attachment(trials: MongoTrials, name: str) -> Objective:
    try:
        pickled = trials.attachments[name]
    except KeyError:
        raise UnloadableObjective(
            f"experiment {trials.exp_key!r} has no attachment {name!r}; a driver stores its "
            "objective there before it inserts trials"
        ) from None
    evaluate: Objective = _unpickled(pickled).evaluate
    return evaluate


def _from_driver_attachment(trials: MongoTrials, name: str) -> Objective:
    json, args, kwargs = _unpickled(trials.attachments[name])
    evaluate: Objective = json_call(json, args, kwargs).evaluate
    return evaluate


def _unpickled(pickled: bytes) -> Any:
    import cloudpickle

    try:
        return cloudpickle.loads(pickled)
    except Exception as error:  # unpickling imports and runs user code: it can raise anything
        raise UnloadableObjective(
            f"the stored objective cannot be rebuilt here ({type(error).__name__}: {error}); "
            "install the same packages, and the same versions, as where the driver runs"
        ) from error


# misc.cmd is (protocol, arguments…), as hyperopt's drivers wrote it.
_LOADERS: Mapping[str, Callable[..., Objective]] = {
    "domain_attachment": _from_domain_attachment,
    "driver_attachment": _from_driver_attachment,
    "cpickled fn": lambda trials, pickled: _unpickled(pickled),
    "call evaluate": lambda trials, pickled: _unpickled(pickled).evaluate,
    "token_load": lambda trials, name: json_lookup(name),
    "bandit_json evaluate": lambda trials, name: json_call(name).evaluate,
}
