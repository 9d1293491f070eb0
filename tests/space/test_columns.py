"""A space as one expression over many trials agrees with the space, trial by trial."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hpo import hp
from hpo.exceptions import BadSearchSpace
from hpo.pyll import Apply, as_apply, rec_eval, scope
from hpo.pyll.stochastic import implicit_stochastic
from hpo.space import Space
from hpo.space.columns import SpaceColumns
from tests.searches import EVERY_KIND


def drawn(space, ids, seed=0):
    columns = space.columns
    memo = {columns.new_ids: ids, columns.rng: np.random.default_rng(seed)}
    return rec_eval(columns.idxs_vals, memo=memo)


def rows(idxs, vals, ids):
    """The values of each id, from the columns."""
    return {
        tid: {
            label: vals[label][list(idxs[label]).index(tid)]
            for label in idxs
            if tid in idxs[label]
        }
        for tid in ids
    }


NESTED = {
    "model": hp.choice(
        "model",
        [
            {"depth": hp.randint("depth", 1, 9)},
            {"kernel": hp.pchoice("kernel", [(0.3, "rbf"), (0.7, hp.normal("degree", 3.0, 1.0))])},
        ],
    ),
    "lr": hp.loguniform("lr", -5.0, 0.0),
}


def test_each_id_has_the_labels_that_are_active_in_it_and_no_others():
    space, ids = Space(NESTED), list(range(100, 160))

    idxs, vals = drawn(space, ids)

    for values in rows(idxs, vals, ids).values():
        assert set(values) == set(space.active_labels(values))
        space.evaluate(values)  # raises if a value is missing or is none of its label
    assert 0 < len(idxs["degree"]) < len(idxs["kernel"]) < len(ids)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_column_has_the_distribution_of_its_label(kind):
    space = Space({"v": EVERY_KIND[kind]})

    _, vals = drawn(space, list(range(400)))

    expected = [space.sample(np.random.default_rng(seed)) for seed in range(400)]
    test = stats.ks_2samp(np.asarray(vals["v"]), [values["v"] for values in expected])
    assert test.pvalue > 0.001


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_no_id_has_no_values(kind):
    idxs, vals = drawn(Space({"v": EVERY_KIND[kind]}), [])

    assert not len(idxs["v"]) and not len(vals["v"])


def test_a_column_is_its_distribution_with_a_size_and_a_generator():
    columns = Space(NESTED).columns
    node = columns.vals["depth"]

    assert node.name == "randint"
    assert [rec_eval(node.arg[name]) for name in ("low", "high")] == [1, 9]
    assert node.arg["rng"] is columns.rng
    memo = {columns.new_ids: [4, 5], columns.vals["model"]: [1, 0]}
    assert rec_eval(node.arg["size"], memo=memo) == 1


def test_values_given_to_one_column_decide_the_others():
    columns = Space(NESTED).columns
    memo = {columns.new_ids: [7, 8], columns.vals["model"]: np.array([0, 1])}

    assert rec_eval(columns.idxs["depth"], memo=memo) == [7]
    assert rec_eval(columns.idxs["kernel"], memo=memo) == [8]


def test_a_distribution_that_depends_on_another_label_is_drawn_for_each_id():
    low = hp.uniform("low", 0.0, 1.0)
    space = Space({"low": low, "x": hp.uniform("x", low, low + 1e-9)})

    _, vals = drawn(space, list(range(20)))

    assert space.columns.vals["x"].name == "draw_each"
    np.testing.assert_allclose(vals["x"], vals["low"], atol=2e-9)


def test_a_distribution_of_the_users_own_is_drawn_for_each_id():
    @implicit_stochastic
    @scope.define
    def coin_of_columns(p, rng=None):
        return bool(rng.random() < p)

    try:
        space = Space({"c": scope.hyperopt_param("c", scope.coin_of_columns(1.0))})

        assert drawn(space, [3, 4])[1] == {"c": [True, True]}
    finally:
        scope.undefine("coin_of_columns")


def test_the_configurations_are_those_of_the_space():
    space, ids = Space(NESTED), [5, 6, 7]
    columns = space.columns
    memo = {columns.new_ids: ids, columns.rng: np.random.default_rng(3)}

    (idxs, vals), configurations = rec_eval(
        as_apply((columns.idxs_vals, columns.configurations)), memo=memo
    )

    assert list(configurations) == [
        space.evaluate(values) for values in rows(idxs, vals, ids).values()
    ]


def test_the_ids_may_be_any_expression():
    columns = SpaceColumns(Space({"x": hp.uniform("x", 0.0, 1.0)}), scope.range(3))

    idxs, vals = rec_eval(columns.idxs_vals, memo={columns.rng: np.random.default_rng(0)})

    assert list(idxs["x"]) == [0, 1, 2] and len(vals["x"]) == 3


def test_labels_that_depend_on_each_other_have_no_columns():
    a, b = hp.choice("a", [0, 1]), hp.choice("b", [0, 1])
    first = hp.choice("first", [a, b])
    space = Space(
        hp.choice(
            "top",
            [
                {"first": scope.switch(a, 0, b)},
                {"second": scope.switch(b, 0, a), "third": first},
            ],
        )
    )

    with pytest.raises(BadSearchSpace, match="depend on each other"):
        _ = space.columns


def test_a_space_of_a_thousand_labels_has_its_columns_soon():
    space = Space({f"x{i}": hp.uniform(f"x{i}", 0.0, 1.0) for i in range(1000)})

    assert isinstance(space.columns.idxs_vals, Apply)
    assert len(drawn(space, [1])[0]) == 1000
