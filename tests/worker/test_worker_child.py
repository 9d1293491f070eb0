"""The child process: reuse, crashes, leftovers, and being ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import psutil
import pytest

from hpo import Ctrl, Domain, hp
from hpo.document import new_trial
from hpo.exceptions import UnstorableResult
from hpo.objective import pack, verify
from hpo.signing import load_keys
from hpo_worker.evaluator import ChildProcess, InProcess
from hpo_worker.outcome import Cut, Died, Done, Interruption, Raised
from hpo_worker.stopping import StopSignals
from tests.worker.conftest import wait_until

SPACE = ({"x": hp.uniform("x", 0, 9)}, Ctrl)


@pytest.fixture
def stop():
    with StopSignals() as stop:
        yield stop


@pytest.fixture
def child(stop):
    child = ChildProcess(stop)
    yield child
    child.close()


def evaluate(evaluator, fn, *, ask=None, is_cut=lambda: False, workdir=None):
    """Evaluate fn((configuration, ctrl)) once."""
    packed = pack(Domain(fn, SPACE), None, load_keys())

    def answer(verb, *arguments):
        if verb == "objective":
            return verify(packed.payload, packed.sha256, None, load_keys())
        return ask(verb, *arguments)

    trial = new_trial(0, values={"x": 3.0}, labels=["x"]) | {"objective": packed.sha256}
    return evaluator.evaluate(trial, workdir, ask=answer, is_cut=is_cut)


def pid_of(outcome):
    return outcome.result["pid"]


def make_objective(source):
    """An objective from source text, so that nothing of this module travels with it."""
    namespace = {}
    exec(textwrap.dedent(source), namespace)
    return namespace["objective"]


REPORTS_PID = make_objective(
    """
    def objective(args):
        import os
        return {"loss": args[0]["x"], "status": "ok", "pid": os.getpid()}
    """
)


def test_the_child_is_another_process_and_is_used_again(child):
    first = evaluate(child, REPORTS_PID)
    second = evaluate(child, REPORTS_PID)

    assert pid_of(first) == pid_of(second) != os.getpid()
    assert first.result["loss"] == 3.0


def test_an_exception_does_not_cost_the_child(child):
    pid = pid_of(evaluate(child, REPORTS_PID))

    outcome = evaluate(child, make_objective("def objective(args):\n    1 / 0"))

    assert outcome.error == ("ZeroDivisionError", "division by zero")
    assert pid_of(evaluate(child, REPORTS_PID)) == pid


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
        ("import os; os.abort()", -signal.SIGABRT),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import os; os._exit(7)", 7),
        ("import os; os._exit(0)", 0),
    ],
)
def test_a_child_that_dies_is_replaced(child, ending, status):
    pid = pid_of(evaluate(child, REPORTS_PID))

    outcome = evaluate(child, make_objective(f"def objective(args):\n    {ending}"))

    assert outcome == Died(status)
    assert pid_of(evaluate(child, REPORTS_PID)) != pid


def test_a_crash_says_where_on_standard_error(capfd, stop):
    child = ChildProcess(stop)
    evaluate(child, make_objective("def objective(args):\n    import ctypes; ctypes.string_at(0)"))
    child.close()

    assert "Segmentation fault" in capfd.readouterr().err


def test_an_objective_that_closes_the_connection_fails_its_trial(child):
    closes = make_objective(
        """
        def objective(args):
            import os
            os.closerange(3, 100)
            return 0.0
        """
    )
    assert evaluate(child, closes) == Died(1)
    assert isinstance(evaluate(child, REPORTS_PID), Done)


def test_a_child_that_died_between_two_trials_is_replaced_silently(child):
    pid = pid_of(evaluate(child, REPORTS_PID))
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))

    outcome = evaluate(child, REPORTS_PID)

    assert isinstance(outcome, Done)
    assert pid_of(outcome) != pid


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


LEAVES_A_PROCESS_AND = """
def objective(args):
    import os, subprocess, sys
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    args[1].checkpoint({"left": left.pid})
"""


@pytest.mark.parametrize("ending", ["os._exit(1)", "time.sleep(600)"])
def test_processes_that_a_spoilt_child_started_end_with_it(child, ending):
    left = []
    source = LEAVES_A_PROCESS_AND + f"    import time; {ending}\n"

    outcome = evaluate(
        child,
        make_objective(source),
        ask=lambda verb, result: left.append(result["left"]),
        is_cut=lambda: bool(left),
    )

    assert outcome in (Died(1), Cut())
    wait_until(lambda: not is_running(left[0]))


def test_a_forked_process_that_holds_the_connection_does_not_hide_a_death(child):
    forks = make_objective(
        """
        def objective(args):
            import os, time
            if os.fork() == 0:
                time.sleep(600)
            os._exit(5)
        """
    )
    began_at = time.monotonic()

    assert evaluate(child, forks) == Died(5)
    assert time.monotonic() - began_at < 10


def test_an_evaluation_is_cut_when_woken(child, stop):
    pids, is_over = [], threading.Event()
    sleeps = make_objective(
        """
        def objective(args):
            import os, time
            args[1].checkpoint({"pid": os.getpid()})
            time.sleep(600)
        """
    )

    def end_soon():
        is_over.set()
        stop.wake()

    def ask(verb, result):
        pids.append(result["pid"])
        threading.Timer(0.05, end_soon).start()

    assert evaluate(child, sleeps, ask=ask, is_cut=is_over.is_set) == Cut()
    assert not is_running(pids[0])


def test_an_objective_that_ignores_sigterm_is_cut_too(child):
    asked = []
    stubborn = make_objective(
        """
        def objective(args):
            import signal, time
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            args[1].checkpoint({})
            while True:
                time.sleep(1)
        """
    )
    began_at = time.monotonic()

    outcome = evaluate(
        child, stubborn, ask=lambda *question: asked.append(question), is_cut=lambda: bool(asked)
    )

    assert outcome == Cut()
    assert time.monotonic() - began_at < 10


def test_an_objective_that_asks_without_end_can_be_cut(child):
    asked = []
    asks = make_objective(
        """
        def objective(args):
            while True:
                args[1].checkpoint({"loss": 1.0})
        """
    )

    outcome = evaluate(
        child, asks, ask=lambda *question: asked.append(question), is_cut=lambda: len(asked) > 50
    )

    assert outcome == Cut()


def test_an_interruption_at_the_desk_cuts_the_evaluation(child):
    def ask(verb, result):
        raise Interruption

    asks = make_objective("def objective(args):\n    args[1].checkpoint({})\n    return 0.0")

    assert evaluate(child, asks, ask=ask) == Cut()


def test_the_desks_errors_are_raised_in_the_objective(child):
    def ask(verb, name, *value):
        raise {"attach": UnstorableResult("too large", 17), "attachment": KeyError(name)}[verb]

    catches = make_objective(
        """
        def objective(args):
            from hpo.exceptions import UnstorableResult
            try:
                args[1].attachments["big"] = b""
            except UnstorableResult as error:
                text = str(error)
            return {"loss": 0.0, "status": "ok", "text": text,
                    "has_small": "small" in args[1].attachments}
        """
    )
    outcome = evaluate(child, catches, ask=ask)

    assert outcome.result["text"] == "too large"
    assert outcome.result["has_small"] is False


def test_ctrl_refuses_to_work_in_a_forked_process(child):
    forks = make_objective(
        """
        def objective(args):
            import os
            reader, writer = os.pipe()
            if os.fork() == 0:
                try:
                    args[1].checkpoint({})
                except RuntimeError as error:
                    os.write(writer, str(error).encode())
                os._exit(0)
            os.wait()
            return {"loss": 0.0, "status": "ok", "text": os.read(reader, 1000).decode()}
        """
    )
    assert "not in one that it forked" in evaluate(child, forks).result["text"]


def test_large_values_pass_both_ways(child):
    stored = {}

    def ask(verb, name, *value):
        if value:
            stored[name] = value[0]
        return stored[name]

    echoes = make_objective(
        """
        def objective(args):
            blob = bytes(range(256)) * 80_000
            args[1].attachments["blob"] = blob
            assert args[1].attachments["blob"] == blob
            return {"loss": 0.0, "status": "ok", "text": "x" * 5_000_000}
        """
    )
    outcome = evaluate(child, echoes, ask=ask)

    assert len(outcome.result["text"]) == 5_000_000
    assert len(stored["blob"]) == 256 * 80_000


def test_a_fresh_process_for_every_trial(stop):
    child = ChildProcess(stop, is_fresh_each_time=True)
    pids = {pid_of(evaluate(child, REPORTS_PID)) for _ in range(2)}
    child.close()

    assert len(pids) == 2
    assert not any(is_running(pid) for pid in pids)


def test_the_objective_sees_neither_arguments_nor_the_databases_address(child, monkeypatch):
    monkeypatch.setenv("HPO_MONGO_URL", "mongodb://ann:secret@nowhere/")
    looks = make_objective(
        """
        def objective(args):
            import os, sys
            return {"loss": 0.0, "status": "ok", "argv": sys.argv[1:],
                    "environment": str(dict(os.environ)), "stdin": sys.stdin.read()}
        """
    )
    evaluate(child, make_objective("def objective(args):\n    import os; os._exit(0)"))

    result = evaluate(child, looks).result

    assert result["argv"] == []
    assert result["stdin"] == ""
    assert "secret" not in result["environment"]


def test_a_child_may_clean_up_when_it_is_no_longer_needed(stop, tmp_path):
    registers = make_objective(
        f"""
        def objective(args):
            import atexit, pathlib
            atexit.register(pathlib.Path({str(tmp_path / "clean")!r}).touch)
            return 0.0
        """
    )
    child = ChildProcess(stop)
    evaluate(child, registers)
    child.close()

    assert (tmp_path / "clean").exists()


ORPHANS = """
import os, sys, time
from hpo_worker.evaluator import ChildProcess
from hpo_worker.stopping import StopSignals
from tests.worker.test_worker_child import evaluate, make_objective

