"""The life of trials as a game of several actors, against a model that fits on a page.

Workers claim, renew, publish, finish, fail, hand back and vanish; they write
under claims that they have lost, and repeat writes that had arrived. Whatever
the order, each store must say and hold what the model says and holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hpo.document import (
    JOB_STATE_CANCEL,
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    OPEN_STATES,
    Claim,
    new_trial,
)
from hpo.exceptions import LeaseLost
from hpo.store.base import Horizon, Store
from hpo.store.memory import MemoryStore

# On a server real time passes, too, but never so much that it makes a difference.
LEASE_SECS = 100.0
A_WHILE_SECS = 40.0
LONGER_THAN_A_LEASE_SECS = 150.0

EXP_KEY = "game"
MAX_ATTEMPTS = 3
# Few of each, so that workers meet again what they lost.
MAX_OPEN_TRIALS = 2
OWNERS = ("node1:10:a", "node1:10:b")

# The logic is the same in all stores, and fastest in memory.
many_games = settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)
few_games = settings(many_games, max_examples=15)


@dataclass
class Expected:
    """A trial as it should be."""

    state: int = JOB_STATE_NEW
    owner: str | None = None
    attempt: int = 0
    lost_attempts: int = 0
    lease_secs_left: float | None = None
    loss: float | None = None
    error: str | None = None
    history: list[tuple[int, str | None, str]] = field(default_factory=list)

    def is_held_by(self, held: Claim) -> bool:
        holder = (self.state, self.owner, self.attempt)
        return holder == (JOB_STATE_RUNNING, held.owner, held.attempt)

    def end_attempt(self, reason: str, state: int) -> None:
        self.history.append((self.attempt, self.owner, reason))
        self.state, self.lease_secs_left = state, None
        if state == JOB_STATE_NEW:
            self.owner = None

    def lose(self, reason: str) -> None:
        self.lost_attempts += 1
        is_last = self.lost_attempts >= MAX_ATTEMPTS
        self.end_attempt(reason, JOB_STATE_ERROR if is_last else JOB_STATE_NEW)
        if is_last:
            self.error = "LostWorker"


class TrialsGame(RuleBasedStateMachine):
    """One game: a store, and the model beside it."""

    claims = Bundle("claims")
    endings = Bundle("endings")

    def __init__(self, store: Store, let_pass: Callable[[float], None]) -> None:
        super().__init__()
        self.store, self.let_pass = store, let_pass
        self.expected: dict[Any, Expected] = {}
        self.claimed: dict[Claim, dict[str, Any]] = {}
        self.horizon = Horizon()
        self.followed: dict[Any, int] = {}
        self.versions: dict[Any, int] = {}

    # --- moves ---

    @initialize(target=claims, owner=st.sampled_from(OWNERS))
    def begin(self, owner):
        self.insert(1)
        return self.claim(owner)

    @precondition(lambda self: len(self.open_tids()) < MAX_OPEN_TRIALS)
    @rule(n=st.integers(1, 2))
    def insert(self, n):
        tids = self.store.allocate_tids(n)
        assert not set(tids) & set(self.expected)
        self.store.insert(
            [new_trial(tid, exp_key=EXP_KEY, max_attempts=MAX_ATTEMPTS) for tid in tids]
        )
        self.expected.update({tid: Expected() for tid in tids})

    @rule(target=claims, owner=st.sampled_from(OWNERS))
    def claim(self, owner):
        queued = [tid for tid, trial in self.expected.items() if trial.state == JOB_STATE_NEW]

        found = self.store.claim(owner, exp_key=EXP_KEY, lease_secs=LEASE_SECS)

        if not queued:
            assert found is None
            return multiple()
        assert found is not None
        assert found["tid"] == min(queued), "trials are claimed in the order of their tids"
        trial = self.expected[found["tid"]]
        trial.state, trial.owner, trial.attempt = JOB_STATE_RUNNING, owner, trial.attempt + 1
        trial.lease_secs_left = LEASE_SECS
        held = Claim.of(found)
        assert held == Claim(found["tid"], owner, trial.attempt)
        self.claimed[held] = found
        return held

    @rule(held=claims)
    def heartbeat(self, held):
        if self.stands(held, lambda: self.store.heartbeat(held, LEASE_SECS)):
            self.expected[held.tid].lease_secs_left = LEASE_SECS

    @rule(held=claims, loss=st.floats(0, 1))
    def checkpoint(self, held, loss):
        result = {"status": "running", "loss": loss}
        if self.stands(held, lambda: self.store.checkpoint(held, result)):
            self.expected[held.tid].loss = loss

    @rule(target=endings, held=claims, loss=st.floats(0, 1))
    def finish(self, held, loss):
        def send():
            self.store.finish(held, {"status": "ok", "loss": loss})

        trial = self.expected[held.tid]
        if trial.loss == loss and (held.attempt, held.owner, "done") in trial.history:
            # By chance the same result as before: that is a repetition.
            send()
        elif self.stands(held, send):
            trial.end_attempt("done", JOB_STATE_DONE)
            trial.loss = loss
            return send
        return multiple()

    @rule(target=endings, held=claims, kind=st.sampled_from(["ValueError", "OSError"]))
    def fail(self, held, kind):
        def send():
            self.store.fail(held, (kind, "no"))

        trial = self.expected[held.tid]
        if trial.error == kind and (held.attempt, held.owner, "exception") in trial.history:
            send()
        elif self.stands(held, send):
            trial.end_attempt("exception", JOB_STATE_ERROR)
            trial.error = kind
            return send
        return multiple()

    @rule(target=endings, held=claims, reason=st.sampled_from(["preempted", "interrupted"]))
    def release(self, held, reason):
        def send():
            self.store.release(held, reason)

        trial = self.expected[held.tid]
        if (held.attempt, held.owner, reason) in trial.history:
            send()
        elif self.stands(held, send):
            trial.end_attempt(reason, JOB_STATE_NEW)
            return send
        return multiple()

    @rule(target=endings, held=claims)
    def lose(self, held):
        claimed = self.claimed[held]

        def send():
            self.store.lose(claimed, "killed")

        trial = self.expected[held.tid]
        if (held.attempt, held.owner, "killed") in trial.history:
            send()
        elif self.stands(held, send):
            trial.lose("killed")
            return send
        return multiple()

    @rule(send=endings)
    def repeat_an_end_that_had_arrived(self, send):
        send()

    @rule()
    def wait_a_while(self):
        self.pass_secs(A_WHILE_SECS)

    @rule()
    def wait_until_all_leases_have_passed(self):
        self.pass_secs(LONGER_THAN_A_LEASE_SECS)
        self.requeue_expired()

    def pass_secs(self, secs: float) -> None:
        self.let_pass(secs)
        for trial in self.expected.values():
            if trial.lease_secs_left is not None:
                trial.lease_secs_left -= secs

    @rule()
    def requeue_expired(self):
        expired = {
            tid
            for tid, trial in self.expected.items()
            if trial.lease_secs_left is not None and trial.lease_secs_left < 0
        }

        assert set(self.store.requeue_expired(EXP_KEY)) == expired
        for tid in expired:
            self.expected[tid].lose("lost")

    # Not too often, or no trial lives long enough for a story.
    @precondition(lambda self: len(self.expected) > MAX_OPEN_TRIALS)
    @rule(chosen=st.data())
    def cancel(self, chosen):
        tid = chosen.draw(st.sampled_from(sorted(self.expected)))
        trial = self.expected[tid]
        is_open = trial.state in OPEN_STATES

        assert self.store.cancel(EXP_KEY, [tid]) == ([tid] if is_open else [])
        if is_open:
            trial.state, trial.lease_secs_left = JOB_STATE_CANCEL, None

    def open_tids(self) -> list[Any]:
        return [tid for tid, trial in self.expected.items() if trial.state in OPEN_STATES]

    def stands(self, held: Claim, write: Callable[[], None]) -> bool:
        """Write under a claim; whether it stood, as the model says that it must or must not."""
        if self.expected[held.tid].is_held_by(held):
            write()
            return True
        with pytest.raises(LeaseLost):
            write()
        return False

    # --- what holds after every move ---

    @invariant()
    def the_promises_hold(self):
        stored = list(self.store.find(EXP_KEY))
        assert [trial["tid"] for trial in stored] == sorted(self.expected)
        assert sorted(trial["number"] for trial in stored) == list(range(len(stored)))
        for trial in stored:
            self.check_what_the_store_holds(trial)
            self.check_that_the_version_never_goes_back(trial)
            check_that_times_are_in_order(trial)

    @invariant()
    def whoever_follows_the_changes_knows_every_state(self):
        for trial in self.store.changes(EXP_KEY, self.horizon):
            self.followed[trial["tid"]] = trial["state"]
        states = {tid: trial.state for tid, trial in self.expected.items()}
        assert self.followed == states

    def check_what_the_store_holds(self, trial: dict[str, Any]) -> None:
        expected = self.expected[trial["tid"]]
        assert as_expected(trial) == expected_view(expected)
        assert (trial["lease_until"] is None) == (expected.state != JOB_STATE_RUNNING)

    def check_that_the_version_never_goes_back(self, trial: dict[str, Any]) -> None:
        assert trial["version"] >= self.versions.get(trial["tid"], 0)
        self.versions[trial["tid"]] = trial["version"]


def check_that_times_are_in_order(trial: dict[str, Any]) -> None:
    if trial["state"] in (JOB_STATE_DONE, JOB_STATE_ERROR):
        assert trial["book_time"] <= trial["finish_time"]
        for ended in trial["attempts"]:
            assert ended["start"] <= ended["end"]


def expected_view(trial: Expected) -> dict[str, Any]:
    return {
        "state": trial.state,
        "owner": trial.owner,
        "attempt": trial.attempt,
        "lost_attempts": trial.lost_attempts,
        "loss": trial.loss,
        "error": trial.error,
        "history": trial.history,
    }


def as_expected(trial: dict[str, Any]) -> dict[str, Any]:
    """What of a document the model knows, too."""
    return {
        "state": trial["state"],
        "owner": trial["owner"],
        "attempt": trial["attempt"],
        "lost_attempts": trial["lost_attempts"],
        "loss": trial["result"].get("loss"),
        "error": trial.get("error", [None])[0],
        "history": [
            (ended["attempt"], ended["owner"], ended["reason"])
            for ended in trial.get("attempts", ())
        ],
    }


def test_no_order_of_events_breaks_a_promise(store, clock, database, let_pass):
    def new_game() -> TrialsGame:
        if database is None:
            return TrialsGame(MemoryStore(clock=clock), clock.advance)
        database.empty()
        return TrialsGame(database.store(0), let_pass)

    run_state_machine_as_test(new_game, settings=many_games if database is None else few_games)
