"""What algorithms make of trials that were stopped, and what stopping saved."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.document import JOB_STATE_CANCEL, JOB_STATE_DONE, JOB_STATE_RUNNING, new_trial
from hpo.partial import ranking_losses, ranking_losses_of, spent_budget
from tests.searches import failed, finished, observe


def complete(tid, loss, step=27):
    return {**finished(tid, {"x": 0.1 * tid}, loss), "last_report": {"step": step, "loss": loss}}


def stopped(tid, loss, step):
    result = {"status": "stopped", "loss": loss, "step": step}
    return {**complete(tid, loss, step), "result": result}


def taking_up(document, tid, other):
    """`document` under another tid, as the continuation of `other`."""
    step = other["last_report"]["step"]
    misc = {**document["misc"], "tid": tid, "from_tid": other["tid"]}
    return {
        **document, "tid": tid, "misc": misc, "continues": other["tid"], "settled_step": step,
    }  # fmt: skip


def running(tid):
    return {**new_trial(tid, values={"x": 0.1 * tid}), "state": JOB_STATE_RUNNING}


# --- ranks -------------------------------------------------------------------------------


def test_without_stopped_trials_losses_are_as_they_are():
    observations = observe(complete(0, 0.5), failed(1, {"x": 0.2}), complete(2, 0.25))

    np.testing.assert_array_equal(ranking_losses(observations), [0.5, np.nan, 0.25])


def test_a_stopped_trial_ranks_behind_every_complete_one_and_behind_who_came_further():
    observations = observe(
        stopped(0, 0.1, step=3), complete(1, 0.9), stopped(2, 0.2, step=9), complete(3, 0.4)
    )

    ranking = ranking_losses(observations)

    assert ranking[1] == 0.9 and ranking[3] == 0.4
    assert ranking[3] < ranking[1] <= ranking[2] <= ranking[0]


def test_the_table_of_the_module():
    observations = observe(
        complete(0, 0.2), complete(1, 0.5), stopped(2, 0.4, 27), stopped(3, 0.7, 27),
        stopped(4, 0.9, 3),
    )  # fmt: skip

    np.testing.assert_allclose(ranking_losses(observations), [0.2, 0.5, 0.5, 0.8, 0.9])


def test_some_trials_are_ranked_as_if_there_were_no_others():
    observations = observe(
        complete(0, 9.0),
        stopped(1, 0.4, 27),
        complete(2, 0.5),
        stopped(3, 0.9, 3),
        stopped(4, 7, 9),
    )
    rows = np.array([1, 2, 3])

    alone = ranking_losses_of(observations, rows)

    np.testing.assert_array_equal(
        alone,
        ranking_losses(observe(stopped(1, 0.4, 27), complete(2, 0.5), stopped(3, 0.9, 3))),
    )
    np.testing.assert_allclose(alone, [0.5, 0.5, 0.9])


def test_a_diverged_trial_stays_infinite_and_moves_nobody_else():
    observations = observe(stopped(0, math.inf, 9), stopped(1, 0.5, 9), stopped(2, 0.1, 3))

    np.testing.assert_allclose(ranking_losses(observations), [math.inf, 0.5, 0.5])


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 3, 9, 27, None]), st.floats(-100, 100)),
        min_size=1,
        max_size=20,
    )
)
def test_the_order_is_by_step_and_then_by_loss(trials):
    observations = observe(
        *(
            complete(tid, loss) if step is None else stopped(tid, loss, step)
            for tid, (step, loss) in enumerate(trials)
        )
    )

    ranking = ranking_losses(observations)

    keys = [(-math.inf if step is None else -step, loss) for step, loss in trials]
    for one, other in itertools.combinations(range(len(trials)), 2):
        if keys[one] < keys[other]:
            assert ranking[one] <= ranking[other]
        if keys[one][0] == keys[other][0]:
            gap = trials[one][1] - trials[other][1]
            assert ranking[one] - ranking[other] == pytest.approx(gap, abs=1e-9)


# --- the budget --------------------------------------------------------------------------


def test_what_stopping_saved_is_counted_in_steps():
    observations = observe(complete(0, 0.5), stopped(1, 0.9, 3), stopped(2, 0.9, 9), running(3))

    budget = spent_budget(observations)

    assert (budget.n_ended, budget.n_usable, budget.n_stopped) == (3, 1, 2)
    assert budget.saved == pytest.approx(1 - (27 + 3 + 9) / 81)


def test_a_known_full_budget_takes_the_place_of_the_longest_training():
    observations = observe(stopped(1, 0.9, 3))

    assert spent_budget(observations).saved is None
    assert spent_budget(observations, max_steps=30).saved == pytest.approx(0.9)


def test_a_trial_and_who_took_it_up_count_as_one():
    first = stopped(0, 0.5, 3)
    observations = observe(first, taking_up(complete(1, 0.4), 2, first), stopped(1, 0.9, 3))

    budget = spent_budget(observations)

    assert (budget.n_ended, budget.n_usable, budget.n_stopped) == (2, 1, 1)
    assert budget.saved == pytest.approx(1 - (27 + 3) / 54)


def test_a_trial_that_is_being_taken_up_has_not_ended():
    first = stopped(0, 0.5, 3)
    observations = observe(first, taking_up(running(1), 1, first))

    budget = spent_budget(observations)

    assert (budget.n_ended, budget.n_stopped) == (0, 0)


def test_a_cancelled_continuation_changes_nothing():
    first = stopped(0, 0.5, 3)
    cancelled = {**taking_up(running(1), 1, first), "state": JOB_STATE_CANCEL}

    budget = spent_budget(observe(first, cancelled))

    assert (budget.n_ended, budget.n_stopped) == (1, 1)


def test_without_a_stopped_trial_nothing_is_said_to_be_saved():
    assert spent_budget(observe(complete(0, 0.5)), max_steps=81).saved is None


# --- observations ------------------------------------------------------------------------


def test_a_stopped_trial_is_neither_ok_nor_failed_and_belongs_to_the_history():
    observations = observe(complete(0, 0.5), stopped(1, 0.9, 3))

    assert observations.is_stopped.tolist() == [False, True]
    assert observations.is_ok.tolist() == [True, False]
    assert not observations.is_failed.any()
    assert observations.history.tolist() == [0, 1]
    np.testing.assert_array_equal(observations.losses, [0.5, np.nan])
    np.testing.assert_array_equal(observations.partial_losses, [np.nan, 0.9])
    np.testing.assert_array_equal(observations.steps, [27, 3])


def test_the_digest_tells_how_far_a_stopped_trial_came():
    digests = {
        observe(stopped(0, loss, step)).digest for loss, step in [(0.5, 3), (0.5, 9), (0.6, 3)]
    }

    assert len(digests) == 3


def test_trials_that_reported_later_leave_the_earlier_ones_blank():
    observations = observe(finished(0, {"x": 0.5}, 0.1))
    assert np.isnan(observations.steps).all() and not observations.is_stopped.any()

    observations.update(stopped(1, 0.9, 3))

    np.testing.assert_array_equal(observations.steps, [np.nan, 3])
    assert observations.copy().is_stopped.tolist() == [False, True]
    assert observations.only(np.array([1])).steps.tolist() == [3]


def test_a_hundred_trials_that_reported_grow_their_columns_together():
    observations = observe(*(stopped(tid, 0.5, tid) for tid in range(100)))

    assert observations.steps.tolist() == list(range(100))


def test_a_trial_is_known_by_what_took_it_up():
    from hpo.algobase import known_rows

    first = stopped(0, 0.5, 3)
    observations = observe(first, taking_up(stopped(0, 0.4, 9), 1, first))

    assert known_rows(observations).tolist() == [1]


def test_the_state_of_a_stopped_trial_is_done():
    assert observe(stopped(0, 0.5, 3)).states.tolist() == [JOB_STATE_DONE]
