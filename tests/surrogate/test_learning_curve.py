"""The end of a learning curve is a linear function of its start, fitted to complete curves."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from hpo.exceptions import InvalidOption, InvalidOptionValue, UnreadableSession
from hpo.surrogate.learning_curve import (
    LinearCurvePredictor,
    fit_linear,
    leave_one_out_errors,
)


def saturating(n, length, *, noise=0.01, seed=0):
    """Curves that rise to different heights at different speeds; shape (n, length)."""
    rng = np.random.default_rng(seed)
    heights, speeds = rng.uniform(0.3, 0.9, n), rng.uniform(0.2, 1.0, n)
    steps = np.arange(1, length + 1)
    curves = heights[:, None] * (1 - np.exp(-speeds[:, None] * steps))
    return curves + noise * rng.normal(size=curves.shape)


def taught(curves, **options):
    predictor = LinearCurvePredictor(**options)
    for curve in curves:
        predictor.add_curve(curve, curve.max())
    return predictor


def test_several_curves_at_once_teach_what_they_teach_one_by_one():
    curves = saturating(12, 8)
    at_once = LinearCurvePredictor()
    at_once.add_curves(curves[:5], curves[:5].max(axis=1))
    at_once.add_curves(curves[5:], curves[5:].max(axis=1))

    assert at_once.predict(curves[0, :4]) == taught(curves).predict(curves[0, :4])
    with pytest.raises(InvalidOptionValue, match="not finite"):
        at_once.add_curves([curves[0], [np.nan] * 8], [1.0, 1.0])
    assert at_once.curves_number == 12


# --- the fit ------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "k"), [(30, 3), (12, 8), (10, 9), (10, 15), (1, 4)])
def test_the_fit_is_the_shortest_least_squares_solution(n, k):
    curves = saturating(n, 20)
    values = curves.max(axis=1)

    inputs = np.hstack([np.ones((n, 1)), curves[:, :k]])
    expected = np.linalg.pinv(inputs) @ values
    np.testing.assert_allclose(fit_linear(curves[:, :k], values), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(("n", "k"), [(30, 3), (12, 8), (11, 10), (10, 10), (10, 15), (2, 2)])
def test_the_errors_are_those_of_fits_without_the_curve(n, k):
    curves = saturating(n, 20, noise=0.1)
    values = curves.max(axis=1)

    expected = []
    for i in range(n):
        others = np.arange(n) != i
        weights = fit_linear(curves[others, :k], values[others])
        expected.append(values[i] - weights @ [1.0, *curves[i, :k]])
    errors = leave_one_out_errors(curves[:, :k], values)
    np.testing.assert_allclose(errors, expected, rtol=1e-6, atol=1e-9)


def test_the_errors_are_those_also_where_curves_are_equal():
    curves = np.repeat(saturating(4, 3), 2, axis=0)
    values = np.arange(8.0)

    expected = []
    for i in range(8):
        others = np.arange(8) != i
        weights = fit_linear(curves[others], values[others])
        expected.append(values[i] - weights @ [1.0, *curves[i]])
    np.testing.assert_allclose(leave_one_out_errors(curves, values), expected, rtol=1e-6)


# --- predictions --------------------------------------------------------------------


def test_a_linear_relation_is_predicted_exactly():
    rng = np.random.default_rng(0)
    starts = rng.uniform(size=(12, 3))
    finals = 0.1 + starts @ [0.2, 0.3, 0.7]
    predictor = LinearCurvePredictor()
    for start, final in zip(starts, finals, strict=True):
        predictor.add_curve([*start, final], final)

    predicted = predictor.predict([0.1, 0.2, 0.9])

    assert predicted is not None
    value, error = predicted
    assert value == pytest.approx(max(0.1 + 0.02 + 0.06 + 0.63, 0.9))
    assert error == pytest.approx(0, abs=1e-9)


def test_a_prediction_is_never_less_than_what_was_reached():
    curves = saturating(12, 8)
    predictor = taught(curves)

    value, _ = predictor.predict([0.5, 5.0, 0.5])

    assert value >= 5.0


def test_the_error_is_the_largest_that_was_made_without_the_curve():
    curves = saturating(15, 8)
    predictor = taught(curves)

    _, error = predictor.predict(curves[0][:4])

    expected = np.abs(leave_one_out_errors(curves[:, :4], curves.max(axis=1))).max()
    assert error == pytest.approx(expected)


def test_fewer_curves_than_values_do_not_make_it_certain():
    predictor = taught(saturating(10, 40, noise=0.05))

    _, error = predictor.predict(saturating(1, 30, noise=0.05, seed=1)[0])

    assert error > 0.01, "the fit itself has no error at all"


def test_a_final_value_stays_below_the_bound_as_often_as_asked_for():
    n_below = n_asked = 0
    for seed in range(60):
        curves = saturating(60, 10, noise=0.05, seed=seed)
        predictor = taught(curves[:30], probability=0.8)
        for curve in curves[30:]:
            value, error = predictor.predict(curve[:4])
            n_below += curve.max() <= value + error
            n_asked += 1

    # At least, for a prediction is raised to the largest value so far.
    assert 0.78 < n_below / n_asked < 0.9


def test_too_few_curves_for_the_probability_take_the_largest_error():
    curves = saturating(10, 8)

    asked = taught(curves, probability=0.95).predict(curves[0][:4])

    assert asked == taught(curves).predict(curves[0][:4])


@pytest.mark.parametrize(
    ("n_curves", "n_values", "predicts"),
    [(9, 5, False), (10, 2, False), (10, 3, True), (10, 7, True), (10, 8, False), (20, 9, False)],
)
def test_it_predicts_from_enough_curves_and_the_start_of_another(n_curves, n_values, predicts):
    curves = saturating(n_curves + 1, 9)
    predictor = taught(curves[:n_curves, :8], burn_in=10, min_input_size=3)

    assert (predictor.predict(curves[-1, :n_values]) is not None) == predicts


def test_a_training_that_diverged_is_not_predicted():
    predictor = taught(saturating(10, 8))

    assert predictor.predict([0.1, np.nan, 0.2]) is None
    assert predictor.stop_condition()([0.1, np.nan, 0.2]) is False


# --- stopping and results -----------------------------------------------------------


def test_it_stops_what_will_not_reach_the_best_so_far():
    curves = saturating(30, 12, noise=0.001)
    will_stop = taught(curves).stop_condition()

    assert will_stop([0.1, 0.15, 0.17, 0.18])
    assert not will_stop(curves[curves.max(axis=1).argmax()][:4])


def test_it_stops_what_will_not_reach_the_limit():
    curves = saturating(30, 12, noise=0.001)
    start = saturating(1, 12, noise=0.001, seed=5)[0]
    reached, start = start.max(), start[:6]

    assert taught(curves, value_limit=reached + 0.1).stop_condition()(start)
    assert not taught(curves, value_limit=reached - 0.1).stop_condition()(start)


def test_a_limit_of_zero_is_a_limit():
    curves = -saturating(30, 12, noise=0.001)
    start = curves[0][:5]

    assert not taught(curves, value_limit=-2.0).stop_condition()(start)
    assert taught(curves, value_limit=0.0).stop_condition()(start)


def test_a_complete_curve_counts_by_its_largest_value_and_is_learnt():
    predictor = LinearCurvePredictor()
    result = predictor.result_metric()

    assert result([0.1, 0.7, 0.6]) == 0.7
    assert result([0.2, 0.3, 0.4, 0.9]) == 0.9, "of a longer one the first values are kept"
    assert predictor.curves.tolist() == [[0.1, 0.7, 0.6], [0.2, 0.3, 0.4]]
    assert predictor.values.tolist() == [0.7, 0.9]


def test_a_stopped_curve_counts_by_its_prediction():
    curves = saturating(12, 8)
    predictor = taught(curves)
    start = saturating(1, 4, seed=3)[0]

    assert predictor.result_metric()(start) == predictor.predict(start)[0]
    assert predictor.curves_number == 12


def test_a_curve_too_short_to_predict_from_counts_by_what_it_reached():
    predictor = taught(saturating(12, 8))

    assert predictor.result_metric()([0.2, 0.1]) == 0.2


def test_a_curve_with_gaps_counts_and_teaches_nothing():
    predictor = LinearCurvePredictor()

    assert predictor.result_metric()([0.2, np.nan, 0.1]) == 0.2
    assert np.isnan(predictor.result_metric()([np.nan]))
    assert predictor.curves_number == 0


def test_sizes_are_those_of_the_complete_curves():
    predictor = LinearCurvePredictor()
    assert (predictor.curves_number, predictor.curve_length) == (0, 0)

    predictor.add_curve([1, 2, 3], 3)

    assert (predictor.curves_number, predictor.curve_length) == (1, 3)


def test_a_new_curve_changes_the_prediction():
    curves = saturating(20, 8, noise=0.05)
    predictor = taught(curves[:10])
    before = predictor.predict(curves[19][:4])

    predictor.add_curve(curves[10], 5.0)

    assert predictor.predict(curves[19][:4]) != before


def test_it_travels_to_other_processes():
    curves = saturating(12, 8)
    predictor = taught(curves)

    copy = pickle.loads(pickle.dumps(predictor))

    assert copy.predict(curves[0][:4]) == predictor.predict(curves[0][:4])


# --- between runs -------------------------------------------------------------------


def test_curves_are_saved_and_continue_the_next_run(tmp_path):
    curves = saturating(12, 8)
    first = taught(curves, io_save_dir=tmp_path / "new" / "place")

    second = LinearCurvePredictor(io_load_dir=tmp_path / "new" / "place")

    assert second.curves.tolist() == first.curves.tolist(), "digit by digit"
    assert second.predict(curves[0][:4]) == first.predict(curves[0][:4])


def test_without_a_file_it_begins_with_nothing(tmp_path):
    assert LinearCurvePredictor(io_load_dir=tmp_path / "missing").curves_number == 0


def test_hyperengines_files_are_read(tmp_path):
    old_file = tmp_path / "curve-data.xjson"
    old_file.write_text("{'x': [[0.100000, 0.200000], [0.3, 4.000000e-07]], 'y': [0.2, 0.3]}")

    predictor = LinearCurvePredictor(io_load_dir=tmp_path, io_save_dir=tmp_path)
    predictor.add_curve([0.5, 0.6], 0.6)

    assert predictor.curves.tolist() == [[0.1, 0.2], [0.3, 4e-7], [0.5, 0.6]]
    assert "[0.3, 4.000000e-07]" in old_file.read_text(), "and left alone"
    assert LinearCurvePredictor(io_load_dir=tmp_path).curves_number == 3


def test_hyperengines_empty_file_is_read(tmp_path):
    (tmp_path / "curve-data.xjson").write_text("{'x': [], 'y': []}")

    assert LinearCurvePredictor(io_load_dir=tmp_path).curves_number == 0


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"x": [[0.1, 0.2]], "y": [0.',
        "[1, 2]",
        '{"points": [[0.5]], "values": [1]}',
        '{"x": "curves", "y": [1]}',
        '{"x": [[0.1, 0.2]], "y": [1, 2]}',
        '{"x": [[0.1, 0.2], [0.3]], "y": [1, 2]}',
        '{"x": [[0.1, NaN]], "y": [1]}',
        '{"x": ' + "[" * 100_000,
    ],
)
def test_a_damaged_or_foreign_file_is_an_error_and_stays(tmp_path, content):
    path = tmp_path / "curve-data.json"
    path.write_text(content)

    with pytest.raises(UnreadableSession, match=r"curve-data\.json cannot be continued from"):
        LinearCurvePredictor(io_load_dir=tmp_path, io_save_dir=tmp_path)

    assert path.read_text() == content


def test_an_old_file_is_data_and_never_run(tmp_path):
    (tmp_path / "curve-data.xjson").write_text("__import__('os').abort()")

    with pytest.raises(UnreadableSession):
        LinearCurvePredictor(io_load_dir=tmp_path)


def test_a_file_that_was_not_loaded_is_not_lost(tmp_path):
    taught([np.array([0.1, 0.2])], io_save_dir=tmp_path)
    taught([np.array([0.3, 0.4])], io_save_dir=tmp_path)
    taught([np.array([0.5, 0.6])], io_save_dir=tmp_path)

    kept = [json.loads((tmp_path / name).read_text())["y"] for name in sorted(names_in(tmp_path))]
    assert kept == [[0.6], [0.2], [0.4]]


def names_in(directory):
    return [path.name for path in directory.iterdir()]


def test_a_save_that_fails_leaves_the_file_before_it(tmp_path, monkeypatch):
    predictor = taught([np.array([0.1, 0.2])], io_save_dir=tmp_path)

    def full_disk(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        predictor.add_curve([0.3, 0.4], 0.4)

    assert LinearCurvePredictor(io_load_dir=tmp_path).curves.tolist() == [[0.1, 0.2]]


def test_the_directory_may_hold_the_date_and_something_random(tmp_path):
    predictor = taught([np.ones(2)], io_save_dir=tmp_path / "{date}-{time}-{random_id}")

    (directory,) = tmp_path.iterdir()
    assert [*map(len, directory.name.split("-"))] == [4, 2, 2, 2, 2, 2, 6]
    assert predictor.curves_number == 1


def test_another_placeholder_is_an_error(tmp_path):
    with pytest.raises(InvalidOptionValue, match="date"):
        LinearCurvePredictor(io_save_dir=tmp_path / "{day}")


# --- bad input ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("curve", "value", "problem"),
    [
        ([0.1], 0.1, "a complete one has 2"),
        ([[0.1, 0.2]], 0.1, "one dimension"),
        ([0.1, np.inf], 0.1, "not finite"),
        ([0.1, 0.2], np.nan, "not finite"),
    ],
)
def test_what_is_no_complete_curve_is_refused(curve, value, problem):
    predictor = taught([np.array([0.1, 0.2])])

    with pytest.raises(InvalidOptionValue, match=problem):
        predictor.add_curve(curve, value)

    assert predictor.curves_number == 1


def test_a_final_value_may_be_an_array_of_one():
    predictor = LinearCurvePredictor()

    predictor.add_curve(np.array([0.1, 0.2]), np.array([0.2]))

    assert predictor.values.tolist() == [0.2]


def test_an_empty_curve_is_refused():
    with pytest.raises(InvalidOptionValue, match="complete"):
        LinearCurvePredictor().add_curve([], 0.0)
    with pytest.raises(InvalidOptionValue, match="empty"):
        LinearCurvePredictor().result_metric()([])


@pytest.mark.parametrize(
    "options",
    [
        {"burn_in": 0},
        {"burn_in": 2.5},
        {"min_input_size": 0},
        {"probability": 1.0},
        {"probability": 0.2},
        {"value_limit": "high"},
        {"io_save_dir": 3},
    ],
)
def test_options_without_sense_are_refused(options):
    with pytest.raises(InvalidOption):
        LinearCurvePredictor(**options)


def test_a_curve_of_words_is_refused():
    with pytest.raises(InvalidOption, match="numbers"):
        LinearCurvePredictor().add_curve(["high"], 1.0)
