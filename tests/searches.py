"""Searches without a driver, and spaces of every kind, for the tests of algorithms."""

from __future__ import annotations

from scipy import stats

from hpo import hp, rand
from hpo.document import JOB_STATE_DONE, JOB_STATE_ERROR, new_trial
from hpo.observations import Observations

EVERY_KIND = {
    "uniform": hp.uniform("v", -1.0, 3.0),
    "quniform": hp.quniform("v", 0.0, 10.0, 2.5),
    "uniformint": hp.uniformint("v", -3, 8),
    "loguniform": hp.loguniform("v", -8.0, 0.0),
    "qloguniform": hp.qloguniform("v", -1.0, 5.0, 2.0),
    "normal": hp.normal("v", 1.0, 2.0),
    "qnormal": hp.qnormal("v", 1.0, 2.0, 0.5),
    "lognormal": hp.lognormal("v", 0.0, 1.0),
    "qlognormal": hp.qlognormal("v", 0.0, 1.0, 1.0),
    "randint": hp.randint("v", 3, 9),
    "wide randint": hp.randint("v", 10**9),
    "choice": hp.choice("v", ["a", "b", "c"]),
    "pchoice": hp.pchoice("v", [(0.7, "a"), (0.2, "b"), (0.1, "c")]),
    "scipy": stats.gamma(2.0),
}

EXTREME_KINDS = {
    "widest range": hp.uniform("v", -1e308, 1e308),
    "narrowest range": hp.uniform("v", 1.0, 1.0 + 1e-15),
    "tiny numbers": hp.uniform("v", 0.0, 1e-300),
    "step larger than the range": hp.quniform("v", 0.0, 1.0, 10.0),
    "a billion steps": hp.quniform("v", 0.0, 1.0, 1e-9),
    "300 decades": hp.loguniform("v", -690.0, 5.0),
    "600 decades": hp.loguniform("v", -740.0, 700.0),
    "bounds that round to 0": hp.qloguniform("v", -50.0, 5.0, 1.0),
    "steps finer than a float": hp.qlognormal("v", 0.0, 200.0, 1.0),
    "a far off normal": hp.normal("v", 1e6, 1e-6),
    "a wide lognormal": hp.lognormal("v", 0.0, 300.0),
    "10,000 options": hp.choice("v", list(range(10_000))),
    "one option": hp.choice("v", ["a"]),
    "quadrillions of integers": hp.randint("v", 10**15),
    "61 bits of integers": hp.randint("v", -(2**60), 2**60),
}


def finished(tid, values, loss):
    result = {"status": "ok", "loss": loss}
    return {**new_trial(tid, values=values), "state": JOB_STATE_DONE, "result": result}


def stopped(tid, values, loss, step):
    """A trial that a stopping rule ended at a step."""
    result = {"status": "stopped", "loss": loss, "step": step}
    return {**new_trial(tid, values=values), "state": JOB_STATE_DONE, "result": result,
            "last_report": {"step": step, "loss": loss}}  # fmt: skip


def failed(tid, values):
    document = {**new_trial(tid, values=values), "state": JOB_STATE_ERROR}
    return {**document, "error": ["ValueError", "no"]}


def observe(*documents):
    observations = Observations()
    for document in documents:
        observations.update(document)
    return observations


def search(algorithm, space, loss_of, n_trials, seed):
    """Run a search without a driver. Returns its observations."""
    observations = Observations()
    for tid in range(n_trials):
        values = algorithm(space, observations, tid, seed)
        observations.update(finished(tid, values, loss_of(values)))
    return observations


def at_random(space, observations, tid, seed):
    return rand.suggest_values(space, tid, seed)
