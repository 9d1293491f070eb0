"""hyperopt's import path `spark`: what answers where SparkTrials was asked for.

hpo spreads trials over machines through MongoDB, not through Spark. A script
that only mentions SparkTrials among its imports runs; one that makes a
SparkTrials is told what to write instead.
"""

from __future__ import annotations

from typing import Any

from hpo.exceptions import InvalidOption

__all__ = ["SparkTrials"]


class SparkTrials:
    """Raises InvalidOption, which says what to use instead."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        raise InvalidOption(
            "SparkTrials is not part of hpo. For several processes on this machine leave trials "
            'out and give fmin(…, workers=4); for several machines give trials="mongodb://…" '
            "and start hpo-worker on each of them"
        )
