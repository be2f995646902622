"""The page of a tenant's witnesses: their states, who can change them, and what approvers see."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from audit_app import checkpoints, cosigning, keys
from audit_app.models import Cosignature, LogAlarm, Witness
from audit_app.notes import Head, Note
from requests_app import operations
from requests_app.domain import clock
from requests_app.models import AccessRequest, Grant, Tenant
from tests.cast import PASSWORD, Cast, events_in, events_of
from tests.factors import anybodys_code
from tests.web.pages import nothing_happens, only_a_refusal, queries_of, signed_in
from tests.witness import SmallWitness, sign, witness_answer

pytestmark = pytest.mark.django_db

URL = "https://witness.contoso.example/"


def page(cast: Cast, tenant: str = "contoso") -> str:
    return reverse("web:log_rules", args=[cast.tenants[tenant].pk])


def removal(cast: Cast, witness: Witness, tenant: str = "contoso") -> str:
    return reverse("web:remove_witness", args=[cast.tenants[tenant].pk, witness.pk])


def text(response: Any) -> str:
    """Return the visible text of a page as one line."""
    apart = re.sub(
        r"<(/?(?:li|td|th|tr|p|div|dt|dd|br|h\d|section|a|strong|option))\b[^>]*>", " ", response.content.decode()
    )
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", apart)).split())


def register(cast: Cast, small: SmallWitness, tenant: str = "contoso", by: str = "ines") -> Witness:
    return operations.add_witness(cast.tenants[tenant].pk, vkey=small.vkey, url=URL, actor=cast.as_(by))


def collect(small: SmallWitness) -> None:
    cosigning.collect(clock.now, small.post)


def rule(cast: Cast, hours: int | None, tenant: str = "contoso", by: str = "ines") -> None:
    operations.set_cosigning(cast.tenants[tenant].pk, hours=hours, actor=cast.as_(by))


def state() -> list[Any]:
    return [
        list(Witness.objects.order_by("pk").values_list("pk", "vkey", "url")),
        list(Tenant.objects.order_by("pk").values_list("pk", "cosigned_within")),
    ]


@contextmanager
def no_change() -> Iterator[None]:
    before = state()
    with nothing_happens():
        yield
    assert state() == before


@contextmanager
def refused() -> Iterator[None]:
    before = state()
    with only_a_refusal():
        yield
    assert state() == before


# --- Who can act -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mia", "ada", "otto", "ines", "stella"])
def test_everybody_of_the_tenant_reads(cast: Cast, name: str) -> None:
    register(cast, SmallWitness())
    with no_change():
        response = signed_in(cast, name).get(page(cast))
    assert response.status_code == 200
    assert "witness.contoso.example" in text(response)
    assert ("Add a witness" in text(response)) == (name == "ines")


@pytest.mark.parametrize("name", ["frida", "finn", "priya", "pat"])
def test_for_strangers_and_the_providers_people_there_is_nothing(cast: Cast, name: str) -> None:
    witness = register(cast, SmallWitness())
    client = signed_in(cast, name)
    posts: list[tuple[str, dict[str, Any]]] = [
        (page(cast), {"hours": "8"}),
        (page(cast), {"vkey": SmallWitness().vkey, "url": URL}),
        (removal(cast, witness), {}),
    ]
    with no_change():
        for where, data in posts:
            assert client.get(where).status_code == 404
            assert client.post(where, data).status_code == 404


@pytest.mark.parametrize("name", ["mia", "ada", "otto", "stella"])
def test_only_the_administrator_changes_anything(cast: Cast, name: str) -> None:
    witness = register(cast, SmallWitness())
    client = signed_in(cast, name)
    for where, data in [
        (page(cast), {"hours": "8"}),
        (page(cast), {"vkey": SmallWitness().vkey, "url": URL}),
        (removal(cast, witness), {}),
    ]:
        with refused():
            assert client.post(where, data).status_code == 403, where
    with no_change():
        assert client.get(removal(cast, witness)).status_code == 403
        # The rights are checked before the input, so a person without rights learns nothing about the input.
        assert client.post(page(cast), {"vkey": "", "url": ""}).status_code == 403
        assert client.post(page(cast), {"hours": "5"}).status_code == 403


def test_a_witness_of_another_tenant_is_absent_on_this_ones_pages(cast: Cast) -> None:
    foreign = register(cast, SmallWitness(), "fabrikam", "finn")
    client = signed_in(cast, "ines")
    with no_change():
        assert client.get(removal(cast, foreign)).status_code == 404
        assert client.post(removal(cast, foreign)).status_code == 404


# --- Adding and removing -----------------------------------------------------------------------------------


def test_a_witness_is_added(cast: Cast) -> None:
    small = SmallWitness()
    response = signed_in(cast, "ines").post(page(cast), {"vkey": small.vkey, "url": URL}, follow=True)
    assert "From the next checkpoint on, witness.contoso.example is asked to cosign this log." in text(response)
    assert "The witness is asked for a cosignature within a minute." in text(response)
    assert Witness.objects.get().vkey == small.vkey
    assert events_in(cast.contoso) == ["witness.added"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"vkey": "nonsense"}, "This is not the key of a witness."),
        ({"vkey": ""}, "Fill in this field."),
        ({"url": "ftp://witness.contoso.example/"}, "The address must begin with https://."),
        ({"url": "https://u:p@witness.contoso.example/"}, "Enter the address of the witness"),
    ],
)
def test_a_wrong_value_is_shown_beside_its_field_and_typed_text_stays(
    cast: Cast, given: dict[str, str], words: str
) -> None:
    data = {"vkey": SmallWitness().vkey, "url": URL, **given}
    before = state()
    response = signed_in(cast, "ines").post(page(cast), data)
    assert response.status_code == 422
    assert words in text(response)
    assert state() == before
    [stored] = [value for name, value in data.items() if name not in given]
    assert f'value="{html.escape(stored)}"' in response.content.decode()


def test_an_unexpected_field_of_the_page_is_refused(cast: Cast) -> None:
    client = signed_in(cast, "ines")
    with no_change():
        assert client.post(page(cast), {"vkey": "a", "url": URL, "tenant": "b"}).status_code == 400
        assert client.post(page(cast), {"hours": "8", "tenant": "b"}).status_code == 400


def test_a_witness_is_removed_after_one_more_question(cast: Cast) -> None:
    witness = register(cast, SmallWitness())
    client = signed_in(cast, "ines")
    with no_change():
        asked = client.get(removal(cast, witness))
    assert "From now on, the witness is not asked for cosignatures." in text(asked)
    response = client.post(removal(cast, witness), follow=True)
    assert "The witness witness.contoso.example was removed." in text(response)
    assert Witness.objects.count() == 0
    assert events_in(cast.contoso) == ["witness.added", "witness.removed"]
    assert client.post(removal(cast, witness)).status_code == 404


def test_hidden_characters_in_a_stored_name_are_shown(cast: Cast) -> None:
    witness = register(cast, SmallWitness())
    vkey = SmallWitness("wit\u202eness<b>.example").vkey
    Witness.objects.filter(pk=witness.pk).update(vkey=vkey)
    client = signed_in(cast, "ines")
    asked = client.get(removal(cast, witness)).content.decode()
    assert "\u202e" not in asked
    assert "<title>Remove the witness witU+202Eness&lt;b&gt;.example" in asked
    response = client.post(removal(cast, witness), follow=True).content.decode()
    assert "It no longer cosigns this log." in response
    assert "\u202e" not in response
    assert "<b>.example" not in response


def test_the_last_one_cannot_be_removed_under_the_rule_and_the_page_says_how(cast: Cast) -> None:
    witness = register(cast, SmallWitness())
    rule(cast, 6)
    client = signed_in(cast, "ines")
    asked = client.get(removal(cast, witness))
    assert "First register another witness" in text(asked)
    assert '<form class="action"' not in asked.content.decode().partition("<main")[2]
    with refused():
        assert client.post(removal(cast, witness)).status_code == 409


# --- The rule ----------------------------------------------------------------------------------------------


def test_the_rule_is_offered_only_with_a_witness(cast: Cast) -> None:
    client = signed_in(cast, "ines")
    assert "Save this rule" not in text(client.get(page(cast)))
    register(cast, SmallWitness())
    assert "Save this rule" in text(client.get(page(cast)))
    Witness.objects.all().delete()
    with nothing_happens():
        response = client.post(page(cast), {"hours": "8"})
    assert response.status_code == 422


def test_the_rule_is_set_and_taken_away(cast: Cast) -> None:
    register(cast, SmallWitness())
    client = signed_in(cast, "ines")
    response = client.post(page(cast), {"hours": "8"}, follow=True)
    assert "only if a witness cosigned the log within the last 8 hours." in text(response)
    assert Tenant.objects.get(pk=cast.contoso.pk).cosigned_within == 8
    response = client.post(page(cast), {"hours": "none"}, follow=True)
    assert "From now on a window opens even if no witness cosigned the log." in text(response)
    assert Tenant.objects.get(pk=cast.contoso.pk).cosigned_within is None
    assert events_in(cast.contoso) == ["witness.added", "log.policy_changed", "log.policy_changed"]


def test_a_length_that_is_not_offered_is_refused_beside_the_field(cast: Cast) -> None:
    register(cast, SmallWitness())
    client = signed_in(cast, "ines")
    for wrong in ("5", "-1", "1e9", "x", "None"):
        with no_change():
            response = client.post(page(cast), {"hours": wrong})
        assert response.status_code == 422
        assert "Choose one of the offered lengths." in text(response)


def test_a_rule_of_another_length_is_shown_as_it_is(cast: Cast) -> None:
    register(cast, SmallWitness())
    rule(cast, 36)
    shown = signed_in(cast, "ines").get(page(cast)).content.decode()
    assert '<option value="36" selected>' in shown
    assert "within the last 36 hours" in text(signed_in(cast, "otto").get(page(cast)))


# --- What the page shows -----------------------------------------------------------------------------------


def test_a_witness_is_shown_with_its_state(cast: Cast, travel: Any) -> None:
    small = SmallWitness()
    client = signed_in(cast, "otto")
    assert "No witness watches this log yet" in text(client.get(page(cast)))
    register(cast, small)
    assert "Not asked yet" in text(client.get(page(cast)))
    sign(cast.contoso.pk)
    collect(small)
    assert "Up to date The witness cosigned 1 entry on " in text(client.get(page(cast)))
    cast.ticket()
    sign(cast.contoso.pk)
    assert "Behind The witness cosigned 1 entry on " in text(client.get(page(cast)))
    assert "The last checkpoint has 1 more entry." in text(client.get(page(cast)))
    small.misbehave = lambda _answer: witness_answer(404)
    collect(small)
    assert "Does not cosign The witness does not know this log. Start the witness with the key of this log: " in text(
        client.get(page(cast))
    )
    small.misbehave = lambda _answer: witness_answer(422)
    travel.by(hours=1)
    collect(small)
    assert "Has seen a different log The witness has a checkpoint that does not match this log." in text(
        client.get(page(cast))
    )


def test_the_commands_carry_this_logs_own_key(cast: Cast) -> None:
    client = signed_in(cast, "otto")
    assert "As soon as the log is signed, this page shows how to run a witness." in text(client.get(page(cast)))
    cast.ticket()
    sign(cast.contoso.pk)
    vkey = str(keys.log_key(checkpoints.origin_of(cast.contoso.pk, 0), keys.load().publics[0]))
    assert f"witness.sqlite3 --log '{vkey}'" in text(client.get(page(cast)))


def test_the_page_says_when_no_window_opens_now(cast: Cast, travel: Any) -> None:
    small = SmallWitness()
    register(cast, small)
    sign(cast.contoso.pk)
    collect(small)
    rule(cast, 8)
    client = signed_in(cast, "ada")
    assert "No window opens now" not in text(client.get(page(cast)))
    travel.by(hours=9)
    # Sign in again, because an approver's session ends without activity.
    client = signed_in(cast, "ada")
    assert "No window opens now: no witness has cosigned the log within the last 8 hours" in text(
        client.get(page(cast))
    )


def test_the_page_says_that_an_alarm_stops_windows_and_which_witness_it_is_of(cast: Cast) -> None:
    small = SmallWitness()
    register(cast, small)
    sign(cast.contoso.pk)
    collect(small)
    rule(cast, 8)
    row = cast.confirmed()
    sign(cast.contoso.pk)
    small.misbehave = lambda _answer: witness_answer(422)
    collect(small)
    shown = text(signed_in(cast, "ines").get(page(cast)))
    assert "No window opens now: a witness has seen a different log" in shown
    assert "Has seen a different log The witness has a checkpoint that does not match this log." in shown
    client = signed_in(cast, "ada")
    words = "A witness of Contoso has seen a different log"
    assert words in text(client.get(reverse("web:access_request", args=[row.pk])))
    response = _decide(client, row)
    assert response.status_code == 409
    assert words in text(response)
    assert Grant.objects.count() == 0


def test_the_page_says_that_old_entries_are_not_cosigned(cast: Cast, travel: Any) -> None:
    small = SmallWitness()
    register(cast, small)
    sign(cast.contoso.pk)
    collect(small)
    rule(cast, 8)
    travel.by(hours=9)
    stored = Cosignature.objects.get()
    stored.line = small.line(Head.parse(Note.parse(stored.checkpoint.note).text))
    stored.save()
    shown = text(signed_in(cast, "ines").get(page(cast)))
    assert (
        "No window opens now: the log has entries that are older than 8 hours and that no witness has cosigned" in shown
    )


def test_after_a_tombstone_the_page_says_that_the_witness_needs_the_new_key(cast: Cast) -> None:
    small = SmallWitness()
    register(cast, small)
    sign(cast.contoso.pk)
    collect(small)
    rule(cast, 8)
    client = signed_in(cast, "ines")
    assert "the new log as a different log. Stop the witness" not in text(client.get(page(cast)))
    LogAlarm.objects.create(tenant_id=cast.contoso.pk, since=clock.now(), last_at=clock.now(), code="shorter")
    operations.tombstone(cast.contoso.pk, comment="Restored.", actor=cast.as_("stella"))
    sign(cast.contoso.pk)
    small.misbehave = lambda _answer: witness_answer(404)
    collect(small)
    shown = text(client.get(page(cast)))
    vkey = str(keys.log_key(checkpoints.origin_of(cast.contoso.pk, 1), keys.load().publics[0]))
    assert f"witness.sqlite3 --log '{vkey}'" in shown
    assert (
        "A witness treats the new log as a different log. Stop the witness. Start it again with its own key file"
        in shown
    )
    assert "No window opens now: no witness has cosigned the log" in shown
    assert "the new log has another name, so the command is different" in shown
    # An auditor finds the same message on the log's page.
    log = text(signed_in(cast, "otto").get(reverse("web:log", args=[cast.contoso.pk])))
    assert "the new log has another name, so the command is different" in log


def test_ten_witnesses_cost_what_one_costs(cast: Cast) -> None:
    client = signed_in(cast, "ines")
    register(cast, SmallWitness())
    rule(cast, 8)
    client.get(page(cast))  # the first page of a session also saves the session
    one = queries_of(client, page(cast))
    for number in range(9):
        register(cast, SmallWitness(f"w{number}.example"))
    assert queries_of(client, page(cast)) == one


# --- What approvers see ------------------------------------------------------------------------------------


def _held_up(cast: Cast, travel: Any, tenant: str = "contoso", by: str = "ines") -> None:
    small = SmallWitness()
    register(cast, small, tenant, by)
    sign(cast.tenants[tenant].pk)
    collect(small)
    rule(cast, 8, tenant, by)
    travel.by(hours=9)


def _decide(client: Client, row: AccessRequest, verdict: str = "approve", comment: str = "So be it.") -> Any:
    form = {"comment": comment, "digest": row.content_digest, "shown": row.state}
    if verdict == "approve":
        form |= {"password": PASSWORD, "code": anybodys_code()}
    return client.post(reverse("web:decide", args=[row.pk, verdict]), form)


def test_an_approver_is_warned_before_the_click_and_refused_after_it(cast: Cast, travel: Any) -> None:
    _held_up(cast, travel)
    row = cast.confirmed()
    client = signed_in(cast, "ada")
    words = "No witness has cosigned the log of Contoso within the last 8 hours"
    for where in ("web:access_request", "web:decide"):
        ids = [row.pk] if where == "web:access_request" else [row.pk, "approve"]
        shown = text(client.get(reverse(where, args=ids)))
        assert "You can’t approve this access request now" in shown
        assert words in shown
    assert words not in text(client.get(reverse("web:decide", args=[row.pk, "deny"])))
    response = _decide(client, row)
    assert response.status_code == 409
    assert words in text(response)
    assert AccessRequest.objects.get(pk=row.pk).state == "PENDING_CUSTOMER"
    assert Grant.objects.count() == 0
    assert events_of(row)[-1] == "act.refused"
    assert _decide(client, row, "deny").status_code == 302
    assert AccessRequest.objects.get(pk=row.pk).state == "DENIED"


def test_an_approver_gets_no_warning_if_the_approval_counts(cast: Cast, travel: Any) -> None:
    small = SmallWitness()
    register(cast, small)
    sign(cast.contoso.pk)
    collect(small)
    rule(cast, 8)
    row = cast.confirmed()
    client = signed_in(cast, "ada")
    assert "would be refused" not in text(client.get(reverse("web:access_request", args=[row.pk])))
    assert _decide(client, row).status_code == 302
    assert AccessRequest.objects.get(pk=row.pk).state == "OPEN"


def test_the_provider_is_warned_only_if_its_own_approval_opens_the_window(cast: Cast, travel: Any) -> None:
    _held_up(cast, travel)
    asked = cast.submitted()
    client = signed_in(cast, "pat")
    assert "would be refused" not in text(client.get(reverse("web:access_request", args=[asked.pk])))
    small = SmallWitness("w.northwind.example")
    register(cast, small, "northwind", "noah")
    rule(cast, 8, "northwind", "noah")
    opening = cast.submitted("northwind")
    assert "No witness has cosigned the log of Northwind" in text(
        client.get(reverse("web:access_request", args=[opening.pk]))
    )
    assert _decide(client, opening).status_code == 409
    assert AccessRequest.objects.get(pk=opening.pk).state == "PENDING_PROVIDER"


def test_the_log_says_in_words_what_was_done(cast: Cast) -> None:
    witness = register(cast, SmallWitness())
    register(cast, SmallWitness("second.example"))
    rule(cast, 8)
    operations.remove_witness(cast.contoso.pk, witness.pk, actor=cast.as_("ines"))
    rule(cast, None)
    shown = text(signed_in(cast, "otto").get(reverse("web:log", args=[cast.contoso.pk])))
    assert "added the witness witness.contoso.example at https://witness.contoso.example/" in shown
    assert "set this rule: a window opens only if a witness cosigned the log within the last 8 hours" in shown
    assert "set this rule: a window opens even if no witness cosigned the log" in shown
    assert "removed the witness witness.contoso.example" in shown
