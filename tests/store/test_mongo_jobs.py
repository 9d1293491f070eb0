"""MongoJobs: trials handled one by one, as hyperopt's programs do, with a store's promises."""

from __future__ import annotations

import contextlib
import time

import numpy as np
import pytest

from hpo.document import (
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_RUNNING,
    JOB_STATES,
    new_trial,
)
from hpo.exceptions import InvalidOption, InvalidTrial, StoreError
from hpo.mongo_trials import MongoTrials
from hpo.store.mongo.jobs import MongoJobs
from tests.servers import fresh_database


@pytest.fixture
def jobs(mongo_url):
    with contextlib.closing(MongoJobs.new_from_connection_str(mongo_url)) as opened:
        yield opened


def inserted(jobs, n=1, exp_key="digits"):
    tids = jobs.store.allocate_tids(n)
    return [jobs.insert(new_trial(tid, exp_key=exp_key, values={"x": float(tid)})) for tid in tids]


def test_pymongo_is_within_reach(jobs):
    (job,) = inserted(jobs)

    assert jobs.jobs.find_one({"_id": job["_id"]})["tid"] == job["tid"]
    assert jobs.collection.name == "jobs"
    assert jobs.db.name == jobs.store.db.name
    assert jobs.conn[jobs.db.name].name == jobs.db.name
    assert jobs.gfs.get(jobs.gfs.put(b"bytes")).read() == b"bytes"


def test_inserting_leaves_the_callers_document_alone(jobs):
    document = new_trial(0, values={"x": 1.0})

    stored = jobs.insert(document)

    assert "_id" in stored and "_id" not in document


def test_what_is_no_trial_is_not_inserted(jobs):
    with pytest.raises(InvalidTrial, match="trial lacks"):
        jobs.insert({"a": 7})
    assert len(jobs) == 0


def test_an_empty_collection_is_still_a_true_object(jobs):
    assert len(jobs) == 0
    assert jobs


def test_jobs_are_listed_by_what_became_of_them(jobs):
    inserted(jobs, 5)
    done, failed, dead, running = (jobs.reserve("me") for _ in range(4))
    jobs.update(done, {"state": JOB_STATE_DONE, "result": {"status": "ok", "loss": 1.0}})
    jobs.update(failed, {"state": JOB_STATE_ERROR, "error": ["ValueError", "no"]})
    jobs.jobs.update_one({"tid": dead["tid"]}, [{"$set": {"lease_until": "$queue_time"}}])

    assert [job["tid"] for job in jobs.jobs_complete()] == [done["tid"]]
    assert [job["tid"] for job in jobs.jobs_error(cursor=True)] == [failed["tid"]]
    assert [job["tid"] for job in jobs.jobs_dead()] == [dead["tid"]]
    assert [job["tid"] for job in jobs.jobs_running()] == [running["tid"]]
    assert [job["tid"] for job in jobs.jobs_queued()] == [4]
    assert [job["tid"] for job in jobs] == [0, 1, 2, 3, 4]


def test_the_first_free_job_is_reserved_for_one_alone(jobs):
    first, second = inserted(jobs, 2)

    taken = [jobs.reserve(("host", 7)), jobs.reserve("other"), jobs.reserve("third")]

    assert [job and job["tid"] for job in taken] == [first["tid"], second["tid"], None]
    assert taken[0]["owner"] == "host:7"
    assert taken[0]["state"] == JOB_STATE_RUNNING
    assert taken[0]["book_time"] is not None


def test_only_jobs_that_meet_the_condition_are_reserved(jobs):
    inserted(jobs, 2, exp_key="a")
    inserted(jobs, 1, exp_key="b")

    assert jobs.reserve("me", exp_key="b")["exp_key"] == "b"
    assert jobs.reserve("me", cond={"tid": 1})["tid"] == 1
    with pytest.raises(InvalidOption, match="has an owner"):
        jobs.reserve("me", cond={"owner": "somebody"})


def test_an_update_shows_in_the_database_and_in_the_callers_document(jobs):
    (job,) = inserted(jobs)

    same = jobs.update(job, {"result": {"status": "ok", "loss": np.float64(0.5)}, "note": "hand"})

    assert same is job
    stored = jobs.jobs.find_one({"_id": job["_id"]})
    assert stored["result"]["loss"] == 0.5
    assert (stored["note"], stored["version"]) == ("hand", job["version"])


def test_ending_a_job_by_hand_ends_its_lease_and_dates_it(jobs):
    inserted(jobs)
    job = jobs.reserve("me")

    jobs.update(job, {"state": JOB_STATE_DONE, "result": {"status": "ok", "loss": 1.0}})

    stored = jobs.jobs.find_one({"_id": job["_id"]})
    assert stored["lease_until"] is None
    assert stored["finish_time"] >= stored["book_time"]


