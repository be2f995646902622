"""A copy is what `dataclasses.replace` makes, and an id is read only in its usual form."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from requests_app.domain.actors import Actor
from requests_app.domain.copies import copied
from requests_app.domain.errors import Malformed
from requests_app.domain.evaluation import Question
from requests_app.domain.ids import as_id

KEY = UUID("0f8fad5b-d9cb-469f-a165-70867728950e")


def test_a_copy_has_the_changes_and_leaves_the_first_as_it_was() -> None:
    first = Actor.system("test")
    assert copied(first, request_id="1", ip="::1") == replace(first, request_id="1", ip="::1")
    assert first == Actor.system("test")


@pytest.mark.parametrize(
    ("text", "is_id"),
    [
        (str(KEY), True),
        (str(KEY).upper(), True),
        (KEY.hex, False),
        (f"{{{KEY}}}", False),
        (KEY.urn, False),
        (f" {KEY}", False),
        (f"{KEY}\n", False),
        (str(KEY).replace("0", "\uff10"), False),
        (str(KEY).replace("-", "", 1) + "-", False),
        ("a name", False),
        ("", False),
    ],
)
def test_an_id_is_read_only_in_its_usual_form(text: str, is_id: bool) -> None:
    assert as_id(text) == (KEY if is_id else None)


@pytest.mark.parametrize("name", ["subject_type", "subject", "action", "service", "resource", "tenant", "item"])
@pytest.mark.parametrize("text", ["\0", "\ud800", "ä\0", "x" * 1025])
def test_a_text_that_can_not_be_stored_is_refused_in_each_part_of_a_question(name: str, text: str) -> None:
    texts = {"subject_type": "user", "subject": "s", "action": "read", "service": "s", "resource": "r"}
    with pytest.raises(Malformed):
        Question(**{**texts, name: text})
