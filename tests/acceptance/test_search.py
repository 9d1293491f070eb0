"""Whole searches: a real MongoDB, real worker processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pymongo
import pytest

from hpo import (
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    MongoTrials,
    fmin,
    hp,
    rand,
    space_eval,
)
from hpo.exceptions import (
    AllTrialsFailed,
    SpaceChanged,
    UnpicklableObjective,
    WorkersGone,
)

SPACE = {
    "x": hp.uniform("x", -5, 5),
    "model": hp.choice("model", ["svm", {"kind": "tree", "depth": hp.uniformint("depth", 1, 9)}]),
}


def square(configuration):
    return configuration["x"] ** 2


_clients: dict[str, pymongo.MongoClient] = {}


@pytest.fixture(autouse=True)
def _close_clients():
    yield
    while _clients:
        _clients.popitem()[1].close()


def database(url):
    if url not in _clients:
        _clients[url] = pymongo.MongoClient(url)
    return _clients[url].get_default_database()


def jobs(url):
    return database(url)["jobs"]


def wait_until(condition, secs=30.0):
    """Poll until `condition()` is true; what it returned last is in the failure."""
    deadline = time.monotonic() + secs
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"still {found!r} after {secs} s")
        time.sleep(0.02)
    return found


def search(url, fn=square, space=SPACE, **options):
    options.setdefault("algo", rand.suggest)
    options.setdefault("exp_key", "digits")
    options.setdefault("max_evals", 8)
    options.setdefault("rstate", 0)
    return fmin(fn, space, trials=url, **options)


@pytest.fixture(params=["replica set", "standalone"])
def either_url(request):
    """A database on a server with change streams, and on one without."""
    name = {"replica set": "mongo_url", "standalone": "standalone_url"}[request.param]
    return request.getfixturevalue(name)


# --- a search from end to end ---


def test_workers_evaluate_what_the_driver_suggests(either_url, capfd):
    best = search(either_url, workers=2)

    stored = list(jobs(either_url).find({"exp_key": "digits"}))
    assert len(stored) == 8
    assert {trial["state"] for trial in stored} == {JOB_STATE_DONE}
    assert sorted(trial["number"] for trial in stored) == list(range(8))
    winner = min(stored, key=lambda trial: trial["result"]["loss"])
    assert best["x"] == winner["params"]["x"]
    assert winner["result"]["loss"] == best["x"] ** 2
    assert "digits: 8/8 done" in capfd.readouterr().err


def test_documents_are_readable_without_a_legend(mongo_url):
    search(mongo_url, workers=1, max_evals=12)

    rows = list(
        database(mongo_url)["trials"]
        .find({"experiment": "digits", "state": "done"})
        .sort("loss", 1)
    )
    assert [row["loss"] for row in rows] == sorted(row["loss"] for row in rows)
    kinds = {str(row["params"]["model"]) for row in rows}
    assert "svm" in kinds
    tree = next(row for row in rows if row["params"]["model"] != "svm")
    assert tree["params"]["model"] == {"kind": "tree", "depth": tree["params"]["depth"]}
    assert isinstance(tree["params"]["depth"], int)
    for row in rows:
        assert row["queued"] <= row["started"] <= row["finished"]
        assert row["attempt"] == 1


def test_the_same_call_again_resumes_and_adds_nothing(mongo_url):
    first = search(mongo_url, workers=2)
    again = search(mongo_url, workers=2)
    more = search(mongo_url, workers=2, max_evals=10)

    assert again == first
    assert more.keys() <= {"x", "model", "depth"}
    assert jobs(mongo_url).count_documents({}) == 10
    xs = jobs(mongo_url).distinct("params.x")
    assert len(xs) == 10, "the same seed must not repeat points after a resume"


def test_mongo_trials_read_what_was_stored(mongo_url):
    best = search(mongo_url, workers=2)

    trials = MongoTrials(mongo_url, exp_key="digits")

    assert len(trials) == 8
    assert trials.argmin == best
    assert trials.best_trial["params"]["x"] == best["x"]
    assert space_eval(SPACE, trials.argmin)["x"] == best["x"]
    trials.close()


def test_trials_may_be_given_instead_of_the_url(mongo_url):
    trials = MongoTrials(mongo_url, exp_key="given")

    best = fmin(square, SPACE, rand.suggest, 4, trials=trials, workers=1, rstate=0)

    assert trials.argmin == best
    trials.close()


# --- objectives that fail ---


def test_an_exception_fails_its_trial_only(mongo_url):
    def fails_half(configuration):
        if configuration["x"] < 0:
            raise ValueError("negative x")
        return configuration["x"]

    best = search(mongo_url, fails_half, workers=2, max_evals=16)

    assert best["x"] >= 0
    failed = list(jobs(mongo_url).find({"state": JOB_STATE_ERROR}))
    assert failed
    for trial in failed:
        assert trial["error"] == ["ValueError", "negative x"]
        assert "fails_half" in trial["traceback"]
        assert trial["params"]["x"] < 0
    assert jobs(mongo_url).count_documents({}) == 16


def test_when_every_trial_fails_the_driver_says_why(mongo_url):
    def fails(configuration):
        raise OSError("no such disk")

    with pytest.raises(AllTrialsFailed, match="OSError: no such disk"):
        search(mongo_url, fails, workers=1, max_evals=3)


def test_an_objective_that_cannot_be_pickled_is_refused_before_any_trial(mongo_url):
    lock = threading.Lock()

    with pytest.raises(UnpicklableObjective, match="variable 'lock'"):
        search(mongo_url, lambda configuration: lock.locked(), workers=1)

    assert jobs(mongo_url).count_documents({}) == 0


def test_workers_that_cannot_load_the_objective_burn_no_trial(mongo_url, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def objective(c):\n    return c['x']\n")
    monkeypatch.syspath_prepend(tmp_path)
    from only_here import objective

    (tmp_path / "only_here.py").unlink()
    with pytest.raises(WorkersGone, match="only_here"):
        search(mongo_url, objective, workers=1)

    stored = list(jobs(mongo_url).find({}))
    assert [trial["state"] for trial in stored] == [JOB_STATE_NEW] * len(stored)
    assert all(trial["lost_attempts"] == 0 for trial in stored)


# --- the experiment's name and space ---


def test_another_space_under_the_same_name_is_refused(mongo_url):
    search(mongo_url, workers=1, max_evals=2)

    with pytest.raises(SpaceChanged, match=r"x: .*5") as raised:
        search(mongo_url, space={"x": hp.uniform("x", -9, 9)}, workers=1)

    assert "model: removed" in str(raised.value)
    assert jobs(mongo_url).count_documents({}) == 2


def test_an_experiment_is_named_after_its_objective_by_default(mongo_url):
    search(mongo_url, exp_key=None, workers=1, max_evals=1)

    [trial] = jobs(mongo_url).find({})
    assert trial["exp_key"] == "test_search.square"


def test_experiments_in_one_database_do_not_mix(mongo_url):
    search(mongo_url, exp_key="a", workers=1, max_evals=3)
    search(mongo_url, exp_key="b", workers=1, max_evals=2)

    stored = list(jobs(mongo_url).find({}).sort("tid"))
    assert [(trial["exp_key"], trial["number"]) for trial in stored] == [
        ("a", 0),
        ("a", 1),
        ("a", 2),
        ("b", 0),
        ("b", 1),
    ]
    assert len({trial["tid"] for trial in stored}) == 5


# --- drivers that are interrupted, killed, or two ---

DRIVER = """
import sys, time
from hpo import fmin, hp, rand

