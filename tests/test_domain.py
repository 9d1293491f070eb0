"""Evaluating one configuration, and what an objective may return."""

from __future__ import annotations

import decimal
import math

import numpy as np
import pytest

from hpo import STATUS_FAIL, STATUS_OK, Ctrl, Domain, Trials, hp, pyll
from hpo.base import miscs_update_idxs_vals
from hpo.exceptions import InvalidLoss, InvalidResultStatus


def evaluate(returned, **options):
    domain = Domain(lambda _: returned, {"x": hp.uniform("x", 0, 1)}, **options)
    return domain.evaluate({"x": 0.5}, Ctrl(Trials()))


def test_the_objective_gets_the_configuration_as_values():
    space = {
        "model": hp.choice("model", [{"kind": "svm", "C": hp.lognormal("C", 0, 1)}, "tree"]),
        "depth": hp.uniformint("depth", 1, 9),
        "pair": [1, hp.quniform("q", 0, 10, 5)],
    }
    seen = []
    domain = Domain(lambda configuration: seen.append(configuration) or 0.0, space)

    domain.evaluate({"model": 0, "C": 2.0, "depth": 3, "q": 5.0}, Ctrl(Trials()))

    assert seen == [{"model": {"kind": "svm", "C": 2.0}, "depth": 3, "pair": (1, 5.0)}]
    assert type(seen[0]["depth"]) is int


@pytest.mark.parametrize(
    "loss",
    [1, 1.0, np.float32(1.0), np.int64(1), np.array(1.0), True, decimal.Decimal(1)],
    ids=lambda loss: type(loss).__name__,
)
def test_anything_that_is_one_real_number_is_a_loss(loss):
    result = evaluate(loss)

    assert result == {"loss": 1.0, "status": STATUS_OK}
    assert type(result["loss"]) is float


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "does every path of the function end in `return`"),
        ("0.5", r"the loss '0.5' \(str\)"),
        (np.array([0.5, 0.6]), "return one number, its mean"),
        ([0.5], "return one number, its mean"),
        ((0.5, {}), "a dictionary with 'loss' and 'status'"),
        (1j, r"1j \(complex\)"),
        ({"status": STATUS_OK}, "without a 'loss'"),
        ({"status": STATUS_OK, "loss": None}, "None"),
    ],
)
def test_a_loss_that_is_no_real_number_is_refused_with_advice(returned, message):
    with pytest.raises(InvalidLoss, match=message):
        evaluate(returned)


@pytest.mark.parametrize("returned", [float("nan"), {"status": STATUS_OK, "loss": np.nan}])
def test_a_nan_loss_is_a_failure_that_can_never_be_best(returned):
    result = evaluate(returned)

    assert result["status"] == STATUS_FAIL
    assert result["failure"] == "loss is NaN"
    assert math.isnan(result["loss"])


def test_an_objective_without_a_name_of_its_own_gets_a_readable_one():
    def outer():
        return lambda _: 0.0

    domain = Domain(outer(), hp.uniform("x", 0, 1))

    assert domain.name.endswith("outer.lambda")
    assert "<" not in domain.name


def test_infinite_losses_are_losses():
    assert evaluate(float("inf")) == {"loss": math.inf, "status": STATUS_OK}


@pytest.mark.parametrize(
    ("returned", "message"),
    [({"loss": 1.0}, "without 'status'"), ({"loss": 1.0, "status": "okay"}, "status 'okay'")],
)
def test_a_status_is_required_and_checked(returned, message):
    with pytest.raises(InvalidResultStatus, match=message) as raised:
        evaluate(returned)
    assert raised.value.result["loss"] == 1.0


def test_other_keys_of_the_result_are_kept():
    result = evaluate({"status": STATUS_FAIL, "why": "diverged"})

    assert result == {"status": STATUS_FAIL, "why": "diverged"}


def test_attachments_leave_the_result():
    trials = Trials()
    domain = Domain(
        lambda _: {"status": STATUS_OK, "loss": 0.0, "attachments": {"log": b"text"}},
        hp.uniform("x", 0, 1),
    )
    [trial] = domain.new_trials(trials, trials.new_trial_ids(1), [{"x": 0.5}])
    trials.insert_trial_docs([trial])
    trials.refresh()

    result = domain.evaluate({"x": 0.5}, Ctrl(trials, current_trial=trials.trials[0]))

    assert result == {"status": STATUS_OK, "loss": 0.0}
    assert trials.trial_attachments(trials.trials[0])["log"] == b"text"


def test_an_objective_may_evaluate_the_space_itself():
    def objective(expr, memo, ctrl):
        return pyll.rec_eval(expr, memo=memo)["x"] + isinstance(ctrl, Ctrl)

    domain = Domain(objective, {"x": hp.uniform("x", 0, 1)}, pass_expr_memo_ctrl=True)

    assert domain.evaluate({"x": 0.5}, Ctrl(Trials()))["loss"] == 1.5


def test_the_class_ctrl_in_a_space_stands_for_the_live_object():
    seen = []
    space = {"x": hp.uniform("x", 0, 1), "ctrl": Ctrl}
    domain = Domain(lambda configuration: seen.append(configuration["ctrl"]) or 0.0, space)
    ctrl = Ctrl(Trials())

    domain.evaluate({"x": 0.5}, ctrl)

    assert seen == [ctrl]


def test_new_trials_carry_both_hyperopts_encoding_and_readable_values():
    space = {
        "model": hp.choice("model", ["svm", "tree"]),
        "depth": hp.uniformint("depth", 1, 9),
    }
    trials = Trials(exp_key="digits")
    domain = Domain(lambda _: 0.0, space)

    [trial] = domain.new_trials(trials, [5], [{"model": 1, "depth": 3}])

    assert trial["tid"] == 5
    assert trial["exp_key"] == "digits"
    assert trial["misc"]["vals"] == {"model": [1], "depth": [3]}
    assert trial["misc"]["idxs"] == {"model": [5], "depth": [5]}
    assert trial["params"] == {"model": "tree", "depth": 3}


def test_an_algorithm_in_hyperopts_manner_draws_columns_from_the_domain():
    domain = Domain(len, {"c": hp.choice("c", [0, hp.normal("n", 0.0, 1.0)])})
    trials = Trials()

    def suggest(new_ids, domain, trials, seed):
        rng = np.random.default_rng(seed)
        memo = {domain.s_new_ids: new_ids, domain.s_rng: rng}
        idxs, vals = pyll.rec_eval(domain.s_idxs_vals, memo=memo)
        miscs = [{"tid": tid, "cmd": domain.cmd, "workdir": domain.workdir} for tid in new_ids]
        miscs_update_idxs_vals(miscs, idxs, vals)
        results = [domain.new_result() for _ in new_ids]
        return trials.new_trial_docs(new_ids, [None] * len(new_ids), results, miscs)

    trials.insert_trial_docs(suggest(trials.new_trial_ids(20), domain, trials, 1))
    trials.refresh()

    assert trials.vals["c"] == [len(tids) for tids in (m["vals"]["n"] for m in trials.miscs)]
