"""What is worth another try, and what is not."""

from __future__ import annotations

import pytest
from pymongo.errors import CursorNotFound, OperationFailure, WriteConcernError

from hpo.exceptions import ServerUnreachable, StoreError
from hpo.store.mongo.failures import Patience, translated

NO_KEYS = OperationFailure("No keys found for HMAC that is valid for time", 211)
# As MongoDB 6.0.5 said them while its primary was killed or resigned.
RESIGNED = WriteConcernError("operation was interrupted", 11602)
CURSOR_GONE = CursorNotFound("cursor id 5 not found", 43)


def answering(*answers):
    left = list(answers)

    def action():
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return action


@pytest.mark.parametrize("failure", [NO_KEYS, RESIGNED, CURSOR_GONE], ids=lambda one: one.code)
def test_what_an_election_interrupts_is_tried_again(failure):
    assert Patience(5.0, "here")(answering(failure, failure, "done")) == "done"


def test_an_answer_that_breaks_off_counts_as_the_servers_absence():
    with pytest.raises(ServerUnreachable, match="cursor id"), translated("here"):
        raise CURSOR_GONE


def test_one_that_never_does_counts_as_away():
    with pytest.raises(ServerUnreachable, match="No keys found"):
        Patience(0.0, "here")(answering(NO_KEYS, NO_KEYS))


def test_a_refusal_is_final():
    with pytest.raises(StoreError, match="not now"):
        Patience(5.0, "here")(answering(OperationFailure("not now", 2), "never asked for"))
