"""What only a store on MongoDB has to cope with: networks, rights, sizes, other programs."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Any

import numpy as np
import pymongo
import pytest
from pymongo.errors import AutoReconnect, WTimeoutError

from hpo.document import (
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_NEW,
    JOB_STATE_RUNNING,
    Claim,
    new_trial,
)
from hpo.exceptions import (
    AccessDenied,
    InvalidOption,
    InvalidTrial,
    LeaseLost,
    ServerUnreachable,
    StoreError,
    UnstorableResult,
)
from hpo.store.base import Horizon, WorkerPresence
from hpo.store.mongo import MongoStore, schema
from hpo.store.mongo.failures import Patience
from hpo.store.mongo.mongod import free_port
from tests.store.old_trials import hyperopt_trial
from tests.store.proxy import Proxy

OK = {"status": "ok", "loss": 0.5}


@pytest.fixture(params=["replica set", "standalone"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def insert(store, n=1, exp_key="digits"):
    tids = store.allocate_tids(n)
    store.insert([new_trial(tid, exp_key=exp_key) for tid in tids])
    return tids


def claim(store, owner="node1:10:a", **options):
    trial = store.claim(owner, **options)
    assert trial is not None, "there was nothing to claim"
    return Claim.of(trial)


def stored(store, tid):
    [trial] = store.find(None, tids=[tid], all_experiments=True)
    return trial


# --- opening a database -----------------------------------------------------------


def test_opening_a_database_twice_changes_nothing(mongo_url):
    with closing(MongoStore.connect(mongo_url)) as store:
        before = store.jobs.index_information(), collections(store)
    with closing(MongoStore.connect(mongo_url)) as store:
        assert (store.jobs.index_information(), collections(store)) == before
        assert store.jobs.index_information()["tid_1"]["unique"]


def collections(store):
    return sorted(store.db.list_collections(), key=lambda collection: collection["name"])


def test_a_view_from_an_older_version_is_replaced(mongo_url):
    with pymongo.MongoClient(mongo_url) as client:
        client.get_default_database().create_collection("trials", viewOn="jobs", pipeline=[])
    with closing(MongoStore.connect(mongo_url)) as store:
        insert(store)
        assert store.db.trials.find_one()["experiment"] == "digits"


def test_a_collection_of_the_users_own_called_trials_is_left_alone(mongo_url, caplog):
    with pymongo.MongoClient(mongo_url) as client:
        client.get_default_database().trials.insert_one({"mine": 1})
    with closing(MongoStore.connect(mongo_url)) as store:
        insert(store)
        assert store.db.trials.find_one()["mine"] == 1
    assert "no view of that name" in caplog.text


def test_documents_that_share_a_tid_are_reported(mongo_url):
    with pymongo.MongoClient(mongo_url) as client:
        client.get_default_database().jobs.insert_many([{"tid": 1}, {"tid": 1}])

    with pytest.raises(StoreError, match="two documents where only one may be"):
        MongoStore.connect(mongo_url)


def test_processes_that_open_a_new_database_at_once_all_succeed(mongo_url):
    def open_and_insert(_):
        with closing(MongoStore.connect(mongo_url)) as store:
            return insert(store, 2)

    with ThreadPoolExecutor(4) as pool:
        tids = [tid for tids in pool.map(open_and_insert, range(4)) for tid in tids]

    assert sorted(tids) == list(range(8))


def test_a_collection_with_another_name_keeps_everything_beside_it(mongo_url):
    with closing(MongoStore.connect(mongo_url)) as jobs:
        others = MongoStore(jobs.client, jobs.db.name, "others")
        others.prepare()
        insert(jobs), insert(others, 2)
        others.announce(WorkerPresence("node1:1:a", "node1", 1), 30)
        others.open_experiment("digits", "digest", [])

        assert jobs.count("digits", [JOB_STATE_NEW]) == 1
        assert jobs.workers() == [] and len(others.workers()) == 1
        assert jobs.experiment("digits").space_digest is None
        assert others.db["others.trials"].count_documents({"experiment": "digits"}) == 2
        assert [trial["tid"] for trial in others.find("digits")] == [1, 2]


def test_a_server_that_is_too_old_is_refused():
    schema.check_version({"maxWireVersion": 13})
    with pytest.raises(StoreError, match=r"older than 5\.0"):
        schema.check_version({"maxWireVersion": 9})


# --- what to say when it fails ------------------------------------------------------


def test_an_unreachable_server_is_named_without_the_password():
    port = free_port()
    url = f"mongodb://ann:hush%40hush@127.0.0.1:{port}/digits?serverSelectionTimeoutMS=200"

    started = time.monotonic()
    with pytest.raises(ServerUnreachable) as raised:
        MongoStore.connect(url)

    assert time.monotonic() - started < 3
    assert f"127.0.0.1:{port}" in str(raised.value)
    assert "hush" not in everything_said(raised.value)


def test_a_wrong_password_is_told_from_an_unreachable_server(mongo_server, mongo_url):
    wrong = mongo_url.replace(mongo_server.password, "wr0ng")

    with pytest.raises(AccessDenied, match="password") as raised:
        MongoStore.connect(wrong)

    assert "wr0ng" not in everything_said(raised.value)


def test_no_password_at_all_is_refused(mongo_url):
    with pytest.raises(AccessDenied):
        MongoStore.connect(re.sub("//.*@", "//", mongo_url))


def everything_said(error: BaseException | None) -> str:
    return "" if error is None else f"{error!r} {error} {everything_said(error.__cause__)}"


def test_a_background_task_of_pymongo_tells_of_an_outage_in_one_line(mongo_url, caplog):
    def fail(error):
        try:
            raise error
        except pymongo.errors.PyMongoError:
            logging.getLogger("pymongo.client").exception("a task encountered an error:")

    with closing(MongoStore.connect(mongo_url)):
        fail(pymongo.errors.AutoReconnect("node7:27017: connection closed"))
        fail(pymongo.errors.InvalidOperation("a defect"))

    outage, defect = caplog.records
    assert outage.getMessage() == "a background task of pymongo: node7:27017: connection closed"
    assert outage.exc_info is None
    assert defect.getMessage() == "a task encountered an error:" and defect.exc_info


def test_nothing_about_a_store_shows_the_password(mongo_server, mongo_url):
    with closing(MongoStore.connect(mongo_url)) as store:
        shown = f"{store!r} {store} {store.hosts}"

    assert mongo_server.password not in shown
    assert f"127.0.0.1:{mongo_server.port}" in shown


def test_a_user_who_may_only_read_can_follow_but_not_insert(mongo_server, mongo_url):
    with closing(MongoStore.connect(mongo_url)) as store:
        insert(store, 2)
        database = store.db.name
        store.client.admin.command(
            "createUser", "guest", pwd="g", roles=[{"role": "read", "db": database}]
        )
    try:
        url = mongo_url.replace(f"hpo:{mongo_server.password}", "guest:g")
        with closing(MongoStore.connect(url)) as guest:
            assert len(list(guest.changes("digits", Horizon()))) == 2
            with pytest.raises(AccessDenied, match="readWrite"):
                guest.claim("node1:1:a")
    finally:
        with mongo_server.client() as client:
            client.admin.command("dropUser", "guest")


def test_a_closed_store_says_so(mongo_url):
    store = MongoStore.connect(mongo_url)
    store.close()

    with pytest.raises(StoreError, match="closed"):
        store.claim("node1:1:a")


def test_a_store_cannot_be_pickled_and_says_why(store):
    with pytest.raises(TypeError, match=r"MongoStore\.connect"):
        pickle.dumps(store)


# --- what a document can hold ---------------------------------------------------------


def test_numpy_results_are_stored_as_numbers_and_lists(store):
    [tid] = insert(store)

    store.finish(
        claim(store),
        {"status": "ok", "loss": np.float32(0.5), "n": np.int64(3), "curve": np.arange(3)},
    )

    assert stored(store, tid)["result"] == {
        "status": "ok", "loss": 0.5, "n": 3, "curve": [0, 1, 2]
    }  # fmt: skip


def nested(n_levels: int) -> Any:
    value: Any = 0
    for _ in range(n_levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (object(), r"result\['model'\].* type object"),
        ([{"deep": {1, 2}}], r"result\['model'\]\[0\]\['deep'\].* type set"),
        (2**70, r"result\['model'\] is 1180591620717411303424.* 64 bits"),
        ({1: "one"}, r"result\['model'\] has the key 1"),
        ("\ud800", "not valid Unicode"),
        (nested(190), "nested too deeply"),
        (nested(100_000), "nested too deeply"),
        (b"x" * 17_000_000, r"16\.2 MB, 'model' alone 16\.2 MB.* attachments"),
    ],
)
def test_an_unstorable_result_is_named_and_the_claim_still_stands(store, value, told):
    [tid] = insert(store)
    held = claim(store)

    with pytest.raises(UnstorableResult, match=told):
        store.finish(held, {**OK, "model": value})

    assert stored(store, tid)["state"] == JOB_STATE_RUNNING
    store.finish(held, OK)


def test_a_result_that_fits_alone_but_not_into_its_document_is_refused(store):
    [tid] = store.allocate_tids(1)
    store.insert([{**new_trial(tid), "spec": b"x" * 9_000_000}])
    held = claim(store)

    with pytest.raises(UnstorableResult, match="attachments"):
        store.finish(held, {**OK, "model": b"x" * 9_000_000})

    store.finish(held, OK)


def test_one_unstorable_trial_keeps_all_out(store):
    good, bad = store.allocate_tids(2)

    with pytest.raises(UnstorableResult, match=r"trial 1\['params'\]\['layer'\]"):
        store.insert([new_trial(good), new_trial(bad, params={"layer": object()})])
    with pytest.raises(InvalidTrial, match="lacks 'exp_key'"):
        store.insert([new_trial(good), {"tid": bad}])

    assert list(store.find(None)) == []


def test_a_trial_just_below_the_limit_goes_all_its_way(store):
    [tid] = store.allocate_tids(1)
    store.insert([new_trial(tid, params={"weights": b"x" * (16 * 1024**2 - 20 * 1024)})])

    store.finish(claim(store), OK)

    assert stored(store, tid)["state"] == JOB_STATE_DONE


@pytest.mark.parametrize("which", ["experiment", "trial"])
def test_an_attachment_is_bytes_or_text(store, which):
    [tid] = insert(store)
    of_trial = store.trial_attachments(stored(store, tid))
    attachments = of_trial if which == "trial" else store.attachments("digits")

    with pytest.raises(InvalidOption, match="must be bytes or text, not int"):
        attachments["notes"] = 3

    attachments["notes"] = "Größe"
    assert attachments["notes"].decode() == "Größe"


def test_an_error_text_is_stored_however_odd_or_long(store):
    [tid] = insert(store)

    store.fail(claim(store), ("ValueError", "half a \ud83d face"), "line\n" * 4_000_000)

    trial = stored(store, tid)
    assert trial["error"] == ["ValueError", "half a \\ud83d face"]
    assert len(trial["traceback"]) < 300_000
    assert "characters left out" in trial["traceback"]


def test_a_lease_lasts_as_long_as_was_asked_for(store):
    [tid] = insert(store)
    held = claim(store, lease_secs=0.25)
    store.heartbeat(held, lease_secs=1.5)

    trial = stored(store, tid)
    assert trial["lease_until"] - trial["refresh_time"] == timedelta(seconds=1.5)


# --- networks ---------------------------------------------------------------------------


def lose_acknowledgement(monkeypatch, collection, method: str, times: int = 1) -> list[str]:
    """Let `method` do its work and then fail as if the answer had been lost."""
    original, calls = getattr(collection, method), []

    def deaf(*args: Any, **kwargs: Any) -> Any:
        answer = original(*args, **kwargs)
        calls.append(method)
        if len(calls) <= times:
            raise AutoReconnect("connection reset by peer")
        return answer

    monkeypatch.setattr(collection, method, deaf)
    return calls


def test_a_claim_whose_answer_was_lost_is_found_again(store, monkeypatch):
    tids = insert(store, 3)
    lose_acknowledgement(monkeypatch, store._jobs_quick, "find_one_and_update")

    held = claim(store)

    assert (held.tid, held.attempt) == (tids[0], 1)
    assert store.count("digits", [JOB_STATE_RUNNING]) == 1


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (lambda store, held: store.finish(held, {**OK, "nan": float("nan")}), JOB_STATE_DONE),
        (lambda store, held: store.fail(held, ("ValueError", "bad"), "tb"), JOB_STATE_ERROR),
        (lambda store, held: store.release(held, "sigterm"), JOB_STATE_NEW),
    ],
    ids=["finish", "fail", "release"],
)
def test_an_end_whose_answer_was_lost_counts_once(store, monkeypatch, end, state):
    [tid] = insert(store)
    held = claim(store)
    calls = lose_acknowledgement(monkeypatch, store.jobs, "update_one", times=2)

    end(store, held)

    assert len(calls) == 3
    trial = stored(store, tid)
    assert (trial["state"], trial["version"], len(trial["attempts"])) == (state, 2, 1)


def test_an_insert_whose_answer_was_lost_stores_each_trial_once(store, another, monkeypatch):
    lose_acknowledgement(monkeypatch, store.jobs, "bulk_write")

    tids = insert(store, 3)

    assert [(trial["tid"], trial["number"]) for trial in store.find("digits")] == [
        (tid, number) for number, tid in enumerate(tids)
    ]


def test_a_repeated_insert_does_not_reset_a_trial_that_was_claimed_meanwhile(
    store, another, monkeypatch
):
    original, claimed = store.jobs.bulk_write, []

    def deaf_once(*args: Any, **kwargs: Any) -> Any:
        answer = original(*args, **kwargs)
        if not claimed:
            claimed.append(claim(another))
            insert(another)
            raise AutoReconnect("connection reset by peer")
        return answer

    monkeypatch.setattr(store.jobs, "bulk_write", deaf_once)

    insert(store, 2)

    another.finish(claimed[0], OK)
    assert sorted(trial["number"] for trial in store.find("digits")) == [0, 1, 2]


def test_a_majority_that_is_slow_to_answer_is_asked_again(store, monkeypatch):
    insert(store)
    held, original, calls = claim(store), store.jobs.update_one, []

    def slow_once(*args: Any, **kwargs: Any) -> Any:
        calls.append(original(*args, **kwargs))
        if len(calls) == 1:
            raise WTimeoutError("waiting for replication timed out", 64)
        return calls[-1]

    monkeypatch.setattr(store.jobs, "update_one", slow_once)
    store.finish(held, OK)

    assert len(calls) == 2


@pytest.fixture
def proxy(standalone_server) -> Iterator[Proxy]:
    with closing(Proxy(standalone_server.port)) as proxy:
        yield proxy


def over(proxy: Proxy, url: str) -> str:
    """The URL of the same database over a proxy, with a client that gives up soon."""
    url = re.sub(r"(@127\.0\.0\.1):\d+/", rf"\1:{proxy.port}/", url)
    url = re.sub(r"replicaSet=\w+", "directConnection=true", url)
    return f"{url}&serverSelectionTimeoutMS=100&heartbeatFrequencyMS=500"


@pytest.fixture
def distant(standalone_url, proxy) -> Callable[[float], MongoStore]:
    """Opens the standalone server's database over the proxy."""

    def connect(patience_secs: float) -> MongoStore:
        return MongoStore.connect(over(proxy, standalone_url), patience_secs=patience_secs)

    return connect


