"""One trial in the process that evaluates it: results, exceptions, directories."""

from __future__ import annotations

import os
import sys
import threading

import numpy as np
import pytest

from hpo import Ctrl, Domain, hp
from hpo.document import new_trial
from hpo.objective import pack, verify
from hpo.signing import load_keys
from hpo_worker.evaluation import (
    MAX_ERROR_CHARS,
    MAX_LOADED_OBJECTIVES,
    Evaluation,
    raised,
)
from hpo_worker.outcome import Died, Done, Unloadable


class Desk:
    """Answers like a worker's desk, from dictionaries."""

    def __init__(self):
        self.payloads, self.attachments, self.checkpoints, self.asked = {}, {}, [], []

    def store(self, fn, space=None, **options):
        domain = Domain(fn, space or {"x": hp.uniform("x", 0, 9)}, **options)
        packed = pack(domain, None, load_keys())
        self.payloads[packed.sha256] = packed.payload
        return packed.sha256

    def __call__(self, verb, *arguments):
        self.asked.append(verb)
        return getattr(self, f"_{verb}")(*arguments)

    def _objective(self, sha256):
        return verify(self.payloads[sha256], sha256, None, load_keys())

    def _checkpoint(self, result):
        self.checkpoints.append(result)

    def _attachment(self, name):
        return self.attachments[name]

    def _attach(self, name, value):
        self.attachments[name] = value

    def _detach(self, name):
        del self.attachments[name]

    def _attachment_names(self):
        return list(self.attachments)


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def evaluation(desk):
    return Evaluation(desk)


def trial_of(sha256, x=3.0, tid=0):
    return new_trial(tid, values={"x": x}, labels=["x"]) | {"objective": sha256}


def evaluate(evaluation, desk, fn, workdir=None, **options):
    return evaluation.evaluate(trial_of(desk.store(fn, **options)), workdir)


def test_a_returned_number_becomes_a_result(evaluation, desk):
    assert evaluate(evaluation, desk, lambda c: c["x"] + 1) == Done({"loss": 4.0, "status": "ok"})


def test_numpy_values_are_converted_before_they_leave(evaluation, desk):
    def objective(c):
        return {"loss": np.float32(0.5), "status": "ok", "curve": np.arange(3), "n": np.int64(7)}

    outcome = evaluate(evaluation, desk, objective)

    assert outcome.result == {"loss": 0.5, "status": "ok", "curve": [0, 1, 2], "n": 7}
    assert type(outcome.result["n"]) is int


def test_what_cannot_be_stored_is_named_with_its_path(evaluation, desk):
    outcome = evaluate(
        evaluation, desk, lambda c: {"loss": 0.0, "status": "ok", "fit": {"model": object()}}
    )

    assert outcome.error[0] == "UnstorableResult"
    assert "result['fit']['model'] is of type object" in outcome.error[1]


@pytest.mark.parametrize("loss", [None, "0.3", [1.0]])
def test_an_unusable_loss_is_a_failure_that_says_so(evaluation, desk, loss):
    outcome = evaluate(evaluation, desk, lambda c: loss)

    assert outcome.error[0] == "InvalidLoss"
    assert type(loss).__name__ in outcome.error[1]


def test_a_traceback_begins_with_the_users_frame(evaluation, desk):
    def deeper(c):
        raise ValueError("bad x")

    def objective(c):
        return deeper(c)

    outcome = evaluate(evaluation, desk, objective)

    assert outcome.error == ("ValueError", "bad x")
    frames = [line for line in outcome.traceback.splitlines() if line.startswith("  File")]
    assert len(frames) == 2
    assert frames[0].endswith("in objective")
    assert frames[1].endswith("in deeper")


@pytest.mark.parametrize(
    ("error", "kind"), [(SystemExit(3), "SystemExit"), (KeyboardInterrupt(), "KeyboardInterrupt")]
)
def test_exits_and_interrupts_of_the_objective_are_ordinary_failures(
    evaluation, desk, error, kind
):
    def objective(c):
        raise error

    assert evaluate(evaluation, desk, objective).error[0] == kind


def test_endless_texts_are_cut_in_the_middle():
    outcome = raised(ValueError("a" * 50_000 + "z" * 50_000))

    text = outcome.error[1]
    assert len(text) < MAX_ERROR_CHARS + 100
    assert text.startswith("aaa")
    assert text.endswith("zzz")
    assert "90000 characters left out" in text


def test_texts_that_utf8_cannot_hold_are_escaped():
    assert raised(ValueError("bad name: \udcff")).error[1] == "bad name: \\udcff"


def test_an_exception_without_a_text_is_described():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    assert raised(Mute()).error == ("Mute", "<its text cannot be had: RuntimeError>")


