"""Documents as hyperopt writes them, for databases that are older than we are."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from bson import ObjectId

from hpo.document import JOB_STATE_NEW


def hyperopt_trial(
    tid: int, state: int = JOB_STATE_NEW, result: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A document as hyperopt 0.3 writes it: without all that we added."""
    started = ObjectId().generation_time.replace(tzinfo=None)
    return {
        "state": state,
        "tid": tid,
        "spec": None,
        "result": result or {"status": "new"},
        "misc": {
            "tid": tid,
            "cmd": ["domain_attachment", "FMinIter_Domain"],
            "workdir": None,
            "idxs": {"lr": [tid]},
            "vals": {"lr": [0.1]},
        },
        "exp_key": "old",
        "owner": None if state == JOB_STATE_NEW else ["node1:1234"],
        "version": 0,
        "book_time": None if state == JOB_STATE_NEW else started,
        "refresh_time": None if state == JOB_STATE_NEW else started + timedelta(seconds=60),
    }