def test_every_verb_outlasts_a_cut_line(distant, proxy):
    verbs: list[Callable[[MongoStore, Claim], Any]] = [
        lambda store, held: store.heartbeat(held),
        lambda store, held: store.checkpoint(held, OK),
        lambda store, held: list(store.changes("digits", Horizon())),
        lambda store, held: insert(store, 3),
        lambda store, held: store.claim("node2:20:b"),
        lambda store, held: store.finish(held, OK),
    ]
    with closing(distant(20)) as store:
        insert(store, 3)
        held = claim(store)
        for verb in verbs:
            proxy.cut()
            mending = threading.Timer(0.3, proxy.mend)
            mending.start()
            verb(store, held)
            mending.join()

        assert stored(store, held.tid)["state"] == JOB_STATE_DONE
        assert sorted(trial["number"] for trial in store.find("digits")) == list(range(6))
        assert store.count("digits", [JOB_STATE_RUNNING]) == 1


def test_patience_ends(distant, proxy):
    with closing(distant(0.5)) as store:
        insert(store)
        held = claim(store)
        proxy.cut()

        started = time.monotonic()
        with pytest.raises(ServerUnreachable):
            store.finish(held, OK)
        assert time.monotonic() - started < 5


def test_a_watch_outlasts_a_cut_line(mongo_server, mongo_url):
    with (
        closing(Proxy(mongo_server.port)) as proxy,
        closing(MongoStore.connect(mongo_url)) as near,
        closing(MongoStore.connect(over(proxy, mongo_url))) as far,
        far.watch("digits", "work") as watch,
    ):
        while watch.wait(0.1):
            pass
        proxy.cut()
        time.sleep(0.3)
        insert(near)
        proxy.mend()

        deadline = time.monotonic() + 10
        while far.claim("node1:1:a") is None:
            assert time.monotonic() < deadline, "the new trial was never noticed"
            watch.wait(1)


