"""Create or reuse a virtual environment for this checkout.

    python3 scripts/make_venv.py .venv --project dev
    python3 scripts/make_venv.py .venv-lowest --project test --lowest
    python3 scripts/make_venv.py .venv-peer "peer==1.0"

prints the path of the environment's Python. What was installed before is kept
as long as pyproject.toml, the request and the Python are the same; the scripts
can therefore ask for their environment every time. Needs nothing beyond a
Python of at least 3.10 with venv and pip.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 10)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the environment that the command line asks for."""
    options = _parser().parse_args(arguments)
    if sys.version_info < OLDEST_PYTHON:
        print(
            f"{sys.executable} is Python {sys.version.split()[0]}, but hpo needs 3.10 or newer; "
            "set PYTHON to such an interpreter",
            file=sys.stderr,
        )
        return 1
    directory = ROOT / options.directory
    requirements = list(options.requirements)
    if options.project is not None:
        requirements += ["--editable", f"{ROOT}[{options.project}]"]
    constraints = lowest_versions(_pyproject()) if options.lowest else []
    try:
        with _one_at_a_time(directory):
            ensure(directory, requirements, constraints, options.alone)
    except subprocess.CalledProcessError as error:
        print(f"{_command_text(error.cmd)} failed; its output stands above", file=sys.stderr)
        return 1
    print(python_of(directory))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", help="the environment, relative to the checkout")
    parser.add_argument("requirements", nargs="*", help="what to install, in pip's notation")
    parser.add_argument(
        "--project", metavar="EXTRAS", help="install this checkout, editable, with these extras"
    )
    parser.add_argument(
        "--alone", metavar="REQ", action="append", default=[],
        help="install this afterwards, without what it says it depends on",
    )  # fmt: skip
    parser.add_argument(
        "--lowest", action="store_true", help="core dependencies at exactly their lower bounds"
    )
    return parser


def ensure(
    directory: Path,
    requirements: Sequence[str],
    constraints: Sequence[str],
    alone: Sequence[str] = (),
) -> None:
    """Install `requirements` under `constraints` into `directory`, unless that was done.

    Those in `alone` come last and bring no dependencies along.

    Raises:
        subprocess.CalledProcessError: venv or pip failed.
    """
    request = "\n".join([_pyproject(), str(ROOT), *requirements, "--", *constraints, "--", *alone])
    stamp = directory / ".installed" / hashlib.sha256(request.encode()).hexdigest()
    if not _is_usable(directory):
        # Made by another Python, moved, or cut off half-way.
        shutil.rmtree(directory, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(directory)])
    if stamp.exists():
        return
    constraints_file = directory / "constraints.txt"
    constraints_file.write_text("".join(f"{line}\n" for line in constraints))
    install = [str(python_of(directory)), "-m", "pip", "install"]
    install += ["--quiet", "--disable-pip-version-check"]
    _run([*install, "--constraint", str(constraints_file), *requirements])
    if alone:
        _run([*install, "--no-deps", *alone])
    stamp.parent.mkdir(exist_ok=True)
    stamp.touch()


def lowest_versions(pyproject: str) -> list[str]:
    """Turn the project's `name>=version` dependencies into `name==version`.

    Python 3.10 has no TOML parser, so this reads the one list that it needs.
    """
    found = re.search(r"^dependencies = \[(.*?)^\]", pyproject, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError("pyproject.toml has no list of dependencies any more")
    return [f"{name}=={version}" for name, version in re.findall(r'"(.+?)>=(.+?)"', found[1])]


def python_of(directory: Path) -> Path:
    """The interpreter of a virtual environment."""
    return directory / "bin" / "python"


def _is_usable(directory: Path) -> bool:
    """Whether the environment runs, and on the Python that is running now."""
    ask = "import sys, pip; print(sys.version_info[:2], sys.prefix)"
    try:
        answer = subprocess.run(
            [str(python_of(directory)), "-c", ask], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return answer.stdout.strip() == f"{sys.version_info[:2]} {directory}"


@contextlib.contextmanager
def _one_at_a_time(directory: Path) -> Iterator[None]:
    """Two scripts started together must not install into each other's environment."""
    import fcntl

    with open(f"{directory}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: Sequence[str]) -> None:
    # Standard output is kept for the one line that the caller reads.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run(command, check=True, stdout=sys.stderr, env=environment)


def _command_text(command: Sequence[str]) -> str:
    return " ".join(map(str, command))


def _pyproject() -> str:
    return (ROOT / "pyproject.toml").read_text(encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
