"""The estimator of each kind of hyperparameter, against the ones that suggest uses."""

from __future__ import annotations

import numpy as np
import pytest

from hpo import hp, univariate
from hpo.parzen_nodes import adaptive_parzen_sampler, adaptive_parzen_samplers
from hpo.pyll import as_apply, rec_eval, scope
from hpo.space import Space

N_DRAWS = 200

# {distribution: (arguments, observed values, the hyperparameter)}
KINDS = {
    "uniform": ((-1, 3), [0.5, 0.1, 2.0], hp.uniform("x", -1, 3)),
    "quniform": ((-1, 3, 0.5), [0.5, 0.0, 2.0], hp.quniform("x", -1, 3, 0.5)),
    "loguniform": ((-2, 1), [0.2, 1.5], hp.loguniform("x", -2, 1)),
    "qloguniform": ((-2, 2, 1), [0.0, 1.0, 6.0], hp.qloguniform("x", -2, 2, 1)),
    "normal": ((1, 2), [0.5, -3.0], hp.normal("x", 1, 2)),
    "qnormal": ((1, 2, 0.5), [0.5, -3.0], hp.qnormal("x", 1, 2, 0.5)),
    "lognormal": ((0, 1), [0.3, 4.0], hp.lognormal("x", 0, 1)),
    "qlognormal": ((1, 1, 1), [1.0, 4.0], hp.qlognormal("x", 1, 1, 1)),
    "randint": ((5,), [3, 3, 1], hp.randint("x", 5)),
    "categorical": (
        (np.array([0.2, 0.5, 0.3]),),
        [2, 2, 0],
        hp.pchoice("x", [(0.2, "a"), (0.5, "b"), (0.3, "c")]),
    ),
}


def draws_and_log_density(name, arguments, observed):
    rng = as_apply(np.random.default_rng(6))
    node = adaptive_parzen_samplers[name](
        np.asarray(observed), 1.0, *arguments, size=(N_DRAWS,), rng=rng
    )
    options = {key: arg for key, arg in node.named_args if key not in ("rng", "size")}
    lpdf = getattr(scope, f"{node.name}_lpdf")(node, *node.pos_args, **options)
    return rec_eval(as_apply([node, lpdf]))


def test_every_distribution_has_a_sampler():
    assert set(adaptive_parzen_samplers) == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("has_observations", [True, False])
def test_an_expression_tells_the_density_that_suggest_computes(name, has_observations):
    arguments, observed, hyperparameter = KINDS[name]
    observed = observed if has_observations else []

    draws, log_density = draws_and_log_density(name, arguments, observed)

    prior = Space(hyperparameter).hyperparameters["x"].prior
    estimator = univariate.fit_estimator(prior, np.asarray(observed, dtype=float), 1.0)
    assert draws.shape == (N_DRAWS,)
    assert log_density == pytest.approx(estimator.log_density(draws), abs=1e-9)
    assert all(prior.contains(value) for value in draws.tolist())


def test_draws_gather_where_the_observations_are():
    observed = np.full(20, 2.5)

    draws, _ = draws_and_log_density("uniform", (0, 10), observed)

    assert np.mean(np.abs(draws - 2.5) < 1.0) > 0.7


def test_integers_are_counted_from_the_first():
    node = adaptive_parzen_samplers["randint"]([7, 7, 8], 1.0, 5, 9)

    # Of 5, 6, 7, 8 the counts are 0, 0, 2, 1, and each has 1 from the prior.
    assert rec_eval(node.pos_args[0]) == pytest.approx(np.array([1, 1, 3, 2]) / 7)


def test_probabilities_may_come_as_rows_that_repeat_them():
    node = adaptive_parzen_samplers["categorical"]([1], 1.0, np.array([[0.5, 0.5]] * 3))

    # Counts 0, 1; the prior gives each 2 * 0.5.
    assert rec_eval(node.pos_args[0]) == pytest.approx([1 / 3, 2 / 3])


def test_an_index_without_a_probability_has_density_zero():
    node = scope.categorical_lpdf([0, 1, 2], [0.25, 0.75])

    assert rec_eval(node) == pytest.approx([np.log(0.25), np.log(0.75), -np.inf])


def test_a_distribution_of_ones_own_gets_a_sampler_once(monkeypatch):
    monkeypatch.setattr("hpo.parzen_nodes.samplers.adaptive_parzen_samplers", entered := {})

    @adaptive_parzen_sampler("triangular")
    def ap_triangular_sampler(obs, prior_weight, low, high, size=(), rng=None):
        return scope.GMM1([1.0], [0.5 * (low + high)], [high - low], low=low, high=high)

    assert entered == {"triangular": ap_triangular_sampler}
    with pytest.raises(ValueError, match="'triangular' has a sampler already"):
        adaptive_parzen_sampler("triangular")(ap_triangular_sampler)
