"""The `hpo` command, as it is typed."""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pymongo
import pytest

from hpo import Domain, FMinIter, MongoTrials, cli, tpe
from hpo import hp as hp_space
from hpo.document import Claim, new_trial
from hpo.store.base import WorkerPresence
from hpo.store.mongo import MongoStore
from hpo.store.mongo.embedded import EmbeddedMongo
from hpo.store.mongo.mongod import holder_pid
from tests.servers import kill_server

DEADLINE_SECS = 30.0


@pytest.fixture
def store(mongo_url) -> Iterator[MongoStore]:
    """The store that the commands under test look at."""
    opened = MongoStore.connect(mongo_url)
    yield opened
    opened.close()


@pytest.fixture
def hpo(mongo_url, monkeypatch, capsys):
    """Run a command on the store's database; returns (exit code, stdout, stderr)."""
    monkeypatch.setenv("HPO_MONGO_URL", mongo_url)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = cli.main(words)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def insert(store: MongoStore, exp_key: str | None, losses: list[float | None]) -> list[int]:
    """Store one trial per loss: finished with it, failed for None."""
    tids = store.allocate_tids(len(losses))
    store.insert([new_trial(tid, exp_key=exp_key, params={"lr": 0.1 * tid}) for tid in tids])
    for loss in losses:
        held = store.claim("node1:1:x", exp_key=exp_key)
        assert held is not None
        if loss is None:
            store.fail(Claim.of(held), ("ValueError", "no"))
        else:
            store.finish(Claim.of(held), {"status": "ok", "loss": loss})
    return tids


def table(text: str) -> list[list[str]]:
    """The cells of a printed table, header included."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if "  " in line]


# --- status -----------------------------------------------------------------------


def test_status_counts_the_trials_of_every_experiment(hpo, store):
    insert(store, "digits", [0.5, 0.25, None])
    insert(store, "letters", [])
    store.insert([new_trial(tid, exp_key="letters") for tid in store.allocate_tids(2)])
    store.announce(WorkerPresence("node1:1:x", "node1", 1, exp_key="digits"), 60)

    code, out, _ = hpo("status")

    assert code == 0
    header, digits, letters = table(out)
    assert header == [
        *("experiment", "new", "running", "done", "error", "cancel", "best loss", "workers"),
    ]
    assert digits == ["digits", "0", "0", "2", "1", "0", "0.25", "1"]
    assert letters == ["letters", "2", "0", "0", "0", "0", "-", "0"]
    assert "1 worker alive: 1 idle" in out


def test_status_shows_one_experiment_if_asked(hpo, store):
    insert(store, "digits", [0.5])
    insert(store, "letters", [0.5])

    _, out, _ = hpo("status", "--exp-key", "digits")

    assert "digits" in out and "letters" not in out


def test_status_of_an_empty_database_is_not_an_error(hpo):
    code, out, _ = hpo("status")

    assert code == 0
    assert "no experiment has trials yet" in out and "0 workers alive" in out


def test_status_says_why_a_worker_cannot_work(hpo, store):
    store.announce(
        WorkerPresence("node1:1:x", "node1", 1, state="unfit", message="no module named 'mine'"),
        60,
    )

    _, out, _ = hpo("status")

    assert "node1:1:x cannot work: no module named 'mine'" in out


# --- best -------------------------------------------------------------------------


def test_best_lists_the_least_losses_first_with_their_parameters(hpo, store):
    tids = insert(store, "digits", [0.5, 0.25, None, float("nan"), 0.75])

    code, out, _ = hpo("best", "digits", "-n", "2")

    assert code == 0
    header, first, second = table(out)
    assert header == ["trial", "loss", "parameters"]
    assert first == [str(tids[1]), "0.25", f"lr={0.1 * tids[1]:.6g}"]
    assert second[:2] == [str(tids[0]), "0.5"]


def test_best_takes_the_database_as_its_first_argument_too(hpo, store, mongo_url, tmp_path):
    insert(store, "digits", [0.5])
    (tmp_path / "url").write_text(mongo_url)

    for url in (mongo_url, f"file:{tmp_path / 'url'}"):
        assert "0.5" in hpo("best", url, "digits")[1]


def test_best_of_an_experiment_that_has_no_result_yet_exits_1(hpo, store):
    insert(store, "digits", [None])

    code, _, err = hpo("best", "digits")

    assert code == 1
    assert "no trial of 'digits' has finished" in err


# --- trials -----------------------------------------------------------------------


def test_trials_lists_the_latest_first_with_how_far_each_has_come(hpo, store):
    first, second, third = insert(store, "digits", [0.5, None, 0.25])
    last_report = {"last_report": {"step": 27, "loss": 0.3}}
    store.jobs.update_one({"tid": third}, {"$set": {"result.status": "stopped", **last_report}})

    code, out, _ = hpo("trials", "digits", "-n", "2")

    assert code == 0
    header, *rows = table(out)
    assert header == ["trial", "state", "loss", "step", "loss there", "host", "parameters"]
    assert [row[:5] for row in rows] == [
        [str(third), "done: stopped", "0.25", "27", "0.3"],
        [str(second), "error", "-", "-", "-"],
    ]
    assert rows[0][-1] == f"lr={0.1 * third:.6g}"
    assert str(first) not in [row[0] for row in rows]


def test_trials_of_one_state_only(hpo, store):
    done, failed = insert(store, "digits", [0.5, None])

    for state, tid in (("done", done), ("error", failed)):
        _, *rows = table(hpo("trials", "digits", "--state", state)[1])
        assert [row[0] for row in rows] == [str(tid)]
    code, out, err = hpo("trials", "digits", "--state", "new")
    assert (code, out) == (1, "")
    assert "no trial of 'digits' is new" in err


def test_a_state_that_there_is_not_is_refused(hpo, store):
    code, _, err = hpo("trials", "digits", "--state", "finished")

    assert code == 2
    assert "finished" in err


def test_replay_computes_a_suggestion_again_and_tells_when_it_was_altered(hpo, store, mongo_url):
    space = {"x": hp_space.uniform("x", 0, 1), "n": hp_space.randint("n", 9)}
    trials = MongoTrials(mongo_url, exp_key="digits")
    search = FMinIter(
        tpe.suggest,
        Domain(lambda config: config["x"], space),
        trials,
        np.random.default_rng(0),
        max_queue_len=15,
    )
    search.run(15, block_until_done=False)
    *_, last = trials.tids
    trials.close()

    assert hpo("replay", "digits", str(last))[::2] == (0, "")
    store.jobs.update_one({"tid": last}, {"$set": {"misc.vals.n": [8.5]}})
    code, out, _ = hpo("replay", "digits", str(last))

    assert code == 1
    assert out.splitlines()[-1] == "differs in n"

    # What an older hpo suggested may come out otherwise now.
    store.jobs.update_one({"tid": last}, {"$set": {"suggested_by.version": 0}})
    _, out, _ = hpo("replay", "digits", str(last))
    *_, told, why = out.splitlines()
    assert told == "differs in n"
    assert re.fullmatch(r"version 0 of \w+ suggested it; this is version \d", why), why


def test_an_experiment_that_does_not_exist_is_answered_with_the_one_meant(hpo, store):
    insert(store, "digits", [0.5])

    for command in (["best", "digit"], ["rm", "digit", "--yes"], ["status", "--exp-key", "digit"]):
        code, _, err = hpo(*command)
        assert code == 1
        assert "no experiment 'digit'; did you mean 'digits'?" in err


def test_the_experiment_without_a_name_is_written_as_a_dash(hpo, store):
    insert(store, None, [0.5])

    assert table(hpo("status")[1])[1][0] == "-"
    assert "0.5" in hpo("best", "-")[1]


# --- requeue ------------------------------------------------------------------------


def test_requeue_returns_the_trials_of_dead_workers_only(hpo, store, mongo_url):
    tids = store.allocate_tids(2)
    store.insert([new_trial(tid, exp_key="digits") for tid in tids])
    for owner in ("node1:1:x", "node2:2:y"):
        store.claim(owner, exp_key="digits")
    expire(mongo_url, tids[0])

    code, out, _ = hpo("requeue")

    assert (code, out.strip()) == (0, f"1 expired trial: {tids[0]}")
    assert store.count("digits", [0]) == 1
    assert hpo("requeue", mongo_url, "digits")[1].strip() == "0 expired trials"


def expire(mongo_url: str, tid: int) -> None:
    with pymongo.MongoClient(mongo_url) as client:
        jobs = client.get_default_database()["jobs"]
        jobs.update_one(
            {"tid": tid},
            [{"$set": {"lease_until": {"$subtract": ["$$NOW", 1000]}}}],
        )


# --- rm -----------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "removed"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_rm_asks_before_it_removes(hpo, store, monkeypatch, answer, removed):
    insert(store, "digits", [0.5, 0.25])
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))

    code, out, _ = hpo("rm", "digits")

    assert "Remove 'digits': 2 trials (0 still open)" in out
    assert code == (0 if removed else 1)
    assert ("digits" in store.exp_keys()) is not removed


def test_rm_leaves_the_other_experiments_alone(hpo, store):
    insert(store, "digits", [0.5])
    insert(store, "letters", [0.5])

    code, out, _ = hpo("rm", "digits", "--yes")

    assert code == 0
    assert "removed 'digits' and its 1 trial" in out
    assert store.exp_keys() == ["letters"]


def test_rm_without_anybody_to_ask_removes_nothing(hpo, store, monkeypatch):
    insert(store, "digits", [0.5])
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))

    code, _, err = hpo("rm", "digits")

    assert code == 2
    assert "add --yes" in err
    assert store.exp_keys() == ["digits"]


# --- mistakes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["statsu"], "unknown command 'statsu'; did you mean 'status'?"),
        (["status", "--exp_key", "x"], "unknown option '--exp_key'; did you mean '--exp-key'?"),
        (["serve", "--bnd=node7"], "unknown option '--bnd'; did you mean '--bind'?"),
        (["status", "a/b", "c/d"], "too many arguments"),
        (["best", "digits", "-n", "0"], "'0' is not a whole number from 1"),
        (["serve", "--port", "70000"], "'70000' is not a port"),
        ([], "required: COMMAND"),
        (["status", "mongdb://node7/x"], "did you mean 'mongodb'"),
        (["status", "file:/no/such/file"], "there is no file '/no/such/file'"),
        (["status", "mongodb://node7/x?gama=1"], "unknown option 'gama'"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_2(hpo, words, says):
    code, out, err = hpo(*words)

    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1 and "Traceback" not in err


def test_without_a_database_the_variable_is_named(hpo, monkeypatch):
    monkeypatch.delenv("HPO_MONGO_URL")

    code, _, err = hpo("status")

    assert code == 2 and "$HPO_MONGO_URL" in err


def test_a_wrong_password_exits_2_and_is_not_echoed(hpo, mongo_server):
    url = f"mongodb://hpo:hunter2secret@127.0.0.1:{mongo_server.port}/x?authSource=admin"

    code, out, err = hpo("status", url)

    assert code == 2
    assert "hunter2secret" not in out + err and mongo_server.password not in out + err
    assert err.startswith("hpo status: ")


def test_a_server_that_does_not_answer_exits_69(hpo):
    code, _, err = hpo(
        "status", "mongodb://ann:hunter2secret@127.0.0.1:9/x?serverSelectionTimeoutMS=300"
    )

    assert code == 69
    assert "127.0.0.1:9" in err and "hunter2secret" not in err


@pytest.mark.parametrize(
    "words",
    [
        ["mongodb://ann:hunter2secret@node7/x"],
        ["statsu", "mongodb://ann:hunter2secret@node7/x"],
        ["status", "x/y", "mongodb://ann:hunter2secret@node7/x"],
        ["status", "--mongo=mongodb://ann:hunter2secret@node7/x"],
        ["status", "mongodb://ann:hunter2secret/x"],
    ],
)
def test_a_password_at_the_wrong_place_is_not_echoed(hpo, words):
    code, out, err = hpo(*words)

    assert code == 2
    assert "hunter2secret" not in out + err


def test_help_documents_the_exit_codes(hpo):
    for words in (["--help"], ["serve", "--help"], ["status", "--help"]):
        code, out, _ = hpo(*words)
        assert code == 0
        assert "exit codes:" in out and "69" in out


def test_help_loads_no_database_driver():
    program = (
        "import sys, contextlib, hpo.cli\n"
        "with contextlib.suppress(SystemExit): hpo.cli.main(['--help'])\n"
        "print(*sys.modules, file=sys.stderr)"
    )

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert ran.returncode == 0, ran.stderr
    assert not {"pymongo", "bson"} & set(ran.stderr.split())


def test_a_reader_that_has_seen_enough_is_no_error(store, mongo_url):
    insert(store, "digits", [0.5])
    environ = os.environ | {"HPO_MONGO_URL": mongo_url}
    command = [sys.executable, "-m", "hpo.cli", "status"]

    with subprocess.Popen(command, env=environ, stdout=-1, stderr=-1) as ran:
        assert ran.stdout is not None and ran.stderr is not None
        ran.stdout.close()
        assert ran.stderr.read() == b""


# --- serve ----------------------------------------------------------------------------


class Serving:
    """`hpo serve` in a process of its own."""

    def __init__(self, directory: Path, *options: str) -> None:
        command = [sys.executable, "-m", "hpo.cli", "serve", "--dir", str(directory), *options]
        self.process = subprocess.Popen(command, stdout=-1, stderr=-1)
        self.said = self._read_until("Ctrl-C ends it")

    def _read_until(self, words: str) -> str:
        assert self.process.stdout is not None
        said, deadline = "", time.monotonic() + DEADLINE_SECS
        while words not in said:
            patience = max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self.process.stdout], [], [], patience)
            some = os.read(self.process.stdout.fileno(), 4096).decode() if ready else ""
            if not some:
                self.process.kill()
                _, err = self.process.communicate()
                raise AssertionError(f"hpo serve did not come up: {said}{err.decode()}")
            said += some
        return said

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=DEADLINE_SECS)
        return self.process.returncode


@pytest.fixture
def serve(tmp_path):
    """Start `hpo serve` on one directory; ended afterwards."""
    started: list[Serving] = []

    def start(*options: str) -> Serving:
        started.append(Serving(tmp_path / "mongo", *options))
        return started[-1]

    yield start
    for serving in started:
        serving.process.kill()
        serving.process.communicate()
    kill_server(tmp_path / "mongo")


def test_serve_writes_the_url_for_others_and_tells_how_to_join(serve, tmp_path):
    serving = serve()

    url_file = tmp_path / "mongo" / "url"
    url = url_file.read_text().strip()
    assert stat.S_IMODE(url_file.stat().st_mode) == 0o600
    assert f"hpo-worker --mongo file:{url_file}" in serving.said
    assert pymongo.uri_parser.parse_uri(url)["password"] not in serving.said
    with contextlib.closing(MongoStore.connect(f"file:{url_file}")) as store:
        insert(store, "digits", [0.5])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_serve_ends_cleanly_when_told_to(serve, tmp_path, number):
    serving = serve()

    assert serving.end(number) == 0
    assert holder_pid(tmp_path / "mongo") is None
    assert not (tmp_path / "mongo" / "url").exists(), "it would name a server that is gone"


def test_a_second_serve_on_the_same_directory_joins_and_takes_over(serve, tmp_path):
    first, second = serve(), serve()

    assert "MongoDB started" in first.said
    assert "MongoDB ran already, joined" in second.said
    assert first.end() == 0
    assert (tmp_path / "mongo" / "url").exists(), "the second one still serves it"
    assert second.end() == 0
    assert holder_pid(tmp_path / "mongo") is None


def test_serve_binds_another_address_and_names_it_in_the_url(serve, tmp_path):
    file = tmp_path / "rendezvous"

    serving = serve("--bind", "127.0.0.2", "--url-file", str(file))

    assert "Only this machine" not in serving.said
    assert "@127.0.0.2:" in file.read_text()
    with pymongo.MongoClient(file.read_text().strip()) as client:
        assert client.admin.command("ping")["ok"] == 1
        assert client.address[0] == "127.0.0.2"


def test_the_last_user_takes_the_url_away_when_serve_has_left_before(serve, tmp_path):
    serving = serve()
    with EmbeddedMongo.join_or_start(tmp_path / "mongo"):
        assert serving.end() == 0
        assert (tmp_path / "mongo" / "url").exists()

    assert not (tmp_path / "mongo" / "url").exists()


def test_serve_notices_that_its_server_was_killed(serve, tmp_path):
    serving = serve()
    pid = holder_pid(tmp_path / "mongo")
    assert pid is not None

    os.kill(pid, signal.SIGKILL)
    _, err = serving.process.communicate(timeout=DEADLINE_SECS)

    assert serving.process.returncode == 69
    assert b"ended by somebody else" in err


def test_serve_says_which_directory_it_cannot_use(hpo, tmp_path):
    (tmp_path / "file").write_text("")

    code, _, err = hpo("serve", "--dir", str(tmp_path / "file"))

    assert code == 2
    assert str(tmp_path / "file") in err and "cannot hold the embedded MongoDB" in err


# --- who may do what ------------------------------------------------------------------


def test_role_makes_a_login_with_which_workers_connect(hpo, store, tmp_path):
    url_file = tmp_path / "worker.url"

    code, out, _ = hpo("role", "--user", "worker", "--url-file", str(url_file))

    assert code == 0
    assert f"hpo-worker --mongo file:{url_file}" in out
    assert stat.S_IMODE(url_file.stat().st_mode) == 0o600
    with contextlib.closing(MongoStore.connect(f"file:{url_file}")) as worker:
        assert worker.claim("node1:1:x") is None


def test_role_without_a_user_prints_what_an_administrator_types(hpo, store):
    code, out, _ = hpo("role")

    assert code == 0
    assert out.startswith(f'db = db.getSiblingDB("{store.db.name}")\ndb.createRole(')


def test_key_makes_a_key_and_shows_its_name_but_never_the_key(hpo, monkeypatch, tmp_path):
    monkeypatch.delenv("HPO_KEY")
    monkeypatch.setenv("HPO_KEY_FILE", str(tmp_path / "key"))

    first, again, added = hpo("key")[1], hpo("key")[1], hpo("key", "--add")[1]

    assert first == again
    old_id, new_id = first.split()[-2], added.splitlines()[1].split()[0]
    assert old_id != new_id
    assert added.splitlines()[1:] == [f"  {new_id}  signs", f"  {old_id}  accepted"]
    assert not any(key in added for key in (tmp_path / "key").read_text().split())


def test_key_refuses_to_add_to_a_variable(hpo):
    code, _, err = hpo("key", "--add")

    assert code == 2
    assert "the keys are in $HPO_KEY: put the new one there" in err
