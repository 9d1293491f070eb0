"""Nothing that a killed process left behind stays for ever, and nothing living goes."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from bson import ObjectId

from hpo.cli import main
from hpo.document import new_trial
from hpo.store.base import WorkerPresence
from hpo.store.mongo import MongoStore
from tests.store.attaching import NEW, OLD

ROOT = Path(__file__).parents[2]
# File ids tell the time by the second.
A_SECOND = 1.1


@pytest.fixture
def store(standalone_url):
    with closing(MongoStore.connect(standalone_url)) as store:
        yield store


@pytest.fixture
def trial(store):
    """A trial of "digits" with an attachment, as the experiment has one."""
    (tid,) = store.allocate_tids(1)
    trial = new_trial(tid, exp_key="digits")
    store.insert([trial])
    store.trial_attachments(trial)["model"] = OLD
    store.attachments("digits")["weights"] = OLD
    return trial


def collected(store, **options):
    return {found.what: found.n for found in store.collect_garbage(**options) if found.n}


def file_ids(store, bucket="fs"):
    return set(store.db[f"{bucket}.files"].distinct("_id"))


def assert_that_every_chunk_has_its_file(store):
    for bucket in ("fs", "objectives"):
        assert set(store.db[f"{bucket}.chunks"].distinct("files_id")) <= file_ids(store, bucket)


def test_after_kills_at_every_moment_the_living_remain_and_nothing_else(
    store, trial, standalone_url
):
    # given a writer that was killed before and after each of its commands
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.attaching", standalone_url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30, "the writer died at many moments"
    left = len(file_ids(store))
    assert left > 2, "kills leave files behind"
    time.sleep(A_SECOND)

    # when
    found = collected(store, older_than_secs=0)

    # then
    assert found["parts of files"] > 0
    assert found["superseded files"] > 0
    assert store.attachments("digits")["weights"] in (OLD, NEW)
    assert store.trial_attachments(trial)["model"] in (OLD, NEW)
    assert list(store.find("iris")) == []
    assert len(file_ids(store)) == 2, "the two living files"
    assert file_ids(store, "objectives") == set()
    assert_that_every_chunk_has_its_file(store)
    assert collected(store, older_than_secs=0) == {}


def test_what_is_young_may_still_be_on_its_way(store, trial):
    # given an upload whose file entry is still to come
    store.db["fs.chunks"].insert_one({"files_id": ObjectId(), "n": 0, "data": b"part"})
    store._files.put(b"new", filename=f"{trial['_id']}_model")

    assert collected(store) == {}
    assert collected(store, older_than_secs=60) == {}


def test_a_writer_with_a_clock_years_behind_is_judged_by_the_servers(store, trial, monkeypatch):
    monkeypatch.setattr("bson.objectid.time.time", lambda: 1e9)

    store._files.put(b"new", filename=f"{trial['_id']}_model")

    assert collected(store, older_than_secs=60) == {}


def test_a_dry_run_finds_the_same_and_removes_nothing(store, trial):
    store.db["fs.chunks"].insert_one({"files_id": ObjectId(), "n": 0, "data": b"12345"})
    store._files.put(b"never listed", filename=f"{trial['_id']}_model")
    store._files.put(b"of nobody", filename=f"{ObjectId()}_model")
    time.sleep(A_SECOND)
    expected = {"parts of files": 1, "lost files": 1, "superseded files": 1}

    assert collected(store, older_than_secs=0, dry_run=True) == expected
    assert collected(store, older_than_secs=0, dry_run=True) == expected
    assert collected(store, older_than_secs=0) == expected
    assert store.trial_attachments(trial)["model"] == OLD


def test_files_of_trials_in_another_collection_are_not_lost(store, trial, standalone_url):
    with closing(MongoStore(store.client, store.db.name, "others")) as others:
        others.prepare()
        time.sleep(A_SECOND)

        assert collected(others, older_than_secs=0) == {}
        assert store.trial_attachments(trial)["model"] == OLD


def test_another_programs_versions_of_a_file_are_its_own_matter(store, trial):
    for content in (b"1", b"2"):
        store._files.put(content, filename="report.pdf", exp_key="not one of ours")
    time.sleep(A_SECOND)

    assert collected(store, older_than_secs=0) == {}


def test_an_objective_goes_when_no_trial_names_it_and_nobody_leads(store):
    (tid,) = store.allocate_tids(1)
    for exp_key in ("digits", "iris", "wine"):
        store.put_objective(exp_key, exp_key.encode().hex().rjust(64, "0"), b"code")
    digits, iris, wine = (key.encode().hex().rjust(64, "0") for key in ("digits", "iris", "wine"))
    store.insert([new_trial(tid, exp_key="digits") | {"objective": digits}])
    store.lead("iris", "node1:1:a", lease_secs=60)
    time.sleep(A_SECOND)

    assert collected(store, older_than_secs=0) == {"objectives that no trial names": 1}
    assert store.get_objective(digits) == b"code"
    assert store.get_objective(iris) == b"code"
    with pytest.raises(KeyError):
        store.get_objective(wine)


def test_only_workers_and_drivers_whose_time_has_passed_are_forgotten(store):
    for name, secs in (("gone", -1), ("alive", 60)):
        owner = f"node1:1:{name}"
        store.announce(WorkerPresence(owner, "node1", 1), ttl_secs=secs)
        store.lead(name, owner, lease_secs=secs)

    assert collected(store, dry_run=True) == {"workers and drivers that are gone": 2}
    assert collected(store) == {"workers and drivers that are gone": 2}
    assert [worker.owner for worker in store.workers()] == ["node1:1:alive"]
    assert store.experiment("gone").driver is None
    assert store.experiment("alive").driver == "node1:1:alive"


def test_an_attachment_of_an_experiment_that_was_deleted_goes(store, trial):
    store.delete("digits")
    store.attachments("digits")["late"] = b"came after the deletion"
    time.sleep(A_SECOND)

    assert collected(store, older_than_secs=0) == {"lost files": 1}
    assert file_ids(store) == set()


def test_the_command_says_what_it_removes(store, trial, standalone_url, capsys):
    store.db["fs.chunks"].insert_one({"files_id": ObjectId(), "n": 0, "data": b"x" * 200_000})
    time.sleep(A_SECOND)

    assert main(["gc", standalone_url, "--older-than", "0s", "--dry-run"]) == 0
    assert "parts of files" in capsys.readouterr().out
    assert main(["gc", standalone_url, "--older-than", "0s"]) == 0
    assert "0.2 MB" in capsys.readouterr().out
    assert main(["gc", standalone_url, "--older-than", "0s"]) == 0
    assert capsys.readouterr().out == "nothing was left behind\n"


@pytest.mark.parametrize("text", ["", "5", "d", "1w", "1.5h"])
def test_a_length_of_time_needs_a_number_and_a_unit(text, capsys):
    with pytest.raises(SystemExit):
        main(["gc", "localhost/db", "--older-than", text])

    assert "is not a length of time" in capsys.readouterr().err
