"""Random search: every configuration is an independent draw from the space's priors.

It needs no results, so any number of trials can run at once, and it is what
every other algorithm is measured against.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hpo.algobase import as_seed, reject_unknown_options, suggestion_rng
from hpo.document import Document, Tid
from hpo.space import Space

__all__ = ["as_columns", "suggest", "suggest_batch", "suggest_values"]

VERSION = 2

Columns = dict[str, list[Any]]


def suggest(
    new_ids: Sequence[Tid], domain: Any, trials: Any, seed: int | None, **unknown: Any
) -> list[Document]:
    """Propose one random configuration for each id.

    Args:
        new_ids: the tids of the trials to propose.
        domain: the `Domain` that is searched.
        trials: the `Trials` that the documents are meant for; their results are not read.
        seed: with a tid it determines the tid's configuration.

    Returns:
        NEW documents, one for each id, not yet inserted.

    Raises:
        InvalidOption: an option was given; random search has none.
    """
    reject_unknown_options("rand.suggest", unknown, known=())
    seed_word = as_seed(seed)
    values = [suggest_values(domain.space, tid, seed_word) for tid in new_ids]
    record = {"algorithm": "rand", "version": VERSION, "seed": seed_word}
    documents: list[Document] = domain.new_trials(
        trials, new_ids, values, [record for _ in new_ids]
    )
    return documents


def suggest_batch(
    new_ids: Sequence[Tid], domain: Any, trials: Any, seed: int | None, **unknown: Any
) -> tuple[Columns, Columns]:
    """Draw the configurations of `suggest`, as columns instead of documents.

    Returns:
        (idxs, vals): for each label, the ids under which it is active, and its values there.

    Raises:
        InvalidOption: an option was given; random search has none.

    Source: hyperopt.rand.suggest_batch.
    """
    reject_unknown_options("rand.suggest_batch", unknown, known=())
    values = [suggest_values(domain.space, tid, seed) for tid in new_ids]
    return as_columns(domain.params, new_ids, values)


def as_columns(
    labels: Iterable[str], new_ids: Sequence[Tid], values: Sequence[Mapping[str, Any]]
) -> tuple[Columns, Columns]:
    """Turn {label: value} of each id into ({label: ids}, {label: values}) of all of them.

    Args:
        labels: every label of the space; one that is active nowhere has empty lists.
        values: the active hyperparameters' values of each id.
    """
    idxs: Columns = {label: [] for label in labels}
    vals: Columns = {label: [] for label in idxs}
    for tid, active in zip(new_ids, values, strict=True):
        for label, value in active.items():
            idxs[label].append(tid)
            vals[label].append(value)
    return idxs, vals


def suggest_values(space: Space, tid: Tid, seed: int | None) -> dict[str, Any]:
    """Draw one configuration: {label: value} of the active hyperparameters."""
    return space.sample(suggestion_rng(seed, tid))
