"""A worker as an object in this process, and hpo-worker called from Python."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import cloudpickle
import pytest

from hpo import STATUS_OK, Domain, fmin, hp, rand
from hpo.document import JOB_STATE_DONE, JOB_STATE_ERROR, JOB_STATE_NEW, new_trial
from hpo.exceptions import InvalidTrial, UnloadableObjective, UntrustedObjective
from hpo.mongoexp import (
    MongoCtrl,
    MongoJobs,
    MongoTrials,
    MongoWorker,
    ReserveTimeout,
    main_worker_helper,
)
from hpo.objective import pack
from hpo.signing import load_keys


@pytest.fixture
def jobs(mongo_url):
    with contextlib.closing(MongoJobs.new_from_connection_str(mongo_url)) as opened:
        yield opened


def submitted(jobs, fn, *, exp_key="digits", workdir=None, **domain_options):
    """Insert a trial of fn with x = 3; return its tid."""
    domain = Domain(fn, {"x": hp.uniform("x", 0, 10)}, **domain_options)
    packed = pack(domain, exp_key, load_keys())
    jobs.store.put_objective(exp_key, packed.sha256, packed.payload)
    (tid,) = jobs.store.allocate_tids(1)
    trial = new_trial(tid, exp_key=exp_key, values={"x": 3.0}, labels=["x"])
    trial["misc"]["workdir"] = workdir
    jobs.insert({**trial, "objective": packed.sha256})
    return tid


def stored(jobs, tid):
    return jobs.jobs.find_one({"tid": tid})


def worker_on(jobs, **options):
    return MongoWorker(jobs, poll_interval=0.05, logfilename=None, **options)


def test_a_worker_evaluates_one_trial_in_this_process(jobs):
    seen = []

    def objective(config, seen=seen):
        seen.append(os.getpid())
        return {"status": STATUS_OK, "loss": config["x"] ** 2, "attachments": {"note": b"hello"}}

    first, second = submitted(jobs, objective), submitted(jobs, objective)

    worker_on(jobs).run_one("me")

    done = stored(jobs, first)
    assert done["state"] == JOB_STATE_DONE
    assert done["result"] == {"status": "ok", "loss": 9.0}
    assert done["owner"] == "me"
    assert jobs.get_attachment(done, "note") == b"hello"
    assert stored(jobs, second)["state"] == JOB_STATE_NEW


def test_what_the_objective_raises_is_recorded_and_raised_again(jobs):
    def objective(config):
        raise ValueError("no such luck")

    tid = submitted(jobs, objective)

    with pytest.raises(ValueError, match="no such luck"):
        worker_on(jobs).run_one()
    failed = stored(jobs, tid)
    assert failed["state"] == JOB_STATE_ERROR
    assert failed["error"] == ["ValueError", "no such luck"]
    assert "in objective" in failed["traceback"]


def test_a_result_that_cannot_be_stored_fails_its_trial(jobs):
    tid = submitted(jobs, lambda config: {"status": STATUS_OK, "loss": 1.0, "model": object()})

    with pytest.raises(ValueError, match="model"):
        worker_on(jobs).run_one()
    assert stored(jobs, tid)["state"] == JOB_STATE_ERROR


def test_an_interrupted_trial_is_handed_back(jobs):
    def objective(config):
        raise KeyboardInterrupt

    tid = submitted(jobs, objective)

    with pytest.raises(KeyboardInterrupt):
        worker_on(jobs).run_one()
    assert stored(jobs, tid)["state"] == JOB_STATE_NEW


def test_a_worker_without_work_gives_up_in_time(jobs):
    began_at = time.monotonic()

    with pytest.raises(ReserveTimeout, match="no trial to claim"):
        worker_on(jobs, exp_key="nothing here").run_one(reserve_timeout=0.2)
    assert 0.2 <= time.monotonic() - began_at < 5


def test_a_waiting_worker_takes_what_is_inserted(jobs):
    timer = threading.Timer(0.2, lambda: submitted(jobs, lambda config: 1.0))
    timer.start()

    MongoWorker(jobs, poll_interval=60, logfilename=None).run_one(reserve_timeout=30)

    timer.join()
    assert len(list(jobs.jobs_complete())) == 1


def test_a_worker_takes_what_a_vanished_one_left_behind(jobs):
    tid = submitted(jobs, lambda config: 1.0)
    jobs.reserve("vanished", lease_secs=0.001)
    time.sleep(0.01)

    worker_on(jobs).run_one(reserve_timeout=10)

    assert stored(jobs, tid)["state"] == JOB_STATE_DONE


def test_partial_results_are_visible_while_the_objective_runs(jobs):
    def objective(expr, memo, ctrl):
        ctrl.checkpoint({"status": "running", "step": 1})
        document = ctrl.trials.handle.jobs.find_one({"tid": ctrl.current_trial["tid"]})
        return {"status": STATUS_OK, "loss": 1.0, "seen": document["result"]}

    tid = submitted(jobs, objective, pass_expr_memo_ctrl=True)

    worker_on(jobs).run_one()

    assert stored(jobs, tid)["result"]["seen"] == {"status": "running", "step": 1}


def test_a_read_only_control_publishes_nothing(jobs):
    jobs.insert(new_trial(0, exp_key="digits", values={"x": 1.0}))
    trial = jobs.reserve("me")

    MongoCtrl(MongoTrials(jobs), trial, read_only=True).checkpoint({"status": "running"})

    assert stored(jobs, 0)["result"] == {"status": "new"}


def test_a_trial_runs_in_a_directory_of_its_own_which_can_be_erased(jobs, tmp_path):
    def objective(config):
        return {"status": STATUS_OK, "loss": 0.0, "cwd": os.getcwd()}

    before = os.getcwd()
    by_trial = submitted(jobs, objective, workdir=str(tmp_path / "from trial"))
    by_worker = submitted(jobs, objective)

    worker_on(jobs).run_one()
    worker_on(jobs, workdir=str(tmp_path / "given")).run_one(erase_created_workdir=True)

    own = tmp_path / "from trial" / str(stored(jobs, by_trial)["_id"])
    assert stored(jobs, by_trial)["result"]["cwd"] == str(own)
    assert stored(jobs, by_worker)["result"]["cwd"] == str(tmp_path / "given")
    assert own.is_dir() and not (tmp_path / "given").exists()
    assert os.getcwd() == before


def test_workers_in_threads_do_not_change_the_directory_under_each_other(jobs, tmp_path):
    def objective(config):
        time.sleep(0.05)
        return {"status": STATUS_OK, "loss": 0.0, "cwd": os.getcwd()}

    for _ in range(6):
        submitted(jobs, objective)
    before = os.getcwd()

    def work():
        worker = worker_on(jobs, workdir=str(tmp_path / "shared"))
        for _ in range(3):
            worker.run_one(reserve_timeout=10, erase_created_workdir=True)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    directories = {job["result"]["cwd"] for job in jobs.jobs_complete()}
    assert len(list(jobs.jobs_complete())) == 6
    assert directories == {str(tmp_path / "shared")}
    assert os.getcwd() == before


def test_messages_go_to_a_file_when_there_are_any(jobs, tmp_path):
    def objective(config):
        logging.getLogger("somewhere").warning("the objective speaks")
        return 1.0

    submitted(jobs, objective)

    MongoWorker(jobs, logfilename=str(tmp_path / "log.txt")).run_one()

    assert "WARNING (somewhere): the objective speaks" in (tmp_path / "log.txt").read_text()


def double_of_x(config, ctrl):
    return {"status": STATUS_OK, "loss": 2 * config["x"]}


class Bandit:
    def evaluate(self, config, ctrl):
        return double_of_x(config, ctrl)


@pytest.fixture
def trusting(monkeypatch):
    """The user says that everybody who writes to the database may run code here."""
    monkeypatch.setenv("HPO_TRUST_DATABASE", "1")


def test_a_command_is_not_followed_unless_the_user_trusts_the_database(jobs):
    trial = new_trial(0, exp_key="digits", values={"x": 3.0})
    trial["misc"]["cmd"] = ("cpickled fn", cloudpickle.dumps(double_of_x))
    jobs.insert(trial)

    with pytest.raises(UntrustedObjective, match=r"'digits'.*set HPO_TRUST_DATABASE=1"):
        worker_on(jobs).run_one()
    assert stored(jobs, 0)["state"] == JOB_STATE_NEW


@pytest.mark.parametrize(
    "command",
    [
        ("domain_attachment", "domain"),
        ("cpickled fn", cloudpickle.dumps(double_of_x)),
        ("call evaluate", cloudpickle.dumps(Bandit())),
        ("token_load", f"{__name__}.double_of_x"),
        ("bandit_json evaluate", f"{__name__}.Bandit"),
        ("driver_attachment", "driver"),
    ],
    ids=lambda command: command[0],
)
def test_trials_of_hyperopts_drivers_say_by_a_command_what_to_call(jobs, command, trusting):
    attachments = MongoTrials(jobs, exp_key="digits").attachments
    domain = Domain(lambda config: 2 * config["x"], {"x": hp.uniform("x", 0, 10)})
    attachments["domain"] = cloudpickle.dumps(domain)
    attachments["driver"] = cloudpickle.dumps((f"{__name__}.Bandit", (), {}))
    trial = new_trial(0, exp_key="digits", values={"x": 3.0})
    trial["misc"]["cmd"] = command
    jobs.insert(trial)

    worker_on(jobs).run_one()

    assert stored(jobs, 0)["result"]["loss"] == 6.0


def test_a_trial_with_an_unknown_command_fails(jobs, trusting):
    trial = new_trial(0, exp_key="digits", values={"x": 3.0})
    trial["misc"]["cmd"] = ("smoke signals", "x")
    jobs.insert(trial)

    with pytest.raises(InvalidTrial, match="the command 'smoke signals'"):
        worker_on(jobs).run_one()
    assert stored(jobs, 0)["state"] == JOB_STATE_ERROR


def test_a_trial_whose_objective_is_not_there_is_handed_back(jobs, trusting):
    jobs.insert(new_trial(0, exp_key="digits", values={"x": 3.0}))

    with pytest.raises(UnloadableObjective, match="no attachment 'FMinIter_Domain'"):
        worker_on(jobs).run_one()
    assert stored(jobs, 0)["state"] == JOB_STATE_NEW


def test_two_workers_share_the_trials_of_three_searches(jobs):
    def work():
        with contextlib.suppress(ReserveTimeout):
            while True:
                worker_on(jobs).run_one(reserve_timeout=1.0)

    def search(trials):
        space = hp.uniform("x", -1, 1)
        fmin(lambda x: x, space, rand.suggest, max_evals=4, trials=trials, verbose=False)

    searches = [MongoTrials(jobs, exp_key=exp_key) for exp_key in ("A", "B", "C")]
    threads = [threading.Thread(target=work) for _ in range(2)]
    threads += [threading.Thread(target=search, args=(trials,)) for trials in searches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [trials.count_by_state_unsynced(JOB_STATE_DONE) for trials in searches] == [4, 4, 4]
    assert len(MongoTrials(jobs)) == 12


# --- hpo-worker, called from Python ---


def test_with_one_job_to_do_the_worker_is_this_process(mongo_url):
    options = SimpleNamespace(
        max_jobs=1, mongo=mongo_url, reserve_timeout=0.2, poll_interval=0.1, exp_key="digits"
    )

    with pytest.raises(ReserveTimeout):
        main_worker_helper(options, ())


def test_otherwise_the_worker_is_a_process_with_the_same_options(jobs, mongo_url):
    def objective(config):
        return float(config["x"])

    first, second = submitted(jobs, objective), submitted(jobs, objective)
    options = SimpleNamespace(
        mongo=mongo_url,
        exp_key="digits",
        max_jobs=2,
        max_jobs_in_db=sys.maxsize,
        reserve_timeout=60.0,
        last_job_timeout=None,
        workdir=None,
        use_subprocesses=False,
    )

    exit_code = main_worker_helper(options, ())

    assert exit_code == 0
    assert [stored(jobs, tid)["result"]["loss"] for tid in (first, second)] == [3.0, 3.0]


def test_asking_the_caller_to_stop_stops_its_worker(jobs, mongo_url, tmp_path):
    script = tmp_path / "old_worker.py"
    script.write_text("from hpo.mongoexp import main\nmain()\n")
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, str(script), f"--mongo={mongo_url}"], stderr=output
        )
    deadline = time.monotonic() + 30
    while not jobs.store.workers():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)

    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=30) == 0
    assert "stopping" in log.read_text()
