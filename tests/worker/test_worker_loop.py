"""The worker's loop over a store in memory, with evaluations made up by the test."""

from __future__ import annotations

import logging
import os
import signal
import threading

import pytest

from hpo.document import (
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    Claim,
    new_trial,
)
from hpo.exceptions import ServerUnreachable, UnloadableObjective, UnstorableResult
from hpo.store.base import WorkerPresence
from hpo.store.memory import MemoryStore
from hpo_worker.desk import Desk
from hpo_worker.limits import EXIT_FAILURES, EXIT_UNLOADABLE, Ending, Limits
from hpo_worker.loop import Worker
from hpo_worker.outcome import Cut, Died, Done, Interruption, Raised, Refused, Unloadable
from hpo_worker.stopping import StopSignals

OK = Done({"loss": 1.0, "status": "ok"})
FAILED = Raised(("ValueError", "bad"), "Traceback …")


class Scripted:
    """An evaluator whose outcomes the test dictates, one function or outcome per trial."""

    def __init__(self, *script):
        self.script = list(script)
        self.seen = []

    def evaluate(self, trial, workdir, *, ask, is_cut):
        self.seen.append((trial["tid"], workdir))
        step = self.script.pop(0) if self.script else OK
        return step(trial, ask, is_cut) if callable(step) else step

    def close(self):
        pass


@pytest.fixture
def stop():
    with StopSignals() as stop:
        yield stop


@pytest.fixture
def memory():
    return MemoryStore()


def add(store, n, *, exp_key="digits", objective="abc"):
    tids = store.allocate_tids(n)
    store.insert([new_trial(tid, exp_key=exp_key) | {"objective": objective} for tid in tids])
    return tids


def run(store, stop, *script, exp_key="digits", **options):
    """Run a worker until a limit ends it; by default that is an empty queue."""
    options.setdefault("limits", Limits(reserve_timeout_secs=0.02))
    presence = WorkerPresence(owner="node1:10:a", host="node1", pid=10, exp_key=exp_key)
    return Worker(store, Scripted(*script), stop, presence, **options).run()


def states(store):
    return [trial["state"] for trial in store.find(None, all_experiments=True)]


# --- how trials end ---


def test_every_outcome_is_told_apart_in_the_document(memory, stop):
    add(memory, 5)
    outcomes = (OK, FAILED, Died(-11), Died(3), Unloadable("no module named x"))

    run(memory, stop, *outcomes, limits=Limits(max_jobs=4))
    run(memory, stop, outcomes[-1])

    trials = list(memory.find("digits"))
    assert [trial["state"] for trial in trials] == [
        JOB_STATE_DONE,
        *[JOB_STATE_ERROR] * 3,
        JOB_STATE_NEW,
    ]
    assert [trial["attempts"][0]["reason"] for trial in trials] == [
        "done",
        "exception",
        "signal",
        "exit",
        "unloadable",
    ]
    assert trials[1]["error"] == ["ValueError", "bad"]
    assert trials[1]["traceback"] == "Traceback …"
    assert trials[2]["attempts"][0]["signal"] == 11
    assert trials[3]["attempts"][0]["exit_code"] == 3


def test_a_result_that_the_store_refuses_fails_its_trial(memory, stop, monkeypatch):
    add(memory, 1)

    def refuse(held, result):
        raise UnstorableResult("over 16 MB")

    monkeypatch.setattr(memory, "finish", refuse)
    run(memory, stop)

    [trial] = memory.find("digits")
    assert trial["state"] == JOB_STATE_ERROR
    assert trial["error"] == ["UnstorableResult", "over 16 MB"]


def test_a_lost_lease_drops_the_result_and_the_worker_goes_on(memory, stop, caplog):
    first, second = add(memory, 2)

    def steal(trial, ask, is_cut):
        memory.release(Claim.of(next(memory.find("digits", tids=[first]))), "stolen")
        memory.cancel("digits", [first])
        return OK

    run(memory, stop, steal)

    stolen, done = memory.find("digits")
    assert stolen["result"] == {"status": "new"}
    assert done["tid"] == second
    assert done["state"] == JOB_STATE_DONE
    assert "no longer held" in caplog.text