def test_a_missing_module_is_named(evaluation, desk, tmp_path, monkeypatch):
    (tmp_path / "lonely_module.py").write_text("def objective(c):\n    return c['x']\n")
    monkeypatch.syspath_prepend(tmp_path)
    import lonely_module

    sha256 = desk.store(lonely_module.objective)
    monkeypatch.delitem(sys.modules, "lonely_module")
    (tmp_path / "lonely_module.py").unlink()
    sys.path_importer_cache.clear()

    outcome = evaluation.evaluate(trial_of(sha256), None)

    assert isinstance(outcome, Unloadable)
    assert "'lonely_module'" in outcome.message


def test_an_objective_is_loaded_once(evaluation, desk):
    sha256 = desk.store(lambda c: c["x"])

    for tid in range(3):
        evaluation.evaluate(trial_of(sha256, tid=tid), None)

    assert desk.asked == ["objective"]


def test_only_the_latest_objectives_are_kept(evaluation, desk):
    shas = [desk.store(lambda c, i=i: i) for i in range(MAX_LOADED_OBJECTIVES + 1)]
    for sha256 in [*shas, shas[-1], shas[0]]:
        evaluation.evaluate(trial_of(sha256), None)

    assert desk.asked == ["objective"] * (MAX_LOADED_OBJECTIVES + 2)


def test_a_trial_runs_in_its_directory_and_leaves_it(evaluation, desk, tmp_path):
    before = os.getcwd()

    def objective(c):
        import os

        return {"loss": 0.0, "status": "ok", "cwd": os.getcwd()}

    outcome = evaluate(evaluation, desk, objective, workdir=str(tmp_path / "new" / "7"))

    assert outcome.result["cwd"] == str(tmp_path / "new" / "7")
    assert os.getcwd() == before


def test_ctrl_reaches_the_worker(evaluation, desk):
    def objective(args):
        _, ctrl = args
        ctrl.checkpoint({"status": "running", "loss": np.float64(9.0)})
        ctrl.attachments["weights"] = b"123"
        ctrl.attachments["draft"] = bytearray(b"4")
        assert ctrl.attachments["weights"] == b"123"
        assert list(ctrl.attachments) == ["weights", "draft"]
        del ctrl.attachments["draft"]
        return {"loss": 0.0, "status": "ok", "tid": ctrl.current_trial["tid"]}

    outcome = evaluate(evaluation, desk, objective, space=({"x": hp.uniform("x", 0, 9)}, Ctrl))

    assert outcome == Done({"loss": 0.0, "status": "ok", "tid": 0})
    assert desk.checkpoints == [{"status": "running", "loss": 9.0}]
    assert desk.attachments == {"weights": b"123"}


def test_attachments_of_a_result_are_put_beside_the_trial(evaluation, desk):
    outcome = evaluate(
        evaluation,
        desk,
        lambda c: {"loss": 0.0, "status": "ok", "attachments": {"model": b"abc"}},
    )

    assert outcome.result == {"loss": 0.0, "status": "ok"}
    assert desk.attachments == {"model": b"abc"}


def test_an_attachment_must_be_bytes(evaluation, desk):
    outcome = evaluate(
        evaluation,
        desk,
        lambda c: {"loss": 0.0, "status": "ok", "attachments": {"model": object()}},
    )

    assert outcome.error[0] == "TypeError"
    assert "attachment 'model' must be bytes, not object" in outcome.error[1]


def test_a_thread_left_behind_cannot_write_into_the_next_trial(evaluation, desk):
    kept = []

    def objective(args):
        kept.append(args[1])
        return 0.0

    sha256 = desk.store(lambda args: 0.0, space=({"x": hp.uniform("x", 0, 9)}, Ctrl))
    evaluation.evaluate(trial_of(sha256), None)
    evaluation._domains[
        None, sha256
    ].fn = objective  # unpickled copies share no list with this test
    evaluation.evaluate(trial_of(sha256), None)

    errors = []

    def straggler():
        try:
            kept[0].checkpoint({"loss": 1.0})
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=straggler)
    thread.start()
    thread.join()
    assert "has ended" in errors[0]
    assert desk.checkpoints == []


@pytest.mark.parametrize(
    ("status", "reason", "details", "words"),
    [
        (-11, "signal", {"signal": 11}, "signal 11 (SIGSEGV)"),
        (-6, "signal", {"signal": 6}, "signal 6 (SIGABRT)"),
        (-9, "killed", {"signal": 9}, "for want of memory"),
        (-15, "killed", {"signal": 15}, "something sent"),
        (-63, "killed", {"signal": 63}, "signal 63"),
        (7, "exit", {"exit_code": 7}, "exit code 7"),
        (0, "exit", {"exit_code": 0}, "exit code 0"),
    ],
)
def test_the_end_of_a_process_is_put_into_words(status, reason, details, words):
    died = Died(status)

    assert (died.reason, died.details) == (reason, details)
    assert words in died.error[1]
