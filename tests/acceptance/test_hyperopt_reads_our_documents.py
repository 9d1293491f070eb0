"""hyperopt's own MongoTrials, on its own pymongo, reads what our store wrote."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hpo.document import Claim, new_trial
from hpo.store.mongo import MongoStore

READER = Path(__file__).parent.parent / "store" / "hyperopt_reader.py"
VARIABLE = "HPO_TEST_HYPEROPT_PYTHON"


@pytest.fixture
def hyperopt_python() -> str:
    """The python of an environment that has hyperopt 0.3.0 and pymongo 3.13."""
    python = os.environ.get(VARIABLE)
    if not python:
        pytest.fail(
            f"${VARIABLE} must name the python of an environment with hyperopt==0.3.0 and "
            "pymongo==3.13.0; scripts/test makes one"
        )
    return python


def test_hyperopt_reads_our_trials(mongo_url, hyperopt_python):
    losses = [0.5, float("nan"), 0.25, None]
    with closing(MongoStore.connect(mongo_url)) as store:
        tids = store.allocate_tids(8)
        store.insert(
            [
                new_trial(
                    tid,
                    exp_key="digits",
                    labels=["depth"],
                    values={"lr": 0.1 * tid, "layers": tid},
                    params={"lr": 0.1 * tid, "layers": tid},
                )
                for tid in tids
            ]
        )
        for loss in losses:
            status = "fail" if loss is None else "ok"
            held = Claim.of(store.claim("node1:1:a", host="node1"))
            store.finish(held, {"status": status, "loss": loss, "extra": {"epochs": [1, 2]}})
        store.fail(Claim.of(store.claim("node1:1:a")), ("ValueError", "bad lr"), "Traceback …")
        store.claim("node1:1:a")
        store.cancel("digits", [tids[7]])
        [first] = store.find("digits", tids=[tids[0]])
        store.trial_attachments(first)["weights"] = b"0.1 0.2"
        store.attachments("digits")["notes"] = b"second try"

        seen = read_by_hyperopt(hyperopt_python, mongo_url)

        # Its MongoTrials leaves out state ERROR; the ids that it reserves are not ours again.
        visible = [tid for tid in tids if tid != tids[4]]
        assert seen["tids"][:6] == [*tids[:4], tids[5], tids[6]] and set(seen["tids"]) <= {
            *visible
        }
        assert seen["losses"][:4] == [0.5, "nan", 0.25, None]
        assert seen["statuses"][:6] == ["ok", "ok", "ok", "fail", "new", "new"]
        assert seen["vals"]["layers"][:4] == tids[:4] and seen["vals"]["depth"] == []
        assert seen["best_tid"] == tids[2] and seen["argmin"] == {"lr": 0.1 * 2, "layers": 2}
        assert seen["errors"] == [["ValueError", "bad lr"]]
        assert seen["attachment"] == "0.1 0.2"
        assert seen["experiment_attachment"] == "second try"
        assert store.allocate_tids(1) == [seen["next_tids"][-1] + 1]


def read_by_hyperopt(python: str, url: str) -> dict[str, Any]:
    done = subprocess.run(
        [python, "-I", str(READER), url, "digits"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen
