"""A reader who types everything in README.md, in order, succeeds.

Blocks run in one directory, with a home of their own. A block whose first
comment is a file name is saved under it; other Python blocks run as they
stand, lines of the form `$ command` run in bash, queries for mongosh run
through pymongo. Four commands are played instead of run:

    scripts/…      the scripts have tests of their own; here they must exist
    pip install …  nothing is downloaded; the extras must be declared
    hpo serve      runs in the background, as in a terminal of its own
    sbatch         starts two tasks of the array in the background; srun just runs
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pymongo
import pytest

from tests.mongosh import run_query

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

COMMAND_TIMEOUT_SECS = 120
START_TIMEOUT_SECS = 30

# One process reads, however many run the tests.
pytestmark = pytest.mark.xdist_group("readme")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        language: the word after the fence.
        line: where it begins in README.md.
    """

    language: str
    text: str
    line: int

    @property
    def file_name(self) -> str | None:
        """The name of the file that the block shows, if its first comment is one."""
        named = re.match(r"(?:#!.*\n)?# (\w+\.(?:py|sh))\n", self.text)
        return named[1] if named else None

    @property
    def commands(self) -> list[str]:
        """The lines that are typed."""
        return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]


def blocks() -> list[Block]:
    """Every fenced block of the README."""
    return [
        Block(found[1], found[2], README[: found.start()].count("\n") + 1)
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    ]


@dataclass
class Reader:
    """Somebody at a terminal, in a directory of his own."""

    directory: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def read(self, block: Block) -> None:
        """Do what a block says."""
        if block.file_name is not None:
            (self.directory / block.file_name).write_text(block.text)
        elif block.language == "python":
            self.run([sys.executable, "-W", "error", "-c", block.text], block)
        elif block.language == "console":
            for command in block.commands:
                self.type_command(command, block)
        elif block.language == "js":
            with pymongo.MongoClient(self.url) as client:
                for query in block.text.splitlines():
                    run_query(client.get_default_database(), query)
        else:
            pytest.fail(f"README.md:{block.line}: no way to run a {block.language!r} block")

    def type_command(self, command: str, block: Block) -> None:
        """Run one command line, or play it."""
        program, _, rest = command.partition(" ")
        if program.startswith("scripts/"):
            assert os.access(ROOT / program, os.X_OK), f"README.md:{block.line}: {program}"
        elif program == "pip":
            assert set(re.findall(r"\[([\w,]+)\]", rest)) <= declared_extras()
        elif command.startswith("hpo serve "):
            self.start(["bash", "-c", f"exec {command}"])
            self.wait_for(self.directory / "search" / "url")
        elif program == "sbatch":
            for task in (1, 2):
                self.start(["bash", rest], SLURM_JOB_ID="7", SLURM_ARRAY_TASK_ID=str(task))
        else:
            self.run(["bash", "-c", command], block)

    def run(self, command: list[str], block: Block) -> None:
        """Run a command to its end."""
        ended = subprocess.run(
            command,
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_SECS,
        )
        said = f"{ended.stdout}\n{ended.stderr}"
        assert ended.returncode == 0, f"README.md:{block.line}:\n{block.text}\n{said}"

    def start(self, command: list[str], **variables: str) -> None:
        """Start a command that goes on in the background."""
        log = open(self.directory / f"background-{len(self.started)}.log", "wb")
        with log:
            self.started.append(
                subprocess.Popen(
                    command,
                    cwd=self.directory,
                    env={**self.environment, **variables},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def wait_for(self, path: Path) -> None:
        """Wait until a background command has written a file."""
        deadline = time.monotonic() + START_TIMEOUT_SECS
        while not path.exists():
            if time.monotonic() > deadline:
                pytest.fail(f"{path} did not appear:\n{self.logs()}")
            time.sleep(0.05)

    def logs(self) -> str:
        """What the background commands said."""
        return "\n".join(log.read_text() for log in sorted(self.directory.glob("background-*")))

    def leave(self) -> None:
        """End what was started, the latest first."""
        for process in reversed(self.started):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(START_TIMEOUT_SECS)

    @property
    def environment(self) -> dict[str, str]:
        """A home of one's own, the commands of this Python, and nothing of the caller's hpo."""
        path = [str(self.directory / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("HPO_")}
        if "HPO_MONGOD" in os.environ:
            kept["HPO_MONGOD"] = os.environ["HPO_MONGOD"]
        return {
            **kept,
            "HOME": str(self.directory / "home"),
            "PATH": os.pathsep.join(path),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "worker")]),
        }

    @property
    def url(self) -> str:
        """The URL that `hpo serve` wrote."""
        return (self.directory / "search" / "url").read_text().strip()


