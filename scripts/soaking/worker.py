"""`hpo-worker`, with what the store told it noted in the side log."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from hpo.document import Claim, Document
from hpo.exceptions import LeaseLost
from hpo.store.mongo import MongoStore
from hpo_worker.cli import main
from scripts.soaking.clocks import live_with_shifted_clock
from scripts.soaking.sidelog import Acknowledged, Fenced, write

VERBS = ("heartbeat", "checkpoint", "report", "finish", "fail", "release", "lose")


def _noted(verb: str) -> None:
    """Let the store note each refusal of a verb, and each result that it accepted."""
    inner = getattr(MongoStore, verb)

    def outer(store: MongoStore, first: Claim | Document, *arguments: Any, **options: Any) -> None:
        held = first if isinstance(first, Claim) else Claim.of(first)
        try:
            inner(store, first, *arguments, **options)
        except LeaseLost:
            write(Fenced(_int(held.tid), held.attempt, held.owner, verb))
            raise
        if verb == "finish":
            result: Mapping[str, Any] = arguments[0]
            write(Acknowledged(_int(held.tid), held.attempt, held.owner, result["loss"]))

    setattr(MongoStore, verb, outer)


def _int(tid: Any) -> int:
    return int(tid)


if __name__ == "__main__":
    live_with_shifted_clock()
    for name in VERBS:
        _noted(name)
    sys.exit(main())
