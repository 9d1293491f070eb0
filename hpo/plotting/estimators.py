"""What TPE saw, and thought, when it chose one value.

    symbol     meaning                                                    shape
    grid       values along the axis                                        (n,)
    l, g       density (or probability) of good trials, and of the others   (n,)
    log l / g  what TPE maximises among draws from l                        (n,)

Nothing of this is stored with a trial: it is computed again from the trials
before it, by the functions that TPE itself uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hpo import tpe
from hpo.exceptions import InvalidOptionValue
from hpo.observations import Observations
from hpo.plotting.history import crosses_at_the_top, legend_above, tidy
from hpo.plotting.scale import Axes, Scale, as_space, hyperparameter_of, prior_of, wants_log_scale
from hpo.space import Space
from hpo.space.frozen import Frozen
from hpo.tree_model import History, Model

if TYPE_CHECKING:
    from hpo.trials import Trials

Floats = npt.NDArray[np.float64]

# Blue and vermilion differ in brightness, too, and to every eye.
_GOOD_COLOR, _OTHER_COLOR = "#0072b2", "#d55e00"
_RATIO_COLOR, _CHOICE_COLOR = "#222222", "#009e73"
_LIGHT = 0.18
# Values where l is below this share of its peak are rarely among TPE's candidates.
_LEAST_LIKELY = 0.05
# Where a density is 0 the log ratio is infinite; it is drawn up to here.
_HIGHEST_RATIO = 50.0


@dataclass(frozen=True, eq=False)
class Explanation:
    """The two estimators of one hyperparameter, and what they were fitted to.

    Attributes:
        scale: the hyperparameter's axis; `scale.grid` has shape (n,).
        values, losses: of the trials in which it is active, oldest first; a loss is
            NaN while there is none; shape (m,).
        is_good: which of them l was fitted to, shape (m,).
        n_trials, n_good: all trials that were split, and the good ones among them.
        log_good, log_rest: log l and log g along the grid, shape (n,).
        is_relative: whether l and g are relative to the prior.
        tid: the trial that is explained, or None: the next one.
        own_value: that trial's, or None.
        is_startup: whether so few trials have ended that TPE takes the next Sobol point.
    """

    scale: Scale
    values: Floats
    losses: Floats
    is_good: npt.NDArray[np.bool_]
    n_trials: int
    n_good: int
    log_good: Floats
    log_rest: Floats
    is_relative: bool
    tid: Any
    own_value: float | None
    is_startup: bool

    @property
    def good(self) -> Floats:
        """l as it is drawn, shape (n,): on a logarithmic axis the density of the logarithm."""
        return np.exp(self.log_good + self._log_jacobian)

    @property
    def rest(self) -> Floats:
        """g as it is drawn, shape (n,)."""
        return np.exp(self.log_rest + self._log_jacobian)

    @property
    def _log_jacobian(self) -> Floats | float:
        # dx = x d(log x), so that areas under the curve are probabilities.
        is_density_of_log = self.scale.is_log and not self.scale.is_discrete
        return np.log(self.scale.grid) if is_density_of_log else 0.0

    @property
    def log_ratio(self) -> Floats:
        """log l - log g along the grid, shape (n,)."""
        with np.errstate(invalid="ignore"):
            # Without a prior, both may be 0.
            return self.log_good - self.log_rest

    @property
    def chosen(self) -> float | None:
        """The trial's value, None where the hyperparameter is inactive in it.

        Of the next trial the most promising one: where the ratio is largest, as
        far as TPE will look, because its candidates are draws from l.
        """
        if self.tid is not None:
            return self.own_value
        is_likely = self.good >= _LEAST_LIKELY * self.good.max()
        return float(self.scale.grid[np.nanargmax(np.where(is_likely, self.log_ratio, -np.inf))])

    @property
    def title(self) -> str:
        """What is shown, in two lines."""
        which = "the next trial" if self.tid is None else f"trial {self.tid}"
        start = ", one of the first" if self.is_startup else ""
        counted = f"{self.n_good} good of {self.n_trials} trials"
        return f"{self.scale.label} before {which}{start}\n{counted}"


def explain(
    trials: Trials, space: Any, label: str, tid: Any = None, options: tpe.Options | None = None
) -> Explanation:
    """Fit TPE's estimators of one hyperparameter as they were at one moment.

    What is shown are the margins of the joint estimators. Where it depends on
    choices whether the hyperparameter exists, they are those of its branch.

    Args:
        space: what was searched: a space, a Space or a Domain.
        tid: the trial whose choice is explained, from the trials suggested before it; None:
            the next trial, from all of them.
        options: those that the search used.

    Raises:
        InvalidOptionValue: there is no such hyperparameter or trial.
    """
    options = tpe.Options() if options is None else options
    searched = as_space(space)
    hyperparameter = hyperparameter_of(searched, label)
    prior = prior_of(hyperparameter)
    own_value = None if tid is None else _value_in(trials.observations(), label, tid)
    before = _before(trials, tid)
    history = History(searched, before, options)
    model = Model(history, _branch_with(searched, history, label))

    places = np.sort(np.concatenate([model.good, model.rest]))
    values, is_good = before.column(label)[history.rows[places]], np.isin(places, model.good)
    is_known = np.isfinite(values)
    own = [] if own_value is None else [own_value]
    scale = Scale.of(hyperparameter, np.append(values[is_known], own))
    log_good, log_rest = model.margins(label, scale.grid, of_values=True)
    return Explanation(
        scale=scale,
        values=values[is_known],
        losses=before.losses[history.rows[places]][is_known],
        is_good=is_good[is_known],
        n_trials=len(places),
        n_good=len(model.good),
        log_good=log_good,
        log_rest=log_rest,
        is_relative=isinstance(prior, Frozen) and not prior.is_discrete,
        tid=tid,
        own_value=own_value,
        is_startup=bool((~before.is_pending[history.rows]).sum() < options.n_startup_jobs),
    )


def _before(trials: Trials, tid: Any) -> Observations:
    """What there was to see of the trials suggested before `tid`; of all, if it is None."""
    observations = trials.observations()
    order = observations.order
    if tid is None:
        return observations
    place = np.flatnonzero(observations.tids[order] == tid)
    if not place.size:
        raise InvalidOptionValue(
            f"there is no trial {tid!r} among the {len(order)} trials; give the tid of one, "
            f"such as {observations.tids[order[-1]]!r}"
            if len(order)
            else f"there is no trial {tid!r}, because there are no trials yet"
        )
    return observations.only(order[: place[0]])


def _branch_with(space: Space, history: History, label: str) -> dict[str, int]:
    """The branch in which the hyperparameter exists; of several, where most trials are."""
    observations, rows = history.observations, history.rows
    decided: dict[str, int] = {}
    rows = rows[observations.active(label)[rows]]
    for choice in space.choices_above(label):
        taken = observations.column(choice)[rows]
        taken = taken[~np.isnan(taken)]
        if taken.size:
            decided[choice] = int(np.bincount(taken.astype(np.int64)).argmax())
            rows = rows[observations.column(choice)[rows] == decided[choice]]
    return decided


def _value_in(observations: Observations, label: str, tid: Any) -> float | None:
    found = observations.column(label)[observations.tids == tid]
    return float(found[0]) if found.size and np.isfinite(found[0]) else None


# --- drawing ---


def draw_explanation(panels: tuple[Axes, Axes, Axes], explanation: Explanation) -> None:
    """Losses above, the two estimators in the middle, their log ratio below.

    Args:
        panels: three axes, best with a common x axis.
    """
    upper, middle, lower = panels
    _draw_losses(upper, explanation)
    _draw_densities(middle, explanation)
    _draw_ratio(lower, explanation)
    for axes in panels:
        tidy(axes)
        explanation.scale.show_on(axes, "x")
        if explanation.chosen is not None:
            axes.axvline(explanation.chosen, color=_CHOICE_COLOR, linestyle="--", zorder=3)
        if axes is not lower:
            axes.set_xlabel("")
            axes.tick_params(labelbottom=False)


def _draw_losses(axes: Axes, explanation: Explanation) -> None:
    is_good, losses = explanation.is_good, explanation.losses
    groups = (("good", is_good, _GOOD_COLOR, "o", 4), ("others", ~is_good, _OTHER_COLOR, "s", 2))
    for name, chosen, color, marker, height in groups:
        has_loss = chosen & np.isfinite(losses)
        has_none = chosen & ~has_loss
        axes.scatter(
            explanation.values[has_loss],
            losses[has_loss],
            s=28,
            color=color,
            marker=marker,
            edgecolor="white",
            linewidth=0.5,
            zorder=height,
            label=f"{name} ({chosen.sum()})",
        )
        if has_none.any():
            label = f"without a loss ({has_none.sum()})"
            crosses_at_the_top(axes, explanation.values[has_none], color, label)
    if wants_log_scale(losses):
        axes.set_yscale("log")
    axes.set_ylabel("loss")
    legend_above(axes)


def _draw_densities(axes: Axes, explanation: Explanation) -> None:
    scale = explanation.scale
    curves = (
        ("l: good", explanation.good, _GOOD_COLOR, -0.4),
        ("g: others", explanation.rest, _OTHER_COLOR, 0.4),
    )
    for name, density, color, shift in curves:
        if scale.is_separate:
            place, width = scale.grid + shift * scale.margin, 0.8 * scale.margin
            axes.bar(place, density, width, color=color, label=name)
        else:
            axes.plot(scale.grid, density, color=color, label=name)
            axes.fill_between(scale.grid, density, color=color, alpha=_LIGHT, linewidth=0)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(_density_name(explanation))
    legend_above(axes)


def _density_name(explanation: Explanation) -> str:
    if explanation.is_relative:
        return "density / prior"
    if explanation.scale.is_discrete:
        return "probability"
    return f"density of log {explanation.scale.label}" if explanation.scale.is_log else "density"


def _draw_ratio(axes: Axes, explanation: Explanation) -> None:
    scale = explanation.scale
    log_ratio = np.clip(explanation.log_ratio, -_HIGHEST_RATIO, _HIGHEST_RATIO)
    axes.axhline(0.0, color="#999999", linewidth=0.8)
    if scale.is_separate:
        width = 1.2 * scale.margin
        axes.bar(scale.grid, log_ratio, width, color=_RATIO_COLOR)
    else:
        axes.plot(scale.grid, log_ratio, color=_RATIO_COLOR)
    if explanation.chosen is not None:
        name = "most promising" if explanation.tid is None else "chosen"
        text = f"{name}: {scale.text(explanation.chosen)}"
        axes.plot([], [], color=_CHOICE_COLOR, linestyle="--", label=text)
        legend_above(axes)
    axes.set_ylabel("log l / g")
