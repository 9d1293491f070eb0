"""Objectives as bytes: what travels, and what is said when it cannot."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
import threading

import cloudpickle
import pytest

from hpo import Ctrl, Domain, Trials, hp
from hpo.exceptions import UnloadableObjective, UnpicklableObjective
from hpo.objective import pack, unpack

SPACE = {"x": hp.uniform("x", 0, 1)}


def test_a_packed_domain_evaluates_as_before():
    offset = 2.0
    domain = Domain(lambda configuration: configuration["x"] + offset, SPACE)

    packed = pack(domain)
    rebuilt = unpack(packed.payload)

    assert packed.sha256 == hashlib.sha256(packed.payload).hexdigest()
    assert rebuilt.evaluate({"x": 0.5}, Ctrl(Trials()))["loss"] == 2.5


def closure_over_lock():
    lock = threading.Lock()
    return lambda _: lock.locked()


class Model:
    def __init__(self):
        self.name, self.lock = "m", threading.Lock()

    def train(self, _):
        return 0.0


def takes_resource(_, resource):
    return 0.0


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (closure_over_lock, r"the variable 'lock' of .*closure_over_lock.* \(lock\)"),
        (lambda: Model().train, r"attribute 'lock' of the object that method 'train' belongs to"),
        (
            lambda: functools.partial(takes_resource, resource={"db": [threading.Lock()]}),
            r"argument 'resource' of the function\['db'\]\[0\] \(lock\)",
        ),
    ],
    ids=["closure", "method", "partial"],
)
def test_what_cannot_be_pickled_is_named(make, named):
    with pytest.raises(UnpicklableObjective, match=named) as raised:
        pack(Domain(make(), SPACE))
    assert "No trial was written" in str(raised.value)


def test_a_module_that_is_missing_here_is_named(tmp_path, monkeypatch):
    (tmp_path / "users_module.py").write_text("def objective(c):\n    return c['x']\n")
    monkeypatch.syspath_prepend(tmp_path)
    import users_module

    payload = pack(Domain(users_module.objective, SPACE)).payload
    monkeypatch.undo()
    del sys.modules["users_module"]

    with pytest.raises(UnloadableObjective, match=r"needs the module 'users_module'.*PYTHONPATH"):
        unpack(payload)


def test_another_python_version_is_named():
    header = {"format": 1, "name": "train", "python": "3.2.1"}
    payload = json.dumps(header).encode() + b"\n" + b"not a pickle of ours"

    with pytest.raises(
        UnloadableObjective, match=r"pickled by Python 3\.2\.1.*Start .* Python 3\.2"
    ):
        unpack(payload)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "no readable header"),
        (b"\x80\x04K\x01.", "no readable header"),
        (b'{"format": 99}\n', "unknown format"),
        (b"[]\n", "unknown format"),
        (
            json.dumps({"format": 1}).encode() + b"\n" + cloudpickle.dumps(3),
            "is a int, not a Domain",
        ),
    ],
)
def test_foreign_bytes_are_refused(payload, message):
    with pytest.raises(UnloadableObjective, match=message):
        unpack(payload)
