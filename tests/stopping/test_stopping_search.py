"""fmin with a stopping rule: who is stopped, who is taken up, and what it counts as."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest

from hpo import Ctrl, Trials, fmin, hp, rand, tpe
from hpo.continuations import Continuations
from hpo.document import Claim
from hpo.domain import Domain
from hpo.exceptions import InvalidOption, UnpicklableObjective
from hpo.objective import pack, unpack, verify
from hpo.progress import reporting
from hpo.signing import load_keys
from hpo.stopping import ASHA, Hyperband, MedianRule
from hpo_worker.desk import Desk
from hpo_worker.evaluation import Evaluation

SPACE = {"x": hp.uniform("x", -5, 5), "ctrl": Ctrl}
FULL_STEPS = 27


def loss_after(x, step):
    """A learning curve; its order may change on the way."""
    return (x - 1) ** 2 + 3 * abs(math.sin(7 * x)) / step


def trains(config):
    """An objective that keeps its state in checkpoints and goes on from them."""
    ctrl, x = config["ctrl"], config["x"]
    saved = ctrl.load_checkpoint()
    first = 1 if saved is None else saved.step + 1
    loss = math.inf
    for step in range(first, FULL_STEPS + 1):
        loss = loss_after(x, step)
        ctrl.report(step, loss)
        ctrl.save_checkpoint(str(step).encode())
        if ctrl.should_stop():
            break
    return {"status": "ok", "loss": loss, "first": first}


def search(stopper=None, max_evals=40, **options):
    trials = options.pop("trials", None) or Trials()
    options = {"algo": rand.suggest, "rstate": 3, "show_progressbar": False} | options
    fmin(trains, SPACE, max_evals=max_evals, trials=trials, stopper=stopper, **options)
    return trials


def outcomes(trials):
    return {
        trial["tid"]: (trial["result"]["status"], trial["last_report"]["step"], trial["reports"])
        for trial in trials.trials
    }


def with_status(trials, status):
    return [trial for trial in trials.trials if trial["result"]["status"] == status]


def test_asha_finds_the_best_with_a_part_of_the_steps():
    everything, stopped = search(algo=listed), search(ASHA(1, FULL_STEPS), algo=listed)

    # The curves cross on the way, so the very best may look bad at the first rung.
    assert stopped.best_loss in sorted(everything.losses())[:3]
    n_steps = np.nansum(stopped.observations().own_steps)
    assert n_steps < 0.5 * 40 * FULL_STEPS
    for trial in with_status(stopped, "stopped"):
        assert trial["last_report"]["step"] in (1, 3, 9)
        assert trial["result"]["loss"] == trial["last_report"]["loss"]


def test_a_trial_that_was_stopped_too_soon_is_taken_up_where_it_ended():
    trials = search(ASHA(1, FULL_STEPS, eta=2), max_evals=60)

    continued = [trial for trial in trials.trials if "continues" in trial]
    assert continued, "choose another seed: nobody was stopped too soon"
    for trial in continued:
        before = trials.trial(trial["continues"])
        assert before["result"]["status"] == "stopped"
        assert trial["misc"]["vals"] == before["misc"]["vals"]
        assert trial["result"]["first"] == before["last_report"]["step"] + 1
        x = trial["misc"]["vals"]["x"][0]
        assert trial["reports"] == [
            {"step": step, "loss": loss_after(x, step)}
            for step in range(1, trial["last_report"]["step"] + 1)
        ]


def test_continuations_do_not_count_against_max_evals():
    trials = search(ASHA(1, FULL_STEPS, eta=2), max_evals=60)

    assert sum("continues" not in trial for trial in trials.trials) == 60


def test_in_the_end_nobody_who_belongs_to_the_best_stands_stopped():
    rule = ASHA(1, FULL_STEPS, eta=2)
    trials = search(rule, max_evals=60)

    assert Continuations(trials, rule).insert() == 0


def test_a_search_that_is_continued_goes_on_with_the_rungs_as_they_stand():
    once = search(ASHA(1, FULL_STEPS))
    twice = search(ASHA(1, FULL_STEPS), max_evals=40, trials=search(ASHA(1, FULL_STEPS), 20))

    assert len(with_status(twice, "stopped")) > len(with_status(once, "stopped")) / 2


@pytest.mark.parametrize("algo", [rand.suggest, tpe.suggest])
@pytest.mark.parametrize("rule", [Hyperband(1, FULL_STEPS), MedianRule()])
def test_every_rule_stops_some_and_completes_the_best(algo, rule):
    trials = search(rule, algo=algo)

    assert with_status(trials, "stopped")
    assert trials.best_trial["last_report"]["step"] == FULL_STEPS


def test_the_best_trial_is_a_stopped_one_only_while_there_is_no_other():
    class Always:
        def should_stop(self, curve, history):
            return curve.last_step >= (9 if curve.line % 2 else 3)

    trials = search(Always(), max_evals=10)

    far = [trial for trial in trials.trials if trial["last_report"]["step"] == 9]
    best = min(far, key=lambda trial: trial["result"]["loss"])
    assert trials.best_trial["tid"] == best["tid"]
    assert trials.best_loss == best["result"]["loss"]

    search(max_evals=11, trials=trials)
    assert trials.best_trial["result"]["status"] == "ok"


# --- the same decisions everywhere ---------------------------------------------------------


VALUES = np.random.default_rng(0).uniform(-5, 5, 40)


def listed(new_ids, domain, trials, seed):
    """Suggest VALUES one after the other, whatever ids continuations took meanwhile."""
    n_before = int((~trials.observations().is_continuation).sum())
    values = VALUES[n_before : n_before + len(new_ids)]
    return domain.new_trials(trials, new_ids, [{"x": float(x)} for x in values])


def evaluated_by_workers(rule):
    """The trials of a search, claimed and evaluated one by one as a worker does it."""
    trials, domain = Trials(), Domain(trains, SPACE)
    domain.stopper = rule
    keys = load_keys()
    packed = pack(domain, None, keys)
    trials.store.put_objective(None, packed.sha256, packed.payload)
    continuations = Continuations(trials, rule)

    def work():
        while (trial := trials.store.claim("node1:10:a")) is not None:
            desk = Desk(trials.store, trial, lambda act: act())
            outcome = Evaluation(desk.answer).evaluate(trial, None)
            trials.store.finish(Claim.of(trial), outcome.result)
            trials.refresh()
            continuations.insert()

    for _ in VALUES:
        [fresh] = listed(trials.new_trial_ids(1), domain, trials, 0)
        fresh["objective"] = packed.sha256
        trials.insert_trial_docs([fresh])
        work()
    return trials


@pytest.mark.parametrize(
    "rule", [ASHA(1, FULL_STEPS, eta=2), Hyperband(1, FULL_STEPS), MedianRule()]
)
def test_a_worker_decides_as_the_driver_does(rule):
    in_driver, by_workers = search(rule, algo=listed), evaluated_by_workers(rule)

    assert outcomes(in_driver) == outcomes(by_workers)


# --- rules that fail -----------------------------------------------------------------------


def test_a_rule_that_raises_spoils_neither_trials_nor_search(caplog):
    class Failing:
        def should_stop(self, curve, history):
            raise ZeroDivisionError("no trials yet")

        def promotions(self, history):
            raise KeyError("rung")

    trials = search(Failing(), max_evals=5)

    assert len(with_status(trials, "ok")) == 5
    assert "the trial goes on: ZeroDivisionError" in caplog.text


def test_a_rule_that_cannot_promote_is_logged_and_the_search_goes_on(caplog):
    class Failing(ASHA):
        def promotions(self, history):
            raise KeyError("rung")

    trials = search(Failing(1, FULL_STEPS), max_evals=20)

    assert with_status(trials, "stopped")
    assert "the stopping rule promotes nothing: KeyError: 'rung'" in caplog.text


@pytest.mark.parametrize("stopper", ["asha", ASHA, 3, lambda curve: True])
def test_what_is_no_rule_is_refused_before_the_search(stopper):
    with pytest.raises(InvalidOption, match="stopper must be a stopping rule such as"):
        search(stopper)


# --- how the rule travels --------------------------------------------------------------------


def rule_after_travelling(fn, rule):
    domain = Domain(fn, {"x": hp.uniform("x", -5, 5)})
    domain.stopper = rule
    keys = load_keys()
    packed = pack(domain, "digits", keys)
    return unpack(verify(packed.payload, packed.sha256, "digits", keys)).stopper


@pytest.mark.parametrize("rule", [None, ASHA(3, 81), MedianRule(percentile=25)])
def test_a_rule_travels_with_the_signed_objective(rule):
    from hpo.by_name import NamedFunction

    assert rule_after_travelling(lambda c: c["x"], rule) == rule
    assert rule_after_travelling(NamedFunction("math:sqrt"), rule) == rule


def test_a_rule_of_ones_own_cannot_travel_with_a_name():
    from hpo.by_name import NamedFunction

    class Mine:
        def should_stop(self, curve, history):
            return False

    with pytest.raises(UnpicklableObjective, match="type Mine cannot be stored as data"):
        rule_after_travelling(NamedFunction("math:sqrt"), Mine())


# --- what people see -------------------------------------------------------------------------


def test_progress_tells_how_many_were_stopped_and_what_that_saved(capsys):
    search(ASHA(1, FULL_STEPS), show_progressbar=True)

    last_line = capsys.readouterr().err.splitlines()[-1]
    assert "40/40 done" in last_line
    assert "stopped (" in last_line and "% of the budget saved)" in last_line
    assert "failed" not in last_line


def test_without_a_rule_progress_says_nothing_of_it():
    from hpo.progress import Snapshot

    stream = io.StringIO()
    with reporting(True, name="digits", initial=0, total=2, stream=stream) as reporter:
        reporter.show(Snapshot(done=2, total=2, best_loss=0.5))

    assert "stopped" not in stream.getvalue()
