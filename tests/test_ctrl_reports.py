"""What an objective says of its learning curve through ctrl, and what it is answered."""

from __future__ import annotations

import logging
import math
import threading

import pytest

from hpo import Ctrl, Domain, Trials, hp
from hpo.document import STATUS_STOPPED, Claim, active_values, continuation, new_trial
from hpo.exceptions import InvalidOption, InvalidReport, LeaseLost
from hpo.mirror import Mirror
from hpo.stopping import ASHA, Stopper


class Clock:
    """Seconds that pass when told to."""

    secs = 0.0

    def __init__(self):
        self.put_off = []

    def __call__(self):
        return self.secs

    def call_later(self, secs, act):
        self.put_off.append((self.secs + secs, act))

    def go_on_to(self, secs):
        """Let time pass, and what was to be done meanwhile be done."""
        self.secs = secs
        due = [act for at, act in self.put_off if at <= secs]
        self.put_off = [(at, act) for at, act in self.put_off if at > secs]
        for act in due:
            act()


class Parent:
    """A worker's end of the channel: what was written, and when."""

    def __init__(self):
        self.written = []
        self.saved = None
        self.curves = []
        self.mirror = Mirror()

    def report(self, reports):
        self.written.append([one["step"] for one in reports])

    def reported(self, step, since):
        return self.curves, since

    def save_checkpoint(self, payload):
        self.saved = payload

    def load_checkpoint(self):
        return self.saved


class AfterStep:
    """A rule that stops everybody once a step is reached."""

    def __init__(self, step, *, reads=False):
        self.step, self.reads = step, reads
        self.curves = []

    def should_stop(self, curve, history):
        self.curves.append(curve)
        if self.reads:
            history.curves()
        return curve.last_step >= self.step


class Failing:
    """A rule that raises."""

    n_asked = 0

    def should_stop(self, curve, history):
        self.n_asked += 1
        raise ZeroDivisionError("no trials yet")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def parent():
    return Parent()


@pytest.fixture
def ctrl(parent, clock):
    return Ctrl(
        None, {**new_trial(7), "number": 3}, channel=parent, clock=clock, later=clock.call_later
    )


# --- when reports are written ----------------------------------------------------------------


def test_a_report_is_written_at_once(ctrl, parent):
    ctrl.report(1, 0.5)

    assert parent.written == [[1]]


def test_reports_that_come_fast_are_written_together(ctrl, parent, clock):
    for step in range(1, 101):
        clock.secs += 0.001
        ctrl.report(step, 1.0 / step)

    assert 9 <= len(parent.written) <= 11
    assert parent.written[-1] == list(range(1, parent.written[-1][-1] + 1))


def test_a_report_is_written_soon_when_no_other_follows(ctrl, parent, clock):
    for step in (1, 2, 3):
        ctrl.report(step, 1.0 / step)

    clock.go_on_to(0.009)
    assert parent.written == [[1]]
    clock.go_on_to(0.011)
    assert parent.written == [[1], [1, 2, 3]]
    assert clock.put_off == []


def test_reports_that_are_written_already_are_not_written_again(ctrl, parent, clock):
    ctrl.report(1, 0.5)
    ctrl.report(2, 0.4)
    ctrl.save_checkpoint(b"weights")
    clock.go_on_to(1.0)

    assert parent.written == [[1], [1, 2]]


def test_what_a_thread_could_not_write_is_written_with_the_next(ctrl, parent, clock):
    ctrl.report(1, 0.5)
    write, parent.report = parent.report, failing
    ctrl.report(2, 0.4)
    clock.go_on_to(1.0)
    parent.report = write
    assert parent.written == [[1]]

    ctrl.report(3, 0.3)

    assert parent.written == [[1], [1, 2, 3]]


def failing(reports):
    raise ConnectionError("the worker is gone")


def test_a_thread_writes_what_an_objective_left_behind():
    is_written = threading.Event()

    class Telling(Parent):
        def report(self, reports):
            super().report(reports)
            if len(reports) == 2:
                is_written.set()

    parent = Telling()
    ctrl = Ctrl(None, {**new_trial(7), "number": 3}, channel=parent)
    ctrl.report(1, 0.5)
    ctrl.report(2, 0.4)

    assert is_written.wait(30)
    assert parent.written == [[1], [1, 2]]