def test_patience_repeats_only_what_passes():
    patiently, calls = Patience(5, "node7:27017"), []

    def refuse() -> None:
        calls.append(1)
        raise pymongo.errors.OperationFailure("no such command", 59)

    with pytest.raises(StoreError, match="node7:27017"):
        patiently(refuse)
    assert len(calls) == 1


# --- waiting ------------------------------------------------------------------------------


def settle(watch) -> None:
    """Open the stream, and let what happened before pass by."""
    while watch.wait(0.2):
        pass


@pytest.fixture
def replica_store(mongo_url) -> Iterator[MongoStore]:
    with closing(MongoStore.connect(mongo_url)) as store:
        yield store


def test_a_driver_is_woken_by_results_but_not_by_claims_and_inserts(replica_store):
    insert(replica_store, 1, "iris")
    with replica_store.watch("digits", "results") as watch:
        settle(watch)
        insert(replica_store, 1, "digits")
        held = claim(replica_store)
        assert not watch.wait(0.2)

        replica_store.finish(held, OK)

        assert watch.wait(5.0)


def test_a_stream_that_nobody_waits_for_is_closed_and_opened_again(replica_store):
    with replica_store.watch("digits", "work") as watch:
        settle(watch)
        listener = watch._listener
        insert(replica_store, 1, "digits")

        listener._thread.join(timeout=10)  # nobody waits

        assert listener.has_ended
        claim(replica_store)
        settle(watch)
        assert watch._listener is not listener
        insert(replica_store, 1, "digits")
        assert watch.wait(5.0)


