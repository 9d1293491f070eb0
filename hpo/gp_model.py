"""The Gaussian process of a search: from its trials to a posterior.

    symbol   meaning                                                     shape
    n        number of trials that have ended, with a loss or by failing   scalar
    X, y     their features (hpo.gp_inputs) and targets                    (n, F), (n,)

The hyperparameters are learnt from the first of the trials that have ended, at numbers
that grow by a twentieth; between two such numbers they stay, and the other trials only
add rows to the Cholesky factor. They are learnt anew, from several starts, at powers of
two, and in between from where the last power of two ended. So the model follows from the
trials alone: a driver that was restarted has the same one after one or two fits.

Of more than `MOST_TRIALS` trials the model keeps half as many of the best, and as many
of the latest; hyperparameters are learnt from no more than `MOST_FOR_FIT`, chosen in the
same way.

Where choices decide which hyperparameters exist, one of them is decided first, as in
`hpo.tpe`: by Thompson sampling over its branches. The model knows all trials, but what is
looked for is an improvement on the best of that branch: so every branch is tuned, and none
is given up before it was.

Where results say how much their losses vary (`loss_variance`, see `fmin`), that is noise which
the process need not learn: it is added to the diagonal.

Trials that still run are taken in with the mean that the model itself expects (the
kriging believer): so suggestions keep out of their way.
"""

from __future__ import annotations

import functools
import hashlib

import numpy as np
import numpy.typing as npt

from hpo.algobase import known_rows
from hpo.gp_inputs import Branch, Inputs, inputs_of
from hpo.observations import Observations
from hpo.partial import ranking_losses
from hpo.space import Space
from hpo.surrogate import bandit
from hpo.surrogate.gaussian_process import Hyperparameters, Posterior
from hpo.surrogate.kernels import kernel_named
from hpo.surrogate.likelihood import Likelihood, Priors, fitted
from hpo.surrogate.recent import Recent
from hpo.surrogate.split import best_and_latest
from hpo.surrogate.warping import targets_and_slopes

__all__ = [
    "MOST_FOR_FIT",
    "MOST_TRIALS",
    "History",
    "Model",
    "anchor_of",
    "choose_branch",
    "fit_sizes",
]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

MOST_TRIALS = 1_000
MOST_FOR_FIT = 300

# With fewer trials than these the hyperparameters are those that the prior expects.
_LEAST_FOR_FIT = 4
_GROWTH = 20
_N_RESTARTS = 3
# Fits and factors that are kept; both are found again from the trials.
_FITS_KEPT = 256

# A loss that varies by more, in units of all losses' variance, says nothing.
_MOST_NOISE = 1e6

_PRIORS = Priors()
_NOISY_PRIORS = Priors(noise=(-2.0, 1.5))


class History:
    """The trials as arrays.

    Attributes:
        inputs: of the space.
        rows: in `observations`, of those that have ended, in order of suggestion; (n,).
        losses: NaN for a trial that failed; those of stopped trials stand behind the
            complete ones (hpo.partial); shape (n,).
        variances: of the losses' measurements, 0 where it is unknown; shape (n,).
        pending: rows of those that have not ended.
    """

    def __init__(self, space: Space, observations: Observations) -> None:
        self.inputs: Inputs = inputs_of(space)
        rows = known_rows(observations)
        is_pending = observations.is_pending[rows]
        self.rows, self.pending = rows[~is_pending], rows[is_pending]
        self.losses = ranking_losses(observations)[self.rows]
        variances = observations.loss_variances[self.rows]
        self.variances: Floats = np.where(variances > 0.0, variances, 0.0)
        self._observations = observations

    @property
    def n_ended(self) -> int:
        return len(self.rows)

    def targets(self, places: Rows) -> tuple[Floats, Floats | None]:
        """Of the trials at `places`, as if there were no others; and what they vary by.

        Returns:
            (y, e), each of shape (len(places),); e is None where no trial says its variance.
        """
        y, slopes = targets_and_slopes(self.losses[places])
        variances = self.variances[places]
        if not variances.any():
            return y, None
        with np.errstate(over="ignore", invalid="ignore"):
            e = np.nan_to_num(variances * slopes**2, nan=_MOST_NOISE, posinf=_MOST_NOISE)
        return y, np.minimum(e, _MOST_NOISE)

    @functools.cached_property
    def features(self) -> Floats:
        """Of the trials that have ended, shape (n, F)."""
        return self.inputs.of_trials(self._observations, self.rows)

    @functools.cached_property
    def pending_features(self) -> Floats:
        """Of those that have not, shape (number of them, F)."""
        return self.inputs.of_trials(self._observations, self.pending)