def test_no_report_is_lost_at_the_end(ctrl, parent):
    ctrl.report(1, 0.5)
    ctrl.report(2, 0.4)
    assert parent.written == [[1]]

    ctrl.end()
    ctrl.end()

    assert parent.written == [[1], [1, 2]]


def test_a_checkpoint_is_never_ahead_of_the_reports(ctrl, parent):
    ctrl.report(1, 0.5)
    ctrl.report(2, 0.4)

    ctrl.save_checkpoint(b"weights")

    assert parent.written[-1] == [1, 2]
    assert ctrl.load_checkpoint().step == 2


def test_a_rule_that_reads_the_others_comes_after_the_own_report(ctrl, parent):
    ctrl.begin(AfterStep(9, reads=True))
    ctrl.report(1, 0.5)
    ctrl.report(2, 0.4)

    ctrl.should_stop()

    assert parent.written[-1] == [1, 2]


def test_a_report_that_makes_no_sense_writes_nothing(ctrl, parent):
    with pytest.raises(InvalidReport):
        ctrl.report(1, "0.5")

    ctrl.end()
    assert parent.written == []


# --- asking whether to stop ---------------------------------------------------------------


def test_without_a_rule_nobody_is_stopped(ctrl):
    ctrl.report(1, math.nan)

    assert not ctrl.should_stop()


def test_before_the_first_report_the_rule_is_not_asked(ctrl):
    rule = AfterStep(0)
    ctrl.begin(rule)

    assert not ctrl.should_stop()
    assert rule.curves == []


def test_a_rule_is_asked_once_for_each_report(ctrl):
    rule = AfterStep(9)
    ctrl.begin(rule)

    for step in (2, 4):
        ctrl.report(step, 0.5)
        ctrl.should_stop()
        ctrl.should_stop()

    assert [(curve.last_step, curve.asked_step) for curve in rule.curves] == [(2, -1), (4, 2)]
    assert rule.curves[1].losses == (0.5, 0.5)
    assert (rule.curves[1].tid, rule.curves[1].line) == (7, 3)


def test_what_said_stop_goes_on_saying_so(ctrl):
    rule = AfterStep(1)
    ctrl.begin(rule)
    ctrl.report(1, 0.5)
    assert ctrl.should_stop()

    ctrl.report(2, 0.5)

    assert ctrl.should_stop()
    assert len(rule.curves) == 1


def test_a_rule_that_raises_is_logged_and_the_trial_goes_on(ctrl, caplog):
    ctrl.begin(Failing())
    ctrl.report(1, 0.5)

    with caplog.at_level(logging.WARNING):
        assert not ctrl.should_stop()

    assert "failed, and the trial goes on: ZeroDivisionError: no trials yet" in caplog.text


def test_a_lost_lease_is_not_the_rules_fault(ctrl, parent):
    def lost(step, since):
        raise LeaseLost(7, "node1:10:a", 1)

    parent.reported = lost
    ctrl.begin(AfterStep(9, reads=True))
    ctrl.report(1, 0.5)

    with pytest.raises(LeaseLost):
        ctrl.should_stop()


def test_anything_that_can_decide_is_a_rule():
    assert isinstance(AfterStep(1), Stopper)
    assert isinstance(ASHA(), Stopper)
    assert not isinstance(object(), Stopper)


# --- what becomes of the result -------------------------------------------------------------


def evaluate(fn, rule=None):
    """What a Domain makes of one trial; the result and the document."""
    trials = Trials()
    trials.insert_trial_doc(new_trial(0, values={"x": 0.5}))
    trial = trials.store.claim("node1:10:a")
    domain = Domain(fn, {"x": hp.uniform("x", 0, 1), "ctrl": Ctrl})
    domain.stopper = rule
    result = domain.evaluate(active_values(trial), Ctrl(trials, trial))
    return result, stored(trials)


def stored(trials):
    [trial] = trials.store.find(None)
    return trial


def trains(config, n_steps=5, returned=0.0):
    for step in range(1, n_steps + 1):
        config["ctrl"].report(step, 1.0 / step)
        if config["ctrl"].should_stop():
            break
    return returned