def test_heartbeats_and_renewals_wake_nobody(replica_store):
    insert(replica_store)
    held, worker = claim(replica_store), WorkerPresence("node1:1:a", "node1", 1)
    replica_store.announce(worker, 30)
    with (
        replica_store.watch(None, "results") as results,
        replica_store.watch(None, "work") as work,
    ):
        settle(results), settle(work)
        replica_store.heartbeat(held)
        replica_store.announce(worker, 30)

        assert not results.wait(0.2) and not work.wait(0.05)


def test_a_watch_that_nobody_waits_on_opens_no_stream(replica_store, monkeypatch):
    monkeypatch.setattr(type(replica_store.db), "watch", None)

    with replica_store.watch("digits", "work"):
        insert(replica_store)


def test_a_watch_survives_the_end_of_its_stream(replica_store):
    with replica_store.watch(None, "work") as watch:
        settle(watch)
        replica_store.client.drop_database(replica_store.db.name)
        deadline = time.monotonic() + 5
        insert(replica_store)
        while replica_store.claim("node1:1:a") is None:
            assert watch.wait(1) or time.monotonic() < deadline


def test_waiting_ends_its_thread(replica_store):
    with replica_store.watch(None, "work") as watch:
        watch.wait(0)
        [thread] = [one for one in threading.enumerate() if one.name == "hpo-watch"]

    thread.join(5)
    assert not thread.is_alive()


