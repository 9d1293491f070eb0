"""Only your code runs: what a worker refuses, before it unpickles a byte of it."""

from __future__ import annotations

import importlib
import os
import sys

import pytest

from hpo import Domain, cli, fmin, hp, rand
from hpo.document import (
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_NEW,
    new_trial,
)
from hpo.objective import PURPOSE, pack
from hpo.signing import load_keys
from tests.worker.conftest import submit, wait_until

EXIT_UNLOADABLE = 3
SPACE = {"x": hp.uniform("x", 0, 1)}


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "code of a stranger ran"


@pytest.fixture
def bomb(marker):
    """A pickle that makes `marker` when it is unpickled."""
    import pickle

    class Bomb:
        def __reduce__(self):
            return open, (str(marker), "w")

    return pickle.dumps(Bomb())


def insert_trial(store, sha256, exp_key="digits"):
    [tid] = store.allocate_tids(1)
    trial = new_trial(tid, exp_key=exp_key, values={"x": 0.5}, labels=["x"])
    store.insert([trial | {"objective": sha256}])
    return tid


def forged(bomb, how):
    """(sha256, payload) as somebody without the key could store them."""
    good = pack(Domain(lambda c: 0.0, SPACE), "digits", load_keys())
    header = good.payload.index(b"\n", 95) + 1
    return good.sha256, {
        "a bare pickle": bomb,
        "an unsigned header": b'{"format": 1, "name": "train"}\n' + bomb,
        "behind a good seal": good.payload[:header] + bomb,
        "in front of a good seal": bomb + good.payload,
        "with a key of its own": load_keys({"HPO_KEY": "e" * 32}).seal(
            good.payload[95:header] + bomb, PURPOSE
        ),
    }[how]


@pytest.mark.parametrize(
    "how",
    [
        "a bare pickle",
        "an unsigned header",
        "behind a good seal",
        "in front of a good seal",
        "with a key of its own",
    ],
)
def test_a_forged_objective_is_refused_and_everybody_is_told(
    store, start_worker, mongo_url, bomb, marker, how, capsys
):
    sha256, payload = forged(bomb, how)
    store.put_objective("digits", sha256, payload)
    tid = insert_trial(store, sha256)

    worker = start_worker("--no-subprocesses")

    assert worker.wait(30) == EXIT_UNLOADABLE
    assert "objective of experiment 'digits' is refused, and nothing of it was run" in worker.said
    assert not marker.exists()
    [trial] = store.find("digits", tids=[tid])
    assert (trial["state"], trial["lost_attempts"]) == (JOB_STATE_NEW, 0)
    assert cli.main(["status", mongo_url]) == 0
    assert "cannot work: the stored objective of experiment 'digits'" in capsys.readouterr().out


@pytest.mark.parametrize("evaluates", ["in a child process", "in its own process"])
def test_an_objective_of_another_experiment_fails_the_trial_that_names_it(
    store, start_worker, marker, evaluates
):
    def theirs(c, path=str(marker)):
        open(path, "w").close()
        return 0.0

    def ours(c):
        return c["x"]

    keys = load_keys()
    foreign = pack(Domain(theirs, SPACE), "iris", keys)
    store.put_objective("iris", foreign.sha256, foreign.payload)
    replayed = [insert_trial(store, foreign.sha256) for _ in range(25)]
    [good] = submit(store, ours)

    options = ["--no-subprocesses"] if evaluates == "in its own process" else []
    worker = start_worker("--max-jobs", "1", *options)

    assert worker.wait(60) == 0, worker.said
    [trial] = store.find("digits", tids=[good])
    assert trial["state"] == JOB_STATE_DONE
    refused = list(store.find("digits", tids=replayed))
    assert {trial["state"] for trial in refused} == {JOB_STATE_ERROR}
    kind, text = refused[0]["error"]
    assert kind == "UntrustedObjective" and "signed for experiment 'iris'" in text
    assert not marker.exists()