def test_a_busy_worker_calls_the_store_twice_per_trial(memory, stop):
    add(memory, 10)
    spy = Spy(memory)

    run(spy, stop, limits=Limits(max_jobs=10))

    assert spy.called == ["claim", "finish"] * 10 + ["retire"]


class Spy:
    """Records which verbs the main thread uses."""

    def __init__(self, store):
        self._store, self.called = store, []

    def __getattr__(self, verb):
        if threading.current_thread() is threading.main_thread():
            self.called.append(verb)
        return getattr(self._store, verb)


# --- when to stop ---


def test_a_success_ends_a_row_of_failures(memory, stop):
    add(memory, 6)

    ending = run(
        memory, stop, FAILED, OK, FAILED, Died(-11),
        limits=Limits(max_consecutive_failures=2, reserve_timeout_secs=0.02),
    )  # fmt: skip

    assert ending.exit_code == EXIT_FAILURES
    assert states(memory).count(JOB_STATE_NEW) == 2


def test_trials_that_were_handed_back_count_neither_as_jobs_nor_as_failures(memory, stop):
    add(memory, 1, objective="bad")
    add(memory, 1, objective="good")

    ending = run(
        memory, stop, Unloadable("no"), OK, exp_key=None,
        limits=Limits(max_jobs=1, max_consecutive_failures=1),
    )  # fmt: skip

    assert ending == Ending(0, "stopping after 1 trials (--max-jobs)")
    assert states(memory) == [JOB_STATE_NEW, JOB_STATE_DONE]


def test_the_reserve_timeout_counts_from_the_end_of_the_last_trial(memory, stop):
    add(memory, 1)

    def slow(trial, ask, is_cut):
        threading.Event().wait(0.1)
        add(memory, 1)
        return OK

    ending = run(memory, stop, slow, limits=Limits(reserve_timeout_secs=0.05))

    assert "--reserve-timeout" in ending.why
    assert states(memory) == [JOB_STATE_DONE] * 2


def test_a_running_trial_may_outlast_the_last_job_timeout(memory, stop):
    add(memory, 2)

    def slow(trial, ask, is_cut):
        threading.Event().wait(0.1)
        return OK

    ending = run(memory, stop, slow, limits=Limits(last_job_timeout_secs=0.05))

    assert "--last-job-timeout" in ending.why
    assert states(memory) == [JOB_STATE_DONE, JOB_STATE_NEW]


def test_a_worker_claims_until_the_database_is_full(memory, stop):
    add(memory, 1)

    def adds_one(trial, ask, is_cut):
        add(memory, 1, exp_key="other")
        return OK

    ending = run(memory, stop, adds_one, limits=Limits(max_jobs_in_db=2))

    assert "--max-jobs-in-db" in ending.why
    assert states(memory) == [JOB_STATE_DONE, JOB_STATE_NEW]


def test_the_only_experiment_being_unloadable_ends_the_worker_and_leaves_a_notice(
    memory, stop, caplog
):
    add(memory, 1)

    ending = run(memory, stop, Unloadable("no module named x"))

    assert ending.exit_code == EXIT_UNLOADABLE
    assert "'digits'" in ending.why
    assert caplog.messages == ["no module named x"]
    [presence] = memory.workers("digits")
    assert (presence.state, presence.unfit_for) == ("unfit", ("abc",))


def test_trials_of_a_mended_objective_are_evaluated_before_a_worker_gives_up(memory, stop):
    add(memory, 2, objective="broken")
    add(memory, 1, objective="mended")

    ending = run(memory, stop, Unloadable("no module named x"), OK)

    assert ending.exit_code == EXIT_UNLOADABLE
    assert states(memory) == [JOB_STATE_NEW, JOB_STATE_NEW, JOB_STATE_DONE]


