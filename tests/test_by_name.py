"""Objectives by name: in one process, and what is said when a name means nothing."""

from __future__ import annotations

import pickle
import sys

import pytest

from hpo import Trials, fmin, hp, rand, space_eval
from hpo.by_name import NamedFunction, import_by_name, is_reference
from hpo.exceptions import InvalidOption

MODULE = """
from hpo import fmin_pass_expr_memo_ctrl, hp

SPACE = {"x": hp.uniform("x", 0, 1)}
NUMBER = 3

def loss(configuration):
    return configuration["x"]

def annotated(x: hp.uniform("x", 0, 1)):
    return x

@fmin_pass_expr_memo_ctrl
def marked(expr, memo, ctrl):
    return 7.0

class Model:
    @staticmethod
    def loss(configuration):
        return -configuration["x"]
"""


@pytest.fixture(autouse=True)
def users_module(tmp_path, monkeypatch):
    (tmp_path / "named_module.py").write_text(MODULE)
    (tmp_path / "broken_module.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("named_module", "broken_module"):
        sys.modules.pop(name, None)


def search(fn, space=None, **options):
    trials = Trials()
    space = {"x": hp.uniform("x", 0, 1)} if space is None else space
    fmin(fn, space, rand.suggest, 3, trials=trials, verbose=False, rstate=0, **options)
    return [(trial["misc"]["vals"]["x"][0], trial["result"]["loss"]) for trial in trials]


def test_a_function_is_found_by_its_name():
    assert all(x == loss for x, loss in search("named_module:loss"))
    assert all(x == -loss for x, loss in search("named_module:Model.loss"))


def test_a_space_is_found_by_its_name():
    assert all(x == loss for x, loss in search("named_module:loss", "named_module:SPACE"))
    assert space_eval(import_by_name("named_module:SPACE"), {"x": 0.5}) == {"x": 0.5}


def test_a_space_by_name_serves_any_function():
    assert len(search(lambda c: c["x"], "named_module:SPACE")) == 3


def test_the_space_may_stand_in_the_functions_annotations():
    assert all(x == loss for x, loss in search("named_module:annotated", "annotated"))


def test_a_function_keeps_its_mark():
    assert NamedFunction("named_module:marked").fmin_pass_expr_memo_ctrl
    assert not NamedFunction("named_module:loss").fmin_pass_expr_memo_ctrl
    assert {loss for _, loss in search("named_module:marked")} == {7.0}


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        ("loss", "or text such as 'package.module:function', not 'loss'"),
        ("named module:loss", "or text such as"),
        ("named_module:", "or text such as"),
        ("os; import sys:exit", "or text such as"),
        ("__main__:loss", "means another script on each machine"),
        ("named_module:lost", "has no 'lost'; correct the name"),
        ("no_such_module:loss", "No module named 'no_such_module'; correct the name"),
        ("broken_module:loss", "No module named 'no_such_module'; correct the name"),
        ("named_module:NUMBER", "is a int, which cannot be called"),
    ],
)
def test_a_name_that_means_nothing_is_refused_before_anything_is_written(fn, message):
    with pytest.raises(InvalidOption, match=message):
        search(fn)


def test_references_are_told_from_other_text():
    assert is_reference("a.b:c.d")
    assert not any(map(is_reference, ["annotated", "a:b:c", ":a", "a..b:c", "1:a", None, 3]))


def test_pickling_keeps_the_name_and_not_the_function():
    fn = NamedFunction("named_module:annotated", space="named_module:SPACE").with_keywords()

    copy = pickle.loads(pickle.dumps(fn))

    assert vars(copy) == {
        "reference": "named_module:annotated",
        "by_keyword": True,
        "space": "named_module:SPACE",
    }
    assert copy({"x": 0.25}) == 0.25
