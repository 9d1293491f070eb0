"""The operations that every space can use."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from hpo.exceptions import BadSearchSpace
from hpo.pyll import Literal, as_apply, rec_eval, scope
from hpo.pyll.builtins import array_union, bincount


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (scope.int(2.9), 2),
        (scope.float(3), 3.0),
        (scope.len("four"), 4),
        (scope.list((1, 2)), [1, 2]),
        (scope.dict(a=1, b=(2, 3)), {"a": 1, "b": (2, 3)}),
        (scope.range(2, 5), range(2, 5)),
        (scope.max(1, 3, 2), 3),
        (scope.min((4, 2)), 2),
        (scope.abs(-2), 2),
        (scope.getattr(3 + 4j, "imag"), 4.0),
        (scope.getattr(3, "absent", "default"), "default"),
        (scope.getitem("text", 1), "e"),
        (scope.eq(2, 2.0), True),
        (scope.ne(2, 2.0), False),
        (scope.mod(7, 4), 3),
        (scope.pow(2, 5), 32),
        (scope.exp(1.0), math.e),
        (scope.log(math.e), 1.0),
        (scope.sqrt(16), 4.0),
        (scope.sin(0.5), math.sin(0.5)),
        (scope.cos(0.5), math.cos(0.5)),
        (scope.tan(0.5), math.tan(0.5)),
        (scope.sum((1, 2, 3)), 6),
        (scope.minimum(2, 3), 2),
        (scope.maximum(2.5, 3.5), 3.5),
        (scope.str_join("-", ("a", "b")), "a-b"),
        (scope.repeat(3, "x"), ["x", "x", "x"]),
        (scope.identity("same"), "same"),
        (scope.call(divmod, (17, 5)), (3, 2)),
        (scope.call(dict, (), {"a": 1}), {"a": 1}),
        (scope.call_method("a-b", "split", "-"), ["a", "b"]),
        (scope.call_method_pure("text", "upper"), "TEXT"),
        (scope.pos_args(1, "b"), (1, "b")),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_an_operation_computes_what_its_name_says(node, expected):
    value = rec_eval(node)

    # The last digit of a logarithm differs between versions of numpy.
    assert value == (pytest.approx(expected, rel=1e-14) if type(expected) is float else expected)
    assert type(value) is type(expected)


def test_arrays_go_in_and_come_out():
    np.testing.assert_allclose(scope.exp(np.array([0.0, 1.0])).eval(), [1.0, math.e])
    np.testing.assert_array_equal(scope.sum(np.ones((2, 3)), axis=0).eval(), [2, 2, 2])
    np.testing.assert_array_equal(scope.asarray([1, 2]).eval(), [1, 2])
    assert scope.asarray([1, 2], dtype="float32").eval().dtype == np.float32


def test_array_union_is_sorted_and_without_duplicates():
    np.testing.assert_array_equal(array_union([3, 1], [2, 3]), [1, 2, 3])


def test_bincount_counts_from_an_offset_and_pads():
    numbers = [3, 4, 5, 3]

    assert bincount(numbers).tolist() == [0, 0, 0, 2, 1, 1]
    assert bincount(numbers, offset=3).tolist() == [2, 1, 1]
    assert bincount(numbers, offset=3, minlength=5).tolist() == [2, 1, 1, 0, 0]
    assert bincount(numbers, offset=3, weights=[0.5, 1, 1, 0.25]).tolist() == [0.75, 1, 1]
    assert bincount([0, 1], p=np.full((2, 4), 0.25)).tolist() == [1, 1, 0, 0]


def test_copy_call_method_pure_leaves_the_object_as_it_was():
    numbers = [3, 1, 2]

    assert scope.copy_call_method_pure(Literal(numbers), "sort").eval() is None
    assert numbers == [3, 1, 2]


def test_map_applies_functions_and_symbols():
    assert rec_eval(scope.map(abs, (-1, 2))) == [1, 2]
    assert rec_eval(scope.map(scope.partial("add", 10), (1, 2))) == (11, 12)
    assert len(scope.map(abs, (-1, 2))) == 2


def test_kwswitch_takes_the_branch_of_that_name():
    name = Literal()
    node = scope.kwswitch(name, k1="a", k2="b", bad=scope.Raise(KeyError, "taken"))

    assert rec_eval(node, memo={name: "k1"}) == "a"
    assert rec_eval(node, memo={name: "k2"}) == "b"
    with pytest.raises(KeyError, match="taken"):
        rec_eval(node, memo={name: "bad"}, print_node_on_error=False)
    with pytest.raises(BadSearchSpace, match=r"no branch 'k3'; its branches are .*'k1'"):
        rec_eval(node, memo={name: "k3"}, print_node_on_error=False)


def test_curtime_unpacks_to_the_time_and_its_argument():
    seconds, value = scope.curtime("x")

    assert abs(rec_eval(seconds) - time.time()) < 60
    assert rec_eval(value) == "x"


def test_the_old_import_path_has_the_same_objects():
    from hpo.pyll import base

    assert base.as_apply is as_apply
    assert base.scope is scope
    assert all(hasattr(base, name) for name in base.__all__)
