"""Machines that are lent for a while: signals that announce an end, and ends known before."""

from __future__ import annotations

import os
import signal
import time

from hpo.document import JOB_STATE_DONE, JOB_STATE_ERROR, JOB_STATE_NEW
from tests.worker.conftest import submit, wait_until
from tests.worker.test_worker_process import is_running, n_in, sleeps_once, wait_for_pid


def waits_for(started, go_on):
    """An objective that makes `started`, and returns once there is `go_on`."""
    started, go_on = str(started), str(go_on)

    def objective(c):
        import time

        with open(started, "w") as file:
            file.write(str(os.getpid()))
        while not os.path.exists(go_on):
            time.sleep(0.01)
        return c["x"]

    return objective


def reasons(jobs):
    return [[end["reason"] for end in trial.get("attempts", [])] for trial in jobs.find({})]


def test_the_two_signals_can_be_swapped_to_hand_back(store, jobs, start_worker, tmp_path):
    submit(store, sleeps_once(tmp_path / "pid"))
    worker = start_worker("--on-sigusr1", "hand-back", "--on-sigterm", "finish")
    child_pid = wait_for_pid(tmp_path / "pid")

    worker.send_signal(signal.SIGUSR1)

    assert worker.wait(5) == 0, worker.said
    assert reasons(jobs) == [["preempted"]]
    assert "preempted by SIGUSR1" in worker.said
    [trial] = jobs.find({})
    assert (trial["state"], trial["lost_attempts"]) == (JOB_STATE_NEW, 0)
    assert not is_running(child_pid)


def test_the_two_signals_can_be_swapped_to_finish(store, jobs, start_worker, tmp_path):
    submit(store, waits_for(tmp_path / "pid", tmp_path / "go-on"), 2)
    worker = start_worker("--on-sigterm", "finish")
    child_pid = wait_for_pid(tmp_path / "pid")

    worker.send_signal(signal.SIGTERM)
    os.kill(child_pid, signal.SIGTERM)  # a cluster manager sends it to the whole job
    (tmp_path / "go-on").touch()

    assert worker.wait(10) == 0, worker.said
    assert (n_in(jobs, JOB_STATE_DONE), n_in(jobs, JOB_STATE_NEW)) == (1, 1)
    assert "as asked by SIGTERM" in worker.said


def test_a_signal_to_every_process_of_the_job_hands_back(store, jobs, start_worker, tmp_path):
    submit(store, sleeps_once(tmp_path / "pid"))
    worker = start_worker()
    child_pid = wait_for_pid(tmp_path / "pid")

    os.kill(child_pid, signal.SIGTERM)
    worker.send_signal(signal.SIGTERM)

    assert worker.wait(5) == 0, worker.said
    assert reasons(jobs) == [["preempted"]]


def test_a_process_that_is_killed_from_outside_costs_an_attempt_and_no_more(
    store, jobs, start_worker, tmp_path
):
    submit(store, sleeps_once(tmp_path / "pid"))
    worker = start_worker("--max-jobs", "1")

    os.kill(wait_for_pid(tmp_path / "pid"), signal.SIGKILL)

    assert worker.wait(30) == 0, worker.said
    [trial] = jobs.find({})
    assert trial["state"] == JOB_STATE_DONE
    assert trial["lost_attempts"] == 1
    assert reasons(jobs) == [["killed", "done"]]
    assert trial["attempts"][0]["signal"] == signal.SIGKILL
    assert {"owner", "host", "start", "end"} <= set(trial["attempts"][0])


def test_a_worker_that_cannot_hand_back_is_gone_after_the_grace_period(
    store, mongo_server, start_worker, tmp_path
):
    submit(store, sleeps_once(tmp_path / "pid"))
    worker = start_worker("--grace", "0.7")
    child_pid = wait_for_pid(tmp_path / "pid")

    os.kill(mongo_server.pid, signal.SIGSTOP)
    try:
        began_at = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        code = worker.wait(10)
    finally:
        os.kill(mongo_server.pid, signal.SIGCONT)

    assert code == 69
    assert 0.6 < time.monotonic() - began_at < 5
    assert not is_running(child_pid)