def choose_branch(space: Space, observations: Observations, rng: np.random.Generator) -> Branch:
    """Decide one choice that has hyperparameters in its branches, and those above it."""
    deciding = space.deciding_choices
    if not deciding:
        return {}
    target = list(deciding)[int(rng.integers(len(deciding)))]
    rows, all_losses = known_rows(observations), ranking_losses(observations)
    decided: dict[str, int] = {}
    for label in (*space.choices_above(target), target):
        if label in space.active_labels(decided):
            branches = observations.column(label)[rows]
            tally = bandit.tally_branches(branches, all_losses[rows], deciding[label])
            decided[label] = bandit.choose_branch(rng, tally)
            rows = rows[branches == decided[label]]
    return decided


class Model:
    """What the process says, given the trials.

    Args:
        history: at least one trial that has ended.
        kernel: its name.
        is_noisy: whether the same configuration may give other losses.

    Attributes:
        places: of the trials that it is fitted to, in the history; shape (k,).
        posterior: given these and those that still run.
        means: at all of its trials, those that still run last; shape (k + number of them,).
    """

    def __init__(self, history: History, kernel: str, is_noisy: bool) -> None:
        self.history = history
        n_first = fit_sizes(history.n_ended)[-1]
        first = best_and_latest(history.losses[:n_first], MOST_TRIALS)
        self.places = np.concatenate([first, np.arange(n_first, history.n_ended)])
        X, (y, e) = history.features[self.places], history.targets(self.places)
        n = len(first)
        known = Posterior(
            kernel_named(kernel),
            _hyperparameters(kernel, is_noisy, history, n_first),
            X[:n],
            y[:n],
            history.inputs.groups,
            None if e is None else e[:n],
        )
        if len(X) > n:
            known = known.with_more(X[n:], y[n:], None if e is None else e[n:])
        self.posterior, self.means = known, known.predict(X)[0]
        if len(history.pending):
            self.believe(history.pending_features)

    @property
    def hyperparameters(self) -> Hyperparameters:
        """Of the kernel."""
        return self.posterior.hyperparameters

    def best_in(self, branch: Branch) -> float:
        """The least mean in a branch, that of trials that still run included.

        Nothing is to be gained where a running trial is believed to gain it. In a
        branch that has no trial, anything better than the worst would be new.
        """
        means = self.means[self.history.inputs.is_within(self.posterior.X, branch)]
        return float(means.min()) if means.size else float(self.means.max())

    def best_rows(self, branch: Branch, n: int) -> Rows:
        """Rows in the observations of the trials of a branch with the least means."""
        n_ended = len(self.places)
        is_inside = self.history.inputs.is_within(self.posterior.X[:n_ended], branch)
        order = np.argsort(self.means[:n_ended], kind="stable")
        rows: Rows = self.history.rows[self.places[order[is_inside[order]][:n]]]
        return rows

    def believe(self, features: Floats) -> None:
        """Take in trials that have not ended; shape (number of them, F)."""
        n = len(self.posterior)
        self.posterior = self.posterior.with_more(features)
        self.means = np.concatenate([self.means, self.posterior.y[n:]])


# --- which trials, and when -------------------------------------------------------


def fit_sizes(n: int) -> list[int]:
    """The numbers of trials up to n at which hyperparameters are learnt; never empty."""
    sizes = [1]
    while (following := sizes[-1] + max(1, sizes[-1] // _GROWTH)) <= n:
        sizes.append(following)
    return sizes


def anchor_of(size: int) -> int:
    """The number of trials from whose fit that of `size` starts: the first after a power of 2."""
    power = 1 << (size.bit_length() - 1)
    return next(each for each in fit_sizes(size) if each >= power)


# --- hyperparameters --------------------------------------------------------------


def _hyperparameters(kernel: str, is_noisy: bool, history: History, size: int) -> Hyperparameters:
    """Those learnt from the first `size` trials."""
    places = best_and_latest(history.losses[:size], MOST_FOR_FIT)
    X, (y, e) = history.features[places], history.targets(places)
    priors = _NOISY_PRIORS if is_noisy else _PRIORS
    likelihood = Likelihood(
        kernel_named(kernel), X, y, history.inputs.groups, priors, extra_noise=e
    )
    if size < _LEAST_FOR_FIT:
        return likelihood.as_hyperparameters(likelihood.most_likely_before)

    def learn() -> Hyperparameters:
        anchor, rng = anchor_of(size), np.random.default_rng(size)
        if anchor == size:
            return fitted(likelihood, rng, _N_RESTARTS)
        start = _hyperparameters(kernel, is_noisy, history, anchor)
        return fitted(likelihood, rng, 0, [start])

    return _fits.get(_content_key(kernel, is_noisy, X, y, e), learn)


# What the same numbers gave before. Keyed by content, so it holds for any search.
_fits: Recent[Hyperparameters] = Recent(_FITS_KEPT)


def _content_key(kernel: str, is_noisy: bool, X: Floats, y: Floats, e: Floats | None) -> str:
    digest = hashlib.blake2b(f"{kernel} {is_noisy} {X.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(X).tobytes())
    digest.update(np.ascontiguousarray(y).tobytes())
    if e is not None:
        digest.update(e.tobytes())
    return digest.hexdigest()
