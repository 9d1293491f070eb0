"""The values that were used last are made once."""

from __future__ import annotations

from hpo.surrogate.recent import Recent


def test_what_was_used_last_is_kept_and_the_rest_made_again():
    made = []
    recent = Recent(2)

    def get(key):
        return recent.get(key, lambda: made.append(key) or key.upper())

    assert [get(key) for key in "abacab"] == list("ABACAB")
    # At c, b was the one that had not been used for longest; at b it was c.
    assert made == ["a", "b", "c", "b"]
    assert len(recent) == 2


def test_nothing_that_could_not_be_made_is_kept():
    recent = Recent(2)

    for _ in range(2):
        try:
            recent.get("a", lambda: 1 // 0)
        except ZeroDivisionError:
            pass

    assert len(recent) == 0


def test_making_one_value_may_ask_for_another():
    recent = Recent(4)

    def factorial(n):
        return recent.get(n, lambda: n * factorial(n - 1) if n else 1)

    assert factorial(10) == 3628800
    assert len(recent) == 4


def test_values_that_are_lacking_are_made_together():
    recent, made = Recent(3), []
    recent.get("b", lambda: "B")

    def make(places):
        made.append([*places])
        return ["abcd"[place].upper() for place in places]

    # More than it keeps: all are returned, those used last are kept.
    assert recent.get_all("abcd", make) == list("ABCD")
    assert recent.get_all("bcd", make) == list("BCD")

    assert made == [[0, 2, 3]]
    assert len(recent) == 3


def test_what_is_asked_for_twice_at_once_is_made_once():
    recent, made = Recent(3), []

    def make(places):
        made.extend(places)
        return [f"made for {place}" for place in places]

    first, second, third = recent.get_all("aba", make)

    assert first == third != second
    assert len(made) == len(recent) == 2
