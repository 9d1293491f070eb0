"""`hpo-worker` as users run it: real processes, a real MongoDB, real signals.

Objectives are nested functions, so that they are pickled by value; what a test
wants to know of them, they leave in files.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from hpo import (
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    Ctrl,
    hp,
)
from hpo.document import Claim
from tests.worker.conftest import submit, wait_until


def n_in(jobs, *states):
    return jobs.count_documents({"state": {"$in": list(states)}})


def wait_for_states(jobs, *states):
    """Wait until the trials, in the order of their tids, are in these states; return them."""

    def they_are():
        trials = list(jobs.find({}).sort("tid"))
        return trials if [trial["state"] for trial in trials] == list(states) else None

    return wait_until(they_are)


def sleeps_once(flag):
    """An objective that sleeps while `flag` is missing, and makes it; then it returns at once."""
    path = str(flag)

    def objective(c):
        import time

        if not os.path.exists(path):
            with open(path, "w") as file:
                file.write(str(os.getpid()))
            time.sleep(600)
        return c["x"]

    return objective


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_pid(flag):
    """The pid that an objective wrote."""
    return int(wait_until(lambda: flag.exists() and flag.read_text()))


# --- one trial after the other ---


def test_trials_are_claimed_evaluated_and_finished(store, jobs, start_worker):
    submit(store, lambda c: c["x"] ** 2, 3)

    worker = start_worker("--max-jobs", "3")

    assert worker.wait(30) == 0, worker.said
    for x, trial in enumerate(jobs.find({}).sort("tid")):
        assert trial["state"] == JOB_STATE_DONE
        assert trial["result"] == {"loss": x**2, "status": "ok"}
        assert trial["owner"].split(":")[1] == str(worker.pid)
        assert trial["attempt"] == 1
        assert [end["reason"] for end in trial["attempts"]] == ["done"]
    assert "claimed trial" in worker.said
    assert "done in" in worker.said


def test_an_idle_worker_wakes_up_for_new_trials(store, jobs, start_worker):
    worker = start_worker("--max-jobs", "1", "--poll-interval", "600")
    wait_until(lambda: store.workers("digits"))
    time.sleep(0.2)  # it has looked, and waits

    submit(store, lambda c: c["x"])

    assert worker.wait(30) == 0
    assert n_in(jobs, JOB_STATE_DONE) == 1


def test_an_exception_fails_its_trial_and_the_worker_lives_on(store, jobs, start_worker):
    def objective(c):
        if c["x"] == 0:
            raise ValueError("x must not be 0")
        return c["x"]

    submit(store, objective, 2)
    worker = start_worker("--max-jobs", "2")

    assert worker.wait(30) == 0
    failed, done = jobs.find({}).sort("tid")
    assert failed["state"] == JOB_STATE_ERROR
    assert failed["error"] == ["ValueError", "x must not be 0"]
    assert "in objective" in failed["traceback"]
    assert failed["attempts"][0]["reason"] == "exception"
    assert done["state"] == JOB_STATE_DONE
    assert done["owner"] == failed["owner"]


def test_an_objective_loads_its_data_once(store, jobs, start_worker, tmp_path):
    loads = str(tmp_path / "loads")

    class Data:
        def __reduce__(self):
            return _load, (loads,)

    def _load(path):
        with open(path, "a") as file:
            file.write("x")
        return [1.0]

    data = Data()
    submit(store, lambda c: c["x"] + len(data), 5)
    worker = start_worker("--max-jobs", "5")

    assert worker.wait(30) == 0, worker.said
    assert n_in(jobs, JOB_STATE_DONE) == 5
    assert (tmp_path / "loads").read_text() == "x"


def test_a_crash_fails_its_trial_and_the_worker_lives_on(store, jobs, start_worker):
    def objective(c):
        import ctypes

        return ctypes.string_at(0) if c["x"] == 0 else c["x"]

    submit(store, objective, 2)
    worker = start_worker("--max-jobs", "2")

    assert worker.wait(30) == 0
    failed, done = jobs.find({}).sort("tid")
    assert failed["state"] == JOB_STATE_ERROR
    assert failed["error"][0] == "ProcessKilled"
    assert failed["attempts"][0]["reason"] == "signal"
    assert failed["attempts"][0]["signal"] == signal.SIGSEGV
    assert done["state"] == JOB_STATE_DONE
    assert "Segmentation fault" in worker.said


def test_a_result_that_is_too_large_fails_its_trial(store, jobs, start_worker):
    submit(store, lambda c: {"loss": 0.0, "status": "ok", "blob": b"x" * 17_000_000})

    worker = start_worker("--max-jobs", "1")

    assert worker.wait(30) == 0, worker.said
    [trial] = jobs.find({})
    assert trial["state"] == JOB_STATE_ERROR
    assert trial["error"][0] == "UnstorableResult"
    assert "attachments" in trial["error"][1]


def test_checkpoints_are_visible_while_the_objective_runs(store, jobs, start_worker, tmp_path):
    go_on = str(tmp_path / "go-on")

    def objective(args):
        import time

        _, ctrl = args
        ctrl.checkpoint({"status": "running", "loss": 0.5, "epoch": 1})
        ctrl.attachments["weights"] = b"half"
        while not os.path.exists(go_on):
            time.sleep(0.01)
        return 0.25

    submit_with_ctrl(store, objective)
    worker = start_worker("--max-jobs", "1")

    trial = wait_until(lambda: jobs.find_one({"result.epoch": 1}))
    assert trial["state"] == JOB_STATE_RUNNING
    assert trial["result"]["loss"] == 0.5
    (tmp_path / "go-on").touch()
    assert worker.wait(30) == 0
    [trial] = store.find("digits")
    assert trial["result"] == {"loss": 0.25, "status": "ok"}
    assert store.trial_attachments(trial)["weights"] == b"half"


def submit_with_ctrl(store, fn):
    """Like `submit`, for objectives that take (configuration, ctrl)."""
    from hpo import Domain
    from hpo.document import new_trial
    from hpo.objective import pack
    from hpo.signing import load_keys

    domain = Domain(fn, ({"x": hp.uniform("x", 0, 9)}, Ctrl))
    packed = pack(domain, "digits", load_keys())
    store.put_objective("digits", packed.sha256, packed.payload)
    [tid] = store.allocate_tids(1)
    trial = new_trial(tid, exp_key="digits", values={"x": 1.0}, labels=["x"])
    store.insert([trial | {"objective": packed.sha256}])


def test_what_the_objective_prints_is_in_the_workers_output(store, start_worker):
    def objective(c):
        import sys

        print("epoch 1")
        print("a warning", file=sys.stderr)
        return 0.0

    submit(store, objective)
    worker = start_worker("--max-jobs", "1")

    assert worker.wait(30) == 0
    assert "epoch 1\n" in worker.said
    assert "a warning\n" in worker.said


# --- objectives that cannot be loaded ---


def write_objective_module(directory, monkeypatch):
    """Import an objective from a module that only this process can see."""
    directory.mkdir()
    (directory / "only_here_objectives.py").write_text("def objective(c):\n    return c['x']\n")
    monkeypatch.syspath_prepend(directory)
    import only_here_objectives

    monkeypatch.delitem(sys.modules, "only_here_objectives")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(directory)])
    return only_here_objectives


def submit_module_objective(store, tmp_path, monkeypatch, **options):
    module = write_objective_module(tmp_path / "modules", monkeypatch)
    # Pickling by reference needs the module once more.
    monkeypatch.setitem(sys.modules, "only_here_objectives", module)
    tids = submit(store, module.objective, **options)
    monkeypatch.delitem(sys.modules, "only_here_objectives")
    return tids


def test_an_objective_that_cannot_be_loaded_costs_nothing(
    store, jobs, start_worker, tmp_path, monkeypatch
):
    submit_module_objective(store, tmp_path, monkeypatch, n=2)

    worker = start_worker()

    assert worker.wait(30) == 3
    for trial in jobs.find({}):
        assert trial["state"] == JOB_STATE_NEW
        assert trial["lost_attempts"] == 0
    assert worker.said.count("only_here_objectives") >= 1
    assert "Install it here" in worker.said
    [presence] = store.workers("digits")
    assert presence.state == "unfit"
    assert "only_here_objectives" in presence.message


def test_a_worker_for_everybody_goes_on_with_what_it_can_load(
    store, jobs, start_worker, tmp_path, monkeypatch
):
    submit_module_objective(store, tmp_path, monkeypatch, n=2, exp_key="foreign")
    submit(store, lambda c: c["x"], 2, exp_key="digits")

    worker = start_worker("--max-jobs", "2", exp_key=None)

    assert worker.wait(30) == 0, worker.said
    assert jobs.count_documents({"exp_key": "foreign", "state": JOB_STATE_NEW}) == 2
    assert jobs.count_documents({"exp_key": "digits", "state": JOB_STATE_DONE}) == 2


def test_modules_in_the_current_directory_can_be_imported(
    store, jobs, start_worker, tmp_path, monkeypatch
):
    submit_module_objective(store, tmp_path, monkeypatch)

    worker = start_worker("--max-jobs", "1", cwd=tmp_path / "modules")

    assert worker.wait(30) == 0, worker.said
    assert n_in(jobs, JOB_STATE_DONE) == 1


def test_a_trial_that_names_no_objective_is_left_alone(store, jobs, start_worker):
    submit(store, lambda c: c["x"])
    jobs.update_many({}, {"$set": {"objective": None}})

    worker = start_worker()

    assert worker.wait(30) == 3, worker.said
    assert n_in(jobs, JOB_STATE_NEW) == 1


# --- signals ---


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGTERM, "preempted"),
        (signal.SIGHUP, "interrupted"),
    ],
)
def test_a_stopped_worker_hands_its_trial_back_at_once(
    store, jobs, start_worker, tmp_path, number, reason
):
    flag = tmp_path / "flag"
    submit(store, sleeps_once(flag))
    worker = start_worker()
    child_pid = wait_for_pid(flag)

    worker.send_signal(number)

    assert worker.wait(5) == 0, worker.said
    [trial] = jobs.find({})
    assert trial["state"] == JOB_STATE_NEW
    assert trial["lost_attempts"] == 0
    assert [end["reason"] for end in trial["attempts"]] == [reason]
    assert store.workers("digits") == []
    assert not is_running(child_pid)
    second = start_worker("--max-jobs", "1")
    assert second.wait(30) == 0
    assert n_in(jobs, JOB_STATE_DONE) == 1


def test_a_second_signal_ends_a_worker_at_once(store, jobs, start_worker, tmp_path):
    flag = str(tmp_path / "flag")

    def stubborn(c):
        import signal
        import time

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with open(flag, "w") as file:
            file.write(str(os.getpid()))
        while True:
            time.sleep(1)

    submit(store, stubborn)
    worker = start_worker()
    child_pid = wait_for_pid(tmp_path / "flag")

    worker.send_signal(signal.SIGINT)
    wait_until(lambda: ignores_sigterm_still(worker))
    worker.send_signal(signal.SIGINT)

    assert worker.wait(5) == 128 + signal.SIGINT
    wait_until(lambda: not is_running(child_pid))
    assert n_in(jobs, JOB_STATE_RUNNING) == 1  # its lease will tell


def ignores_sigterm_still(worker):
    """The first signal has arrived; the worker waits for its stubborn child."""
    return psutil.Process(worker.pid).status() == psutil.STATUS_SLEEPING


def test_sigusr1_lets_the_running_trial_finish(store, jobs, start_worker, tmp_path):
    started, go_on = str(tmp_path / "started"), str(tmp_path / "go-on")

    def objective(c):
        import time

        open(started, "w").close()
        while not os.path.exists(go_on):
            time.sleep(0.01)
        return c["x"]

    submit(store, objective, 2)
    worker = start_worker()
    wait_until((tmp_path / "started").exists)

    worker.send_signal(signal.SIGUSR1)
    (tmp_path / "go-on").touch()

    assert worker.wait(10) == 0
    wait_for_states(jobs, JOB_STATE_DONE, JOB_STATE_NEW)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_an_idle_worker_stops_without_delay(store, start_worker, number):
    worker = start_worker("--poll-interval", "600")
    wait_until(lambda: store.workers("digits"))

    worker.send_signal(number)

    assert worker.wait(5) == 0, worker.said
    assert store.workers("digits") == []


@pytest.mark.parametrize("delay_secs", [0.1, 0.3])
def test_a_signal_during_the_start_is_not_lost(start_worker, delay_secs):
    worker = start_worker()
    # Whatever it is doing by now: before its handlers stand, SIGTERM simply ends it.
    time.sleep(delay_secs)
    worker.send_signal(signal.SIGTERM)

    assert worker.wait(10) in (0, -signal.SIGTERM), worker.said


def test_nohup_outlives_the_terminal(store, start_worker):
    worker = start_worker_ignoring_hangup(start_worker)
    wait_until(lambda: store.workers("digits"))

    worker.send_signal(signal.SIGHUP)
    time.sleep(0.3)

    assert worker.poll() is None


def start_worker_ignoring_hangup(start_worker):
    """As nohup does; an ignored signal stays ignored in the new process."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        return start_worker()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_worker_stops_when_whoever_started_it_is_gone(store, jobs, start_worker, tmp_path):
    flag = tmp_path / "flag"
    submit(store, sleeps_once(flag))
    worker = start_worker("--stop-on-eof", stdin=subprocess.PIPE)
    wait_for_pid(flag)

    worker.stdin.close()

    assert worker.wait(10) == 0
    assert n_in(jobs, JOB_STATE_NEW) == 1


