"""Domain: an objective together with the space it is searched over.

A driver makes one, stores it for the workers, and asks algorithms for new
trials in it. A worker rebuilds it and evaluates one configuration at a time.
"""

from __future__ import annotations

import contextlib
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hpo.ctrl import Ctrl
from hpo.document import (
    DOMAIN_COMMAND,
    STATUS_FAIL,
    STATUS_NEW,
    STATUS_OK,
    STATUS_STOPPED,
    STATUS_STRINGS,
    Document,
    Tid,
    columns_of,
)
from hpo.exceptions import HpoError, InvalidLoss, InvalidResultStatus
from hpo.pyll import Apply, GarbageCollected, Literal, as_apply, dfs, rec_eval
from hpo.space import Space


class Domain:
    """An objective and its compiled search space.

    Args:
        fn: called with one configuration (or, with `pass_expr_memo_ctrl`, with
            the keywords expr, memo and ctrl); returns a loss or a result dictionary.
        expr: the space: any nest of dicts, lists, tuples, constants and hyperparameters.
        workdir: directory that workers run it in, or None.
        name: how messages call it; default the function's name.

    Attributes:
        params: {label: node of its distribution}, in the order of the space's graph.
        objective: sha256 under which workers find this domain, or None.
        noisy: whether evaluating one configuration again may give another loss.
        search_seed: one seed for the whole search, for what its suggestions share (a
            sequence of points), or None.

    Raises:
        BadSearchSpace: the space cannot mean anything.

    Source: hyperopt.base.Domain.
    """

    rec_eval_print_node_on_error = False

    # A stopping rule for every trial (`hpo.stopping`), or None.
    stopper: Any = None

    # What workers allow an evaluation, or None; written into every trial.
    trial_timeout_secs: float | None = None

    def __init__(
        self,
        fn: Callable[..., Any],
        expr: Any,
        workdir: str | None = None,
        pass_expr_memo_ctrl: bool | None = None,
        name: str | None = None,
        loss_target: float | None = None,
    ) -> None:
        self.fn = fn
        self.workdir = workdir
        self.name = name if name is not None else _name_of(fn)
        self.loss_target = loss_target
        self.cmd = DOMAIN_COMMAND
        self.objective: str | None = None
        self.noisy = False
        self.search_seed: int | None = None
        if pass_expr_memo_ctrl is None:
            pass_expr_memo_ctrl = getattr(fn, "fmin_pass_expr_memo_ctrl", False)
        self.pass_expr_memo_ctrl = bool(pass_expr_memo_ctrl)
        self.space = Space(as_apply(expr))
        self.expr: Apply = self.space.expr
        self.params = {
            label: parameter.distribution
            for label, parameter in self.space.hyperparameters.items()
        }
        self._has_ctrl_literal = any(
            isinstance(node, Literal) and node.obj is Ctrl for node in dfs(self.expr)
        )

    # --- evaluating one configuration ---

    def evaluate(
        self, config: Mapping[str, Any], ctrl: Ctrl | None, attach_attachments: bool = True
    ) -> dict[str, Any]:
        """Call the objective on one configuration.

        Args:
            config: {label: value} of the active hyperparameters; a choice by index.
            ctrl: what the objective may talk through; None: to nobody.
            attach_attachments: move the result's "attachments" to `ctrl.attachments`.

        Returns:
            The result: {"status": …, "loss": …, and whatever else the objective returned}.
            An objective that reported losses may return None: the last one stands.

        Raises:
            InvalidLoss, InvalidResultStatus: what the objective returned cannot be used.
        """
        ctrl = Ctrl(None) if ctrl is None else ctrl
        ctrl.begin(self.stopper)
        try:
            returned = self._call(config, ctrl)
        except BaseException:
            # What the objective raised counts, not that its last words were lost.
            with contextlib.suppress(HpoError, RuntimeError):
                ctrl.end()
            raise
        ctrl.end()
        if returned is None and ctrl.last_report is not None:
            returned = ctrl.last_report["loss"]
        result = ctrl.concluded(self._normalise(returned))
        if attach_attachments:
            for key, value in result.pop("attachments", {}).items():
                ctrl.attachments[key] = value
        return result

    def _call(self, config: Mapping[str, Any], ctrl: Ctrl) -> Any:
        if not (self.pass_expr_memo_ctrl or self._has_ctrl_literal):
            return self.fn(self.space.evaluate(config))
        memo = self.memo_from_config(config)
        for node in dfs(self.expr):
            if isinstance(node, Literal) and node.obj is Ctrl:
                memo[node] = ctrl
        if self.pass_expr_memo_ctrl:
            return self.fn(expr=self.expr, memo=memo, ctrl=ctrl)
        return self.fn(
            rec_eval(self.expr, memo=memo, print_node_on_error=self.rec_eval_print_node_on_error)
        )

    def _normalise(self, returned: Any) -> dict[str, Any]:
        if isinstance(returned, Mapping):
            result = dict(returned)
        else:
            result = {"loss": returned, "status": STATUS_OK}
        if "status" not in result:
            raise InvalidResultStatus(
                f"objective {self.name!r} returned a dictionary without 'status' "
                f'(keys: {sorted(map(str, result))}); add "status": STATUS_OK',
                result,
            )
        if result["status"] not in STATUS_STRINGS:
            raise InvalidResultStatus(
                f"objective {self.name!r} returned the unknown status {result['status']!r}; "
                f"expected one of {STATUS_STRINGS}",
                result,
            )
        if result["status"] in (STATUS_OK, STATUS_STOPPED):
            result["loss"] = self._as_loss(result)
            if math.isnan(result["loss"]):
                # A NaN is no number to minimise: as "ok" it would sort before every
                # real loss in a MongoDB query.
                result["status"] = STATUS_FAIL
                result["failure"] = "loss is NaN"
        return result

    def _as_loss(self, result: Mapping[str, Any]) -> float:
        if "loss" not in result:
            raise InvalidLoss(
                f"objective {self.name!r} returned status {result['status']} without a 'loss' "
                f"(keys: {sorted(map(str, result))})",
                result,
            )
        loss = result["loss"]
        if isinstance(loss, np.ndarray) and loss.ndim == 0:
            loss = loss[()]
        if isinstance(loss, (numbers.Real, np.bool_)):
            return float(loss)
        hint = {
            "NoneType": "does every path of the function end in `return`?",
            "str": "return float(…) of it",
            "ndarray": "return one number, its mean for example",
            "list": "return one number, its mean for example",
            "tuple": "return one number, or a dictionary with 'loss' and 'status'",
        }.get(type(loss).__name__, "return one real number")
        if not isinstance(loss, (str, bytes)) and _is_float(loss):
            return float(loss)
        raise InvalidLoss(
            f"objective {self.name!r} returned the loss {_short(loss)} "
            f"({type(loss).__name__}), which is not one real number: {hint}",
            result,
        )

    def memo_from_config(self, config: Mapping[str, Any]) -> dict[Apply, Any]:
        """{node: value} for `pyll.rec_eval`; inactive hyperparameters stay out of reach."""
        return {node: config.get(label, GarbageCollected) for label, node in self.params.items()}

    # --- many configurations at once, as hyperopt's algorithms draw them ---

    @property
    def s_new_ids(self) -> Apply:
        """The node to give the ids to: `rec_eval(domain.s_idxs_vals, memo={…})`."""
        return self.space.columns.new_ids

    @property
    def s_rng(self) -> Apply:
        """The node to give the generator to."""
        return self.space.columns.rng

    @property
    def s_idxs_vals(self) -> Apply:
        """The node of the pair ({label: ids}, {label: values}); see `hpo.space.columns`."""
        return self.space.columns.idxs_vals

    # --- new trials ---

    def new_result(self) -> dict[str, Any]:
        """The result of a trial that has not been evaluated."""
        return {"status": STATUS_NEW}

    def new_trials(
        self,
        trials: Any,
        new_ids: Sequence[Tid],
        values: Sequence[Mapping[str, Any]],
        suggested_by: Sequence[Mapping[str, Any]] = (),
    ) -> list[Document]:
        """Build NEW documents for configurations that an algorithm chose.

        Args:
            trials: the Trials they will be inserted into.
            new_ids: one tid for each configuration.
            values: {label: value} of the active hyperparameters of each; a choice by index.
            suggested_by: where each came from; see `hpo.provenance`.
        """
        documents: list[Document] = trials.new_trial_docs(
            new_ids,
            [None] * len(new_ids),
            [self.new_result() for _ in new_ids],
            [self._misc(tid, active) for tid, active in zip(new_ids, values, strict=True)],
        )
        for document, active in zip(documents, values, strict=True):
            self.annotate(document, active)
        for document, record in zip(documents, suggested_by, strict=False):
            document["suggested_by"] = dict(record)
        return documents

    def annotate(self, document: Document, active: Mapping[str, Any]) -> None:
        """Add to a document what people and workers read: `params`, `objective`, its limit."""
        document["params"] = self.space.params(active)
        if self.trial_timeout_secs is not None:
            document["timeout_secs"] = float(self.trial_timeout_secs)
        if self.objective is not None:
            document["objective"] = self.objective

    def _misc(self, tid: Tid, active: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "tid": tid,
            "cmd": self.cmd,
            "workdir": self.workdir,
            **columns_of(tid, active, self.params),
        }

    # --- reading results, as hyperopt's algorithms do ---

    def loss(self, result: Mapping[str, Any], config: Any = None) -> float | None:
        """The loss of a result, or None."""
        loss: float | None = result.get("loss")
        return loss

    def loss_variance(self, result: Mapping[str, Any], config: Any = None) -> float:
        """The variance of the loss's measurement; 0 when not given."""
        return float(result.get("loss_variance", 0.0))

    def true_loss(self, result: Mapping[str, Any], config: Any = None) -> float | None:
        """The generalisation loss if the result has it, else the loss."""
        true_loss: float | None = result.get("true_loss", result.get("loss"))
        return true_loss

    def status(self, result: Mapping[str, Any], config: Any = None) -> str:
        """The objective's verdict."""
        return str(result["status"])

    def short_str(self) -> str:
        """A one-line description."""
        return f"Domain{{{self.name}}}"


def _name_of(fn: Any) -> str:
    """What people call a function: without Python's marks for what has no name."""
    inner = getattr(fn, "func", fn)
    name = str(getattr(inner, "__qualname__", None) or type(inner).__qualname__)
    return name.replace("<locals>.", "").replace("<lambda>", "lambda")


def _is_float(value: Any) -> bool:
    if isinstance(value, (np.ndarray, list, tuple)):
        return False
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _short(value: Any, width: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= width else text[: width - 1] + "…"
