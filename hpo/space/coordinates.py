"""Unit coordinates: every hyperparameter on a scale of its own, for models that compare them.

    symbol  meaning                                                        shape
    D, O    number of numeric hyperparameters, of choices                    scalars
    n       number of configurations                                        scalar
    x       stored values of the numeric ones, NaN where inactive            (D, n)
    z       latent values: log x on a log scale, else x                      (D, n)
    u       unit coordinates, NaN where inactive                             (D, n)
    codes   numbers of the choices' options, -1 where inactive               (O, n)

    u = (z - low) / (high - low)     bounded priors: 0 <= u <= 1               (1)
    u = (z - mu) / sigma             normal priors: any u                      (2)
    u = cdf(x)                       distributions that only scipy knows       (3)

A discrete value owns the cell of the u axis that is rounded to it. Choices have
no order, so they have no coordinate: they are told apart by their option's number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hpo.space.discrete import Categorical
from hpo.space.frozen import Frozen
from hpo.space.hyperparameter import Hyperparameter
from hpo.space.priors import (
    LARGEST_LOG,
    SMALLEST_LOG,
    SMALLEST_POSITIVE,
    Normal,
    Prior,
)

__all__ = ["Coordinates"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

# Keeps a quantile off 0 and 1, where an unbounded distribution is infinite.
LEAST_QUANTILE = 2.0**-53


class Coordinates:
    """The coordinates of one space's hyperparameters.

    Args:
        hyperparameters: {label: Hyperparameter}.

    Attributes:
        numeric: labels with a coordinate, the continuous ones first, then those with
            ever wider cells; length D.
        n_continuous: how many of these are continuous.
        low, high: bounds of u: 0 and 1 by (1) and (3), infinite by (2); shape (D, 1).
        options: labels of choices; length O.
        option_priors: probabilities of each choice's options before anything is observed.
        places: {label: where it stands among `numeric` and, behind them, `options`}, in the
            order of the hyperparameters.
        free: labels without a prior, because their distribution depends on others
            or is the user's own: no model knows them.
    """

    def __init__(self, hyperparameters: Mapping[str, Hyperparameter]) -> None:
        self.free = tuple(name for name, each in hyperparameters.items() if each.prior is None)
        self.options = tuple(name for name, each in hyperparameters.items() if _is_choice(each))
        self.option_priors = tuple(_probabilities(hyperparameters[name]) for name in self.options)
        self._n_options = np.array([[len(p0)] for p0 in self.option_priors]).reshape(-1, 1)
        axes: dict[str, Prior] = {
            name: each.prior
            for name, each in hyperparameters.items()
            if each.prior is not None and not _is_choice(each)
        }
        self._cell_widths = {name: _cell_width(prior) for name, prior in axes.items()}
        self.numeric = tuple(sorted(axes, key=self._cell_widths.__getitem__))
        places = {name: place for place, name in enumerate((*self.numeric, *self.options))}
        self.places = {name: places[name] for name in hyperparameters if name in places}
        priors = [axes[name] for name in self.numeric]
        self.n_continuous = sum(not prior.is_discrete for prior in priors)
        self.low, self.high = _as_columns([_unit_bounds(prior) for prior in priors])

        # All but the third kind are computed together, as arrays over the axes.
        self._frozen = {row: p for row, p in enumerate(priors) if isinstance(p, Frozen)}
        self._origin, self._end = _as_columns([_origin_and_end(prior) for prior in priors])
        self._half_origin = 0.5 * self._origin
        self._half_width = 0.5 * self._end - self._half_origin
        self._latent_low, self._latent_high = _as_columns(
            [_latent_bounds(prior) for prior in priors]
        )
        self._step, self._least = _as_columns([_step_and_least(prior) for prior in priors])
        self._lowest, self._highest = _as_columns([prior.bounds for prior in priors])
        self._is_log = np.array([prior.is_log for prior in priors], dtype=np.bool_)
        self._log_rows = np.flatnonzero(self._is_log)
        self._discrete = discrete = slice(self.n_continuous, None)
        # Latent values whose exponential is a number.
        self._least_latent, self._greatest_latent = (
            np.where(self._is_log[:, None], np.clip(ends, SMALLEST_LOG, LARGEST_LOG), ends)
            for ends in (self._latent_low, self._latent_high)
        )
        # The cells of bounded discrete axes are counted in steps; not where there are too
        # many of them for a float: there a step counts as infinite.
        with np.errstate(over="ignore", invalid="ignore"):
            first, last = (
                np.rint(e[discrete] / self._step[discrete]) for e in (self._lowest, self._highest)
            )
        is_countable = np.isfinite(first) & np.isfinite(last)
        self._first_step = np.where(is_countable, first, 0.0)
        self._countable_step = np.where(is_countable, self._step[discrete], np.inf)
        self._all_countable = bool(is_countable.all())

    def n_narrower(self, width: float) -> int:
        """How many axes, from the first one on, are continuous or have only cells so narrow."""
        return sum(own <= width for own in self._cell_widths.values())

    # --- between values and coordinates ---

    def to_unit(self, x: Floats) -> Floats:
        """Coordinates of values, shape (D, n). What lies outside the bounds is moved to them."""
        z = x.copy()
        if self._log_rows.size:
            z[self._log_rows] = np.log(np.maximum(x, self._least)[self._log_rows])
        u = self._affine(z, slice(None))
        for row, prior in self._frozen.items():
            u[row] = np.clip(prior.cdf(x[row]), LEAST_QUANTILE, 1.0 - LEAST_QUANTILE)
            if prior.is_discrete:
                # The middle of its cell.
                u[row] = 0.5 * (u[row] + prior.cdf(x[row] - 1.0))
        return u

    def from_unit(self, u: Floats) -> Floats:
        """The values at coordinates, shape (D, n); discrete ones are rounded."""
        z = (1.0 - u) * self._origin + u * self._end
        _limit(z, self._least_latent, self._greatest_latent)
        if self._log_rows.size:
            z[self._log_rows] = np.exp(z[self._log_rows])
        step, discrete = self._step[self._discrete], z[self._discrete]
        if self._all_countable:
            discrete /= step
            np.rint(discrete, out=discrete)
            discrete *= step
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                n_steps = np.rint(discrete / step)
                np.multiply(n_steps, step, out=discrete, where=np.isfinite(n_steps))
        # Halfway between two values rounding may leave the range.
        _limit(discrete, self._lowest[self._discrete], self._highest[self._discrete])
        for row, prior in self._frozen.items():
            z[row] = prior.ppf(np.clip(u[row], LEAST_QUANTILE, 1.0 - LEAST_QUANTILE))
        return z

    def cells(self, x: Floats) -> tuple[Floats, Floats]:
        """Lower and upper end of each discrete value's cell, in unit coordinates.

        Args:
            x: values of the last few discrete hyperparameters, or of all; shape (E, n).

        Returns:
            Two arrays of the shape of `x`; the cells are cut at the bounds.
        """
        first = len(self.numeric) - len(x)
        half_step = 0.5 * self._step[first:]
        lower, upper = self._edge(x - half_step), self._edge(x + half_step)
        for row, prior in self._frozen.items():
            if row >= first:
                place = row - first
                lower[place], upper[place] = prior.cdf(x[place] - 1.0), prior.cdf(x[place])
        return lower, upper

    def numbers(self, x: Floats) -> Codes:
        """Number of each discrete value's cell, counted from the lowest one.

        Args:
            x: values of the last few discrete hyperparameters, or of all; shape (E, n).

        Returns:
            Shape of `x`, -1 where inactive; meaningless where `all_cells` has none. What
            lies outside the bounds counts as on them.
        """
        first = len(self.numeric) - len(x)
        rows = slice(first - self.n_continuous, None)
        n_steps = _limit(x.copy(), self._lowest[first:], self._highest[first:])
        n_steps /= self._countable_step[rows]
        np.rint(n_steps, out=n_steps)
        n_steps -= self._first_step[rows]
        # NaN is not below the limit either.
        return np.where(n_steps < 2**53, n_steps, -1.0).astype(np.int64)

    def all_cells(self, limit: int) -> list[tuple[Floats, Floats, Floats] | None]:
        """All the cells of each discrete axis: lower ends, upper ends and values themselves.

        In unit coordinates; None for an axis that has more than `limit` cells, or cells too
        narrow for a float.
        """
        found: list[tuple[Floats, Floats, Floats] | None] = []
        for place in range(len(self.numeric) - self.n_continuous):
            row = self.n_continuous + place
            lowest, step = float(self._lowest[row, 0]), float(self._step[row, 0])
            with np.errstate(over="ignore", invalid="ignore"):
                n_cells = 1 + np.rint(self._highest[row, 0] / step) - np.rint(lowest / step)
            cells = None
            if row not in self._frozen and n_cells <= limit:
                first = float(np.rint(lowest / step))
                x = np.full((len(self.numeric) - self.n_continuous, int(n_cells)), np.nan)
                x[place] = (first + np.arange(n_cells)) * step
                x[place] = np.clip(x[place], lowest, self._highest[row, 0])
                lower, upper = (edges[place] for edges in self.cells(x))
                on_all_axes = np.full((len(self.numeric), int(n_cells)), np.nan)
                on_all_axes[row] = x[place]
                if (lower < upper).all():
                    cells = lower, upper, self.to_unit(on_all_axes)[row]
            found.append(cells)
        return found

    def _edge(self, edges: Floats) -> Floats:
        rows = slice(len(self.numeric) - len(edges), None)
        is_log = self._is_log[rows]
        if is_log.any():
            with np.errstate(divide="ignore"):
                edges[is_log] = np.log(np.maximum(edges[is_log], 0.0))
        return self._affine(edges, rows)

    def _affine(self, z: Floats, rows: slice) -> Floats:
        """Equations (1) and (2); overwrites its argument."""
        inside = _limit(z, self._latent_low[rows], self._latent_high[rows])
        # Halved, because the difference of huge bounds is infinite.
        inside *= 0.5
        inside -= self._half_origin[rows]
        inside /= self._half_width[rows]
        return inside

    def log_jacobian(self, row: int, x: Floats) -> Floats:
        """log du/dx at values of one continuous hyperparameter, shape of `x`.

        0 on a discrete axis, where values have probabilities, and where only scipy
        knows the distribution: a density in u is then relative to the prior's.
        """
        if row >= self.n_continuous or row in self._frozen:
            return np.zeros_like(x)
        log_slope = -np.log(self._half_width[row]) - math.log(2.0)
        return np.asarray(log_slope - (np.log(x) if self._is_log[row] else 0.0)) * np.ones_like(x)

    @property
    def half_cell(self) -> Floats:
        """Half the width of a discrete axis' usual cell, in unit coordinates, shape (D, 1).

        Exact on linear axes, 0 on continuous ones; a guess of 0 where cells differ.
        """
        widths = np.array([[self._cell_widths[name]] for name in self.numeric]).reshape(-1, 1)
        return np.where(np.isfinite(widths), np.minimum(0.5 * widths, 0.5), 0.0)

    # --- choices ---

    def to_codes(self, columns: Floats) -> Codes:
        """Codes from the numbers of options, NaN where inactive.

        Args:
            columns: shape (O, n).

        Returns:
            Shape (O, n). A number that is no option (of a space that had more
            options once) counts as inactive.
        """
        is_option = (columns >= 0) & (columns < self._n_options)
        return np.where(is_option, columns, -1.0).astype(np.int64)


def _limit(z: Floats, low: Floats | float, high: Floats | float) -> Floats:
    """Move what lies outside to the bounds, in place; NaN stays."""
    np.maximum(z, low, out=z)
    return np.minimum(z, high, out=z)


def _is_choice(parameter: Hyperparameter) -> bool:
    return parameter.options is not None or isinstance(parameter.prior, Categorical)


def _probabilities(choice: Hyperparameter) -> Floats:
    if isinstance(choice.prior, Categorical):
        return np.array(choice.prior.p)
    n_options = len(choice.options or ())
    return np.full(n_options, 1.0 / n_options)


def _origin_and_end(prior: Prior) -> tuple[float, float]:
    """The latent values whose coordinates are 0 and 1."""
    if isinstance(prior, Frozen):
        return 0.0, 1.0
    if isinstance(prior, Normal):
        return prior.mu, prior.mu + prior.sigma
    return prior.latent_bounds


def _unit_bounds(prior: Prior) -> tuple[float, float]:
    return (-math.inf, math.inf) if isinstance(prior, Normal) else (0.0, 1.0)


def _cell_width(prior: Prior) -> float:
    """Width of a value's cell on the unit axis: 0 if continuous, infinite where cells differ."""
    if not prior.is_discrete:
        return 0.0
    if isinstance(prior, Frozen) or prior.is_log:
        return math.inf
    (origin, end), (step, _) = _origin_and_end(prior), _step_and_least(prior)
    # Halved, because the difference of huge bounds is infinite.
    half_range = 0.5 * end - 0.5 * origin
    return 0.5 * step / half_range if half_range > 0.0 else math.inf


def _latent_bounds(prior: Prior) -> tuple[float, float]:
    return (-math.inf, math.inf) if isinstance(prior, Frozen) else prior.latent_bounds


def _step_and_least(prior: Prior) -> tuple[float, float]:
    """Distance of neighbouring values, 0 if continuous; and what a value of 0 counts as."""
    step = prior.q or (1.0 if prior.is_integer else 0.0)
    # On a log scale a value that was rounded to 0 stands for its cell, 0 to q / 2.
    return step, max(0.25 * step, SMALLEST_POSITIVE)


def _as_columns(pairs: Sequence[tuple[float, float]]) -> tuple[Floats, Floats]:
    """Two arrays of shape (D, 1), which broadcast along the configurations."""
    table = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return table[:, :1], table[:, 1:]
