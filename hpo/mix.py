"""A mixture of algorithms: each trial is proposed by one of them, drawn by chance.

algo = partial(mix.suggest, p_suggest=[(0.1, rand.suggest), (0.9, tpe.suggest)])
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

from hpo.algobase import reject_unknown_options, suggestion_rng
from hpo.document import Document, Tid
from hpo.exceptions import InvalidOption, InvalidOptionValue

__all__ = ["suggest"]

Suggest = Callable[..., list[Document]]


def suggest(
    new_ids: Sequence[Tid],
    domain: Any,
    trials: Any,
    seed: int | None,
    p_suggest: Sequence[tuple[float, Suggest]],
    **unknown: Any,
) -> list[Document]:
    """Let a randomly chosen algorithm propose each configuration.

    Args:
        new_ids: the tids of the trials to propose.
        domain: the `Domain` that is searched.
        trials: the `Trials` so far.
        seed: with a tid it determines which algorithm proposes; passed on to it.
        p_suggest: (probability, suggest) pairs; the probabilities sum to 1.

    Returns:
        NEW documents in the order of the ids; fewer if an algorithm proposes fewer.

    Raises:
        InvalidOption: an option is unknown, or `p_suggest` is no list of pairs.
        InvalidOptionValue: the probabilities are no distribution (also a ValueError).
    """
    reject_unknown_options("mix.suggest", unknown, known=("p_suggest",))
    probabilities, algorithms = _checked(p_suggest)
    tids_of: dict[int, list[Tid]] = {}
    for tid in new_ids:
        # Its own purpose, lest the choice decides the chosen algorithm's first number.
        rng = suggestion_rng(seed, tid, purpose="mix")
        choice = int(rng.choice(len(algorithms), p=probabilities))
        tids_of.setdefault(choice, []).append(tid)
    # One call for each algorithm, so that it sees what it proposed itself.
    documents = [
        document
        for choice, tids in tids_of.items()
        for document in algorithms[choice](tids, domain, trials, seed)
    ]
    place = {tid: index for index, tid in enumerate(new_ids)}
    return sorted(documents, key=lambda document: place.get(document["tid"], len(place)))


def _checked(p_suggest: Any) -> tuple[list[float], list[Suggest]]:
    try:
        pairs = [(probability, suggest) for probability, suggest in p_suggest]
    except (TypeError, ValueError):
        raise InvalidOption(
            f"p_suggest must be a list of (probability, suggest) pairs, not {p_suggest!r}"
        ) from None
    for probability, algorithm in pairs:
        if not isinstance(probability, numbers.Real) or not callable(algorithm):
            raise InvalidOption(
                f"p_suggest holds {(probability, algorithm)!r}, which is not a pair "
                "(probability, suggest), for example (0.1, rand.suggest)"
            )
    probabilities = [float(probability) for probability, _ in pairs]
    total = math.fsum(probabilities)
    if not all(p >= 0 for p in probabilities) or not math.isclose(total, 1.0, rel_tol=1e-5):
        raise InvalidOptionValue(
            f"the probabilities in p_suggest must be at least 0 and sum to 1, not {probabilities} "
            f"(sum {total:g})"
        )
    return [p / total for p in probabilities], [algorithm for _, algorithm in pairs]
