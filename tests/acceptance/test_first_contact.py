"""A server that is away when a driver or a worker begins, or when a driver reads the end."""

from __future__ import annotations

import logging
import socket
import sys
from contextlib import closing

import numpy as np
import pytest

import hpo.driver
from hpo import MongoTrials, Trials, fmin, hp, rand
from hpo.exceptions import AccessDenied, ServerUnreachable, UnknownHost
from hpo.mongoexp import MongoTrials as HyperoptsMongoTrials
from hpo.store.mongo import MongoStore
from tests.acceptance.working import assert_that_nothing_was_lost_or_repeated, worker

pytestmark = pytest.mark.breaks

EXP_KEY = "first-contact"
N_TRIALS = 6
SPACE = {"x": hp.uniform("x", -5, 5)}
# Of the same name as the function in it.
FMIN = sys.modules["hpo.fmin"]


def objective(config):
    return (config["x"] - 3.0) ** 2


@pytest.fixture
def store(standalone_url):
    with closing(MongoStore.connect(standalone_url)) as store:
        yield store


@pytest.fixture
def mended_once_told(proxy):
    """Mends the network as soon as somebody says that he waits for the server; what was said."""
    said = []

    class Mender(logging.Handler):
        def emit(self, record):
            said.append(record.getMessage())
            if "trying again" in said[-1]:
                proxy.mend()

    logger, mender = logging.getLogger("hpo.outage"), Mender()
    logger.addHandler(mender)
    yield said
    logger.removeHandler(mender)


def search(trials, **options):
    return fmin(
        objective,
        SPACE,
        algo=rand.suggest,
        max_evals=N_TRIALS,
        trials=trials,
        rstate=np.random.default_rng(7),
        verbose=False,
        **options,
    )


# --- the driver ---


@pytest.mark.parametrize("kind", ["url", "MongoTrials", "hyperopt's MongoTrials"])
def test_a_driver_that_finds_no_server_waits_and_says_for_what(
    store, standalone_url, far_url, proxy, mended_once_told, kind
):
    proxy.cut()
    with worker(standalone_url, EXP_KEY, objective):
        if kind == "url":
            search(far_url, exp_key=EXP_KEY)
        else:
            opener = MongoTrials if kind == "MongoTrials" else HyperoptsMongoTrials
            with closing(opener(far_url, exp_key=EXP_KEY)) as trials:
                search(trials)

    assert_that_nothing_was_lost_or_repeated(store, EXP_KEY, objective, N_TRIALS)
    waits, answers = mended_once_told
    assert f"no MongoDB server that takes writes answers at 127.0.0.1:{proxy.port}" in waits
    assert waits.endswith("trying again for 10 min")
    assert answers.startswith("the server answers, after")


@pytest.mark.parametrize(
    ("module", "function"),
    [
        pytest.param(hpo.driver, "load_keys", id="while the objective is published"),
        pytest.param(FMIN, "_insert_points", id="while points are inserted"),
        pytest.param(FMIN, "_answer", id="while the answer is read"),
    ],
)
def test_a_driver_waits_for_a_server_that_goes_away(
    store, standalone_url, far_url, proxy, mended_once_told, monkeypatch, module, function
):
    monkeypatch.setattr("hpo.outage._QUIET_SECS", 0.3)
    act = getattr(module, function)
    cuts = [proxy.cut]

    def act_without_server(*arguments, **options):
        if cuts:
            cuts.pop()()
        return act(*arguments, **options)

    monkeypatch.setattr(module, function, act_without_server)
    with worker(standalone_url, EXP_KEY, objective):
        best = search(far_url, exp_key=EXP_KEY, points_to_evaluate=[{"x": 3.0}])

    assert best == {"x": 3.0}
    assert_that_nothing_was_lost_or_repeated(store, EXP_KEY, objective, N_TRIALS + 1)
    waits, answers = mended_once_told
    assert f"the server at 127.0.0.1:{proxy.port} cannot be reached since" in waits
    assert answers.startswith("the server answers again, after")


def test_what_a_timeout_has_ended_is_read_however_long_that_takes(
    store, standalone_url, far_url, proxy, mended_once_told, monkeypatch
):
    monkeypatch.setattr("hpo.outage._QUIET_SECS", 0.3)
    answer = FMIN._answer

    def answer_without_server(*arguments):
        if not mended_once_told:
            proxy.cut()
        return answer(*arguments)

    monkeypatch.setattr(FMIN, "_answer", answer_without_server)
    with (
        worker(standalone_url, EXP_KEY, objective, pause_secs=0.05),
        closing(MongoTrials(far_url, exp_key=EXP_KEY)) as trials,
    ):
        best = trials.fmin(objective, SPACE, algo=rand.suggest, timeout=1.5)

    assert (
        best["x"]
        == min(store.find(EXP_KEY, states=[2]), key=lambda trial: trial["result"]["loss"])[
            "params"
        ]["x"]
    )
    assert len(mended_once_told) == 2


def test_a_drivers_patience_with_a_first_contact_ends(far_url, proxy):
    proxy.cut()

    with pytest.raises(ServerUnreachable):
        search(far_url, exp_key=EXP_KEY, patience_secs=0.5)
    with pytest.raises(ServerUnreachable):
        search(far_url, exp_key=EXP_KEY, timeout=0.5)


def test_a_class_of_trials_with_its_own_fmin_is_told_a_patience_that_was_chosen():
    told = []

    class Own(Trials):
        def fmin(self, fn, space, algo=None, max_evals=None, **options):
            told.append(options)
            return {}

    fmin(objective, SPACE, max_evals=1, trials=Own())
    fmin(objective, SPACE, max_evals=1, trials=Own(), patience_secs=7)

    assert "patience_secs" not in told[0]
    assert told[1]["patience_secs"] == 7


def test_trials_take_a_patience():
    trials = Trials()

    trials.fmin(objective, SPACE, algo=rand.suggest, max_evals=2, patience_secs=5)

    assert len(trials) == 2


# --- what waiting cannot mend ---


@pytest.fixture
def nothing_said(caplog):
    yield
    assert [record.getMessage() for record in caplog.records if record.name == "hpo.outage"] == []


def test_a_wrong_password_is_not_waited_out(standalone_server, standalone_url, nothing_said):
    wrong = standalone_url.replace(standalone_server.password, "wr0ng")

    with pytest.raises(AccessDenied, match="password"):
        search(wrong, exp_key=EXP_KEY)


def test_a_host_that_nobody_knows_is_not_waited_out(monkeypatch, nothing_said):
    look_up = socket.getaddrinfo

    def look_up_without(host, *arguments, **options):
        if host == "nood7":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_without)

    with pytest.raises(UnknownHost, match=r"name of nood7: .*Check the host in the URL"):
        MongoTrials("mongodb://ann:secret@nood7:27017/digits?serverSelectionTimeoutMS=200")


def test_a_name_service_that_is_away_is_waited_out(monkeypatch, mended_once_told):
    def look_up_nothing(*_arguments, **_options):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", look_up_nothing)

    with pytest.raises(ServerUnreachable) as raised:
        MongoTrials("mongodb://node7/digits?serverSelectionTimeoutMS=100", patience_secs=2)

    assert not isinstance(raised.value, UnknownHost)
    assert len(mended_once_told) == 1
