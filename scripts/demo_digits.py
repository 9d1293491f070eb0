"""Tune three classifiers on scikit-learn's digits, with worker processes and a real MongoDB.

The search space is conditional: which hyperparameters exist depends on the
classifier. The MongoDB is the embedded one, in a directory of this demo; the
documents stay there, and the demo ends with queries to look at them.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sklearn.datasets import load_digits

from hpo import STATUS_OK, MongoTrials, fmin, hp, tpe
from hpo.plotting import plot_history

SPACE = {
    "scale": hp.choice("scale", [True, False]),
    "classifier": hp.choice(
        "classifier",
        [
            {
                "kind": "support vectors",
                "C": hp.loguniform("svm_C", math.log(1e-2), math.log(1e3)),
                "gamma": hp.loguniform("svm_gamma", math.log(1e-5), math.log(1e-1)),
            },
            {
                "kind": "random forest",
                "n_estimators": hp.uniformint("forest_trees", 10, 120),
                "max_features": hp.uniform("forest_features", 0.05, 0.5),
                "min_samples_leaf": hp.uniformint("forest_leaf", 1, 10),
            },
            {
                "kind": "nearest neighbours",
                "n_components": hp.uniformint("neighbour_components", 8, 64),
                "n_neighbors": hp.uniformint("neighbours", 1, 20),
                "weights": hp.choice("neighbour_weights", ["uniform", "distance"]),
            },
        ],
    ),
}

# These arrays travel to the workers inside the objective, once for each worker.
IMAGES, DIGITS = load_digits(return_X_y=True)


def objective(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The share of digits that a classifier gets wrong, cross-validated."""
    from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    steps = [StandardScaler()] if configuration["scale"] else []
    model = make_pipeline(*steps, classifier(configuration["classifier"]))
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=4, random_state=0)
    accuracies = cross_val_score(model, IMAGES, DIGITS, cv=folds)
    return {
        "status": STATUS_OK,
        "loss": 1 - accuracies.mean(),
        "fold_accuracies": accuracies,  # whatever else is returned stands in the document, too
    }


def classifier(options: Mapping[str, Any]) -> Any:
    """Build the classifier that one branch of the space describes."""
    from sklearn.decomposition import PCA
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    arguments = dict(options)
    kind = arguments.pop("kind")
    if kind == "support vectors":
        return SVC(**arguments)
    if kind == "random forest":
        return RandomForestClassifier(**arguments, random_state=0)
    projection = PCA(arguments.pop("n_components"), random_state=0)
    return make_pipeline(projection, KNeighborsClassifier(**arguments))


def main() -> int:
    """Search, then show what was found and how to look at it."""
    options = _options()
    # In a log file, what is said here and the progress of the search come in order.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    directory = options.directory.resolve()
    url = f"embedded:{directory / 'mongo'}"
    exp_key = f"digits-{datetime.now(timezone.utc):%Y%m%d-%H%M%S}"
    print(f"Tuning three classifiers on {len(DIGITS)} images of digits, experiment {exp_key!r}:")
    print(f"{options.max_evals} trials on {options.workers} workers, documents in {directory}")

    began = time.monotonic()
    fmin(
        objective,
        SPACE,
        algo=tpe.suggest,
        max_evals=options.max_evals,
        trials=url,
        exp_key=exp_key,
        workers=options.workers,
    )
    secs = time.monotonic() - began

    trials = MongoTrials(url, exp_key=exp_key)
    _print_best(trials, secs)
    picture = directory / "history.png"
    plot_history(trials, picture, title=f"Digits: {len(trials)} trials in {secs:.0f} s")
    print(f"\nOptimisation history: {picture}")
    _print_queries(url, exp_key)
    trials.close()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--max-evals", type=int, default=60, help="trials (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=4, help="processes (default: %(default)s)")
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(__file__).resolve().parent.parent / "demo",
        help="where MongoDB's data and the picture go (default: demo/ in the checkout)",
    )
    return parser.parse_args()


def _print_best(trials: MongoTrials, secs: float) -> None:
    best = trials.best_trial
    print(f"\nBest of {len(trials)} trials after {secs:.0f} s: {best['result']['loss']:.2%} wrong")
    for name, value in _readable(best["params"]).items():
        print(f"  {name} = {value}")
    ended = [trial for trial in trials.trials if trial["result"].get("loss") is not None]
    print("\nThe best five")
    print(f"  {'loss':>7}  {'trial':>5}  {'seconds':>7}  configuration")
    for trial in sorted(ended, key=lambda trial: trial["result"]["loss"])[:5]:
        took = (trial["finish_time"] - trial["book_time"]).total_seconds()
        configuration = ", ".join(f"{k}={v}" for k, v in _readable(trial["params"]).items())
        loss = trial["result"]["loss"]
        print(f"  {loss:7.4f}  {trial['number']:5d}  {took:7.1f}  {configuration}")


def _readable(params: Mapping[str, Any]) -> dict[str, str]:
    """The active hyperparameters on one line each; a chosen classifier by its kind."""
    named = {
        name: value["kind"] if isinstance(value, Mapping) else value
        for name, value in params.items()
    }
    return {
        name: f"{value:.4g}" if isinstance(value, float) else str(value)
        for name, value in named.items()
    }


def _print_queries(url: str, exp_key: str) -> None:
    """Commands that work as they stand, now and later: `embedded:` starts the server again."""
    tools = Path(sys.executable).parent
    quoted_url, directory = shlex.quote(url), shlex.quote(url.removeprefix("embedded:"))
    query = (
        f'db.trials.find({{experiment: "{exp_key}", state: "done"}}).sort({{loss: 1}}).limit(3)'
    )
    print(f"""
The documents are there to be asked. With the command line:

  $ {tools}/hpo best {quoted_url} {exp_key} -n 5

With pymongo, for example the mean loss of each classifier:

  $ {tools}/python - <<'END'
from hpo import MongoTrials
view = MongoTrials({url!r}).handle.db["trials"]
by_kind = {{"_id": "$params.classifier.kind", "trials": {{"$sum": 1}}, "mean_loss": {{"$avg": "$loss"}}}}
for row in view.aggregate([{{"$match": {{"experiment": {exp_key!r}}}}}, {{"$group": by_kind}}]):
    print(row)
END

With mongosh, while `{tools}/hpo serve --dir {directory}` runs in another terminal:

  $ mongosh "$(cat {directory}/url)" --eval '{query}'
""")  # noqa: E501  (lines of a terminal, to be copied whole)


if __name__ == "__main__":
    raise SystemExit(main())