def test_polling_slows_down_until_something_is_found(standalone_url, monkeypatch):
    pauses: list[float] = []

    def note(secs: float) -> None:
        # pymongo's threads sleep as well.
        if threading.current_thread() is threading.main_thread():
            pauses.append(secs)

    with closing(MongoStore.connect(standalone_url)) as store:
        with store.watch("digits", "work") as watch:
            watch.wait(0)
            monkeypatch.setattr("hpo.store.mongo.watch.time.sleep", note)
            for _ in range(12):
                watch.wait(60)
            slow = list(pauses)
            monkeypatch.undo()
            insert(store)
            claim(store)
            monkeypatch.setattr("hpo.store.mongo.watch.time.sleep", note)
            watch.wait(60)

    assert slow[0] <= 0.01
    assert all(0.5 <= pause <= 1.0 for pause in slow[-3:])
    assert len(set(slow[-3:])) == 3, "no jitter"
    assert pauses[-1] <= 0.005


# --- hyperopt's documents --------------------------------------------------------------------


def test_tids_come_from_hyperopts_counter(store):
    store.db.job_ids.insert_one({"a": 0, "last_id": 17})

    assert store.allocate_tids(2) == [17, 18]
    assert store.db.job_ids.find_one()["last_id"] == 19


def test_old_trials_are_numbered_when_they_are_followed(store):
    store.jobs.insert_many(hyperopt_trial(tid) for tid in (5, 3, 4))

    followed = list(store.changes("old", Horizon()))

    assert [(trial["tid"], trial["number"]) for trial in followed] == [(3, 0), (4, 1), (5, 2)]
    assert store.number_old_trials("old") == 0


