"""How two search spaces differ."""

from __future__ import annotations

from hpo.space.changes import space_changes


def test_changes_of_a_space_are_told_label_by_label():
    before = [
        {"label": "lr", "kind": "uniform", "low": 0},
        {"label": "depth", "kind": "randint"},
    ]
    after = [{"label": "lr", "kind": "uniform", "low": 1}, {"label": "width", "kind": "randint"}]

    assert space_changes(before, after) == [
        "width: added",
        "depth: removed",
        "lr: low 0 -> 1",
    ]
    assert space_changes(before, before) == ["its structure around the hyperparameters"]
