"""Stopping rules: which trials are not worth training to the end.

    fmin(objective, space, stopper=ASHA(min_steps=3, max_steps=81))

An objective that calls `ctrl.report(step, loss)` and `ctrl.should_stop()` is
asked to end early when its learning curve does not keep up with the others.

    ASHA        at steps min_steps · η^k only the best 1/η go on; those stopped too
                soon are taken up again
    Hyperband   several ASHA brackets with different min_steps
    MedianRule  a trial must not be worse than the median of the others at its step
    CurveRule   the final loss that its curve foretells must be within reach of the best

A rule sees documents only, so workers apply it wherever they are, with no
central lock. Anything with the methods of `Stopper` will do.
"""

from hpo.stopping.asha import ASHA
from hpo.stopping.base import Curve, History, Rule, Stopper
from hpo.stopping.curve import CurveRule
from hpo.stopping.hyperband import Hyperband
from hpo.stopping.median import MedianRule
from hpo.stopping.naming import as_data, from_data

__all__ = [
    "ASHA",
    "Curve",
    "CurveRule",
    "History",
    "Hyperband",
    "MedianRule",
    "Rule",
    "Stopper",
    "as_data",
    "from_data",
]