def test_an_update_of_an_old_copy_is_refused_and_changes_nothing(jobs):
    (job,) = inserted(jobs)
    old = dict(job)
    jobs.update(job, {"note": "first"})

    with pytest.raises(StoreError, match="has changed since it was read"):
        jobs.update(old, {"note": "second"})
    assert jobs.jobs.find_one({"_id": job["_id"]})["note"] == "first"


def test_an_update_needs_a_document_that_is_stored_and_keeps_its_id(jobs):
    (job,) = inserted(jobs)

    with pytest.raises(ValueError, match="not stored yet"):
        jobs.update({"tid": 0}, {"note": "x"})
    with pytest.raises(ValueError, match="cannot become"):
        jobs.update(job, {"_id": 3})


def test_refreshing_renews_the_lease(jobs):
    inserted(jobs)
    job = jobs.reserve("me", lease_secs=1.0)

    jobs.refresh(job)

    stored = jobs.jobs.find_one({"_id": job["_id"]})
    assert stored["lease_until"] > job["lease_until"]


def test_refreshing_a_job_that_somebody_else_took_is_refused(jobs):
    inserted(jobs)
    job = jobs.reserve("me", lease_secs=0.001)
    time.sleep(0.01)
    jobs.store.requeue_expired()

    with pytest.raises(StoreError):
        jobs.refresh(job)


def test_attachments_are_kept_beside_a_job(jobs):
    (job,) = inserted(jobs)

    jobs.set_attachment(job, b"first", "model")
    jobs.set_attachment(job, "second", "model")
    jobs.set_attachment(job, b"log", "log")

    assert sorted(jobs.attachment_names(job)) == ["log", "model"]
    assert jobs.get_attachment(job, "model") == b"second"
    jobs.update(job, {"note": "the document is up to date"})


def test_an_attachment_that_is_not_there_is_named(jobs):
    (job,) = inserted(jobs)
    jobs.set_attachment(job, b"log", "log")
    jobs.delete_attachment(job, "log")

    for touch in (jobs.get_attachment, jobs.delete_attachment):
        with pytest.raises(StoreError, match=r"Attachment not found: 'log'.*has none"):
            touch(job, "log")


def test_deleted_jobs_take_their_attachments_along(jobs):
    kept, removed = inserted(jobs, 2)
    jobs.set_attachment(removed, b"bytes", "model")

    jobs.delete(removed)

    assert [job["tid"] for job in jobs] == [kept["tid"]]
    assert jobs.db["fs.files"].count_documents({}) == 0


def test_a_reader_notices_that_finished_trials_were_deleted_or_changed(jobs):
    failed, done = inserted(jobs, 2)
    jobs.update(failed, {"state": JOB_STATE_ERROR})
    jobs.update(done, {"state": JOB_STATE_DONE, "result": {"status": "ok", "loss": 1.0}})
    reader = MongoTrials(jobs.store, exp_key="digits")
    assert reader.count_by_state_unsynced(JOB_STATES) == 2

    jobs.delete_all_error_jobs()
    jobs.update(done, {"result": {"status": "ok", "loss": 0.5}})
    reader.refresh()

    assert reader.losses() == [0.5]
    assert reader.best_loss == 0.5
    assert [job["tid"] for job in jobs] == [done["tid"]]


def test_jobs_can_be_inserted_after_the_last_ones_were_deleted(jobs):
    _, last = inserted(jobs, 2)
    jobs.delete(last)
    reader = MongoTrials(jobs.store, exp_key="digits")

    inserted(jobs, 2)
    reader.refresh()

    assert len(reader) == 3


def test_without_a_condition_everything_is_deleted(jobs):
    inserted(jobs, 2)
    jobs.delete_all()

    assert len(jobs) == 0


def test_two_databases_do_not_see_each_other(jobs, mongo_server):
    with fresh_database(mongo_server) as url:
        with contextlib.closing(MongoJobs.new_from_connection_str(url)) as other:
            inserted(jobs)
            assert (len(jobs), len(other)) == (1, 0)


def test_a_database_may_be_opened_by_its_pieces(mongo_server):
    opened = MongoJobs.alloc(
        "pieces", host="127.0.0.1", port=mongo_server.port, user="hpo", pw=mongo_server.password
    )
    with contextlib.closing(opened):
        assert len(opened) == 0
        opened.conn.drop_database("pieces")


@pytest.mark.parametrize("option", [{"ssh": True}, {"gfs_coll": "files"}])
def test_pieces_that_are_not_supported_say_what_to_do(option):
    with pytest.raises(InvalidOption):
        MongoJobs.alloc("pieces", **option)
