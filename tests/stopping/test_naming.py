"""Rules as plain data."""

from __future__ import annotations

import json

import pytest

from hpo.exceptions import InvalidOption
from hpo.stopping import ASHA, CurveRule, Hyperband, MedianRule, as_data, from_data


@pytest.mark.parametrize(
    "rule",
    [ASHA(3, 81, eta=4, promote=False), Hyperband(1, 27), MedianRule(warmup_steps=2), CurveRule()],
)
def test_a_rule_comes_back_from_json_as_it_was(rule):
    assert from_data(json.loads(json.dumps(as_data(rule)))) == rule


def test_a_rule_of_ones_own_has_no_name():
    class Mine:
        def should_stop(self, curve, history):
            return False

    with pytest.raises(InvalidOption, match="type Mine cannot be stored as data"):
        as_data(Mine())


def test_an_unknown_name_is_answered_with_a_known_one():
    with pytest.raises(InvalidOption, match="unknown stopping rule 'ASHAA'; did you mean 'ASHA'"):
        from_data({"rule": "ASHAA"})
