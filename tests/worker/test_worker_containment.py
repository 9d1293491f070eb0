"""What an objective cannot do to its worker: hang, eat the memory, leave processes, flood it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import psutil
import pytest

from hpo_worker import processes
from hpo_worker.evaluator import ChildProcess, TrialLimits
from hpo_worker.outcome import Cut, Died, Done, OutOfMemory, Raised, TimedOut
from hpo_worker.output import MAX_BYTES, MAX_LINES
from hpo_worker.stopping import StopSignals
from tests.worker.conftest import wait_until
from tests.worker.test_worker_child import (
    REPORTS_PID,
    evaluate,
    is_running,
    make_objective,
    pid_of,
)

pytestmark = pytest.mark.skipif(not processes.HAS_PROC, reason="needs Linux's /proc")

LIMIT_BYTES = 400 * 2**20


@pytest.fixture
def stop():
    with StopSignals() as stop:
        yield stop


@pytest.fixture
def start_child(stop):
    """start_child(**limits) -> a ChildProcess."""
    children = []

    def start(**limits):
        children.append(ChildProcess(stop, limits=TrialLimits(**limits)))
        return children[-1]

    yield start
    for child in children:
        child.close()


@pytest.fixture
def child(start_child):
    return start_child()


class Pids:
    """Takes the process ids that an objective tells by checkpoints."""

    def __init__(self):
        self.told = []

    def __call__(self, verb, result):
        self.told.append(result["pid"])


# --- time ---


def test_an_objective_that_hangs_is_ended_with_all_it_started(start_child):
    child, pids = start_child(timeout_secs=0.6), Pids()
    hangs = make_objective(
        """
        def objective(args):
            import subprocess, time
            args[1].checkpoint({"pid": subprocess.Popen(["sleep", "600"]).pid})
            while True:
                try:
                    time.sleep(600)
                except BaseException:
                    pass
        """
    )
    evaluate(child, REPORTS_PID)
    began_at = time.monotonic()

    assert evaluate(child, hangs, ask=pids) == TimedOut(0.6)

    assert 0.6 <= time.monotonic() - began_at < 5
    wait_until(lambda: not is_running(pids.told[0]))
    assert isinstance(evaluate(child, REPORTS_PID), Done)


def test_an_objective_that_never_stops_asking_is_ended_in_time_too(start_child):
    child = start_child(timeout_secs=0.3)
    asks = make_objective(
        "def objective(args):\n    while True:\n        args[1].checkpoint({})\n"
    )

    assert evaluate(child, asks, ask=lambda *question: None) == TimedOut(0.3)


@pytest.mark.parametrize(
    ("asked", "secs"),
    [(0.5, 0.5), (9, 2.0), (None, 2.0), ("1", 2.0), (-1, 2.0), (float("nan"), 2.0), (True, 2.0)],
)
def test_a_trial_may_ask_for_less_time_than_the_worker_allows(asked, secs):
    assert TrialLimits(timeout_secs=2.0).of({"timeout_secs": asked}).timeout_secs == secs


def test_without_the_workers_limit_the_trials_own_holds():
    assert TrialLimits().of({"timeout_secs": 7}).timeout_secs == 7.0
    assert TrialLimits().of({}).timeout_secs is None


# --- memory ---

FILLS_MEMORY = """
def objective(args):
    import time
    held = []
    while True:
        held.append(b"x" * 2**24)
        time.sleep(0.005)
"""


def test_an_objective_that_eats_the_memory_is_ended(start_child):
    child = start_child(max_memory_bytes=LIMIT_BYTES)

    outcome = evaluate(child, make_objective(FILLS_MEMORY))

    assert isinstance(outcome, OutOfMemory)
    assert LIMIT_BYTES < outcome.memory_bytes < 4 * LIMIT_BYTES
    assert outcome.max_memory_bytes == LIMIT_BYTES
    assert outcome.reason == "memory"
    assert "400 MiB are allowed" in outcome.error[1]
    assert isinstance(evaluate(child, REPORTS_PID), Done)


def test_what_processes_of_the_objective_hold_counts_too(start_child):
    child = start_child(max_memory_bytes=LIMIT_BYTES)
    source = f"""
def objective(args):
    import subprocess, sys
    subprocess.run([sys.executable, "-c", {FILLS_MEMORY + "objective(None)"!r}],
                   start_new_session=True)
