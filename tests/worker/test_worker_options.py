"""The command line of hpo-worker: what it accepts, what it refuses, and in which words."""

from __future__ import annotations

import math

import pytest

from hpo.outage import DEFAULT_PATIENCE_SECS
from hpo_worker.options import parse_arguments


def refusal(capsys, *arguments):
    """What the command line says when it refuses; the exit code must be 2."""
    with pytest.raises(SystemExit) as raised:
        parse_arguments(arguments)
    assert raised.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_without_options_a_worker_serves_everybody_for_ever():
    options = parse_arguments([])

    assert options.mongo is None
    assert options.exp_key is None
    assert options.lease == 60.0
    assert options.poll_interval == 5.0
    assert options.reserve_timeout is None
    assert options.max_jobs is None
    assert options.max_consecutive_failures == 20
    assert options.use_subprocesses


def test_the_options_of_hyperopts_worker_are_understood():
    options = parse_arguments(
        "--mongo=host:27017/digits --exp-key=e --workdir=. --poll-interval=0.1 "
        "--reserve-timeout=10.5 --max-jobs=7 --max-consecutive-failures=2 "
        "--last-job-timeout=3600 --no-subprocesses --max-jobs-in-db=100".split()
    )

    assert options.mongo == "host:27017/digits"
    assert options.exp_key == "e"
    assert options.workdir.is_absolute()
    assert (options.poll_interval, options.reserve_timeout) == (0.1, 10.5)
    assert (options.max_jobs, options.max_jobs_in_db) == (7, 100)
    assert (options.max_consecutive_failures, options.last_job_timeout) == (2, 3600.0)
    assert not options.use_subprocesses


@pytest.mark.parametrize(
    ("argument", "suggestion"),
    [
        ("--max-job=3", "'--max-jobs'"),
        ("--leese", "'--lease'"),
        ("--expkey", "'--exp-key'"),
        ("--no-subprocess", "'--no-subprocesses'"),
    ],
)
def test_a_misspelt_option_is_answered_with_the_right_one(capsys, argument, suggestion):
    said = refusal(capsys, argument)

    assert f"unknown option {argument.partition('=')[0]!r}; did you mean {suggestion}?" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max-jobs", "0"], "'0' is not a whole number of at least 1"),
        (["--max-jobs", "many"], "'many' is not a whole number"),
        (["--lease", "-1"], "'-1' is not a number of seconds above 0"),
        (["--lease", "inf"], "'inf' is not a number of seconds"),
        (["--lease", "nan"], "'nan' is not a number of seconds"),
        (["--poll-interval", "soon"], "'soon' is not a number of seconds"),
        (["--fresh-process", "--no-subprocesses"], "contradict each other"),
        (["--trial-timeout", "soon"], "'soon' is not a number of seconds"),
        (["--max-memory", "lots"], "'lots' is not an amount of memory"),
        (["--walltime", "30m2h"], "such as 90m, 2h30m or 1-02:00:00"),
        (["--until", "late"], "'late' is not a moment"),
        (["--on-sigterm", "ignore"], "invalid choice: 'ignore'"),
        (["--trial-timeout", "9", "--no-subprocesses"], "--trial-timeout needs a process"),
        (["--max-memory", "2G", "--no-subprocesses"], "--max-memory needs a process"),
        (["--quiet", "--verbose"], "not allowed with"),
        (["mongodb://h/db"], "goes after --mongo"),
    ],
)
def test_what_makes_no_sense_is_refused(capsys, arguments, words):
    assert words in refusal(capsys, *arguments)


def test_an_address_in_the_wrong_place_is_not_repeated(capsys):
    assert "secret" not in refusal(capsys, "mongodb://ann:secret@host/db")


def test_a_workdir_that_cannot_be_made_is_refused(capsys, tmp_path):
    (tmp_path / "file").touch()

    assert "--workdir" in refusal(capsys, "--workdir", str(tmp_path / "file" / "sub"))


def test_help_tells_signals_and_exit_codes(capsys):
    with pytest.raises(SystemExit) as raised:
        parse_arguments(["--help"])

    said = capsys.readouterr().out
    assert raised.value.code == 0
    for words in (
        "SIGUSR1",
        "--on-sigusr1 hand-back",
        "$SLURM_JOB_END_TIME",
        "2h30m",
        "--spool",
        "exit codes:",
        "128+N",
        "HPO_MONGO_URL",
        "hyperopt's default",
    ):
        assert words in said


def test_limits_are_understood_with_their_units():
    options = parse_arguments(
        "--trial-timeout 1h30m --max-memory 2G --walltime 1-02:00:00 --grace 30s --lease 2m "
        "--on-sigterm finish --on-sigusr1 hand-back --spool none".split()
    )

    assert (options.trial_timeout, options.walltime) == (5400.0, 26 * 3600.0)
    assert (options.grace, options.lease) == (30.0, 120.0)
    assert options.max_memory == 2 * 2**30
    assert (options.on_sigterm, options.on_sigusr1) == ("finish", "hand-back")
    assert options.spool == "none"


def test_without_options_nothing_is_limited_and_signals_mean_what_they_did():
    options = parse_arguments([])

    assert (options.trial_timeout, options.max_memory) == (None, None)
    assert (options.walltime, options.until, options.spool) == (None, None, None)
    assert (options.on_sigterm, options.on_sigusr1) == ("hand-back", "finish")
    assert options.grace == 10.0


@pytest.mark.parametrize(
    ("text", "secs"), [("30m", 1800.0), ("90", 90.0), ("0", 0.0), ("forever", math.inf)]
)
def test_a_patience_is_a_duration_or_for_ever(text, secs):
    assert parse_arguments([f"--patience={text}"]).patience == secs


def test_without_that_option_a_worker_is_as_patient_as_a_driver():
    assert parse_arguments([]).patience == DEFAULT_PATIENCE_SECS


@pytest.mark.parametrize("text", ["-1", "nan", "long"])
def test_what_is_no_patience_is_refused(capsys, text):
    assert "is not a number of seconds" in refusal(capsys, f"--patience={text}")
