"""A server that goes away, and workers that vanish meanwhile: nothing is lost but time."""

from __future__ import annotations

import signal
import time
from urllib.parse import urlsplit

import pytest

from hpo.document import JOB_STATE_DONE, JOB_STATE_RUNNING, Claim
from tests.store.proxy import Proxy
from tests.worker.conftest import submit, wait_until
from tests.worker.test_worker_preemption import waits_for
from tests.worker.test_worker_process import n_in, sleeps_once, wait_for_pid

LEASE_SECS = 4.0


@pytest.fixture
def proxy(mongo_server):
    proxy = Proxy(mongo_server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def url_through_proxy(mongo_url, proxy):
    """A direct connection: by the set's name a client would find the way around the proxy."""
    parts = urlsplit(mongo_url)
    login = parts.netloc.rpartition("@")[0]
    return (
        f"mongodb://{login}@127.0.0.1:{proxy.port}{parts.path}"
        "?authSource=admin&directConnection=true"
    )


@pytest.fixture
def finish_during_outage(store, start_worker, url_through_proxy, proxy, tmp_path):
    """A worker whose objective returned 7.0 while the server was away; its result is on disk."""

    def begin(*options):
        [tid] = submit(store, waits_for(tmp_path / "pid", tmp_path / "go-on"), x0=7)
        worker = start_worker(
            "--max-jobs", "1", *options, env={"HPO_MONGO_URL": url_through_proxy}
        )
        wait_for_pid(tmp_path / "pid")
        proxy.cut()
        (tmp_path / "go-on").touch()
        wait_until(lambda: spooled(tmp_path))
        return worker, tid

    return begin


def spooled(tmp_path):
    return list((tmp_path / "state").rglob("*.end"))


def test_a_worker_delivers_by_itself_when_the_server_is_back(
    finish_during_outage, jobs, proxy, tmp_path
):
    worker, _ = finish_during_outage()
    time.sleep(0.5)

    proxy.mend()

    assert worker.wait(30) == 0, worker.said
    [trial] = jobs.find({})
    assert trial["result"] == {"loss": 7.0, "status": "ok"}
    assert trial["attempt"] == 1
    assert spooled(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_next_worker_delivers_what_a_stopped_one_could_not(
    finish_during_outage, jobs, start_worker, tmp_path, number
):
    worker, _ = finish_during_outage("--grace", "1")
    worker.send_signal(number)
    worker.wait(10)
    assert n_in(jobs, JOB_STATE_RUNNING) == 1
    # While the server was away its lease ran out, but nobody took it.
    jobs.update_many({}, [{"$set": {"lease_until": {"$subtract": ["$$NOW", 1000]}}}])

    second = start_worker("--reserve-timeout", "1")

    assert second.wait(30) == 0, second.said
    [trial] = jobs.find({})
    assert trial["state"] == JOB_STATE_DONE
    assert trial["result"] == {"loss": 7.0, "status": "ok"}
    assert trial["owner"].split(":")[1] == str(worker.pid)
    assert (trial["attempt"], trial["lost_attempts"]) == (1, 0)
    assert "delivered the result of trial" in second.said
    assert spooled(tmp_path) == []


def test_a_kept_result_does_not_overwrite_a_successors(
    finish_during_outage, store, jobs, start_worker, tmp_path
):
    worker, tid = finish_during_outage()
    worker.kill()
    worker.wait()
    jobs.update_many({}, [{"$set": {"lease_until": {"$subtract": ["$$NOW", 1000]}}}])
    assert store.requeue_expired() == [tid]
    successor = Claim.of(store.claim("elsewhere:1:x"))
    store.finish(successor, {"loss": -1.0, "status": "ok"})

    second = start_worker("--reserve-timeout", "1")

    assert second.wait(30) == 0, second.said
    [trial] = jobs.find({})
    assert trial["result"]["loss"] == -1.0
    assert "this write changed nothing" in second.said
    assert spooled(tmp_path) == []


def test_heartbeats_go_on_after_an_outage(
    store, jobs, start_worker, url_through_proxy, proxy, tmp_path
):
    submit(store, waits_for(tmp_path / "pid", tmp_path / "go-on"))
    worker = start_worker(
        "--lease", "2", "--max-jobs", "1", env={"HPO_MONGO_URL": url_through_proxy}
    )
    wait_for_pid(tmp_path / "pid")

    proxy.cut()
    wait_until(lambda: store.next_expiry_secs("digits") < 0)
    proxy.mend()

    wait_until(lambda: store.next_expiry_secs("digits") > 1)
    (tmp_path / "go-on").touch()
    assert worker.wait(10) == 0, worker.said
    assert jobs.find_one({})["attempt"] == 1


def test_a_killed_workers_trial_runs_again_within_its_lease_and_two_seconds(
    store, jobs, start_worker, tmp_path
):
    submit(store, sleeps_once(tmp_path / "pid"))
    first = start_worker("--lease", str(LEASE_SECS))
    wait_for_pid(tmp_path / "pid")
    # Idle, with leases of its own that are much longer.
    second = start_worker("--lease", "60", "--max-jobs", "1", "--poll-interval", "60")
    wait_until(lambda: len(store.workers("digits")) == 2)

    first.kill()
    first.wait()
    # By the server's clock, from the last heartbeat on: the machine may be busy with this test.
    last_sign = jobs.find_one({"state": JOB_STATE_RUNNING})["refresh_time"]
    wait_until(lambda: jobs.find_one({"attempt": 2}))

    assert second.wait(10) == 0, second.said
    [trial] = jobs.find({})
    assert [end["reason"] for end in trial["attempts"]] == ["lost", "done"]
    assert (trial["book_time"] - last_sign).total_seconds() <= LEASE_SECS + 2


@pytest.mark.soak
def test_with_leases_as_they_come_a_killed_workers_trial_runs_again_after_62_seconds(
    store, jobs, start_worker, tmp_path
):
    submit(store, sleeps_once(tmp_path / "pid"))
    first = start_worker()
    wait_for_pid(tmp_path / "pid")
    second = start_worker("--max-jobs", "1")
    wait_until(lambda: len(store.workers("digits")) == 2)

    first.kill()
    first.wait()
    # By the server's clock, from the last heartbeat on.
    last_sign = jobs.find_one({"state": JOB_STATE_RUNNING})["refresh_time"]
    wait_until(lambda: jobs.find_one({"attempt": 2}), secs=90)

    assert second.wait(10) == 0, second.said
    [trial] = jobs.find({})
    lost, done = trial["attempts"]
    assert (lost["reason"], done["reason"]) == ("lost", "done")
    assert lost["owner"].split(":")[1] == str(first.pid) != done["owner"].split(":")[1]
    assert 60.0 < (trial["book_time"] - last_sign).total_seconds() <= 62.0


# --- a server that is away from the start ---


def test_a_worker_that_finds_no_server_waits_and_says_for_what(
    store, jobs, start_worker, url_through_proxy, proxy
):
    submit(store, lambda config: config["x"], x0=7)
    proxy.cut()
    worker = start_worker(
        "--max-jobs", "1", env={"HPO_MONGO_URL": soon_given_up(url_through_proxy)}
    )
    wait_until(lambda: "trying again for 10 min" in worker.said)
    assert f"no MongoDB server that takes writes answers at 127.0.0.1:{proxy.port}" in worker.said

    proxy.mend()

    assert worker.wait(30) == 0, worker.said
    assert "the server answers, after" in worker.said
    assert jobs.find_one({})["result"] == {"loss": 7.0, "status": "ok"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_the_wait_for_a_first_server(start_worker, url_through_proxy, proxy, number):
    proxy.cut()
    worker = start_worker(env={"HPO_MONGO_URL": url_through_proxy})
    wait_until(lambda: "trying again" in worker.said)

    worker.send_signal(number)

    assert worker.wait(10) == 0, worker.said
    assert f"asked to by {number.name}, before there was a server" in worker.said


def test_a_workers_patience_with_a_first_contact_ends(start_worker, url_through_proxy, proxy):
    proxy.cut()
    worker = start_worker(
        "--patience", "1", env={"HPO_MONGO_URL": soon_given_up(url_through_proxy)}
    )

    assert worker.wait(30) == 69, worker.said


def test_what_waiting_cannot_mend_ends_a_worker_at_once(start_worker, mongo_url, mongo_server):
    wrong = mongo_url.replace(mongo_server.password, "wr0ng")
    worker = start_worker("--patience", "forever", env={"HPO_MONGO_URL": wrong})

    assert worker.wait(30) == 2, worker.said
    assert "trying again" not in worker.said


def soon_given_up(url):
    return f"{url}&serverSelectionTimeoutMS=200"