# --- workers that vanish, freeze, or lose their lease ---


def test_a_killed_worker_costs_one_lease(store, jobs, start_worker, tmp_path):
    flag = tmp_path / "flag"
    submit(store, sleeps_once(flag))
    first = start_worker("--lease", "2")
    child_pid = wait_for_pid(flag)

    first.kill()

    second = start_worker("--lease", "2", "--max-jobs", "1")
    assert second.wait(30) == 0, second.said
    [trial] = jobs.find({})
    assert trial["state"] == JOB_STATE_DONE
    assert trial["lost_attempts"] == 1
    assert [end["reason"] for end in trial["attempts"]] == ["lost", "done"]
    wait_until(lambda: not is_running(child_pid))


def test_heartbeats_keep_a_long_trial(store, jobs, start_worker, tmp_path):
    go_on = str(tmp_path / "go-on")

    def objective(c):
        import time

        while not os.path.exists(go_on):
            time.sleep(0.01)
        return c["x"]

    submit(store, objective)
    worker = start_worker("--lease", "0.6", "--max-jobs", "1")
    first = wait_until(lambda: jobs.find_one({"state": JOB_STATE_RUNNING}))

    renewed = wait_until(lambda: jobs.find_one({"lease_until": {"$gt": first["lease_until"]}}))
    wait_until(lambda: store.now() > first["lease_until"])
    assert store.requeue_expired() == []
    (tmp_path / "go-on").touch()

    assert worker.wait(10) == 0
    assert renewed["attempt"] == 1
    assert n_in(jobs, JOB_STATE_DONE) == 1


