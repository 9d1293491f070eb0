"""Experiments without a store: curves as documents, and what a rule sees of them."""

from __future__ import annotations

from hpo.document import JOB_STATE_DONE, JOB_STATE_RUNNING
from hpo.stopping import Curve, History

STATES = {"running": (JOB_STATE_RUNNING, "new")} | {
    status: (JOB_STATE_DONE, status) for status in ("ok", "stopped")
}


class Experiment:
    """Trials that report, in whatever order the test says; number and tid are the same."""

    def __init__(self):
        self.documents = {}
        self.steps_read = []

    def report(self, number, step, loss):
        document = self.documents.setdefault(
            number,
            {
                "tid": number,
                "number": number,
                "state": JOB_STATE_RUNNING,
                "result": {"status": "new"},
                "reports": [],
            },
        )
        document["reports"].append({"step": step, "loss": loss})
        document["last_report"] = document["reports"][-1]

    def train(self, number, *losses, end="running"):
        """Report losses from step 1 on, and end."""
        for step, loss in enumerate(losses, 1):
            self.report(number, step, loss)
        self.end(number, end)

    def end(self, number, status):
        state, status = STATES[status]
        self.documents[number] |= {"state": state, "result": {"status": status}}

    def history(self):
        def fetch(step):
            self.steps_read.append(step)
            for document in self.documents.values():
                reports = document["reports"]
                if step is not None:
                    reports = [one for one in reports if one["step"] >= step][:1]
                if reports:
                    yield {**document, "reports": reports}

        return History(fetch)

    def asks(self, rule, number, asked_step=None):
        """Whether the rule stops this trial now; by default it was asked after each report."""
        reports = self.documents[number]["reports"]
        if asked_step is None:
            asked_step = reports[-2]["step"] if len(reports) > 1 else -1
        curve = Curve(
            tid=number,
            line=number,
            steps=tuple(one["step"] for one in reports),
            losses=tuple(one["loss"] for one in reports),
            last_step=reports[-1]["step"],
            asked_step=asked_step,
        )
        return rule.should_stop(curve, self.history())
