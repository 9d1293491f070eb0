"""Suggestions computed again from the documents: the same to the last bit, or a reason why not."""

from __future__ import annotations

import importlib
from functools import partial

import numpy as np
import pytest

from hpo import Trials, anneal, cma, grid, hp, mix, qmc, rand, tpe, trials_from_docs
from hpo.document import JOB_STATE_DONE, JOB_STATE_ERROR, JOB_STATE_RUNNING
from hpo.domain import Domain
from hpo.exceptions import HistoryChanged, InvalidOptionValue
from hpo.replay import replay

SPACE = {
    "x": hp.uniform("x", -5, 5),
    "model": hp.choice(
        "model",
        [
            {"kind": "flat", "n": hp.randint("n", 20)},
            {"kind": "tilted", "slope": hp.loguniform("slope", -5, 2)},
        ],
    ),
}
DISCRETE = {"a": hp.randint("a", 6), "b": hp.choice("b", ["p", "q", "r"])}


def loss_of(values):
    return float(sum(float(value) for value in values.values()))


def searched(algorithm, space=SPACE, n_trials=60, n_at_once=1, seed=0):
    """Trials of which several are always open, and that end in any order."""
    domain, trials = Domain(loss_of, space), Trials()
    rng = np.random.default_rng(seed)
    domain.search_seed = 7
    open_trials = []
    while len(trials) < n_trials:
        call_seed = int(rng.integers(2**31))
        new = algorithm(trials.new_trial_ids(n_at_once), domain, trials, call_seed)
        trials.insert_trial_docs(new)
        trials.refresh()
        open_trials += new
        rng.shuffle(open_trials)
        while len(open_trials) > 2 * n_at_once:
            end(trials, open_trials.pop(), rng)
    return trials


def end(trials, document, rng):
    """Finish a trial, or let it fail."""
    claimed = trials.trial(document["tid"])
    values = {label: vals[0] for label, vals in claimed["misc"]["vals"].items() if len(vals)}
    if rng.random() < 0.1:
        overwrite(trials, {**claimed, "state": JOB_STATE_ERROR, "error": ["ValueError", "no"]})
    else:
        result = {"status": "ok", "loss": loss_of(values)}
        overwrite(trials, {**claimed, "state": JOB_STATE_DONE, "result": result})


def overwrite(trials, document):
    """Put a document in the place of the one with its tid."""
    stored = trials.store._trials[document["tid"]]
    stored.clear()
    stored.update({**document, "version": document["version"] + 1})
    trials.refresh()


@pytest.mark.parametrize("n_at_once", [1, 5, 70])
@pytest.mark.parametrize("space", [SPACE, DISCRETE], ids=["tree", "discrete"])
def test_every_suggestion_of_tpe_comes_out_the_same(space, n_at_once):
    algorithm = tpe.suggest if space is SPACE else noisy_tpe
    trials = searched(algorithm, space, n_trials=90, n_at_once=n_at_once)

    again = [replay(trials, tid, space) for tid in trials.tids]

    assert [each.tid for each in again if not each.is_same] == []


BOX = {"x": hp.uniform("x", -5, 5), "y": hp.normal("y", 0, 1), "n": hp.quniform("n", 0, 9, 1)}


@pytest.mark.parametrize("n_at_once", [1, 7])
@pytest.mark.parametrize("algorithm", ["anneal", "cma", "grid"])
def test_so_do_those_of_annealing_cma_and_a_grid(algorithm, n_at_once):
    if algorithm == "cma":
        pytest.importorskip("cmaes")
    space = BOX if algorithm == "cma" else SPACE
    options = {"grid": {"n_steps": {"x": [-1.0, 0.5, 3.0], "slope": 4}}}.get(algorithm, {})
    suggest = partial(importlib.import_module(f"hpo.{algorithm}").suggest, **options)
    trials = searched(suggest, space, n_trials=63, n_at_once=n_at_once)

    again = [replay(trials, tid, space) for tid in trials.tids]

    assert [each.tid for each in again if not each.is_same] == []
    assert {each.suggested_by["algorithm"] for each in again} == {algorithm}