def take_away(store, jobs, tid):
    """Let the trial's lease expire, and claim it as somebody else."""
    jobs.update_one({"tid": tid}, [{"$set": {"lease_until": {"$subtract": ["$$NOW", 1000]}}}])
    assert store.requeue_expired() == [tid]
    return Claim.of(store.claim("elsewhere:1:x", exp_key="digits"))


def test_an_evaluation_that_lost_its_lease_is_ended_and_the_next_trial_taken(
    store, jobs, start_worker, tmp_path
):
    flag = tmp_path / "flag"
    [tid] = submit(store, sleeps_once(flag))
    worker = start_worker("--lease", "1", "--max-jobs", "1")
    child_pid = wait_for_pid(flag)

    held = take_away(store, jobs, tid)

    wait_until(lambda: not is_running(child_pid))
    store.finish(held, {"loss": -1.0, "status": "ok"})
    submit(store, lambda c: 5.0)
    assert worker.wait(30) == 0
    first, second = jobs.find({}).sort("tid")
    assert first["result"]["loss"] == -1.0
    assert first["owner"] == "elsewhere:1:x"
    assert second["result"]["loss"] == 5.0
    assert "no longer held" in worker.said


def test_a_frozen_worker_cannot_overwrite_its_successor(store, jobs, start_worker, tmp_path):
    started, go_on = str(tmp_path / "started"), str(tmp_path / "go-on")

    def objective(c):
        import time

        open(started, "w").close()
        while not os.path.exists(go_on):
            time.sleep(0.01)
        return 1.0

    [tid] = submit(store, objective)
    worker = start_worker("--lease", "30", "--max-jobs", "1")
    wait_until((tmp_path / "started").exists)

    worker.send_signal(signal.SIGSTOP)
    held = take_away(store, jobs, tid)
    (tmp_path / "go-on").touch()
    worker.send_signal(signal.SIGCONT)
    wait_until(lambda: "this write changed nothing" in worker.said)

    store.finish(held, {"loss": -1.0, "status": "ok"})
    [trial] = jobs.find({})
    assert trial["result"]["loss"] == -1.0
    assert worker.poll() is None


