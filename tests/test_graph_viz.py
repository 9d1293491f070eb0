"""Search spaces as graphs in the dot language."""

from __future__ import annotations

import re

from hpo import hp
from hpo.graph_viz import dot_hyperparameters

BOX = re.compile(r'^"(.+)" \[ shape=box\];$', re.MULTILINE)
ELLIPSE = re.compile(r'^"(.+)" \[ shape=ellipse\];$', re.MULTILINE)
EDGE = re.compile(r'^"(.+)" -> "(.+)";$', re.MULTILINE)


def test_every_hyperparameter_is_a_box_and_hangs_on_the_value_that_makes_it_active():
    space = {
        "model": hp.choice(
            "model", [{"depth": hp.randint("depth", 9)}, {"c": hp.lognormal("c", 0, 1)}]
        ),
        "seed": hp.randint("seed", 5),
    }

    dot = dot_hyperparameters(space)

    assert dot.startswith("digraph {\n") and dot.endswith("}\n")
    assert sorted(BOX.findall(dot)) == ["c", "depth", "model", "seed"]
    assert sorted(ELLIPSE.findall(dot)) == ["model=0", "model=1"]
    assert sorted(EDGE.findall(dot)) == [
        ("model", "model=0"),
        ("model", "model=1"),
        ("model=0", "depth"),
        ("model=1", "c"),
    ]


def test_several_conditions_meet_in_a_node_of_their_own():
    inner = hp.choice("inner", [0, hp.uniform("x", 0, 1)])

    dot = dot_hyperparameters(hp.choice("outer", [inner, 1]))

    into_x = [source for source, target in EDGE.findall(dot) if target == "x"]
    assert into_x == ["outer=0 & inner=1"]
    assert ("outer=0", "outer=0 & inner=1") in EDGE.findall(dot)
    assert ("inner=1", "outer=0 & inner=1") in EDGE.findall(dot)


def test_a_distribution_computed_from_another_hyperparameter_hangs_on_it():
    low = hp.uniform("low", 0, 1)

    dot = dot_hyperparameters([low, hp.uniform("x", low, 2)])

    assert EDGE.findall(dot) == [("low", "x")]


def test_what_is_always_active_hangs_on_nothing():
    shared = hp.uniform("shared", 0, 1)

    dot = dot_hyperparameters(hp.choice("c", [shared, shared + 1]))

    assert EDGE.findall(dot) == []


def test_no_line_stands_twice():
    space = hp.choice("c", [0, [hp.uniform("x", 0, 1), hp.uniform("y", 0, 1)]])

    lines = dot_hyperparameters(space).splitlines()

    assert len(lines) == len(set(lines))


def test_labels_are_escaped():
    dot = dot_hyperparameters(hp.uniform('a "quoted" \\ label', 0, 1))

    assert '"a \\"quoted\\" \\\\ label" [ shape=box];' in dot