def declared_extras() -> set[str]:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = pyproject.split("[project.optional-dependencies]")[1].split("\n[")[0]
    return set(re.findall(r"^(\w+) = \[", section, re.MULTILINE))


def install_commands(directory: Path) -> None:
    """Put what the reader's machine would have into a directory for PATH."""
    bodies = {
        "srun": 'exec "$@"',
        "hostname": "echo 127.0.0.1",
        "hpo": f'exec "{sys.executable}" -m hpo.cli "$@"',
        "hpo-worker": f'exec "{sys.executable}" -m hpo_worker "$@"',
    }
    directory.mkdir()
    for name, body in bodies.items():
        # Where hpo is installed its own commands are used.
        if not (Path(sys.executable).parent / name).exists():
            script = directory / name
            script.write_text(f"#!/usr/bin/env bash\n{body}\n")
            script.chmod(0o755)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader who has done everything that the README says."""
    directory = tmp_path_factory.mktemp("reader")
    (directory / "home").mkdir()
    install_commands(directory / "bin")
    reader = Reader(directory)
    try:
        for block in blocks():
            reader.read(block)
        yield reader
    finally:
        reader.leave()


@pytest.fixture
def database(reader):
    with pymongo.MongoClient(reader.url) as client:
        yield client.get_default_database()


def table_under(heading: str) -> list[list[str]]:
    """The rows of the first table that follows a line starting with `heading`."""
    after = README.split(f"\n{heading}", 1)[1]
    rows = re.search(r"(?:^\|.*\n)+", after, re.MULTILINE)
    assert rows is not None
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[0].splitlines()]


def test_every_block_can_be_typed_in_order(reader):
    assert (reader.directory / "first.py").exists()


def test_the_first_query_shows_the_best_five(database):
    [query, *_] = next(block for block in blocks() if block.language == "js").text.splitlines()

    rows = run_query(database, query)

    losses = [row["loss"] for row in rows]
    assert len(losses) == 5
    assert losses == sorted(losses)
    assert losses[0] == min(trial["result"]["loss"] for trial in database["jobs"].find({}))


def test_the_table_of_fields_is_the_view(database):
    documented = {
        name for cell, *_ in table_under("With hpo:")[2:] for name in re.findall(r"`(\w+)`", cell)
    }

    rows = list(database["trials"].find({}, {"_id": False}))

    shown = set().union(*rows)
    assert shown <= documented
    # None of its trials fails or reports a learning curve.
    assert documented - shown <= {"error", "step", "step_loss", "reported"}


def test_the_workers_went_to_the_same_experiment(database):
    assert database["trials"].distinct("experiment") == ["digits"]
    assert database["trials"].count_documents({"state": "done"}) == 60


def test_the_table_of_exit_codes_is_the_workers_own(reader):
    documented = [code for code, *_ in table_under("## Exit codes of `hpo-worker`")[2:]]

    said = subprocess.run(
        [sys.executable, "-m", "hpo_worker", "--help"],
        env=reader.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    codes = re.findall(r"^  (\d\S*) ", said.split("exit codes:")[1], re.MULTILINE)
    assert documented == codes


def test_the_passwords_stay_out_of_the_logs(reader):
    password = pymongo.uri_parser.parse_uri(reader.url)["password"]

    assert password
    assert password not in reader.logs()


def test_the_mongosh_of_the_tests_refuses_what_it_does_not_understand():
    with pytest.raises(ValueError, match="not a literal: 'new'"):
        run_query({"trials": None}, "db.trials.find({at: new Date()})")
    with pytest.raises(ValueError, match="more than one statement"):
        run_query({"trials": []}, "db.trials; db.jobs")


def test_blocks_are_found_with_their_languages():
    languages = {block.language for block in blocks()}

    assert languages == {"python", "console", "bash", "js"}
    assert textwrap.dedent(blocks()[0].text) == "$ scripts/demo\n$ scripts/test\n"
