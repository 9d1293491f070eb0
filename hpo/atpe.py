"""hyperopt's import path `atpe`: what answers where adaptive TPE was asked for.

hyperopt's adaptive TPE chooses TPE's settings by models that were trained once
on other people's searches, and needs LightGBM to load them. hpo does not ship
those models. `hpo.tpe` is what it steered.
"""

from __future__ import annotations

from typing import Any, NoReturn

from hpo.exceptions import InvalidOption

__all__ = ["suggest"]


def suggest(*arguments: Any, **options: Any) -> NoReturn:
    """Raise InvalidOption, which says what to use instead."""
    raise InvalidOption(
        "atpe is not part of hpo: its pre-trained models are not shipped. Use algo=tpe.suggest, "
        "and set what atpe would have set with partial(tpe.suggest, gamma=…, "
        "n_EI_candidates=…, prior_weight=…)"
    )