def objective(c):
    time.sleep(0.05)
    return c["x"] ** 2

best = fmin(objective, {"x": hp.uniform("x", -5, 5)}, algo=rand.suggest,
            max_evals=int(sys.argv[1]), trials=sys.argv[2], exp_key="digits",
            workers=2, rstate=0)
print("best", best)
"""


@pytest.fixture
def start_driver(tmp_path, mongo_url):
    started = []
    script = tmp_path / "driver.py"
    script.write_text(textwrap.dedent(DRIVER))

    def start(max_evals):
        process = subprocess.Popen(
            [sys.executable, str(script), str(max_evals), mongo_url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def n_done(url):
    return jobs(url).count_documents({"state": JOB_STATE_DONE})


def test_ctrl_c_returns_the_best_so_far_and_the_script_resumes(start_driver, mongo_url):
    driver = start_driver(1000)
    wait_until(lambda: n_done(mongo_url) >= 3)

    driver.send_signal(signal.SIGINT)
    out, err = driver.communicate(timeout=30)

    assert driver.returncode == 0, err
    assert out.startswith("best {'x':")
    assert "interrupted" in err
    wait_until(lambda: jobs(mongo_url).count_documents({"state": JOB_STATE_RUNNING}) == 0)
    so_far = n_done(mongo_url)
    resumed = start_driver(so_far + 5)
    out, err = resumed.communicate(timeout=60)
    assert resumed.returncode == 0, err
    assert n_done(mongo_url) == so_far + 5


def test_a_killed_driver_leaves_a_search_that_goes_on(start_driver, mongo_url):
    driver = start_driver(1000)
    wait_until(lambda: n_done(mongo_url) >= 3)

    driver.kill()
    driver.wait()

    workers = database(mongo_url)["workers"]
    wait_until(lambda: workers.count_documents({}) == 0)  # they noticed, and left
    assert jobs(mongo_url).count_documents({"state": JOB_STATE_RUNNING}) == 0
    before = n_done(mongo_url)
    resumed = start_driver(before + 5)
    _, err = resumed.communicate(timeout=60)
    assert resumed.returncode == 0, err
    stored = list(jobs(mongo_url).find({}))
    assert len(stored) == before + 5
    assert {trial["state"] for trial in stored} == {JOB_STATE_DONE}
    assert len({trial["params"]["x"] for trial in stored}) == len(stored)


def test_two_drivers_on_one_experiment_add_up_to_one_search(start_driver, mongo_url):
    first, second = start_driver(30), start_driver(30)

    for driver in (first, second):
        out, err = driver.communicate(timeout=90)
        assert driver.returncode == 0, err
        assert out.startswith("best {'x':")
    assert n_done(mongo_url) == 30
    assert jobs(mongo_url).count_documents({}) == 30


def test_the_second_driver_takes_over_when_the_first_is_killed(start_driver, mongo_url):
    first = start_driver(40)
    wait_until(lambda: n_done(mongo_url) >= 2)
    second = start_driver(40)

    first.kill()
    first.wait()

    _, err = second.communicate(timeout=90)
    assert second.returncode == 0, err
    assert n_done(mongo_url) == 40


# --- waiting ---


def test_a_driver_without_workers_says_what_it_waits_for(mongo_url, capfd, monkeypatch):
    monkeypatch.setattr("hpo.standing._QUIET_SECS_BEFORE_NOTICE", 0.2)

    with pytest.raises(AllTrialsFailed):
        search(mongo_url, timeout=2.0)

    said = capfd.readouterr().err
    assert "no worker has been seen" in said
    assert "hpo-worker --mongo URL --exp-key digits" in said
    assert "stopped after the timeout of 2 s" in said


def test_a_driver_that_waits_for_long_trials_tells_their_oldest_lease(
    mongo_url, capfd, monkeypatch, tmp_path
):
    monkeypatch.setattr("hpo.standing._QUIET_SECS_BEFORE_NOTICE", 0.2)
    monkeypatch.setattr("hpo.progress.PLAIN_INTERVAL_SECS", 0.1)
    release = tmp_path / "release"
    driver = threading.Thread(
        target=lambda: search(mongo_url, waiting_for(release), workers=1, max_evals=1)
    )
    driver.start()
    said = ""
    try:
        said = wait_until(lambda: next(_lines_with("oldest lease", capfd), ""))
    finally:
        release.touch()
        driver.join(timeout=60)

    assert "0/1 done, 1 running on 1 worker, oldest lease" in said


def waiting_for(path):
    def objective(configuration):
        while not path.exists():
            time.sleep(0.02)
        return 0.0

    return objective


def _lines_with(text, capfd):
    return (line for line in capfd.readouterr().err.splitlines() if text in line)


def test_workers_may_come_after_the_driver(mongo_url):
    answers = []
    driver = threading.Thread(target=lambda: answers.append(search(mongo_url)))
    driver.start()
    wait_until(lambda: jobs(mongo_url).count_documents({"state": JOB_STATE_NEW}) == 1)

    worker = subprocess.Popen(
        [sys.executable, "-m", "hpo_worker", "--exp-key", "digits", "--quiet"],
        env={**os.environ, "HPO_MONGO_URL": mongo_url, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    driver.join(timeout=60)

    worker.terminate()
    assert worker.wait(timeout=10) == 0
    assert len(answers) == 1
    assert n_done(mongo_url) == 8