def test_a_point_of_a_grid_that_was_free_again_comes_out_the_same():
    trials = searched(grid.suggest, DISCRETE, n_trials=9)
    [free] = trials.store.cancel(None, [next(t["tid"] for t in trials if t["state"] == 0)])
    trials.refresh()
    rest = grid.suggest(trials.new_trial_ids(20), Domain(loss_of, DISCRETE), trials, 0)
    trials.insert_trial_docs(rest)
    trials.refresh()

    freed = trials.store._trials[free]["misc"]["vals"]
    assert freed in [trial["misc"]["vals"] for trial in rest]
    assert all(replay(trials, trial["tid"], DISCRETE).is_same for trial in rest)


def test_a_turn_that_a_grid_does_not_have_is_refused():
    trials = searched(grid.suggest, DISCRETE, n_trials=9)

    with pytest.raises(InvalidOptionValue, match="no turn"):
        for tid in trials.tids:
            replay(trials, tid, {"a": hp.randint("a", 2)})


@pytest.mark.parametrize("algorithm", [anneal, cma], ids=["anneal", "cma"])
def test_a_history_that_was_altered_is_told(algorithm):
    if algorithm is cma:
        pytest.importorskip("cmaes")
    trials = searched(algorithm.suggest, BOX, n_trials=30)
    last = trials.tids[-1]
    done = next(doc for doc in trials._dynamic_trials if doc["state"] == JOB_STATE_DONE)

    done["result"]["loss"] = -99.0
    as_others_see_it = trials_from_docs(trials._dynamic_trials, validate=False)

    with pytest.raises(HistoryChanged):
        replay(as_others_see_it, last, BOX)


def noisy_tpe(*arguments):
    return tpe.suggest(*arguments, noisy=True)


@pytest.mark.parametrize("algorithm", [rand.suggest, qmc.suggest])
def test_so_does_every_suggestion_of_rand_and_qmc(algorithm):
    trials = searched(algorithm, n_trials=20, n_at_once=4)

    assert all(replay(trials, tid, SPACE).is_same for tid in trials.tids)


def test_a_trial_that_ended_later_counts_as_pending_again():
    trials = searched(tpe.suggest, n_trials=30, n_at_once=3)
    last = max(trials.tids)
    still_open = [doc["tid"] for doc in trials._dynamic_trials if doc["state"] == 0]

    rng = np.random.default_rng(1)
    for tid in still_open:
        end(trials, {"tid": tid}, rng)

    assert replay(trials, last, SPACE).is_same


def test_an_altered_loss_is_found_by_the_digest():
    trials = searched(tpe.suggest, n_trials=30)
    done = next(doc for doc in trials._dynamic_trials if doc["state"] == JOB_STATE_DONE)

    done["result"]["loss"] = -99.0
    as_others_see_it = trials_from_docs(trials._dynamic_trials, validate=False)

    with pytest.raises(HistoryChanged, match="deleted or altered"):
        replay(as_others_see_it, max(trials.tids), SPACE)


def test_altered_values_are_named():
    trials = searched(tpe.suggest, n_trials=30)
    newest = trials.trial(max(trials.tids))

    newest["misc"]["vals"]["x"] = [4.875]
    overwrite(trials, {**newest, "state": JOB_STATE_RUNNING})
    replayed = replay(trials, newest["tid"], SPACE)

    assert not replayed.is_same
    assert replayed.differing == ("x",)


def test_what_nobody_can_compute_again_is_said():
    trials = searched(mix_of_others, n_trials=3)

    with pytest.raises(InvalidOptionValue, match="does not say that one of tpe, rand, qmc"):
        replay(trials, trials.tids[0], SPACE)
    with pytest.raises(InvalidOptionValue, match="there is no trial 999"):
        replay(trials, 999, SPACE)
    with pytest.raises(InvalidOptionValue, match="pass space="):
        replay(searched(rand.suggest, n_trials=2), 0)


def mix_of_others(new_ids, domain, trials, seed):
    documents = mix.suggest(new_ids, domain, trials, seed, p_suggest=[(1.0, rand.suggest)])
    for document in documents:
        document.pop("suggested_by", None)
    return documents
