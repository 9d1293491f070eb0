"""Objectives as bytes: what travels, what is refused, and what is said when it cannot."""

from __future__ import annotations

import functools
import importlib
import json
import pickle
import sys
import threading
from datetime import datetime

import cloudpickle
import pytest

from hpo import Ctrl, Domain, Trials, hp
from hpo.by_name import NamedFunction
from hpo.exceptions import (
    UnloadableObjective,
    UnpicklableObjective,
    UntrustedObjective,
)
from hpo.objective import PURPOSE, Verified, pack, publish, unpack, verify
from hpo.signing import Key, KeyRing
from hpo.store.memory import MemoryStore

SPACE = {"x": hp.uniform("x", 0, 1)}
KEYS = KeyRing((Key(b"k" * 32),), "the test")
OTHER_KEYS = KeyRing((Key(b"o" * 32),), "another test")


def packed_for(exp_key="digits", fn=lambda c: c["x"], keys=KEYS, **options):
    return pack(Domain(fn, SPACE), exp_key, keys, **options)


def verified(packed, exp_key="digits", keys=KEYS, **options):
    return verify(packed.payload, packed.sha256, exp_key, keys, **options)


def loss_at(domain, x):
    return domain.evaluate({"x": x}, Ctrl(Trials()))["loss"]


def test_a_packed_domain_evaluates_as_before():
    offset = 2.0

    packed = packed_for(fn=lambda configuration: configuration["x"] + offset)

    assert loss_at(unpack(verified(packed)), 0.5) == 2.5


def test_the_same_objective_has_one_name_whenever_it_is_packed():
    first, second = (packed_for(now=datetime(2030, 1, day)) for day in (1, 2))

    assert first.sha256 == second.sha256
    assert first.payload != second.payload


@pytest.mark.parametrize(
    "changed",
    [{"exp_key": "iris"}, {"fn": lambda c: -c["x"]}, {"keys": OTHER_KEYS}],
    ids=["experiment", "function", "key"],
)
def test_another_experiment_function_or_key_makes_another_name(changed):
    assert packed_for().sha256 != packed_for(**changed).sha256


# --- what is refused ------------------------------------------------------------------


@pytest.fixture
def unpickled(monkeypatch):
    """A list of everything that anybody unpickled."""
    seen = []
    for module in (pickle, cloudpickle):
        original = module.loads
        monkeypatch.setattr(
            module, "loads", lambda data, o=original: (seen.append(data), o(data))[1]
        )
    return seen


def places(payload):
    """One byte of every kind: of the seal's word, id and HMAC, the header, the pickle."""
    header = payload.index(b"\n") + 1
    body = payload.index(b"\n", header) + 1
    return {
        "the seal's word": 0,
        "the seal's version": 11,
        "the key id": 13,
        "the HMAC": 30,
        "the end of the HMAC": header - 2,
        "the end of the seal": header - 1,
        "the header": header,
        "the experiment": payload.index(b"digits"),
        "the end of the header": body - 1,
        "the pickle": body,
        "the middle of the pickle": (body + len(payload)) // 2,
        "the last byte": len(payload) - 1,
    }


@pytest.mark.parametrize("bit", range(8))
@pytest.mark.parametrize("place", list(places(packed_for().payload)))
def test_a_flipped_bit_is_refused_before_anything_is_unpickled(place, bit, unpickled):
    packed = packed_for()
    altered = bytearray(packed.payload)
    altered[places(packed.payload)[place]] ^= 1 << bit

    with pytest.raises(UntrustedObjective, match="'digits' is refused"):
        verify(bytes(altered), packed.sha256, "digits", KEYS)
    assert not unpickled


def test_a_payload_cut_short_anywhere_is_refused(unpickled):
    packed = packed_for()

    for length in range(len(packed.payload)):
        with pytest.raises(UntrustedObjective, match=r"not signed|altered or cut short"):
            verify(packed.payload[:length], packed.sha256, "digits", KEYS)
    assert not unpickled


@pytest.mark.parametrize(
    ("payload", "defect"),
    [
        (b"", "not signed"),
        (cloudpickle.dumps(3), "not signed"),
        (b'{"format": 1}\n' + cloudpickle.dumps(3), "not signed"),
        (packed_for().payload + b"\n", "altered"),
        (KEYS.seal(packed_for().payload[95:], "another purpose"), "altered"),
        (packed_for(keys=OTHER_KEYS).payload, r"another key.*from the test.*`hpo key`"),
    ],
    ids=["empty", "pickle", "unsigned", "longer", "another purpose", "foreign"],
)
def test_what_nobody_with_our_key_signed_is_refused(payload, defect, unpickled):
    with pytest.raises(UntrustedObjective, match=defect) as raised:
        verify(payload, "a" * 64, "digits", KEYS)
    assert raised.value.exp_key == "digits"
    assert not unpickled


def test_an_objective_of_another_experiment_is_refused_and_both_are_named(unpickled):
    with pytest.raises(UntrustedObjective, match=r"'iris' is refused.*for experiment 'digits'"):
        verified(packed_for("digits"), exp_key="iris")
    assert not unpickled


def test_an_older_objective_under_the_name_of_a_newer_one_is_refused(unpickled):
    old, new = packed_for(), packed_for(fn=lambda c: -c["x"])

    with pytest.raises(UntrustedObjective, match="stands another objective"):
        verify(old.payload, new.sha256, "digits", KEYS)
    assert not unpickled


