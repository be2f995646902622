"""The order of the levels of access: a wider one covers a narrower one, never the other way round."""

from __future__ import annotations

from itertools import product

import pytest

from requests_app.domain.levels import NEEDED, Action, Level, covering, covers

#: From the narrowest to the widest, written here a second time so that nobody changes the order by accident.
ORDER = ["names", "view", "read"]


@pytest.mark.parametrize(("granted", "needed"), list(product(ORDER, ORDER)))
def test_a_wider_level_covers_a_narrower_one_and_never_the_other_way_round(granted: str, needed: str) -> None:
    assert covers(granted, needed) is (ORDER.index(granted) >= ORDER.index(needed))
    assert (granted in covering(needed)) is covers(granted, needed)


def test_an_unknown_level_covers_nothing_and_is_covered_by_nothing() -> None:
    assert list(Level) == ORDER
    for known in ORDER:
        assert not covers("everything", known)
        assert not covers(known, "everything")
    assert not covers("", "")
    assert covering("everything") == []


def test_each_action_needs_one_level() -> None:
    assert {**NEEDED} == {"list": "names", "view": "view", "read": "read", "download": "read"}
    assert set(NEEDED) == set(Action)