# --- options and exit codes ---


def test_no_subprocesses_evaluates_in_the_worker(store, jobs, start_worker):
    def objective(c):

        if c["x"] == 0:
            raise ValueError("not the worker's end")
        return {"loss": 0.0, "status": "ok", "pid": os.getpid()}

    submit(store, objective, 2)
    worker = start_worker("--no-subprocesses", "--max-jobs", "2")

    assert worker.wait(30) == 0, worker.said
    failed, done = jobs.find({}).sort("tid")
    assert failed["error"] == ["ValueError", "not the worker's end"]
    assert done["result"]["pid"] == worker.pid


@pytest.mark.parametrize("where", [(), ("--no-subprocesses",)], ids=["child", "in-process"])
def test_an_objective_that_imports_hyperopt_finds_hpo(store, jobs, start_worker, where):
    def objective(configuration):
        import hyperopt

        return {"status": hyperopt.STATUS_OK, "loss": 0.5, "from": hyperopt.fmin.__module__}

    submit(store, objective)
    start_worker("--as-hyperopt", *where)

    [trial] = wait_until(lambda: list(jobs.find({"state": JOB_STATE_DONE})))
    assert trial["result"]["from"] == "hpo.fmin"


def test_no_subprocesses_hands_back_too(store, jobs, start_worker, tmp_path):
    flag = tmp_path / "flag"
    submit(store, sleeps_once(flag))
    worker = start_worker("--no-subprocesses")
    assert wait_for_pid(flag) == worker.pid

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(5) == 0, worker.said
    [trial] = jobs.find({})
    assert trial["state"] == JOB_STATE_NEW
    assert trial["attempts"][0]["reason"] == "preempted"