def test_what_a_stopped_objective_returns_is_its_last_report():
    result, trial = evaluate(trains, AfterStep(2))

    assert result == {"status": STATUS_STOPPED, "loss": 0.5, "step": 2}
    assert trial["last_report"] == {"step": 2, "loss": 0.5}


def test_other_keys_of_a_stopped_result_are_kept():
    result, _ = evaluate(
        lambda c: trains(c, returned={"status": "ok", "loss": 9.0, "accuracy": 0.1}), AfterStep(4)
    )

    assert result == {"status": STATUS_STOPPED, "loss": 0.25, "step": 4, "accuracy": 0.1}


def test_an_objective_that_was_not_stopped_returns_its_own_loss():
    assert evaluate(trains, AfterStep(99))[0] == {"status": "ok", "loss": 0.0}


@pytest.mark.parametrize(
    "rule, status, loss", [(None, "ok", 0.2), (AfterStep(2), STATUS_STOPPED, 0.5)]
)
def test_an_objective_may_report_and_return_nothing(rule, status, loss):
    result, _ = evaluate(lambda c: trains(c, returned=None), rule)

    assert (result["status"], result["loss"]) == (status, loss)


def test_a_stopped_objective_may_still_fail():
    result, _ = evaluate(lambda c: trains(c, returned={"status": "fail"}), AfterStep(2))

    assert result["status"] == "fail"


def test_an_objective_may_stop_by_itself():
    def objective(config):
        config["ctrl"].report(3, 0.7)
        return config["ctrl"].stopped(reason="overheated")

    result, _ = evaluate(objective)

    assert result == {"status": STATUS_STOPPED, "loss": 0.7, "step": 3, "reason": "overheated"}


def test_whoever_stops_by_itself_must_have_reported(ctrl):
    with pytest.raises(InvalidOption, match=r"call ctrl\.report\(step, loss\) first"):
        ctrl.stopped()


def test_the_last_reports_of_an_objective_that_raises_are_kept():
    def objective(config):
        trains(config)
        raise ValueError("out of memory")

    trials = Trials()
    trials.insert_trial_doc(new_trial(0, values={"x": 0.5}))
    trial = trials.store.claim("node1:10:a")
    domain = Domain(objective, {"x": hp.uniform("x", 0, 1), "ctrl": Ctrl})

    with pytest.raises(ValueError, match="out of memory"):
        domain.evaluate(active_values(trial), Ctrl(trials, trial))

    assert stored(trials)["last_report"]["step"] == 5


# --- later attempts ------------------------------------------------------------------------


def test_a_second_attempt_goes_on_from_where_its_checkpoint_is():
    trials = Trials()
    trials.insert_trial_doc(new_trial(0))
    first = trials.store.claim("node1:10:a")
    ctrl = Ctrl(trials, first)
    for step in (1, 2, 3):
        ctrl.report(step, 0.5)
    ctrl.end()
    trials.store.release(Claim.of(first), "preempted")

    second = Ctrl(trials, trials.store.claim("node2:20:b"))
    second.report(3, 0.4)

    assert [one["loss"] for one in trials.store.reported(None).__next__()["reports"]] == [
        0.5, 0.5, 0.4,
    ]  # fmt: skip


@pytest.mark.parametrize("first_step", [1, 10])
def test_no_rung_is_decided_again_for_a_trial_that_was_taken_up(first_step):
    """Whether it goes on from a checkpoint or, for want of one, begins anew."""
    trials = Trials()
    trials.insert_trial_docs([new_trial(0), new_trial(1)])
    for loss in (0.5, 0.1):
        held = Claim.of(trials.store.claim("node1:10:a"))
        trials.store.report(held, [{"step": 9, "loss": loss}])
        trials.store.finish(held, {"status": "stopped", "loss": loss, "step": 9})
    [worse] = trials.store.find(None, tids=[0])
    trials.insert_trial_doc(continuation(worse, 2))
    ctrl = Ctrl(trials, trials.store.claim("node1:10:a"))
    ctrl.begin(ASHA(1, 81))

    for step in range(first_step, 27):
        ctrl.report(step, 0.5)
        assert not ctrl.should_stop(), step