def test_old_trials_are_numbered_after_those_that_have_numbers(store, another):
    insert(store, 2, "old")
    store.jobs.insert_many(hyperopt_trial(tid) for tid in (9, 8))

    assert store.number_old_trials("old") == 2
    insert(another, 1, "old")

    numbers = {trial["tid"]: trial["number"] for trial in store.find("old")}
    assert numbers == {0: 0, 1: 1, 8: 2, 9: 3, 10: 4} or sorted(numbers.values()) == [
        0,
        1,
        2,
        3,
        4,
    ]


def test_an_old_trial_can_be_claimed_and_finished(store):
    store.jobs.insert_one(hyperopt_trial(3))

    held = claim(store, exp_key="old")
    store.finish(held, OK)

    trial = stored(store, 3)
    assert (trial["state"], trial["attempt"], trial["version"]) == (JOB_STATE_DONE, 1, 2)


def test_a_trial_that_a_worker_of_hyperopt_holds_is_not_taken_away(store):
    store.jobs.insert_one(hyperopt_trial(3, state=JOB_STATE_RUNNING))

    assert store.requeue_expired() == []


# --- processes ---------------------------------------------------------------------------------


def _work(url: str, owner: str) -> list[int]:
    with closing(MongoStore.connect(url)) as store:
        taken = []
        while (trial := store.claim(owner, exp_key="digits")) is not None:
            taken.append(trial["tid"])
            store.finish(Claim.of(trial), OK)
        return taken


def test_each_trial_is_claimed_by_one_of_many_processes(mongo_url):
    with closing(MongoStore.connect(mongo_url)) as store:
        tids = insert(store, 100)
        owners = [f"node{number}:1:a" for number in range(3)]
        with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
            shares = list(pool.map(_work, [mongo_url] * len(owners), owners))

        assert sorted(tid for share in shares for tid in share) == tids
        assert all(trial["attempt"] == 1 for trial in store.find("digits"))


# --- at the same moment -----------------------------------------------------------------------


def test_cancelling_catches_a_trial_that_is_claimed_at_that_moment(store, another, monkeypatch):
    [tid] = insert(store)
    original, held = store.jobs.update_one, []

    def claimed_just_before(*args: Any, **kwargs: Any) -> Any:
        if not held:
            held.append(claim(another))
        return original(*args, **kwargs)

    monkeypatch.setattr(store.jobs, "update_one", claimed_just_before)

    assert store.cancel("digits") == [tid]
    with pytest.raises(LeaseLost):
        another.finish(held[0], OK)


def test_an_objective_lost_by_a_crash_in_the_middle_can_be_stored_again(store):
    store.put_objective("digits", "a" * 64, b"x" * 300_000)
    store.db.objectives.files.delete_many({})

    store.put_objective("digits", "a" * 64, b"x" * 300_000)

    assert store.get_objective("a" * 64) == b"x" * 300_000


def test_a_program_that_removes_ended_trials_by_hand_can_tell_the_readers(store):
    insert(store, 2)
    store.open_experiment("digits", "digest", [])
    store.finish(claim(store), OK)
    store.jobs.delete_one({"state": JOB_STATE_DONE})

    store.note_rewritten(["digits"])

    experiment = store.experiment("digits")
    assert (experiment.epoch, experiment.space_digest) == (1, "digest")
    assert [trial["number"] for trial in store.changes("digits", Horizon())] == [1]