def test_after_a_rotation_both_keys_are_accepted_and_the_new_one_signs():
    rotated = KeyRing((*OTHER_KEYS.keys, *KEYS.keys), "both")

    assert verified(packed_for(keys=KEYS), keys=rotated)
    assert verified(packed_for(keys=rotated), keys=OTHER_KEYS)
    with pytest.raises(UntrustedObjective, match="another key"):
        verified(packed_for(keys=rotated), keys=KEYS)


def test_a_refusal_survives_the_way_to_another_process():
    error = UntrustedObjective("digits", "why", True)

    copy = pickle.loads(pickle.dumps(error))

    assert (copy.exp_key, copy.defect, copy.is_misplaced) == ("digits", "why", True)
    assert str(copy) == str(error)


def test_a_driver_puts_its_objective_in_place_of_one_that_was_altered():
    store, packed = MemoryStore(), packed_for()
    publish(store, "digits", packed, KEYS)
    store.put_objective("digits", packed.sha256, b"altered")

    publish(store, "digits", packed, KEYS)

    assert store.get_objective(packed.sha256) == packed.payload


def test_a_driver_leaves_an_objective_in_place_that_workers_accept():
    store = MemoryStore()
    first, again = (packed_for(now=datetime(2030, 1, day)) for day in (1, 2))
    publish(store, "digits", first, KEYS)

    publish(store, "digits", again, KEYS)

    assert store.get_objective(again.sha256) == first.payload


# --- objectives by name ------------------------------------------------------------------

MODULE = """
from hpo import hp

SPACE = {"x": hp.uniform("x", 0, 1), "model": hp.choice("model", [dict, list])}

def double(configuration):
    return 2 * configuration["x"]

def halve(x):
    return x / 2
"""


@pytest.fixture
def users_module(tmp_path, monkeypatch):
    (tmp_path / "users_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("users_module")
    sys.modules.pop("users_module", None)


def test_an_objective_by_name_travels_without_a_pickle(users_module, unpickled):
    packed = pack(Domain(NamedFunction("users_module:double"), SPACE), "digits", KEYS)

    domain = unpack(verified(packed, may_unpickle=False))

    assert loss_at(domain, 0.5) == 1.0
    assert domain.name == "double"
    assert not unpickled
    assert json.loads(verified(packed).body)["function"] == "users_module:double"


def test_an_objective_by_name_may_take_keywords(users_module):
    fn = NamedFunction("users_module:halve").with_keywords()

    assert loss_at(unpack(verified(pack(Domain(fn, SPACE), "digits", KEYS))), 0.5) == 0.25


def test_a_worker_without_pickles_refuses_a_pickled_objective(unpickled):
    with pytest.raises(UntrustedObjective, match=r"--no-pickle.*'package\.module:function'"):
        verified(packed_for(), may_unpickle=False)
    assert not unpickled


def test_a_space_that_is_not_plain_travels_by_name(users_module):
    fn = NamedFunction("users_module:double", space="users_module:SPACE")

    domain = unpack(verified(pack(Domain(fn, users_module.SPACE), "digits", KEYS)))

    assert domain.space.evaluate({"x": 0.5, "model": 1}) == {"x": 0.5, "model": list}


def test_a_space_that_is_neither_plain_nor_named_is_refused_in_the_driver(users_module):
    with pytest.raises(UnpicklableObjective, match=r"<class 'dict'>.*space='users_module:SPACE'"):
        pack(Domain(NamedFunction("users_module:double"), users_module.SPACE), "digits", KEYS)


def test_a_module_with_another_space_here_than_in_the_driver_is_refused(users_module):
    fn = NamedFunction("users_module:double", space="users_module:SPACE")
    packed = pack(Domain(fn, SPACE), "digits", KEYS)

    with pytest.raises(UnloadableObjective, match=r"'users_module:SPACE' is another one here"):
        unpack(verified(packed))


def test_a_named_module_that_is_missing_here_is_told(users_module, monkeypatch):
    packed = pack(Domain(NamedFunction("users_module:double"), SPACE), "digits", KEYS)
    monkeypatch.undo()
    del sys.modules["users_module"]

    with pytest.raises(UnloadableObjective, match=r"needs the module 'users_module'.*PYTHONPATH"):
        unpack(verified(packed))


# --- what is said when it cannot travel ------------------------------------------------------


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
        packed_for(fn=make())
    assert "No trial was written" in str(raised.value)


def test_a_module_that_is_missing_here_is_named(users_module, monkeypatch):
    objective = verified(packed_for(fn=users_module.double))
    monkeypatch.undo()
    del sys.modules["users_module"]

    with pytest.raises(UnloadableObjective, match=r"needs the module 'users_module'.*PYTHONPATH"):
        unpack(objective)


def test_another_python_version_is_named():
    header = {"kind": "pickle", "name": "train", "python": "3.2.1"}

    with pytest.raises(
        UnloadableObjective, match=r"pickled by Python 3\.2\.1.*Start .* Python 3\.2"
    ):
        unpack(Verified(header, b"not a pickle of ours"))


def test_an_objective_of_a_newer_version_of_hpo_is_refused():
    payload = KEYS.seal(json.dumps({"format": 99}).encode() + b"\n", PURPOSE)

    with pytest.raises(UnloadableObjective, match=r"unknown format 99.*same version of hpo"):
        verify(payload, "a" * 64, "digits", KEYS)


def test_what_is_no_domain_is_refused():
    header = {"kind": "pickle", "name": "train", "python": "3.11.0"}

    with pytest.raises(UnloadableObjective, match="is a int, not a Domain"):
        unpack(Verified(header, cloudpickle.dumps(3)))
