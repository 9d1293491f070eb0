"""What a training will reach, told from its first epochs and from the trainings before it.

    predictor = LinearCurvePredictor(burn_in=10, io_save_dir="curves")
    predictor.add_curve([0.3, 0.5, 0.6, 0.65], 0.65)   # ... ten of them
    value, error = predictor.predict([0.2, 0.4, 0.5])
    hopeless = predictor.stop_condition()              # curve -> bool

Values are to be MAXIMISED, such as accuracies; give losses with their sign changed.

    symbol  meaning                                                          shape
    n       number of complete curves                                          scalar
    k       values that are known of the curve in question                     scalar
    A       a column of ones, and the first k values of every complete curve   (n, 1 + k)
    y       final value of every complete curve                                (n,)
    w       least squares solution of A w = y, the shortest if there are many  (1 + k,)
    U, s    of the singular value decomposition A = U diag(s) V'               (n, r), (r,)
    H       U U', which makes the fitted values of y                           (n, n)
    r       error at each curve of the fit without it                          (n,)

    prediction = max(w_0 + w_1 c_1 + ... + w_k c_k, max(c))                   (1)
    r_i = (y - H y)_i / (1 - H_ii)               where H_ii < 1               (2)
    r_i = (G y)_i / G_ii,  G = U diag(s^-2) U'   where H_ii = 1               (3)

(3) is the case of a curve that alone tells something, which the fit meets exactly whatever
its final value is: as a rule, when there are fewer curves than values.

Source: hyperengine.LinearCurvePredictor, whose names, arguments and equation (1) these are.
There, the error is the largest one of the fit itself, and so 0 while there are fewer curves
than values: it stops trainings of which it knows nothing. Here it is the largest one of the
fits that did not see the curve. There, a value_limit of 0 counts as none, a curve that is
too short to predict from has no result, and one longer than the stored ones fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hpo.exceptions import InvalidOption, InvalidOptionValue
from hpo.surrogate.saved_arrays import Directory, SavedArrays

__all__ = ["BaseCurvePredictor", "LinearCurvePredictor", "fit_linear", "leave_one_out_errors"]

Floats = npt.NDArray[np.float64]
Prediction = tuple[float, float]

# Where 1 - H_ii is rounding error, the fit goes through y_i by force.
_FITTED_BY_FORCE = 1e-9


# --- the fit ------------------------------------------------------------------------


def fit_linear(curves: Floats, values: Floats) -> Floats:
    """The weights w of equation (1), shape (1 + k,).

    Args:
        curves: the first k values of every complete curve, shape (n, k).
        values: their final values, shape (n,).
    """
    return np.asarray(np.linalg.lstsq(_with_ones(curves), values, rcond=None)[0])


def leave_one_out_errors(curves: Floats, values: Floats) -> Floats:
    """Final value minus prediction, of each curve by the others; equations (2) and (3).

    Args:
        curves, values: as `fit_linear`.

    Returns:
        Shape (n,).
    """
    inputs = _with_ones(curves)
    u, s, _ = np.linalg.svd(inputs, full_matrices=False)
    is_kept = s > s[0] * np.finfo(np.float64).eps * max(inputs.shape)
    u, s = u[:, is_kept], s[is_kept]
    slack = 1.0 - np.sum(u**2, axis=1)
    is_forced = slack < _FITTED_BY_FORCE
    by_residual = (values - u @ (u.T @ values)) / np.where(is_forced, 1.0, slack)
    scaled = u / s
    by_force = scaled @ (scaled.T @ values) / np.sum(scaled**2, axis=1)
    return np.asarray(np.where(is_forced, by_force, by_residual))


def _with_ones(curves: Floats) -> Floats:
    return np.column_stack([np.ones(curves.shape[0]), curves])


# --- the predictors -----------------------------------------------------------------


class BaseCurvePredictor:
    """Complete learning curves, kept between runs; a subclass predicts from them.

    Args:
        burn_in: no prediction from fewer complete curves.
        min_input_size: no prediction for a curve of fewer values.
        io_save_dir: directory where the curves are saved whenever one is added.
        io_load_dir: directory from which they are loaded first, if there are any.

    Raises:
        InvalidOption: an argument makes no sense.
        UnreadableSession: the file in io_load_dir is damaged, or is something else.
    """

    def __init__(
        self,
        burn_in: int = 10,
        min_input_size: int = 3,
        *,
        io_save_dir: Directory = None,
        io_load_dir: Directory = None,
    ) -> None:
        self.burn_in = _as_count("burn_in", burn_in)
        self.min_input_size = _as_count("min_input_size", min_input_size)
        self._saved = SavedArrays("curve-data", ("x", "y"), io_save_dir, io_load_dir)
        self._x: Floats = np.empty((0, 0))
        self._y: Floats = np.empty(0)
        loaded = self._saved.load(_defect_of)
        if loaded is not None and loaded["y"].size:
            self._x, self._y = loaded["x"], loaded["y"]

    @property
    def curves(self) -> Floats:
        """The complete curves, shape (curves_number, curve_length)."""
        return self._x

    @property
    def values(self) -> Floats:
        """Their final values, shape (curves_number,)."""
        return self._y

    @property
    def curves_number(self) -> int:
        """How many complete curves there are."""
        return int(self._y.size)

    @property
    def curve_length(self) -> int:
        """How many values a complete curve has; 0 while there is none."""
        return int(self._x.shape[1])

    def add_curve(self, curve: npt.ArrayLike, value: float) -> None:
        """Learn from a complete curve, and save it.

        Args:
            curve: the values, oldest first. The first curve says how many there are; of a
                longer one the first so many are kept.
            value: what the training reached.

        Raises:
            InvalidOptionValue: the curve is too short, or something is not a finite number.
        """
        self.add_curves([curve], [value])

    def add_curves(self, curves: Sequence[npt.ArrayLike], values: Sequence[float]) -> None:
        """Learn from several complete curves at once; see `add_curve`.

        Args:
            curves, values: as many of the one as of the other.
        """
        length, rows, finals = self.curve_length, [], []
        for curve, value in zip(curves, values, strict=True):
            row, final = _as_curve(curve), _as_number("the final value", value)
            length = length or row.size
            if row.size < max(length, 1):
                raise InvalidOptionValue(
                    f"the curve has {row.size} values, but a complete one has {length}; add the "
                    "curves of trainings that ran to their end"
                )
            if not (np.isfinite(row).all() and math.isfinite(final)):
                raise InvalidOptionValue(
                    f"curve {row.tolist()!r} with final value {final!r} is not finite; leave out "
                    "trainings that diverged"
                )
            rows.append(row[:length])
            finals.append(final)
        if rows:
            self._x = np.vstack([self._x.reshape(-1, length), *rows])
            self._y = np.append(self._y, finals)
            self._saved.save(x=self._x, y=self._y)

    def predict(self, curve: npt.ArrayLike) -> Prediction | None:
        """The final value of a curve of which this much is known, and a bound of its error.

        Returns:
            (value, error), or None if too little is known.
        """
        raise NotImplementedError

    def can_predict(self, curve: npt.ArrayLike) -> bool:
        """Whether there are enough complete curves, and enough but not all of this one."""
        values = _as_curve(curve)
        is_started = self.min_input_size <= values.size < self.curve_length
        return (
            self.curves_number >= self.burn_in and is_started and bool(np.isfinite(values).all())
        )


class LinearCurvePredictor(BaseCurvePredictor):
    """The final value as a linear function of the values so far; equation (1).

    Args:
        burn_in, min_input_size: see `BaseCurvePredictor`.
        value_limit: stop what will not reach this; None: the best final value so far.
        probability: how sure to be before stopping, above 0.5 and below 1; None: as sure as
            the largest error that was ever made allows.
        io_save_dir, io_load_dir: where curves are kept from run to run.
    """

    def __init__(
        self,
        burn_in: int = 10,
        min_input_size: int = 3,
        value_limit: float | None = None,
        *,
        probability: float | None = None,
        io_save_dir: Directory = None,
        io_load_dir: Directory = None,
    ) -> None:
        super().__init__(burn_in, min_input_size, io_save_dir=io_save_dir, io_load_dir=io_load_dir)
        self.value_limit = None if value_limit is None else _as_number("value_limit", value_limit)
        self.probability = None if probability is None else _as_probability(probability)
        self._models: dict[int, tuple[Floats, float]] = {}

    def add_curves(self, curves: Sequence[npt.ArrayLike], values: Sequence[float]) -> None:
        """Learn from complete curves, and save them; see `BaseCurvePredictor.add_curve`."""
        super().add_curves(curves, values)
        self._models.clear()

    def predict(self, curve: npt.ArrayLike) -> Prediction | None:
        """Equation (1), and a bound of its error; None if too little is known.

        The bound is the largest of the leave-one-out errors, in absolute value. With a
        `probability` p it is their p-quantile with sign, the (n + 1) p-th smallest of n:
        a final value that is like those before stays below prediction + error with about
        that probability. If n is too small for the quantile, it is the largest, too.
        """
        if not self.can_predict(curve):
            return None
        values = _as_curve(curve)
        weights, error = self._model(values.size)
        fitted = float(weights[0] + values @ weights[1:])
        return max(fitted, float(values.max())), error

    def stop_condition(self) -> Callable[[npt.ArrayLike], bool]:
        """A function that says whether a training with this curve should be stopped.

        It should, if prediction + error is less than `value_limit`, or than the best final
        value so far.
        """

        def will_not_reach_the_limit(curve: npt.ArrayLike) -> bool:
            predicted = self.predict(curve)
            if predicted is None:
                return False
            value, error = predicted
            limit = float(self.values.max()) if self.value_limit is None else self.value_limit
            return value + error < limit

        return will_not_reach_the_limit

    def result_metric(self) -> Callable[[npt.ArrayLike], float]:
        """A function that makes one number of a curve, and learns from complete ones.

        Of a complete curve it is the largest value. Of one that was stopped it is the
        prediction; without one, the largest value so far.

        NaN stands for a value that is not known; a curve with one teaches nothing.
        """

        def result(curve: npt.ArrayLike) -> float:
            values = _as_curve(curve)
            if not values.size:
                raise InvalidOptionValue("the curve is empty; report at least one value")
            best = _largest_known(values)
            if values.size < self.curve_length:
                predicted = self.predict(values)
                return best if predicted is None else predicted[0]
            if np.isfinite(values).all():
                self.add_curve(values, best)
            return best

        return result

    def _model(self, size: int) -> tuple[Floats, float]:
        """Weights and bound of the error for curves of which `size` values are known."""
        if size not in self._models:
            known = self.curves[:, :size]
            errors = leave_one_out_errors(known, self.values)
            self._models[size] = fit_linear(known, self.values), self._bound(errors)
        return self._models[size]

    def _bound(self, errors: Floats) -> float:
        if self.probability is None:
            return float(np.abs(errors).max())
        rank = math.ceil((errors.size + 1) * self.probability)
        if rank > errors.size:
            return float(np.abs(errors).max())
        return float(np.partition(errors, rank - 1)[rank - 1])


# --- checks -------------------------------------------------------------------------


def _as_curve(curve: Any) -> Floats:
    try:
        values = np.asarray(curve, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidOption(f"a curve must hold numbers, not {curve!r}") from None
    if values.ndim != 1:
        raise InvalidOptionValue(
            f"a curve must have one dimension, not the shape {values.shape}; give the values of "
            "one training, oldest first"
        )
    return values


def _largest_known(values: Floats) -> float:
    is_known = ~np.isnan(values)
    return float(values[is_known].max()) if is_known.any() else math.nan


def _as_count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise InvalidOption(f"{name} must be a whole number, not {value!r}")
    if value < 1:
        raise InvalidOptionValue(f"{name} must be at least 1, not {value}")
    return int(value)


def _as_number(name: str, value: Any) -> float:
    try:
        # An array of one number is one, too.
        return float(np.asarray(value, dtype=np.float64).item())
    except (TypeError, ValueError):
        raise InvalidOption(f"{name} must be one number, not {value!r}") from None


def _as_probability(value: Any) -> float:
    probability = _as_number("probability", value)
    if not 0.5 < probability < 1.0:
        raise InvalidOptionValue(
            f"probability must be above 0.5 and below 1, not {value!r}; leave it out to be as "
            "sure as can be"
        )
    return probability


def _defect_of(loaded: Mapping[str, Floats]) -> str | None:
    """What is wrong with the curves of a file; None if nothing is."""
    x, y = loaded["x"], loaded["y"]
    if x.size == y.size == 0:
        return None
    if x.ndim != 2 or y.ndim != 1 or x.shape[0] != y.size:
        return f"x has the shape {x.shape} and y {y.shape}, but there is one y for each row of x"
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return "it holds values that are not finite"
    return None
