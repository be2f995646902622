"""The sentences that people read before they decide."""

from __future__ import annotations

from typing import Any

import pytest

from requests_app.models import AccessRequest, ContentAccess, Person, Resource
from requests_app.queries import access
from requests_app.words import sentences
from tests.cast import Cast


def _row(cast: Cast, **fields: Any) -> AccessRequest:
    return AccessRequest.objects.get(pk=cast.submitted(**fields).pk)


def _things(*kinds: str) -> list[Resource]:
    return [Resource(kind=kind, name=f"{kind} {n}") for n, kind in enumerate(kinds, 1)]


def test_the_sentence_says_who_wants_what_how_long_and_why(cast: Cast) -> None:
    assert sentences.asks(_row(cast)) == (
        "Priya Test, an engineer at Microsoft, asks to read messages in 1 mailbox (finance@contoso.example) "
        "for 2 hours. The engineer’s reason: “The invoices of November are missing from the mailbox's index; nothing "
        "else shows why.”"
    )


@pytest.mark.parametrize(
    ("level", "kinds", "words"),
    [
        ("read", ["mailbox", "mailbox"], "read messages in 2 mailboxes (mailbox 1, mailbox 2)"),
        (
            "names",
            ["mailbox"],
            "see the senders, dates and subjects of messages in 1 mailbox (mailbox 1)",
        ),
        (
            "names",
            ["library", "library"],
            "see the names of documents in 2 document libraries (library 1, library 2)",
        ),
        (
            "read",
            ["library", "mailbox"],
            "read documents in 1 document library (library 1) and read messages in 1 mailbox (mailbox 2)",
        ),
        ("read", ["database"] * 5, "read records in 5 databases (database 1, database 2, database 3 and 2 more)"),
    ],
)
def test_the_level_is_described_in_words_that_fit_the_kind(level: str, kinds: list[str], words: str) -> None:
    assert sentences.reading(level, _things(*kinds)) == words


def test_every_kind_of_resource_has_its_words() -> None:
    for kind in Resource.Kind.values:
        for level in ("read", "names"):
            assert sentences.reading(level, _things(kind))
        assert sentences.amount(_things(kind)).startswith("1 ")
        looks = {"opened": 1, "listed": 0, "resources": 1}
        assert sentences.summary({"kinds": {kind: looks}}, enforced_by="").endswith(sentences.amount(_things(kind)))


def test_a_long_reason_is_cut_to_its_first_line() -> None:
    someone = Person(name="Priya N.")
    words = sentences.wants(
        engineer=someone,
        resources=_things("mailbox"),
        level="read",
        window_for=1800,
        justification="\n" + "x" * 400 + "\nsecond line",
    )
    assert words.endswith("x…”")
    assert "second" not in words
    assert len(words) < 300


def test_a_name_of_mixed_alphabets_is_marked_in_the_sentence() -> None:
    someone = Person(name="P\u0440iya N.")
    words = sentences.wants(
        engineer=someone, resources=_things("mailbox"), level="read", window_for=1800, justification="Because."
    )
    assert "letters of different alphabets" in words


def test_the_button_names_the_act(cast: Cast) -> None:
    assert sentences.button(_row(cast)) == "Approve 2 hours of read access to 1 mailbox"
    row = _row(cast, level="names", window_for=1800)
    assert sentences.button(row) == "Approve 30 minutes of names-only access to 1 mailbox"
    row = _row(cast, level="view", window_for=1800)
    assert sentences.button(row) == "Approve 30 minutes of view-only access to 1 mailbox"


def test_accesses_are_counted_by_item_and_by_resource(cast: Cast) -> None:
    grant = cast.opened()
    other = cast.resource(name="legal")
    looks = [(cast.resource(), "a"), (cast.resource(), "a"), (cast.resource(), "b"), (other, "a")]
    for resource, item in looks:
        ContentAccess.objects.create(
            tenant=cast.contoso, grant=grant, resource=resource, kind="opened", item_id=item, at=grant.opens_at
        )
    for names in (range(12), range(6, 18), range(18)):
        columns = ContentAccess.objects.columns_of_list(grant, other, map(str, names))
        ContentAccess.objects.create(
            tenant=cast.contoso, grant=grant, resource=other, kind="listed", at=grant.opens_at, **columns
        )
    seen = access.seen_resources([grant.pk])[grant.pk]
    assert (seen["opened"], seen["resources"], seen["listed"]) == (3, 2, 18)
    assert sentences.summary(seen, enforced_by="") == (
        "1 document read and 18 items listed in 1 document library; 2 messages read in 1 mailbox"
    )


def test_no_access_is_reported_as_such(cast: Cast) -> None:
    grant = cast.opened()
    seen = access.seen_resources([grant.pk])[grant.pk]
    assert sentences.summary(seen, enforced_by="") == "nothing was opened or listed"


@pytest.mark.parametrize(
    ("looks", "allowed", "words"),
    [
        ({"opened": 0, "listed": 25, "resources": 1}, 0, "25 items listed and nothing opened in 1 mailbox"),
        ({"opened": 0, "listed": 0, "resources": 2}, 0, "0 items listed and nothing opened in 2 mailboxes"),
        (
            {"opened": 0, "listed": 1, "resources": 1},
            1,
            "1 item listed in 1 mailbox; 1 allowed access through another service",
        ),
        ({"opened": 3, "listed": 25, "resources": 1}, 0, "3 messages read and 25 items listed in 1 mailbox"),
    ],
)
def test_nothing_opened_is_reported_only_if_it_is_certain(looks: dict[str, int], allowed: int, words: str) -> None:
    assert sentences.summary({"kinds": {"mailbox": looks}, "allowed": allowed}, enforced_by="").startswith(words)
