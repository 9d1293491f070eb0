"""fmin in one process: its arguments, its answers, its stopping rules."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from hpo import (
    JOB_STATE_CANCEL,
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    JOB_STATE_NEW,
    STATUS_FAIL,
    STATUS_OK,
    FMinIter,
    Trials,
    fmin,
    fmin_pass_expr_memo_ctrl,
    generate_trials_to_calculate,
    hp,
    partial,
    pyll,
    rand,
    space_eval,
)
from hpo.domain import Domain
from hpo.exceptions import (
    AllTrialsFailed,
    DuplicateLabel,
    EmptySpace,
    InvalidAnnotatedParameter,
    InvalidLoss,
    InvalidOption,
    InvalidTrial,
)
from hpo.fmin import generate_trial

SPACE = {
    "x": hp.uniform("x", -5, 5),
    "model": hp.choice("model", ["svm", {"kind": "tree", "depth": hp.uniformint("depth", 1, 9)}]),
}


def square(configuration):
    return configuration["x"] ** 2


def search(fn=square, space=SPACE, **options):
    options.setdefault("algo", rand.suggest)
    options.setdefault("max_evals", 10)
    options.setdefault("rstate", 0)
    options.setdefault("show_progressbar", False)
    return fmin(fn, space, **options)


# --- answers ---


def test_the_answer_is_the_encoded_best_configuration():
    trials = Trials()

    best = search(trials=trials)

    assert best == trials.argmin
    losses = trials.losses()
    assert best["x"] ** 2 == min(losses)
    assert len(losses) == 10


def test_space_eval_turns_the_answer_into_values():
    assert space_eval(SPACE, {"x": 1.5, "model": 0}) == {"x": 1.5, "model": "svm"}
    assert space_eval(SPACE, {"x": 1.5, "model": 1, "depth": 3}) == {
        "x": 1.5,
        "model": {"kind": "tree", "depth": 3},
    }


def test_the_best_configuration_itself_can_be_asked_for():
    trials = Trials()

    best = search(trials=trials, return_argmin=False)

    assert best == space_eval(SPACE, trials.argmin)


def test_values_can_be_asked_for_instead_of_indexes():
    trials = Trials()

    best = search(trials=trials, return_values=True)

    assert best == trials.best_trial["params"]
    assert best["model"] in ("svm", {"kind": "tree", "depth": best.get("depth")})


def test_the_same_seed_repeats_the_search():
    assert search(rstate=3) == search(rstate=3)
    assert search(rstate=3) != search(rstate=4)
    assert search(rstate=np.random.default_rng(3)) == search(rstate=3)
    assert search(rstate=np.random.RandomState(3)) == search(rstate=np.random.RandomState(3))


def test_the_environment_may_set_the_seed(monkeypatch):
    monkeypatch.setenv("HYPEROPT_FMIN_SEED", "3")
    assert search(rstate=None) == search(rstate=3)

    monkeypatch.setenv("HYPEROPT_FMIN_SEED", "three")
    with pytest.raises(InvalidOption, match=r"HYPEROPT_FMIN_SEED .* 'three'"):
        search(rstate=None)


# --- going on, and stopping ---


def test_max_evals_is_the_total_so_that_a_second_call_goes_on():
    trials = Trials()
    search(trials=trials, max_evals=4)
    search(trials=trials, max_evals=7)
    search(trials=trials, max_evals=7)

    assert len(trials) == 7


def test_a_loss_at_the_threshold_stops_the_search():
    losses = iter([3.0, 2.0, 1.0, 0.0])
    trials = Trials()

    search(lambda _: next(losses), trials=trials, loss_threshold=1.0)

    assert trials.losses() == [3.0, 2.0, 1.0]


def test_a_timeout_stops_the_search_and_keeps_what_is_done(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr("hpo.driver.time.monotonic", lambda: float(next(clock)))
    trials = Trials()

    search(trials=trials, max_evals=None, timeout=50)

    assert 0 < len(trials) < 50


def test_early_stop_fn_gets_its_state_back():
    states = []

    def stop_at_four(trials, *state):
        states.append(state)
        return len(trials) >= 4, [len(trials)]

    trials = Trials()
    search(trials=trials, early_stop_fn=stop_at_four)

    assert len(trials) == 4
    assert states == [(), (1,), (2,), (3,)]


def test_an_algorithm_that_has_nothing_left_to_suggest_ends_the_search():
    def three(new_ids, domain, trials, seed):
        return rand.suggest(new_ids, domain, trials, seed) if len(trials) < 3 else []

    trials = Trials()
    search(algo=three, trials=trials, max_evals=None)

    assert len(trials) == 3


def test_a_search_can_be_taken_trial_by_trial():
    trials = Trials()
    domain = Domain(square, SPACE)
    steps = FMinIter(rand.suggest, domain, trials, np.random.default_rng(0), max_evals=3)

    assert [len(seen) for seen in steps] == [1, 2, 3]


def test_a_longer_queue_is_filled_before_evaluating():
    asked = []

    def noting(new_ids, domain, trials, seed):
        asked.append(len(new_ids))
        return rand.suggest(new_ids, domain, trials, seed)

    search(algo=noting, max_evals=4, max_queue_len=2)

    assert sum(asked) == 4
    assert asked[0] == 2


# --- objectives that fail ---


def test_an_exception_propagates_and_its_trial_is_kept():
    def fails(configuration):
        raise ValueError("no such file")

    trials = Trials()
    with pytest.raises(ValueError, match="no such file"):
        search(fails, trials=trials)

    [trial] = trials._dynamic_trials
    assert trial["state"] == JOB_STATE_ERROR
    assert trial["error"] == ["ValueError", "no such file"]
    assert trial["misc"]["error"] == ("<class 'ValueError'>", "no such file")
    assert "fails" in trial["traceback"]


def test_exceptions_can_be_recorded_instead():
    def fails_half(configuration):
        if configuration["x"] < 0:
            raise ValueError("negative")
        return configuration["x"]

    trials = Trials()
    best = search(fails_half, trials=trials, max_evals=20, catch_eval_exceptions=True)

    states = [trial["state"] for trial in trials._dynamic_trials]
    assert len(states) == 20
    assert set(states) == {JOB_STATE_DONE, JOB_STATE_ERROR}
    assert best["x"] >= 0


def test_when_all_trials_fail_the_error_says_how():
    def fails(configuration):
        raise ValueError("no such file")

    with pytest.raises(AllTrialsFailed, match="3 raised, the first one ValueError: no such file"):
        search(fails, max_evals=3, catch_eval_exceptions=True)


def test_failed_status_never_wins():
    def objective(configuration):
        is_bad = configuration["x"] < 0
        return {"status": STATUS_FAIL if is_bad else STATUS_OK, "loss": configuration["x"]}

    assert search(objective, max_evals=20)["x"] >= 0


def test_an_unusable_loss_is_an_error_of_its_trial():
    trials = Trials()

    with pytest.raises(InvalidLoss):
        search(lambda _: "low", trials=trials)

    assert trials._dynamic_trials[0]["state"] == JOB_STATE_ERROR


def test_ctrl_c_returns_the_best_so_far_and_the_next_call_goes_on(capsys):
    losses = iter([3.0, 2.0, KeyboardInterrupt, 1.0, 4.0])

    def interrupted(configuration):
        loss = next(losses)
        if loss is KeyboardInterrupt:
            raise KeyboardInterrupt
        return loss

    trials = Trials()
    first = search(interrupted, trials=trials, max_evals=4)
    assert first == trials.argmin
    assert trials.best_loss == 2.0
    assert "interrupted" in capsys.readouterr().err

    search(interrupted, trials=trials, max_evals=4)

    assert trials.losses() == [3.0, 2.0, 1.0, 4.0]
    assert trials.count_by_state_unsynced([JOB_STATE_NEW, JOB_STATE_CANCEL]) == 0


def test_ctrl_c_before_the_first_result_is_raised():
    def interrupted(configuration):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(interrupted)


# --- known points ---


def test_known_points_come_first_and_on_top_of_max_evals():
    points = [{"x": 1.0, "model": 0}, {"x": 2.0, "model": 1, "depth": 3}]
    seen = []

    def objective(configuration):
        seen.append(configuration)
        return square(configuration)

    search(objective, points_to_evaluate=points, max_evals=10)

    assert seen[:2] == [space_eval(SPACE, point) for point in points]
    assert len(seen) == 12


def test_known_points_join_trials_that_exist():
    trials = Trials()
    search(trials=trials, max_evals=3)

    search(trials=trials, max_evals=3, points_to_evaluate=[{"x": 1.0, "model": 0}])

    assert len(trials) == 4
    assert trials.vals["x"][-1] == 1.0


def test_a_point_may_be_partial_and_name_options_instead_of_indexes():
    points = [{"model": "svm"}, {"x": 1.0, "model": 1}]
    trials = Trials()

    search(trials=trials, points_to_evaluate=points, max_evals=0)
    search(trials=trials, points_to_evaluate=points, max_evals=0, rstate=9)

    first, second = (trial["params"] for trial in trials.trials)
    assert first["model"] == "svm"
    assert -5 <= first["x"] <= 5
    assert second["x"] == 1.0
    assert 1 <= second["depth"] <= 9


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"x": 1.0, "modle": 0}, "unknown label 'modle'; did you mean 'model'"),
        ({"x": 9.0, "model": 0}, "'x' = 9.0"),
        ({"x": 1.0, "model": 5}, "'model' = 5"),
        ({"x": 1.0, "model": "forest"}, "neither one of its options"),
        (["x"], "must be a dictionary"),
    ],
)
def test_an_impossible_point_is_named_before_anything_runs(point, message):
    trials = Trials()
    with pytest.raises(InvalidTrial, match=message):
        search(trials=trials, points_to_evaluate=[point])
    assert trials._dynamic_trials == []


def test_trials_made_of_points_are_evaluated_by_fmin():
    trials = generate_trials_to_calculate([{"x": 1.0, "model": 0}, {"x": 2.0, "model": 0}])
    assert trials.count_by_state_unsynced(JOB_STATE_NEW) == 2

    search(trials=trials, max_evals=3)

    assert trials.vals["x"][:2] == [1.0, 2.0]
    assert len(trials) == 3


def test_a_trial_made_of_one_point_is_evaluated_by_fmin():
    trials = Trials()
    trials.insert_trial_doc(generate_trial(7, {"x": 1.5, "model": 0}))
    trials.refresh()

    search(trials=trials, max_evals=1)

    (trial,) = trials.trials
    assert (trial["tid"], trial["state"]) == (7, JOB_STATE_DONE)
    assert trial["misc"]["vals"]["x"] == [1.5]


# --- other forms of objective and space ---


def test_a_space_may_be_annotated_on_the_objective():
    def objective(x: hp.uniform("x", -5, 5), y: hp.uniform("y", -5, 5)):
        return x**2 + y**2

    assert set(search(objective, "annotated")) == {"x", "y"}


def test_an_annotation_that_is_no_hyperparameter_is_named():
    def objective(x: float):
        return x

    with pytest.raises(InvalidAnnotatedParameter, match="parameter 'x'"):
        search(objective, "annotated")
    with pytest.raises(InvalidOption, match="'annotaded'"):
        search(objective, "annotaded")


def test_an_objective_may_be_marked_to_evaluate_the_space_itself():
    @fmin_pass_expr_memo_ctrl
    def objective(expr, memo, ctrl, scale):
        return scale * square(pyll.rec_eval(expr, memo=memo))

    trials = Trials()
    search(partial(objective, scale=100.0), trials=trials)

    assert trials.best_loss == pytest.approx(100.0 * trials.argmin["x"] ** 2)


def test_results_in_memory_may_hold_live_objects():
    trials = Trials()
    model = object()

    search(
        lambda _: {"status": STATUS_OK, "loss": 0.0, "model": model}, trials=trials, max_evals=1
    )

    assert trials.best_trial["result"]["model"] is model


# --- trials that bring or save themselves ---


def test_a_trials_class_with_its_own_fmin_is_asked_to_run_the_search():
    class Remote(Trials):
        def fmin(self, fn, space, algo=None, max_evals=None, **options):
            return ("ran remotely", max_evals)

    assert search(trials=Remote(), max_evals=3) == ("ran remotely", 3)


def test_trials_can_run_a_search_themselves():
    trials = Trials()

    best = trials.fmin(square, SPACE, algo=rand.suggest, max_evals=3, rstate=0)

    assert best == trials.argmin


def test_trials_are_saved_after_each_trial_and_continued_from_the_file(tmp_path):
    path = tmp_path / "trials.pkl"
    seen = []

    def objective(configuration):
        seen.append(len(pickle.loads(path.read_bytes())) if path.exists() else 0)
        return square(configuration)

    search(objective, trials_save_file=path, max_evals=3)
    search(objective, trials_save_file=path, max_evals=5)

    assert seen == [0, 1, 2, 3, 4]
    assert [file.name for file in tmp_path.iterdir()] == ["trials.pkl"]


@pytest.mark.parametrize("content", [b"damaged", pickle.dumps([1, 2])])
def test_a_file_that_holds_no_trials_is_left_alone(tmp_path, content):
    path = tmp_path / "trials.pkl"
    path.write_bytes(content)

    with pytest.raises(InvalidOption, match=r"trials\.pkl"):
        search(trials_save_file=path)

    assert path.read_bytes() == content


# --- bad input ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_evals": -1}, "max_evals must be .* not -1"),
        ({"max_evals": "10"}, "max_evals must be .* not '10'"),
        ({"timeout": 0}, "timeout argument should be None or a positive value. Given value: 0"),
        ({"timeout": True}, "timeout argument"),
        ({"loss_threshold": "low"}, "loss_threshold argument should be .* Given value: low"),
        ({"max_queue_len": 0}, "max_queue_len must be .* at least 1, not 0"),
        ({"rstate": -1}, "rstate must be"),
        ({"rstate": "seed"}, "rstate must be"),
        ({"exp_key": "digits"}, "give trials=URL"),
        ({"workers": 2, "trials": Trials()}, "workers= needs trials that other processes"),
        ({"workers": 0}, "workers must be"),
        ({"fn": None}, "fn must be a function"),
        ({"algo": "tpe"}, r"algo must be a function such as hpo\.tpe\.suggest"),
        ({"trials": []}, "trials must be None, a Trials"),
        ({"early_stop_fn": 20}, r"early_stop_fn must be .*no_progress_loss\(20\), not 20"),
        ({"show_progressbar": "tqdm"}, "show_progressbar must be .* not 'tqdm'"),
        (
            {"points_to_evaluate": {"x": 1.0}},
            "points_to_evaluate must be a list .* not {'x': 1.0}",
        ),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(InvalidOption, match=message):
        search(**options)


def test_points_to_make_trials_of_are_a_list_of_dictionaries():
    no_points: list = [1.0]

    with pytest.raises(InvalidOption, match="points_to_evaluate must be a list"):
        generate_trials_to_calculate({"x": 1.0})
    with pytest.raises(InvalidTrial, match=r"a point must be a dictionary .* not 1\.0"):
        generate_trials_to_calculate(no_points)


def test_an_unknown_argument_is_a_type_error():
    with pytest.raises(TypeError, match="rseed"):
        search(rseed=3)


def test_an_empty_space_is_refused():
    with pytest.raises(EmptySpace, match="no hyperparameter"):
        search(space={"x": 1})


def test_a_duplicate_label_is_refused():
    with pytest.raises(DuplicateLabel, match="x"):
        search(space=[hp.uniform("x", 0, 1), hp.uniform("x", 0, 2)])


def test_no_evaluations_leave_nothing_to_return():
    with pytest.raises(AllTrialsFailed, match="no evaluation tasks"):
        search(max_evals=0)
    assert search(max_evals=0, return_argmin=False) is None
