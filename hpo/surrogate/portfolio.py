"""Which acquisition decides the next point: by a schedule, or by what each was worth so far.

    symbol   meaning                                                     shape
    t        number of trials that have ended                              scalar
    h        number of them at which the schedule is half way              scalar
    s        t / (h + t), from 0 towards 1                                  scalar
    g        gain of each acquisition                                      (3,)

The schedule explores first and exploits later, as Hyper-Engine's manual advises: the
confidence bound at the beginning, ever more of the probability of improvement in the end.

    p(ucb) = 1 - s,    p(ei) = s (1 - s),    p(pi) = s^2                     (1)

GP-Hedge lets every acquisition nominate a point each time. Afterwards, whichever was
chosen, each is paid what the model now says of its nominees, and is chosen in
proportion to the exponential of its gains.

    g_a = - sum over its nominees of mean(z)                                (2)
    p(a) = exp(eta g_a) / sum_b exp(eta g_b),  eta = sqrt(8 log 3 / t)      (3)

Source: Hoffman, Brochu and de Freitas, "Portfolio allocation for Bayesian optimization",
2011, for (2); (3) with the rate of the Hedge algorithm for t rounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

__all__ = ["MEMBERS", "hedge_probabilities", "scheduled_probabilities"]

Floats = npt.NDArray[np.float64]

MEMBERS = ("ucb", "ei", "pi")


def scheduled_probabilities(n_ended: int, halfway: int = 40) -> dict[str, float]:
    """Equation (1): {acquisition: probability}.

    Args:
        n_ended: t, at least 0.
        halfway: h, at least 1.
    """
    s = n_ended / (halfway + n_ended)
    return {"ucb": 1.0 - s, "ei": s * (1.0 - s), "pi": s * s}


def hedge_probabilities(nominee_means: Mapping[str, Floats]) -> dict[str, float]:
    """Equations (2) and (3): {acquisition: probability}.

    Args:
        nominee_means: {acquisition: the model's mean at each of its nominees}, the
            losses' variance being 1; arrays of one length.
    """
    gains = np.array([-float(means.sum()) for means in nominee_means.values()])
    n_rounds = max(max((len(means) for means in nominee_means.values()), default=0), 1)
    rate = math.sqrt(8.0 * math.log(max(len(gains), 2)) / n_rounds)
    weights = np.exp(rate * (gains - gains.max()))
    return dict(zip(nominee_means, (weights / weights.sum()).tolist(), strict=True))
