"""Libraries and scripts written for hyperopt, unmodified, on hpo.

hyperopt-sklearn is the real package from PyPI, in an environment of its own:
HPO_TEST_CLIENTS_PYTHON is that environment's Python. How Ray, hyperas and people's
scripts call hyperopt is written down here call by call.
"""

from __future__ import annotations

import functools
import os
import pickle
import subprocess
import sys
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CLIENTS_PYTHON = "HPO_TEST_CLIENTS_PYTHON"

FIT_A_CLASSIFIER = """
from hpo.compat import install_as_hyperopt
install_as_hyperopt()

import pickle
import warnings
import numpy as np
from hyperopt import hp, tpe
from hpsklearn import (
    HyperoptEstimator, k_neighbors_classifier, random_forest_classifier, standard_scaler, svc,
)
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

warnings.simplefilter("ignore")
X, y = load_iris(return_X_y=True)
X_fit, X_test, y_fit, y_test = train_test_split(X, y, random_state=0, stratify=y)
estimator = HyperoptEstimator(
    classifier=hp.choice("classifier", [
        k_neighbors_classifier("knn"),
        random_forest_classifier("forest", n_estimators=10),
        svc("svc"),
    ]),
    preprocessing=[standard_scaler("scaler")],
    algo=tpe.suggest,
    max_evals=8,
    trial_timeout=60,
    seed=np.random.default_rng(3),
)
estimator.fit(X_fit, y_fit)

assert estimator.score(X_test, y_test) > 0.8
assert type(estimator.best_model()["learner"]).__module__.startswith("sklearn.")
assert len(estimator.trials.trials) == 8
assert len(pickle.loads(pickle.dumps(estimator.trials)).losses()) == 8
print("fitted")
"""


@pytest.fixture
def clients_python():
    python = os.environ.get(CLIENTS_PYTHON)
    if python is None:
        pytest.fail(
            f"set {CLIENTS_PYTHON} to the Python of an environment with hyperopt-sklearn 1.1.1; "
            "scripts/test makes one"
        )
    return python


def test_hyperopt_sklearn_finds_a_classifier(clients_python, tmp_path):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "worker")]),
        # It runs beside other tests, on cores that are shared.
        "OMP_NUM_THREADS": "1",
    }

    finished = subprocess.run(
        [clients_python, "-c", FIT_A_CLASSIFIER],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
    )

    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines()[-1] == "fitted"


# --- a script and its workers -----------------------------------------------------------------

DRIVER = """
import sys
from hpo.compat import install_as_hyperopt
install_as_hyperopt()

import hyperopt
from hyperopt.mongoexp import MongoTrials


def objective(x):
    return {"loss": x ** 2, "status": hyperopt.STATUS_OK}


trials = MongoTrials(sys.argv[1], exp_key="unchanged")
best = hyperopt.fmin(
    objective, hyperopt.hp.uniform("x", -10, 10), algo=hyperopt.rand.suggest, max_evals=4,
    trials=trials, show_progressbar=False,
)
assert trials.best_trial["result"]["loss"] == best["x"] ** 2
print(len(trials))
"""


def test_an_objective_that_mentions_hyperopt_is_evaluated_by_workers(mongo_url, tmp_path):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "worker")]),
    }
    (tmp_path / "driver.py").write_text(DRIVER)
    worker = subprocess.Popen(
        [sys.executable, "-m", "hpo_worker", "--mongo", mongo_url, "--as-hyperopt", "--quiet"],
        env=environment,
        cwd=tmp_path,
    )
    try:
        finished = subprocess.run(
            [sys.executable, "driver.py", mongo_url],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=90,
        )
    finally:
        worker.terminate()
        worker.wait()

    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "4\n"


# --- what follows calls hyperopt as others do; `hyperopt` is hpo -------------------------------


@pytest.fixture
def hyperopt(monkeypatch):
    """The package as a client gets it, taken out of the process again afterwards."""
    from hpo.compat import AS_HYPEROPT_VARIABLE, install_as_hyperopt

    # Installing sets it for the workers of this process; it shall not outlive the test.
    monkeypatch.setenv(AS_HYPEROPT_VARIABLE, "1")
    before, finders = set(sys.modules), list(sys.meta_path)
    install_as_hyperopt()
    yield sys.modules["hyperopt"]
    sys.meta_path[:] = finders
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "hyperopt":
            del sys.modules[name]


