"""hyperopt's helper that turns a space into columns."""

from __future__ import annotations

import numpy as np

from hpo import hp
from hpo.pyll import as_apply, rec_eval, scope
from hpo.pyll.stochastic import recursive_set_rng_kwarg
from hpo.vectorize import VectorizeHelper, replace_repeat_stochastic


def test_the_columns_and_the_values_of_a_space_belong_together():
    x = hp.uniform("x", 0.0, 1.0)
    low = hp.uniform("low", 0.0, 1.0)
    n_trials = as_apply(15)
    helper = VectorizeHelper(
        [hp.choice("c", [1, x, -x]) ** 2, hp.uniform("above", low, 2.0)], scope.range(n_trials)
    )
    everything = as_apply((helper.v_expr, helper.idxs_by_label(), helper.vals_by_label()))

    drawing = recursive_set_rng_kwarg(
        replace_repeat_stochastic(everything), np.random.default_rng(1)
    )
    values, idxs, vals = rec_eval(drawing)

    x_of = dict(zip(idxs["x"], vals["x"], strict=True))
    assert len(values) == 15
    for tid, (squared, above) in enumerate(values):
        assert squared == (1 if vals["c"][tid] == 0 else x_of[tid] ** 2)
        assert vals["low"][tid] <= above == vals["above"][tid]
    assert set(helper.params) == {"x", "low", "c", "above"}
