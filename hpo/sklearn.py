"""hyperopt's import path `sklearn`: a hyper-parameter search that is a scikit-learn estimator.

    from hpo import hp
    from hpo.sklearn import HyperoptSearchCV

    search = HyperoptSearchCV(Ridge(), {"alpha": hp.loguniform("alpha", -5, 5)}, max_evals=50)
    search.fit(X, y)
    search.best_params_, search.best_score_, search.predict(X)

It is used as scikit-learn's own GridSearchCV is, and has its attributes
(`cv_results_`, `best_estimator_`, …). Only the candidates come from `hpo.fmin`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hpo.document import STATUS_FAIL, STATUS_OK
from hpo.exceptions import InvalidOption
from hpo.fmin import fmin
from hpo.trials import Trials

try:
    from sklearn.model_selection._search import BaseSearchCV
except ImportError as error:
    raise ImportError(
        "hpo.sklearn needs scikit-learn, which cannot be imported here: pip install scikit-learn"
    ) from error

__all__ = ["HyperoptSearchCV"]

# Evaluates a list of parameter settings by cross-validation; gives scikit-learn's cv_results_.
Evaluate = Callable[[list[Mapping[str, Any]]], Mapping[str, Any]]


class HyperoptSearchCV(BaseSearchCV):  # type: ignore[misc]  # scikit-learn ships no types
    """Search an estimator's parameters by cross-validation.

    Args:
        estimator: what is tuned, by its `set_params`.
        space: a dictionary {parameter: hyperparameter or constant}.
        max_evals: how many settings are tried; with `warm_start`, the earlier ones count.
        trials: where they are recorded; None: in a new `Trials`. Not one that
            workers share: this process evaluates.
        algo: how they are chosen; None: `hpo.tpe.suggest`.
        warm_start: whether `fit` goes on from the trials of the fit before, or from
            those in `trials`. Otherwise it starts anew, and `trials` must be empty.
        scoring, n_jobs, refit, cv, verbose, pre_dispatch, error_score,
        return_train_score: as for sklearn.model_selection.GridSearchCV. With several
            scores, `refit` names the one that is maximised. `n_jobs` spreads
            the folds of one setting. With `verbose`, fmin shows its progress bar.
        random_state: an integer, a numpy Generator or RandomState, or None.

    Attributes:
        trials_: the `Trials` of the search; a loss is the negated mean score.

    Source: hyperopt.sklearn.HyperoptSearchCV. Unlike there, `trials` is used without
    `warm_start` too, a setting whose every fit fails does not end the search, and after
    a warm start the best setting of the earlier trials is compared with the new ones.
    """

    def __init__(
        self,
        estimator: Any,
        space: Any,
        max_evals: int,
        trials: Trials | None = None,
        algo: Callable[..., Any] | None = None,
        warm_start: bool = False,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        random_state: Any = None,
        error_score: Any = np.nan,
        return_train_score: bool = False,
    ) -> None:
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.space = space
        self.max_evals = max_evals
        self.trials = trials
        self.algo = algo
        self.warm_start = warm_start
        self.random_state = random_state

    def _run_search(self, evaluate_candidates: Evaluate) -> None:
        """Evaluate the settings that fmin asks for; called by `fit`."""
        self.trials_ = self._trials_to_use()
        failures: list[ValueError] = []

        def objective(params: Mapping[str, Any]) -> dict[str, Any]:
            try:
                results = evaluate_candidates([params])
            except ValueError as failure:  # none of the setting's fits succeeded
                if self.error_score == "raise":
                    raise
                failures.append(failure)
                return {"status": STATUS_FAIL, "failure": str(failure), "params": params}
            return {"status": STATUS_OK, "loss": -self._score_in(results), "params": params}

        n_before = len(self.trials_)
        if n_before and self.trials_.best_trial is not None:
            # scikit-learn takes the best of what this fit evaluates.
            evaluate_candidates([self.trials_.best_trial["result"]["params"]])
        fmin(
            objective,
            self.space,
            algo=self.algo,
            max_evals=self.max_evals,
            rstate=self.random_state,
            trials=self.trials_,
            return_argmin=False,
            show_progressbar=bool(self.verbose),
        )
        if failures and len(failures) == len(self.trials_) - n_before:
            raise failures[0]

    def _trials_to_use(self) -> Trials:
        if self.warm_start and hasattr(self, "trials_"):
            return self.trials_
        if self.trials is None:
            return Trials()
        if self.trials.asynchronous:
            raise InvalidOption(
                f"HyperoptSearchCV evaluates in this process, but {self.trials!r} leaves that to "
                "workers; give Trials(), and n_jobs for several folds at once"
            )
        if len(self.trials) and not self.warm_start:
            raise InvalidOption(
                f"trials holds {len(self.trials)} trials already; set warm_start=True to go on "
                "from them, or give an empty Trials()"
            )
        return self.trials

    def _score_in(self, results: Mapping[str, Any]) -> float:
        """The mean score of the setting that was evaluated last."""
        for name in ("mean_test_score", f"mean_test_{self.refit}"):
            if name in results:
                return float(results[name][-1])
        names = [name.removeprefix("mean_test_") for name in results if "mean_test_" in name]
        raise InvalidOption(
            f"scoring has several scores ({', '.join(names)}), but refit={self.refit!r} names "
            "none of them; name the one to maximise"
        )
