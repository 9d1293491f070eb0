"""Ends of trials on disk: written once the server is slow, delivered once, never to a stranger."""

from __future__ import annotations

import os
import stat
from datetime import datetime

import pytest

from hpo.document import JOB_STATE_DONE, JOB_STATE_ERROR, Claim, new_trial
from hpo.exceptions import ServerUnreachable
from hpo.store.memory import MemoryStore
from hpo_worker import spool as spool_module
from hpo_worker.spool import End, Spool, default_directory
from tests.worker.conftest import wait_until

RESULT = {
    "loss": 0.1,
    "status": "ok",
    "nan": float("nan"),
    "blob": b"\0\xff",
    "when": datetime(2026, 11, 21, 12),
    "nested": {"list": [1, 2.5, None, True, "ü"]},
}


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "state" / "spool"


@pytest.fixture
def spool(directory):
    return Spool(directory)


@pytest.fixture
def memory():
    return MemoryStore()


def claimed(store, tid=0, owner="node1:10:abcd"):
    store.insert([new_trial(tid, exp_key="digits")])
    return Claim.of(store.claim(owner))


def kept_in(directory):
    return list(directory.glob("*.end"))


def fails(store):
    raise ServerUnreachable("no server at node9:27017")


def keep(spool, end):
    """As when the server stays away while the end is written."""
    with pytest.raises(ServerUnreachable), spool.keeping(end):
        fails(None)


def test_an_end_that_the_server_takes_leaves_no_trace(spool, directory, memory):
    end = End(claimed(memory), RESULT)

    with spool.keeping(end):
        end.write(memory)

    assert not directory.exists()


def test_an_end_that_takes_long_is_on_disk_meanwhile(spool, directory, memory, monkeypatch):
    monkeypatch.setattr(spool_module, "KEEP_AFTER_SECS", 0.02)
    end = End(claimed(memory), RESULT)

    with spool.keeping(end):
        wait_until(lambda: kept_in(directory))

    assert kept_in(directory) == []


def test_a_kept_result_is_delivered_as_it_was(spool, directory, memory):
    end = End(claimed(memory), RESULT)
    keep(spool, end)

    Spool(directory).deliver(memory)

    [trial] = memory.find("digits")
    assert trial["state"] == JOB_STATE_DONE
    assert repr(trial["result"]) == repr(RESULT)
    assert kept_in(directory) == []


def test_a_kept_failure_is_delivered_with_its_reason(spool, directory, memory):
    error = ("TrialTimeout", "too long")
    end = End(claimed(memory), None, error, "", "timeout", {"timeout_secs": 3.0})
    keep(spool, end)

    Spool(directory).deliver(memory)

    [trial] = memory.find("digits")
    assert trial["state"] == JOB_STATE_ERROR
    assert trial["error"] == list(error)
    assert trial["attempts"][0]["reason"] == "timeout"
    assert trial["attempts"][0]["timeout_secs"] == 3.0


def test_a_result_of_an_attempt_that_was_lost_is_dropped(spool, directory, memory, caplog):
    first = claimed(memory)
    memory.release(first, "lost")
    second = Claim.of(memory.claim("node2:20:ef01"))
    memory.finish(second, {"loss": -1.0, "status": "ok"})
    keep(spool, End(first, RESULT))

    spool.deliver(memory)

    [trial] = memory.find("digits")
    assert trial["result"]["loss"] == -1.0
    assert kept_in(directory) == []
    assert "this write changed nothing" in caplog.text


def test_a_result_that_was_written_after_all_is_delivered_without_harm(spool, directory, memory):
    end = End(claimed(memory), {"loss": 0.1, "status": "ok"})
    keep(spool, end)
    end.write(memory)

    spool.deliver(memory)

    assert len(next(memory.find("digits"))["attempts"]) == 1
    assert kept_in(directory) == []


def test_a_result_for_another_database_stays(spool, directory, memory):
    keep(spool, End(claimed(memory), RESULT))
    elsewhere = MemoryStore()
    claimed(elsewhere, owner="node1:10:9999")

    Spool(directory).deliver(elsewhere)
    assert len(kept_in(directory)) == 1
    Spool(directory).deliver(memory)

    assert next(memory.find("digits"))["state"] == JOB_STATE_DONE
    assert "loss" not in next(elsewhere.find("digits"))["result"]


def test_a_result_that_nobody_wants_is_forgotten_after_a_month(spool, directory, memory):
    keep(spool, End(claimed(memory), RESULT))
    [path] = kept_in(directory)
    os.utime(path, (0, 0))

    Spool(directory).deliver(MemoryStore())

    assert kept_in(directory) == []


def test_the_server_going_away_again_keeps_what_is_left(spool, directory, memory, monkeypatch):
    keep(spool, End(claimed(memory), RESULT))
    monkeypatch.setattr(memory, "finish", lambda *arguments: fails(memory))

    with pytest.raises(ServerUnreachable):
        spool.deliver(memory)

    assert len(kept_in(directory)) == 1


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x05\0\0\0\0"])
def test_a_damaged_file_stays_and_is_named(spool, directory, memory, caplog, content):
    spool.prepare()
    (directory / "x.end").write_bytes(content)

    spool.deliver(memory)

    assert "x.end is damaged" in caplog.text
    assert len(kept_in(directory)) == 1


def test_nobody_else_can_read_what_is_kept(spool, directory, memory):
    keep(spool, End(claimed(memory), RESULT))

    [path] = kept_in(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(list(directory.iterdir())) == 1  # no draft is left


def test_a_directory_in_which_others_may_write_is_not_trusted(spool, directory, memory, caplog):
    keep(spool, End(claimed(memory), RESULT))
    directory.chmod(0o777)

    spool.deliver(memory)

    assert "loss" not in next(memory.find("digits"))["result"]
    assert "chmod 700" in caplog.text
    with pytest.raises(PermissionError):
        spool.prepare()


def test_a_disk_that_takes_nothing_costs_a_warning(tmp_path, memory, caplog):
    (tmp_path / "file").touch()

    keep(Spool(tmp_path / "file" / "spool"), End(claimed(memory), RESULT))

    assert "cannot keep the result of trial 0 on disk" in caplog.text


def test_without_a_directory_nothing_is_kept(memory):
    spool = Spool(None)
    end = End(claimed(memory), RESULT)
    keep(spool, end)

    spool.deliver(memory)

    assert "loss" not in next(memory.find("digits"))["result"]


def test_the_default_directory_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "hpo" / "spool"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_directory() == tmp_path / ".local" / "state" / "hpo" / "spool"