def test_trials_run_in_directories_of_their_own(store, jobs, start_worker, tmp_path):
    def objective(c):

        return {"loss": 0.0, "status": "ok", "cwd": os.getcwd()}

    [given] = submit(store, objective, workdir=str(tmp_path / "signed"))
    assert start_worker("--max-jobs", "1").wait(30) == 0
    [chosen] = submit(store, objective, workdir=str(tmp_path / "signed"))
    worker = start_worker("--max-jobs", "1", "--workdir", str(tmp_path / "from-option"))
    assert worker.wait(30) == 0

    directories = [trial["result"]["cwd"] for trial in jobs.find({}).sort("tid")]
    assert directories == [
        str(tmp_path / "signed" / str(given)),
        str(tmp_path / "from-option" / str(chosen)),
    ]


def test_a_document_does_not_choose_where_a_worker_writes(store, jobs, start_worker, tmp_path):
    submit(store, lambda c: c["x"], misc_workdir=str(tmp_path / "strangers"))

    worker = start_worker("--max-jobs", "1")

    assert worker.wait(30) == 0, worker.said
    assert n_in(jobs, JOB_STATE_DONE) == 1
    assert not (tmp_path / "strangers").exists()


def test_too_many_failures_in_a_row_end_the_worker(store, jobs, start_worker):
    def objective(c):
        raise OSError("no GPU here")

    submit(store, objective, 5)
    worker = start_worker("--max-consecutive-failures", "2")

    assert worker.wait(30) == 4
    assert n_in(jobs, JOB_STATE_ERROR) == 2
    assert n_in(jobs, JOB_STATE_NEW) == 3
    assert "2 failed trials in a row" in worker.said


