"""Expressions as functions."""

from __future__ import annotations

import inspect

import pytest

from hpo.pyll import Lambda, apply, as_apply, rec_eval, scope
from hpo.pyll.functions import p0, p1


def test_a_lambda_fills_its_holes_each_time():
    plus_twice = Lambda("plus_twice", [("x", p0), ("y", p1)], expr=p0 + 2 * p1)

    assert rec_eval(plus_twice(1, 10)) == 21
    assert rec_eval(plus_twice(as_apply(2) * 3, 0)) == 6
    assert list(inspect.signature(plus_twice).parameters) == ["x", "y"]


def test_a_lambda_counts_its_arguments():
    with pytest.raises(TypeError, match="identity takes 1 arguments, not 2"):
        Lambda("identity", [("x", p0)], expr=p0)(1, 2)


def test_a_lambda_may_call_itself():
    factorial = Lambda(
        "factorial_for_test",
        [("x", p0)],
        expr=scope.switch(p0 > 1, 1, p0 * apply("factorial_for_test", p0 - 1)),
    )
    scope.define(factorial)
    try:
        assert rec_eval(scope.factorial_for_test(20)) == 2432902008176640000
    finally:
        scope.undefine(factorial)


def test_a_partial_application_awaits_the_rest():
    minus_from_ten = scope.partial("sub", 10)

    assert rec_eval(minus_from_ten(3)) == 7
    assert rec_eval(scope.partial(scope.sub, 10)(3)) == 7
    with pytest.raises(NotImplementedError, match="awaits at least one more argument"):
        rec_eval(minus_from_ten(), print_node_on_error=False)


def test_partial_applications_define_no_symbols():
    before = set(dir(scope))

    rec_eval(scope.partial("add", 2)(3))

    assert set(dir(scope)) == before


def test_callpipe_passes_a_value_through_functions_and_symbols():
    def minus_nine(x):
        return scope.sub(x, 9)

    pipe = scope.callpipe1([scope.partial("add", 2), scope.partial("mul", 3), minus_nine], 5)

    assert rec_eval(pipe) == 12
