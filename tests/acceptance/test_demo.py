"""The demo does what it says, and the commands that it prints work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
N_TRIALS = 8

# The demo runs once, however many processes run the tests.
pytestmark = [pytest.mark.demo, pytest.mark.xdist_group("demo")]


def environment() -> dict[str, str]:
    # The key stays, so that the demo makes none in the home directory of whoever tests.
    kept = {
        key: value
        for key, value in os.environ.items()
        if key == "HPO_KEY" or not key.startswith("HPO_")
    }
    python_path = os.pathsep.join([str(ROOT), str(ROOT / "worker")])
    return {**kept, "PYTHONPATH": python_path, "OMP_NUM_THREADS": "1"}


def run_demo(directory: Path) -> str:
    """A short demo's output."""
    return subprocess.run(
        [
            sys.executable,
            str(ROOT / "scripts" / "demo_digits.py"),
            *("--max-evals", str(N_TRIALS), "--workers", "2", "--directory", str(directory)),
        ],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def output(directory: Path) -> str:
    return run_demo(directory)


def printed_command(output: str, program: str) -> str:
    """The command to copy that runs `program`, up to the next empty line."""
    found = re.search(rf"^  \$ (\S*{program} .*?)\n\n", output, re.MULTILINE | re.DOTALL)
    assert found, f"no command with {program} in:\n{output}"
    # Without an installed package its commands are modules.
    return re.sub(r"^\S*/hpo ", f"{sys.executable} -m hpo.cli ", found[1])


def type_command(command: str) -> str:
    return subprocess.run(
        ["bash", "-c", command],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


def test_the_demo_shows_progress_the_best_and_the_best_five(output):
    assert re.search(rf"digits-\S+: {N_TRIALS}/{N_TRIALS} done", output)
    assert re.search(rf"Best of {N_TRIALS} trials after \d+ s: [\d.]+% wrong", output)
    assert re.search(r"^  classifier = \w+ \w+$", output, re.MULTILINE)
    table = output.split("The best five\n")[1].split("\n\n")[0].splitlines()[1:]
    losses = [float(row.split()[0]) for row in table]
    assert len(losses) == 5
    assert losses == sorted(losses)


def test_the_demo_draws_its_history(output, directory):
    assert str(directory / "history.png") in output
    assert (directory / "history.png").read_bytes().startswith(b"\x89PNG")


def test_the_printed_command_line_query_works(output):
    answer = type_command(printed_command(output, "hpo"))

    assert len(answer.splitlines()) == 6  # a heading and five trials
    assert "classifier" in answer


def test_the_printed_pymongo_query_works(output):
    answer = type_command(printed_command(output, "python"))

    rows = [eval(row, {"__builtins__": {}}) for row in answer.splitlines()]
    assert sum(row["trials"] for row in rows) == N_TRIALS
    assert all(0 <= row["mean_loss"] <= 1 for row in rows)


def test_a_second_demo_is_an_experiment_of_its_own(output, directory):
    again = run_demo(directory)

    names = re.findall(r"experiment '(\S+)'", output + again)
    assert len(names) == len(set(names)) == 2
    assert f"Best of {N_TRIALS} trials" in again