def test_a_loaded_objective_serves_no_other_experiment(store, start_worker):
    [first] = submit(store, lambda c: c["x"])
    [sha256] = [trial["objective"] for trial in store.find("digits", tids=[first])]
    second = insert_trial(store, sha256, exp_key="iris")

    start_worker(exp_key=None)

    wait_until(lambda: store.count("iris", [JOB_STATE_ERROR]) == 1)
    [trial] = store.find("iris", tids=[second])
    assert "signed for experiment 'digits'" in trial["error"][1]
    assert store.count("digits", [JOB_STATE_DONE]) == 1


def test_a_worker_with_another_key_says_whose_key_it_lacks(store, start_worker):
    submit(store, lambda c: 0.0)

    worker = start_worker(env={"HPO_KEY": "another key, of 32 characters...".replace(" ", "_")})

    assert worker.wait(30) == EXIT_UNLOADABLE
    assert f"signed with another key ({load_keys().ids[0]})" in worker.said
    assert "from $HPO_KEY. Give this worker the driver's key" in worker.said


def test_a_worker_without_a_key_says_how_to_get_one(store, start_worker, tmp_path):
    submit(store, lambda c: 0.0)

    worker = start_worker(env={"HPO_KEY": "", "HOME": str(tmp_path)})

    assert worker.wait(30) == EXIT_UNLOADABLE
    assert (
        f"there is no signing key here: neither $HPO_KEY nor the file '{tmp_path}" in worker.said
    )


def test_a_worker_finds_a_key_that_was_added_while_it_ran(store, start_worker, tmp_path):
    old, new = "o" * 32, "n" * 32
    key_file = tmp_path / "key"
    key_file.touch(mode=0o600)
    key_file.write_text(old)
    worker = start_worker(env={"HPO_KEY": "", "HPO_KEY_FILE": str(key_file)})
    for key in (old, new):
        key_file.write_text(f"{key} {old}")
        keys = load_keys({"HPO_KEY_FILE": str(key_file)})
        packed = pack(Domain(lambda c: 0.0, SPACE), "digits", keys)
        store.put_objective("digits", packed.sha256, packed.payload)
        tid = insert_trial(store, packed.sha256)
        wait_until(lambda tid=tid: list(store.find("digits", tids=[tid], states=[JOB_STATE_DONE])))

    assert worker.poll() is None


def test_the_objective_does_not_get_the_key(store, start_worker):
    def objective(c):
        import os

        return {"loss": 0.0, "status": "ok", "key": os.environ.get("HPO_KEY", "none")}

    [tid] = submit(store, objective)

    assert start_worker("--max-jobs", "1").wait(30) == 0
    [trial] = store.find("digits", tids=[tid])
    assert trial["result"]["key"] == "none"
    assert os.environ["HPO_KEY"]


# --- without pickles ---------------------------------------------------------------------


@pytest.fixture
def users_module(tmp_path, monkeypatch):
    (tmp_path / "trainer.py").write_text(
        "def square(configuration):\n    return configuration['x'] ** 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("trainer")
    sys.modules.pop("trainer", None)


@pytest.mark.parametrize("options", [("--no-pickle",), ("--no-pickle", "--no-subprocesses")])
def test_a_search_by_name_needs_no_pickle(store, start_worker, mongo_url, users_module, options):
    start_worker(*options, exp_key="trainer.square")

    fmin("trainer:square", SPACE, rand.suggest, max_evals=4, trials=mongo_url, verbose=False)

    results = [
        (trial["misc"]["vals"]["x"][0] ** 2, trial["result"]["loss"])
        for trial in store.find("trainer.square")
    ]
    assert len(results) == 4
    assert all(expected == loss for expected, loss in results)


@pytest.mark.parametrize("how", [["--no-pickle"], {"HPO_NO_PICKLE": "1"}], ids=["option", "env"])
def test_a_worker_without_pickles_refuses_all_others(store, start_worker, how):
    submit(store, lambda c: 0.0)

    worker = start_worker(*how) if isinstance(how, list) else start_worker(env=how)

    assert worker.wait(30) == EXIT_UNLOADABLE
    assert "it is pickled, and this worker was started with --no-pickle" in worker.said