def test_the_running_trial_is_handed_back_before_the_end(store, jobs, start_worker, tmp_path):
    submit(store, sleeps_once(tmp_path / "pid"))

    worker = start_worker("--walltime", "8s", "--grace", "5")

    assert worker.wait(60) == 0, worker.said
    assert reasons(jobs) == [["walltime"]]
    assert n_in(jobs, JOB_STATE_NEW) == 1
    assert "the end of its time" in worker.said


def test_nothing_is_claimed_that_would_hardly_end_in_time(store, jobs, start_worker):
    submit(store, lambda c: c["x"], 3)
    assert start_worker("--max-jobs", "2").wait(30) == 0
    # As if they had taken an hour.
    hour_ms = 3600 * 1000
    jobs.update_many(
        {"state": JOB_STATE_DONE},
        [{"$set": {"finish_time": {"$add": ["$book_time", hour_ms]}}}],
    )

    worker = start_worker("--walltime", "30m")

    assert worker.wait(30) == 0, worker.said
    assert "30 min are left, and 90% of the trials took up to 60 min" in worker.said
    assert n_in(jobs, JOB_STATE_NEW) == 1
    assert start_worker("--walltime", "2h", "--max-jobs", "1").wait(30) == 0
    assert n_in(jobs, JOB_STATE_DONE) == 3


def test_trials_past_their_limits_fail_and_the_worker_goes_on(store, jobs, start_worker):
    def objective(c):
        import time

        print("began", c["x"])
        if c["x"] == 0:
            time.sleep(600)
        if c["x"] == 1:
            held = []
            while True:
                held.append(b"x" * 2**24)
                time.sleep(0.002)
        return c["x"]

    submit(store, objective, 3)
    worker = start_worker("--trial-timeout", "3s", "--max-memory", "400M", "--max-jobs", "3")

    assert worker.wait(60) == 0, worker.said
    late, large, done = jobs.find({}).sort("tid")
    assert reasons(jobs) == [["timeout"], ["memory"], ["done"]]
    assert late["error"] == [
        "TrialTimeout",
        "the objective ran for longer than 3 s (--trial-timeout)",
    ]
    assert late["attempts"][0]["timeout_secs"] == 3.0
    assert late["attempts"][0]["stdout"] == "began 0.0\n"
    assert large["error"][0] == "OutOfMemory"
    assert large["attempts"][0]["max_memory_bytes"] == 400 * 2**20
    assert [late["state"], large["state"], done["state"]] == [
        JOB_STATE_ERROR,
        JOB_STATE_ERROR,
        JOB_STATE_DONE,
    ]
    assert "stdout" not in done["attempts"][0]


def test_a_trial_may_have_a_time_limit_of_its_own(store, jobs, start_worker, tmp_path):
    submit(store, sleeps_once(tmp_path / "pid"))
    jobs.update_many({}, {"$set": {"timeout_secs": 0.5}})

    worker = start_worker("--max-jobs", "1")

    assert worker.wait(30) == 0, worker.said
    assert reasons(jobs) == [["timeout"]]


def test_a_flood_of_output_does_not_slow_the_heartbeat(store, jobs, start_worker, tmp_path):
    started = str(tmp_path / "pid")

    def floods(c):
        import time

        with open(started, "w") as file:
            file.write("1")
        until = time.monotonic() + 3
        while time.monotonic() < until:
            print("spam and eggs " * 5000)
        return 0.0

    submit(store, floods)
    worker = start_worker("--lease", "1", "--max-jobs", "1", stdout=os.devnull)
    wait_until((tmp_path / "pid").exists)

    while worker.poll() is None:
        assert (store.next_expiry_secs("digits") or 1.0) > 0
        time.sleep(0.05)

    assert reasons(jobs) == [["done"]]
