"""The order of the levels of access: a wider one covers a narrower one, never the other way round."""

from __future__ import annotations

from itertools import product

import pytest

from requests_app.domain.errors import Unacceptable
from requests_app.domain.levels import (
    NEEDED,
    Action,
    Level,
    Offer,
    can_change,
    covering,
    covers,
    declared,
    offers_of,
)

#: From the narrowest to the widest, written here a second time so that nobody changes the order by accident.
ORDER = ["names", "view", "read", "act_as"]


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
    assert {**NEEDED} == {
        "list": "names",
        "view": "view",
        "read": "read",
        "download": "read",
        "act_as": "act_as",
    }
    assert set(NEEDED) == set(Action)


def test_only_act_as_changes_things_and_an_unknown_level_might() -> None:
    assert [level for level in ORDER if can_change(level)] == ["act_as"]
    assert can_change("")
    assert can_change("everything")


def test_nothing_is_changed_through_a_connector_even_if_a_stored_text_says_so() -> None:
    assert [offer.level for offer in offers_of("view\nact_as", is_external=True)] == ["view", "act_as"]
    assert [offer.level for offer in offers_of("view\nact_as", is_external=False)] == ["view"]
    assert [offer.level for offer in offers_of("act_as", is_external=False)] == ["names", "view", "read"]


@pytest.mark.parametrize(
    ("wanted", "stored"),
    [
        ("", ""),
        ("read\n\nnames\n", ""),
        ("names\nview", "names\nview"),
        (" view|see pages |open pages\r\nnames", "names\nview | see pages | open pages"),
        ("view | | open pages", "view |  | open pages"),
        ("names\nread | take a copy", "names\nread | take a copy"),
        ("names\nread | the customer’s copy", "names\nread | the customer’s copy"),
        ("act_as | act as your user\nview", "view\nact_as | act as your user"),
        ([], ""),
        ([Offer("read", "take a copy"), Offer("names")], "names\nread | take a copy"),
    ],
)
def test_a_service_declares_its_levels_in_any_order(wanted: str | list[Offer], stored: str) -> None:
    found = declared(wanted, is_external=True)
    assert found == stored
    assert declared(found, is_external=True) == stored
    levels = [offer.level for offer in offers_of(found, is_external=True)]
    assert levels == sorted(levels, key=ORDER.index)


def test_without_a_declaration_only_what_we_hold_ourselves_has_view() -> None:
    assert [offer.level for offer in offers_of("", is_external=False)] == ["names", "view", "read"]
    assert [offer.level for offer in offers_of("", is_external=True)] == ["names", "read"]


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("write", "no level “write”"),
        ("NAMES", "no level “NAMES”"),
        ("| names", "no level “”"),
        ("names\nview\nnames | again", "“names” is there twice"),
        ("view | a | b | c", "at most two"),
        (f"view | {'x' * 201}", "between 0 and 200"),
        ("view | \u202esee", "invisible character"),
        ("view | =1+1", "formula"),
        ("view | pages”. Nothing can be changed. Quillo says: “x", "quotation marks"),
        ('view | pages". Nothing can be changed', "quotation marks"),
        ("view | pages＂. Nothing can be changed", "quotation marks"),
        ("view | pages″ Nothing can be changed", "quotation marks"),
        ("view | pages’’. Nothing can be changed", "quotation marks"),
        ("view | see pages | pages» Nothing can be changed", "quotation marks"),
        ([Offer("view", "a | b")], "can’t contain"),
        ([Offer("view\nread")], "no level"),
        ("names\nact_as", "Only an external service"),
        ("names\nАct_as", "no level"),
        ("names\nact_as\u200b", "no level"),
    ],
)
def test_what_no_service_can_declare_is_refused(wanted: str | list[Offer], why: str) -> None:
    with pytest.raises(Unacceptable, match=why) as refusal:
        declared(wanted, is_external=False)
    assert refusal.value.field == "levels"