"""
    assert isinstance(evaluate(child, make_objective(source)), OutOfMemory)


def test_memory_that_processes_share_counts_once(start_child):
    child = start_child(max_memory_bytes=LIMIT_BYTES)
    shares = make_objective(
        """
        def objective(args):
            import os, time
            data = b"x" * 2**27
            forked = []
            for _ in range(6):
                pid = os.fork()
                if pid == 0:
                    time.sleep(600)
                forked.append(pid)
            time.sleep(0.5)
            for pid in forked:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
            return float(len(data))
        """
    )
    assert isinstance(evaluate(child, shares), Done)


# --- processes that are left behind ---

LEAVES = {
    "a child": "subprocess.Popen(['sleep', '600'])",
    "a child in its own session": "subprocess.Popen(['sleep', '600'], start_new_session=True)",
    "an orphan": "subprocess.Popen(['sh', '-c', 'sleep 600 & echo $! > {path}'])",
    "a daemon": "subprocess.Popen(['setsid', 'sh', '-c', 'sleep 600 & echo $! > {path}'])",
    "one that ignores SIGTERM": "subprocess.Popen(['sh', '-c', 'trap \"\" TERM; sleep 600'])",
    "one without an environment": "subprocess.Popen(['sleep', '600'], env={{}})",
}


ENDINGS = ("return 0.0", "os._exit(3)", "os.kill(os.getpid(), 11)")


@pytest.mark.parametrize(
    ("how", "ending"),
    # Without an environment it bears no mark: a living parent is needed to find it.
    [
        (how, ending)
        for how in LEAVES
        for ending in ENDINGS
        if how != "one without an environment" or ending == "return 0.0"
    ],
)
def test_what_an_objective_leaves_behind_ends_with_its_trial(child, tmp_path, how, ending):
    path = tmp_path / "pid"
    leaves = make_objective(
        f"""
        def objective(args):
            import os, subprocess, time
            left = {LEAVES[how].format(path=path)}
            if {("{path}" in LEAVES[how])!r}:
                while not os.path.exists({str(path)!r}) or not open({str(path)!r}).read():
                    time.sleep(0.01)
                pid = int(open({str(path)!r}).read())
            else:
                pid = left.pid
            args[1].checkpoint({{"pid": pid}})
            {ending}
        """
    )
    pids = Pids()

    outcome = evaluate(child, leaves, ask=pids)

    wait_until(lambda: not is_running(pids.told[0]), secs=5)
    assert isinstance(outcome, Done if ending.startswith("return") else Died)


def test_processes_that_have_ended_cost_the_child_nothing(child):
    leaves_orphans = make_objective(
        """
        def objective(args):
            import os, subprocess, time
            subprocess.run(["sh", "-c", "sleep 0.05 &"])
            time.sleep(0.15)
            return {"loss": 0.0, "status": "ok", "pid": os.getpid()}
        """
    )
    pids = {pid_of(evaluate(child, leaves_orphans)) for _ in range(4)}

    assert len(pids) == 1
    # The dead are buried a trial later.
    assert len(psutil.Process(pids.pop()).children()) <= 2


def test_a_pool_that_an_objective_keeps_does_not_hang_the_next_trial(child):
    keeps = make_objective(
        """
        def objective(args):
            import multiprocessing, os
            pool = globals().get("pool")
            if pool is None:
                pool = globals()["pool"] = multiprocessing.get_context("fork").Pool(2)
            return float(sum(pool.map(abs, range(10))))
        """
    )
    outcomes = [evaluate(child, keeps) for _ in range(3)]

    assert [outcome.result["loss"] for outcome in outcomes] == [45.0] * 3


def test_a_resource_tracker_may_stay(child):
    tracks = make_objective(
        """
        def objective(args):
            import os, time
            from multiprocessing import resource_tracker
            resource_tracker.ensure_running()
            time.sleep(0.3)
            return {"loss": 0.0, "status": "ok", "pid": os.getpid()}
        """
    )
    assert len({pid_of(evaluate(child, tracks)) for _ in range(3)}) == 1


# --- signals from outside ---


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_whole_job_is_left_to_the_worker(child, number):
    signals_itself = make_objective(
        f"""
        def objective(args):
            import os, time
            os.kill(os.getpid(), {int(number)})
            time.sleep(0.05)
            return args[0]["x"]
        """
    )
    assert isinstance(evaluate(child, signals_itself), Done)


def test_what_the_objective_forks_can_be_ended_as_ever(child):
    terminates = make_objective(
        """
        def objective(args):
            import multiprocessing, time
            process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
            process.start()
            process.terminate()
            process.join(5)
            return {"loss": 0.0, "status": "ok", "exit_code": process.exitcode}
        """
    )
    assert evaluate(child, terminates).result["exit_code"] == -signal.SIGTERM


def test_being_killed_from_outside_is_told_from_a_crash(child):
    killed = evaluate(
        child, make_objective("def objective(args):\n    import os; os.kill(os.getpid(), 9)")
    )
    crashed = evaluate(child, make_objective("def objective(args):\n    import os; os.abort()"))

    assert (killed.reason, killed.details) == ("killed", {"signal": 9})
    assert (crashed.reason, crashed.details) == ("signal", {"signal": signal.SIGABRT})


def test_a_child_that_is_killed_with_its_whole_job_is_handed_back(child, stop):
    def ask(verb, result):
        child_pid = result["pid"]
        os.kill(child_pid, signal.SIGKILL)
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()

    waits = make_objective(
        """
        def objective(args):
            import os, time
            args[1].checkpoint({"pid": os.getpid()})
            time.sleep(600)
        """
    )
    assert evaluate(child, waits, ask=ask) == Cut()
    assert stop.reason == "preempted"


# --- output ---


def test_the_last_lines_are_kept_with_a_failure(child, capfd):
    prints = make_objective(
        """
        def objective(args):
            import sys
            for epoch in range(50):
                print("epoch", epoch)
            print("no newline", end="", file=sys.stderr)
            raise ValueError("bad")
        """
    )
    outcome = evaluate(child, prints)

    assert isinstance(outcome, Raised)
    lines = outcome.last_lines["stdout"].splitlines()
    assert lines == [f"epoch {epoch}" for epoch in range(50 - MAX_LINES, 50)]
    assert outcome.last_lines["stderr"] == "no newline"
    assert "epoch 0\n" in capfd.readouterr().out


def test_a_crash_says_where_in_its_last_lines(child):
    outcome = evaluate(
        child, make_objective("def objective(args):\n    import ctypes; ctypes.string_at(0)")
    )

    assert "Segmentation fault" in outcome.last_lines["stderr"]


def test_each_trial_has_its_own_last_lines(child):
    def prints(text):
        return make_objective(f"def objective(args):\n    print({text!r})\n    1 / 0")

    evaluate(child, prints("first"))

    assert evaluate(child, prints("second")).last_lines == {"stdout": "second\n"}
    assert evaluate(child, make_objective("def objective(args): 1 / 0")).last_lines == {}


def test_bytes_that_are_no_text_and_lines_without_end_can_be_kept(child):
    prints = make_objective(
        """
        def objective(args):
            import os
            os.write(1, b"x" * 100000)
            os.write(2, b"\\xff\\0 end")
            raise ValueError
        """
    )
    last_lines = evaluate(child, prints).last_lines

    assert last_lines["stdout"] == "x" * MAX_BYTES
    assert last_lines["stderr"] == "\ufffd\0 end"


FLOODS = """
import os
from hpo_worker.evaluator import ChildProcess
from hpo_worker.stopping import StopSignals
from tests.worker.test_worker_child import evaluate, make_objective

with StopSignals() as stop:
    child = ChildProcess(stop)
    outcome = evaluate(child, make_objective('''
def objective(args):
    import os
    block = b"spam and eggs\\\\n" * 70000
    for _ in range(600):
        written = 0
        while written < len(block):
            written += os.write(1, block[written:])
    raise ValueError("done")
'''))
    child.close()
# Not ru_maxrss, which begins with what the process that started this one held.
[max_kib] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
os.write(2, f"{outcome.error[1]} {max_kib}".encode())
"""


def test_a_flood_of_output_fills_no_memory(tmp_path):
    with (tmp_path / "stderr").open("wb") as said, open(os.devnull, "wb") as nowhere:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", FLOODS],
            {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, nowhere.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, said.fileno(), 2),
            ],
        )
    os.waitpid(pid, 0)

    word, max_kib = (tmp_path / "stderr").read_text().split()
    assert word == "done"
    assert int(max_kib) < 250 * 1024  # more than half a gigabyte went through
