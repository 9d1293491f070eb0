"""hyperopt's import path `mongoexp`: addresses, and trials whose handle is a MongoJobs."""

from __future__ import annotations

import contextlib

import pytest

from hpo import mongoexp
from hpo.document import new_trial
from hpo.exceptions import InvalidUrl
from hpo.mongoexp import MongoJobs, MongoTrials, as_mongo_str, parse_url


def test_the_face_lists_exactly_what_it_lends():
    lent = {name for name in vars(mongoexp) if not name.startswith("__")}

    assert lent == set(mongoexp.__all__)


# --- addresses ---


@pytest.mark.parametrize(
    "url, pieces",
    [
        (
            "mongo://hyperopt:foobar@127.0.0.1:27017/hyperoptdb/jobs",
            ("mongo", "hyperopt", "foobar", "127.0.0.1", 27017, "hyperoptdb", "jobs", None),
        ),
        (
            "mongo://hyperopt:foobar@127.0.0.1:27017/hyperoptdb/jobs?authSource=db1",
            ("mongo", "hyperopt", "foobar", "127.0.0.1", 27017, "hyperoptdb", "jobs", "db1"),
        ),
        (
            "mongo+ssh://node7/digits/jobs",
            ("mongo+ssh", None, None, "node7", 27017, "digits", "jobs", None),
        ),
        (
            "mongo://ann:p%40ss%2Fword@node7:1234/digits/jobs",
            ("mongo", "ann", "p@ss/word", "node7", 1234, "digits", "jobs", None),
        ),
    ],
)
def test_an_address_is_taken_apart(url, pieces):
    assert parse_url(url) == pieces


def test_a_password_may_stand_in_a_file(tmp_path):
    (tmp_path / "password").write_text("secret\n")

    parsed = parse_url("mongo://ann@node7:1234/digits/jobs", pwfile=tmp_path / "password")

    assert parsed.password == "secret"


@pytest.mark.parametrize(
    "url, complaint",
    [
        ("mongo://node7:1234/digits", "a database and a collection"),
        ("mongo://node7:1234/digits/jobs/more", "a database and a collection"),
        ("mongo://node7:http/digits/jobs", "the port is not a number"),
        ("node7:1234/digits/jobs", "no scheme or no host"),
    ],
)
def test_an_address_that_lacks_a_piece_is_refused(url, complaint):
    with pytest.raises(InvalidUrl, match=complaint):
        parse_url(url)


def test_a_refusal_never_quotes_a_password():
    with pytest.raises(InvalidUrl) as refusal:
        parse_url("mongo://ann:hidden/word@node7:1234/digits/jobs")

    assert "hidden" not in str(refusal.value)


@pytest.mark.parametrize(
    "text, url",
    [
        ("localhost:1234/digits", "mongo://localhost:1234/digits"),
        ("mongo://localhost/digits", "mongo://localhost/digits"),
        ("mongodb://localhost/digits", "mongodb://localhost/digits"),
        ("embedded:search", "embedded:search"),
    ],
)
def test_an_address_gets_hyperopts_scheme_unless_it_has_one(text, url):
    assert as_mongo_str(text) == url


# --- trials ---


@pytest.fixture
def jobs(mongo_url):
    with contextlib.closing(MongoJobs.new_from_connection_str(mongo_url)) as opened:
        yield opened


def inserted(jobs, n=1, exp_key="digits"):
    for tid in jobs.store.allocate_tids(n):
        jobs.insert(new_trial(tid, exp_key=exp_key, values={"x": float(tid)}))


def test_trials_may_be_opened_on_jobs_and_give_them_back(jobs):
    trials = MongoTrials(jobs, exp_key="digits", workdir="/scratch")
    inserted(jobs)
    trials.refresh_tids([0])

    assert trials.asynchronous
    assert isinstance(trials.handle, MongoJobs)
    assert len(trials.handle) == len(trials) == 1
    assert trials.workdir == trials.view("other").workdir == "/scratch"
    assert trials.view().exp_key == "digits"


def test_trials_that_meet_a_condition_are_deleted(jobs):
    inserted(jobs, 2, exp_key="a")
    inserted(jobs, 1, exp_key="b")
    trials = MongoTrials(jobs, exp_key="a")

    trials.delete_all({"tid": {"$gt": 0}})

    assert [trial["tid"] for trial in trials] == [0]
    assert len(jobs) == 2
    trials.delete_all()
    assert [job["exp_key"] for job in jobs] == ["b"]