def test_an_unreachable_server_is_reported(start_worker):
    url = "mongodb://ann:secret@127.0.0.1:9/x?serverSelectionTimeoutMS=300"
    worker = start_worker("--patience", "0", env={"HPO_MONGO_URL": url})

    assert worker.wait(30) == 69
    assert "127.0.0.1:9" in worker.said
    assert "secret" not in worker.said


def test_a_wrong_password_is_reported(mongo_server, start_worker):
    url = mongo_server.url("digits").replace(mongo_server.password, "wrong-secret")
    worker = start_worker(env={"HPO_MONGO_URL": url})

    assert worker.wait(30) == 2
    assert "password" in worker.said
    assert "wrong-secret" not in worker.said


def test_an_unusable_url_is_reported(start_worker):
    worker = start_worker(env={"HPO_MONGO_URL": "http://node7/digits"})

    assert worker.wait(30) == 2
    assert "Traceback" not in worker.said


def test_the_url_may_come_from_a_file(mongo_url, store, jobs, start_worker, tmp_path):
    (tmp_path / "url").write_text(mongo_url)
    submit(store, lambda c: c["x"])

    worker = start_worker(
        "--max-jobs", "1", "--mongo", f"file:{tmp_path / 'url'}", env={"HPO_MONGO_URL": ""}
    )

    assert worker.wait(30) == 0, worker.said
    assert n_in(jobs, JOB_STATE_DONE) == 1


def test_credentials_are_in_no_command_line_and_no_log(
    mongo_server, store, jobs, start_worker, tmp_path
):
    flag = tmp_path / "flag"
    submit(store, sleeps_once(flag))
    worker = start_worker("-v")
    child = psutil.Process(wait_for_pid(flag))

    assert mongo_server.password not in " ".join(child.cmdline())
    assert mongo_server.password not in str(child.environ())
    assert child.ppid() == worker.pid
    assert mongo_server.password not in " ".join(psutil.Process(worker.pid).cmdline())
    worker.terminate()
    assert worker.wait(5) == 0
    assert mongo_server.password not in worker.said


def test_several_workers_share_the_trials(store, jobs, start_worker):
    submit(store, lambda c: c["x"], 40)

    workers = [start_worker("--quiet", "--reserve-timeout", "1") for _ in range(3)]

    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert n_in(jobs, JOB_STATE_DONE) == 40
    assert jobs.count_documents({"attempt": 1}) == 40
    assert [worker.said for worker in workers] == ["", "", ""]  # they were told to be quiet


def test_a_standalone_server_will_do(standalone_url, tmp_path):
    from hpo.store.mongo import MongoStore
    from tests.worker.conftest import WorkerProcesses

    store = MongoStore.connect(standalone_url)
    workers = WorkerProcesses(standalone_url, tmp_path)
    try:
        worker = workers("--max-jobs", "3", "--poll-interval", "600")
        wait_until(lambda: store.workers("digits"))
        submit(store, lambda c: c["x"], 3)

        assert worker.wait(30) == 0, worker.said
        assert store.count("digits", [JOB_STATE_DONE]) == 3
    finally:
        workers.end_all()
        store.close()