class Searcher:
    """Asks for one configuration at a time and writes results into the documents, as Ray does."""

    def __init__(self, hyperopt, space, points_to_evaluate=()):
        from hyperopt.fmin import generate_trials_to_calculate

        self.hpo = hyperopt
        self.domain = hyperopt.Domain(lambda config: config, space)
        self.algo = functools.partial(hyperopt.tpe.suggest, n_startup_jobs=5, gamma=0.25)
        self.rstate = np.random.default_rng(1)
        self.points = list(points_to_evaluate)
        self.trials = generate_trials_to_calculate(self.points) if self.points else None
        self.trials = self.trials or hyperopt.Trials()
        self.trials.refresh()
        self.n_suggested = 0

    def suggest(self):
        if self.n_suggested < len(self.points):
            document = self.trials.trials[self.n_suggested]
        else:
            new_ids = self.trials.new_trial_ids(1)
            self.trials.refresh()
            seed = self.rstate.integers(2**31 - 1)
            (document,) = self.algo(new_ids, self.domain, self.trials, seed)
            self.trials.insert_trial_docs([document])
            self.trials.refresh()
        self.n_suggested += 1
        return document["tid"], self.configuration(document)

    def configuration(self, document):
        base, utils = self.hpo.base, self.hpo.utils
        ctrl = base.Ctrl(self.trials, current_trial=document)
        memo = self.domain.memo_from_config(base.spec_from_misc(document["misc"]))
        utils.use_obj_for_literal_in_memo(self.domain.expr, ctrl, base.Ctrl, memo)
        return self.hpo.pyll.rec_eval(
            self.domain.expr,
            memo=memo,
            print_node_on_error=self.domain.rec_eval_print_node_on_error,
        )

    def complete(self, tid, loss=None):
        (document,) = (trial for trial in self.trials.trials if trial["tid"] == tid)
        now = self.hpo.utils.coarse_utcnow()
        document["book_time"] = document["refresh_time"] = now
        if loss is None:
            document["state"] = self.hpo.base.JOB_STATE_ERROR
            document["misc"]["error"] = ("TuneError", "Tune Error")
        else:
            document["state"] = self.hpo.base.JOB_STATE_DONE
            document["result"] = {"loss": loss, "status": self.hpo.STATUS_OK}
        self.trials.refresh()


@pytest.fixture
def space(hyperopt):
    hp = hyperopt.hp
    return {
        "lr": hp.loguniform("lr", -5, 0),
        "layers": hp.choice("layers", [{"n": 1}, {"n": 2, "width": hp.randint("width", 2, 9)}]),
    }


def test_a_searcher_that_writes_into_the_documents_learns_from_them(hyperopt, space):
    searcher = Searcher(hyperopt, space)

    losses = []
    for n in range(40):
        tid, config = searcher.suggest()
        loss = (np.log(config["lr"]) + 2) ** 2 + config["layers"]["n"]
        searcher.complete(tid, None if n == 7 else loss)
        losses.append(loss)

    assert len(searcher.trials.trials) == 39
    assert searcher.trials.best_trial["result"]["loss"] == min(losses[:7] + losses[8:])
    assert np.median(losses[-15:]) < np.median(losses[:5])


def test_a_searcher_starts_with_the_points_it_is_given(hyperopt, space):
    searcher = Searcher(hyperopt, space, [{"lr": 0.1, "layers": 1, "width": 3}])

    _, first = searcher.suggest()
    _, second = searcher.suggest()

    assert first == {"lr": 0.1, "layers": {"n": 2, "width": 3}}
    assert second != first


def test_a_point_that_lacks_a_value_is_told_apart(hyperopt, space):
    searcher = Searcher(hyperopt, space, [{"lr": 0.1, "layers": 1}])

    # Ray explains an AssertionError, and a TypeError that speaks of GarbageCollected.
    with pytest.raises(AssertionError, match="GarbageCollected"):
        searcher.suggest()


