"""What is worth another try, and what is not."""

from __future__ import annotations

import pytest
from pymongo.errors import OperationFailure

from hpo.exceptions import ServerUnreachable, StoreError
from hpo.store.mongo.failures import Patience

NO_KEYS = OperationFailure("No keys found for HMAC that is valid for time", 211)


def answering(*answers):
    left = list(answers)

    def action():
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return action


def test_a_primary_that_has_not_yet_read_its_keys_is_waited_for():
    assert Patience(5.0, "here")(answering(NO_KEYS, NO_KEYS, "done")) == "done"


def test_one_that_never_does_counts_as_away():
    with pytest.raises(ServerUnreachable, match="No keys found"):
        Patience(0.0, "here")(answering(NO_KEYS, NO_KEYS))


def test_a_refusal_is_final():
    with pytest.raises(StoreError, match="not now"):
        Patience(5.0, "here")(answering(OperationFailure("not now", 2), "never asked for"))