def test_a_signal_in_the_middle_of_a_claim_hands_the_trial_back(memory, stop, monkeypatch):
    add(memory, 1)
    claim = memory.claim

    def signalled(*arguments, **options):
        trial = claim(*arguments, **options)
        os.kill(os.getpid(), signal.SIGTERM)
        return trial

    monkeypatch.setattr(memory, "claim", signalled)
    ending = run(memory, stop)

    assert ending.exit_code == 0
    [trial] = memory.find("digits")
    assert trial["state"] == JOB_STATE_NEW
    assert trial["attempts"][0]["reason"] == "preempted"


def test_a_result_that_is_there_when_the_signal_comes_is_written(memory, stop):
    add(memory, 1)

    def finishes_anyway(trial, ask, is_cut):
        os.kill(os.getpid(), signal.SIGTERM)
        return OK

    run(memory, stop, finishes_anyway)

    assert states(memory) == [JOB_STATE_DONE]


# --- looking after others ---


def test_an_idle_worker_requeues_what_a_vanished_one_left(memory, stop):
    add(memory, 1)
    memory.claim("vanished:1:x", lease_secs=0.001)

    run(memory, stop, limits=Limits(max_jobs=1, reserve_timeout_secs=5.0), lease_secs=0.3)

    [trial] = memory.find("digits")
    assert trial["state"] == JOB_STATE_DONE
    assert [end["reason"] for end in trial["attempts"]] == ["lost", "done"]


def test_a_worker_waits_for_work_and_wakes(memory, stop):
    timer = threading.Timer(0.05, add, (memory, 1))
    timer.start()

    ending = run(memory, stop, limits=Limits(max_jobs=1), poll_interval_secs=600)

    timer.join()
    assert "--max-jobs" in ending.why


# --- a server that comes and goes ---


def goes_away(store, monkeypatch, verb, n_times):
    """Let the first `n_times` calls of `verb` fail."""
    act, left = getattr(store, verb), [n_times]

    def sometimes(*arguments, **options):
        if left[0] > 0:
            left[0] -= 1
            raise ServerUnreachable("no server at node9:27017")
        return act(*arguments, **options)

    monkeypatch.setattr(store, verb, sometimes)


@pytest.mark.parametrize("verb", ["claim", "finish", "requeue_expired"])
def test_what_failed_for_want_of_a_server_is_done_again(memory, stop, monkeypatch, caplog, verb):
    caplog.set_level(logging.INFO, "hpo_worker")
    add(memory, 1)
    goes_away(memory, monkeypatch, verb, n_times=2)

    run(memory, stop)

    assert states(memory) == [JOB_STATE_DONE]
    assert caplog.text.count("no server at node9:27017; trying again") == 1


def test_a_worker_gives_up_when_the_server_stays_away(memory, stop, monkeypatch):
    goes_away(memory, monkeypatch, "claim", n_times=100)

    with pytest.raises(ServerUnreachable):
        run(memory, stop, patience_secs=0.0)


def test_a_signal_ends_the_patience(memory, stop, monkeypatch):
    goes_away(memory, monkeypatch, "claim", n_times=100)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()

    ending = run(memory, stop)

    timer.join()
    assert ending.exit_code == 0


def test_a_defect_of_the_evaluator_hands_the_trial_back(memory, stop):
    add(memory, 1)

    def broken(trial, ask, is_cut):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(memory, stop, broken)

    assert states(memory) == [JOB_STATE_NEW]


def test_an_evaluation_cut_because_the_server_stays_away_hands_back_what_it_can(
    memory, stop, monkeypatch
):
    add(memory, 1)
    goes_away(memory, monkeypatch, "checkpoint", n_times=1)

    def asks(trial, ask, is_cut):
        try:
            ask("checkpoint", {"loss": 1.0, "status": "running"})
        except Interruption:
            return Cut()
        return OK

    run(memory, stop, asks, limits=Limits(max_jobs=1), patience_secs=0.0)

    [trial] = memory.find("digits")
    assert [end["reason"] for end in trial["attempts"]] == ["unreachable", "done"]