def ask(verb, result):
    print(result["pid"], flush=True)

with StopSignals() as stop:
    evaluate(ChildProcess(stop), make_objective('''
def objective(args):
    import os, time
    args[1].checkpoint({"pid": os.getpid()})
    time.sleep(600)
'''), ask=ask)
"""


def test_a_child_does_not_outlive_a_killed_worker():
    worker = subprocess.Popen(
        [sys.executable, "-c", ORPHANS],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    pid = int(worker.stdout.readline())
    assert is_running(pid)

    worker.kill()
    worker.wait()
    worker.stdout.close()

    wait_until(lambda: not is_running(pid))


# --- the same without a child ---


def test_an_exception_in_process_is_an_outcome_too(stop):
    outcome = evaluate(InProcess(stop), make_objective("def objective(args):\n    1 / 0"))

    assert isinstance(outcome, Raised)


def test_a_stop_signal_interrupts_an_objective_in_process(stop):
    caught = make_objective(
        """
        def objective(args):
            import os, signal, time
            os.kill(os.getpid(), signal.SIGTERM)
            try:
                time.sleep(600)
            except Exception:
                pass
        """
    )
    assert evaluate(InProcess(stop), caught) == Cut()
    assert stop.requested
    assert stop.reason == "preempted"


def test_a_stopped_worker_begins_no_objective_in_process(stop):
    os.kill(os.getpid(), signal.SIGINT)

    assert evaluate(InProcess(stop), make_objective("def objective(args):\n    1 / 0")) == Cut()
    assert stop.reason == "interrupted"
