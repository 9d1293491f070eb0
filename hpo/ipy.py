"""hyperopt's import path `ipy`: what answers where IPythonTrials was asked for.

hpo spreads trials over processes by itself and over machines through MongoDB,
not through an IPython cluster. A script that only mentions IPythonTrials among
its imports runs; one that makes an IPythonTrials is told what to write instead.
"""

from __future__ import annotations

from typing import Any

from hpo.exceptions import InvalidOption

__all__ = ["IPythonTrials"]


class IPythonTrials:
    """Raises InvalidOption, which says what to use instead."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        raise InvalidOption(
            "IPythonTrials is not part of hpo. For several processes on this machine leave trials "
            'out and give fmin(…, workers=4); for several machines give trials="mongodb://…" '
            "and start hpo-worker on each of them"
        )