# --- the desk ---


@pytest.fixture
def claimed(memory):
    add(memory, 1)
    return memory.claim("node1:10:a")


def desk_for(memory, trial):
    return Desk(memory, trial, lambda act: act())


def test_the_desk_keeps_attachments(memory, claimed):
    desk = desk_for(memory, claimed)

    desk.answer("attach", "weights", b"123")
    desk.answer("attach", "draft", b"4")
    desk.answer("detach", "draft")

    assert desk.answer("attachment", "weights") == b"123"
    assert desk.answer("attachment_names") == ["weights"]
    with pytest.raises(KeyError):
        desk.answer("attachment", "draft")


def test_the_desk_publishes_checkpoints_while_the_lease_stands(memory, claimed):
    desk = desk_for(memory, claimed)
    desk.answer("checkpoint", {"loss": 3.0, "status": "running"})
    [trial] = memory.find("digits")
    assert trial["result"]["loss"] == 3.0
    assert trial["state"] == JOB_STATE_RUNNING

    memory.release(Claim.of(claimed), "requeued")
    with pytest.raises(Interruption):
        desk.answer("checkpoint", {"loss": 2.0, "status": "running"})
    assert desk.has_lost_lease


@pytest.mark.parametrize(("sha256", "words"), [(None, "fmin"), ("f" * 64, "not in the database")])
def test_an_objective_that_is_not_there_is_explained(memory, claimed, sha256, words):
    with pytest.raises(UnloadableObjective, match=words):
        desk_for(memory, claimed).answer("objective", sha256)


def test_the_desk_answers_to_nothing_else(memory, claimed):
    with pytest.raises(TypeError, match="'delete'"):
        desk_for(memory, claimed).answer("delete", "digits")


def test_the_desk_lets_no_foreign_exception_out(memory, claimed, monkeypatch):
    def broken(trial):
        raise OSError("disk full")

    monkeypatch.setattr(memory, "trial_attachments", broken)

    with pytest.raises(RuntimeError, match="attachment failed: OSError: disk full"):
        desk_for(memory, claimed).answer("attachment", "weights")


def test_a_checkpoint_without_a_lease_ends_the_evaluation(memory, stop, caplog):
    add(memory, 1)

    def loses(trial, ask, is_cut):
        memory.cancel("digits")
        try:
            ask("checkpoint", {"loss": 1.0, "status": "running"})
        except Interruption:
            return Cut()
        return OK

    run(memory, stop, loses)

    assert "no longer held" in caplog.text
    assert JOB_STATE_DONE not in states(memory)


@pytest.mark.parametrize(
    ("tid", "name"),
    [(7, "7"), ("a b", "a b"), ("../../etc", "%2E%2E%2F%2E%2E%2Fetc"), ("/", "%2F")],
)
def test_a_trials_directory_lies_under_the_workers(memory, stop, tmp_path, tid, name):
    memory.insert([new_trial(tid, exp_key="digits") | {"objective": "abc"}])
    presence = WorkerPresence(owner="node1:10:a", host="node1", pid=10, exp_key="digits")
    scripted = Scripted()

    Worker(memory, scripted, stop, presence, workdir=tmp_path, limits=Limits(max_jobs=1)).run()

    assert scripted.seen == [(tid, str(tmp_path / name))]


def test_a_refused_trial_fails_and_does_not_count_against_the_node(memory, stop):
    add(memory, 3)

    ending = run(
        memory,
        stop,
        Refused("signed for experiment 'iris'"),
        Refused("signed for experiment 'iris'"),
        limits=Limits(max_consecutive_failures=1, max_jobs=1),
    )

    assert states(memory) == [JOB_STATE_ERROR, JOB_STATE_ERROR, JOB_STATE_DONE]
    assert ending.exit_code == 0
    [first, *_] = memory.find("digits")
    assert first["error"] == ["UntrustedObjective", "signed for experiment 'iris'"]
    assert first["attempts"][0]["reason"] == "refused"
