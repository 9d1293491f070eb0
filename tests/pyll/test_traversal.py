"""Walks over graphs and copies of them."""

from __future__ import annotations

import pytest

from hpo.exceptions import BadSearchSpace
from hpo.pyll import as_apply, clone, clone_merge, dfs, rec_eval, scope, toposort


def test_dfs_lists_each_node_once_after_its_inputs():
    shared = as_apply({"c": 11, "d": 12})
    space = as_apply({"a": 9, "b": shared, "y": shared, "z": shared + 1})

    order = dfs(space)

    assert [getattr(node, "obj", node.name) for node in order] == [
        9,
        11,
        12,
        "dict",
        1,
        "add",
        "dict",
    ]
    assert order[-1] is space


def test_toposort_refuses_a_loop():
    inner = as_apply(1) + 2
    outer = inner * 3
    inner.replace_input(inner.pos_args[0], outer)

    with pytest.raises(BadSearchSpace, match="is an input of itself"):
        toposort(outer)


def test_toposort_of_a_sound_graph_is_its_dfs():
    node = as_apply((1, 2)) * 3

    assert toposort(node) == dfs(node)


def test_a_clone_has_new_nodes_of_equal_value():
    shared = as_apply(2)
    original = shared * shared + 1

    copy = clone(original)

    assert rec_eval(copy) == 5
    assert not set(dfs(original)) & set(dfs(copy))
    product = copy.pos_args[0]
    assert product.pos_args[0] is product.pos_args[1]


def test_a_clone_can_fix_a_node():
    selector = scope.randint(2)
    space = as_apply({"a": scope.switch(selector, "x", "y")})

    assert rec_eval(clone(space, {selector: as_apply(1)})) == {"a": "y"}


def test_clone_keeps_purity_which_merging_relies_on():
    assert clone(as_apply(1) + 2).pure


def test_merging_makes_equal_pure_operations_one_node():
    a, b = as_apply(2), as_apply(3)
    twice = (a + b) * (a + b)

    merged = clone_merge(twice)

    assert merged.pos_args[0] is merged.pos_args[1]
    assert rec_eval(merged) == 25


def test_literals_are_merged_only_on_demand():
    product = (as_apply(2) + 3) * (as_apply(2) + 3)

    assert len(dfs(clone_merge(product))) == len(dfs(product)) == 7
    assert len(dfs(clone_merge(product, merge_literals=True))) == 4


@pytest.mark.parametrize("one, other", [(1, 1.0), (1, True), (0.0, -0.0), ("1", 1)])
def test_constants_that_are_only_equal_are_not_merged(one, other):
    assert len(dfs(clone_merge(as_apply((one, other)), merge_literals=True))) == 3


def test_random_draws_are_never_merged():
    draws = as_apply((scope.uniform(0, 1), scope.uniform(0, 1)))

    copy = clone_merge(draws, merge_literals=True)

    assert copy.pos_args[0] is not copy.pos_args[1]