def test_a_searcher_is_saved_and_goes_on(hyperopt, space):
    searcher = Searcher(hyperopt, space)
    tid, _ = searcher.suggest()
    searcher.complete(tid, 1.0)

    restored = cloudpickle.loads(
        cloudpickle.dumps((searcher.trials, searcher.domain, searcher.algo))
    )
    searcher.trials, searcher.domain, searcher.algo = restored

    assert searcher.suggest()[0] != tid
    assert searcher.trials.losses() == [1.0, None]


def test_options_of_a_choice_are_read_from_the_graph(hyperopt):
    node = hyperopt.hp.choice("act", ["relu", "tanh"])

    assert isinstance(node, hyperopt.base.pyll.Apply)
    assert node.name == "switch"
    assert [option.obj for option in node.pos_args[1:] if option.name == "literal"] == [
        "relu",
        "tanh",
    ]


class Model:
    """Stands for a network: no database could hold it."""

    def __init__(self, units):
        self.units = units


def test_a_minimiser_falls_back_from_rseed_and_finds_the_best_model(hyperopt):
    # hyperas tries an argument of long ago first.
    def keep_model(space):
        return {
            "loss": (space["units"] - 64) ** 2,
            "status": hyperopt.STATUS_OK,
            "model": Model(space["units"]),
        }

    space = {
        "units": hyperopt.hp.choice("units", [32, 64, 128]),
        "rate": hyperopt.hp.uniform("rate", 0, 1),
    }
    trials = hyperopt.Trials()
    call = functools.partial(
        hyperopt.fmin, keep_model, space=space, algo=hyperopt.tpe.suggest, max_evals=10,
        trials=trials, show_progressbar=False,
    )  # fmt: skip

    with pytest.raises(TypeError):
        call(rseed=1)
    best_run = call(rstate=np.random.RandomState(1), return_argmin=True)

    best_model = None
    for trial in trials:
        values = {key: value[0] for key, value in trial.get("misc").get("vals").items() if value}
        if values == best_run and "model" in trial.get("result"):
            best_model = trial.get("result").get("model")
    assert best_model.units == 64
    assert hyperopt.space_eval(space, best_run)["units"] == 64


def test_a_script_saves_its_trials_and_reads_values_out_of_them(hyperopt, tmp_path):
    from hyperopt import Trials, fmin, hp, tpe

    space = {"lr": hp.loguniform("lr", -5, 0)}
    (tmp_path / "trials.pkl").write_bytes(pickle.dumps(Trials()))

    for n_more in (5, 5):
        trials = pickle.loads((tmp_path / "trials.pkl").read_bytes())
        fmin(
            lambda config: config["lr"], space, tpe.suggest, len(trials.trials) + n_more,
            trials=trials, verbose=False,
        )  # fmt: skip
        (tmp_path / "trials.pkl").write_bytes(pickle.dumps(trials))

    tried = [trial["misc"]["vals"]["lr"][0] for trial in trials.trials]
    assert len(tried) == 10
    assert min(tried) == min(trials.losses())
    assert tpe._default_n_startup_jobs == 20
    assert space["lr"].pos_args[0].pos_args[1].pos_args[0].eval() == -5


def test_a_script_calls_its_own_function_in_a_space(hyperopt):
    from hyperopt.pyll import as_apply, scope
    from hyperopt.pyll.stochastic import sample

    @scope.define
    def client_model(units, act="relu"):
        return {"units": units, "act": act}

    try:
        units = scope.int(hyperopt.hp.quniform("units", 8, 64, 8))
        node = scope.client_model(units, act=hyperopt.hp.choice("act", ["relu", "tanh"]))
        node.named_args.append(["act", as_apply("tanh")])
        node.named_args.pop()

        drawn = sample(as_apply({"model": node}), np.random.default_rng(2))

        assert isinstance(drawn["model"]["units"], int)
        assert drawn["model"]["act"] in ("relu", "tanh")
    finally:
        scope.undefine(client_model)
