"""The names of hyperopt's tpe module: its defaults, and its estimators as operations."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hpo import hp, tpe, univariate
from hpo.pyll import scope
from hpo.space import Space

ROOT = Path(__file__).resolve().parent.parent


def test_hyperopts_own_estimator_is_another_algorithm_of_the_same_form():
    assert tpe.hyperopt_suggest is univariate.suggest


def test_hyperopts_defaults_can_be_read():
    assert tpe._default_prior_weight == 1.0
    assert tpe._default_n_EI_candidates == 24
    assert tpe._default_gamma == 0.25
    assert tpe._default_n_startup_jobs == 20
    assert tpe._default_linear_forgetting == 25


def test_every_name_of_the_nodes_is_a_name_of_tpe():
    from hpo import parzen_nodes

    assert set(parzen_nodes.__all__) == tpe._NODE_NAMES
    assert all(getattr(tpe, name) is getattr(parzen_nodes, name) for name in tpe._NODE_NAMES)


def test_the_nodes_are_loaded_and_entered_in_scope_when_asked_for():
    program = """
        import sys
        from hpo import fmin, hp, tpe
        from hpo.pyll import scope
        fmin(abs, hp.uniform("x", -1, 1), max_evals=25, verbose=False)
        assert "hpo.parzen_nodes" not in sys.modules and not hasattr(scope, "GMM1_lpdf")
        samplers = tpe.adaptive_parzen_samplers
        assert hasattr(scope, "GMM1_lpdf") and "uniform" in samplers
        """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, check=True)


def test_a_space_that_uses_the_nodes_can_be_read_by_a_worker_that_never_asked_for_them():
    assert tpe.normal_cdf(0.0, 0.0, 1.0) == 0.5
    space = Space({"x": hp.uniform("x", 0, 1), "cdf": scope.normal_cdf(0.0, 0.0, 1.0)})
    program = (
        f"import pickle; print(pickle.loads({pickle.dumps(space)!r}).evaluate({{'x': 0.25}}))"
    )

    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )

    assert "'x': 0.25" in answer.stdout
    assert "0.5" in answer.stdout


def test_a_misspelt_name_is_an_attribute_error_with_a_suggestion():
    with pytest.raises(AttributeError, match="no attribute 'GMM1_pdf'; did you mean 'GMM1_lpdf'"):
        _ = tpe.GMM1_pdf
