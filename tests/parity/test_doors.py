"""An act writes the same entry through every interface. Only the interface's name in the entry differs."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.contrib import admin
from django.db import transaction
from django.test import Client
from django.urls import reverse

from audit_app import checkpoints
from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.acts import ACTS, SCOPES
from requests_app.domain.acts.declaration import Door
from requests_app.domain.errors import ChangeProposed
from requests_app.domain.lifecycle import TICKET_TRANSITIONS, TRANSITIONS
from requests_app.models import OutboxMessage
from requests_app.models.people import actor_of_token
from tests import acts
from tests.acts import CASES, act_of
from tests.caller import Caller, access_token, client_of, token_of
from tests.cast import Cast
from tests.factors import force_login
from tests.golden import recorded

pytestmark = pytest.mark.django_db


def _entries(since: int) -> list[dict[str, Any]]:
    rows = AuditEntry.objects.filter(pk__gt=since).order_by("pk")
    return [_stripped(json.loads(bytes(row.canonical))) for row in rows]


def _stripped(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entry without its interface, and with numbers in place of new ids and references."""
    entry.pop("door")
    text = re.sub(r'"hint": "\w{4}"', '"hint": "new"', json.dumps(entry, sort_keys=True))
    text = re.sub(r"\b(AR|T)-[A-Z2-9]{4}-[A-Z2-9]{4}\b", r"\1-new", text)
    known: dict[str, str] = {}
    for found in re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", text):
        known.setdefault(found, f"id{len(known)}")
    for found, name in known.items():
        text = text.replace(found, name)
    return json.loads(text)


#: Topic, audiences, and the names of what the message says.
Messages = list[tuple[str, tuple[str, ...], tuple[str, ...]]]


def _messages(since: set[UUID]) -> Messages:
    """Return, for each new message, its topic, its audiences, and the names in its payload."""
    rows = OutboxMessage.objects.exclude(pk__in=since).order_by("topic", "mark")
    return [(row.topic, tuple(row.payload.get("audiences", ())), tuple(sorted(row.payload))) for row in rows]


def _undeclared(name: str, events: set[str], messages: Messages) -> list[tuple[str, tuple[str, ...]]]:
    """Return the mails that are declared neither for the act of this case nor for another act that it triggers.

    For a change that waits for a second person, the mails of proposals are declared.
    """
    done = [act for act in ACTS.values() if events & set(act.events)]
    tells = [tell for act in (ACTS[act_of(name)], *done) for tell in act.tells]
    declared = {(tell.topic, audience) for tell in tells for audience in tell.to}
    held = {"notify.proposal", "notify.staff_change", "notify.second_person"} if "proposal.made" in events else set()
    return [
        (topic, audiences)
        for topic, audiences, _names in messages
        if topic.startswith("notify.")
        and topic not in held
        and not {(topic, audience) for audience in audiences or ("nobody",)} <= declared
    ]


def _seen(run: Callable[[], Any]) -> tuple[list[dict[str, Any]], Messages, str]:
    """Run the act, and roll it back. Return its entries, its messages, and the interface in the entries."""
    last = AuditEntry.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    messages = set(OutboxMessage.objects.values_list("pk", flat=True))
    here = transaction.savepoint()
    run()
    door = AuditEntry.objects.order_by("-pk").values_list("door", flat=True)[0]
    seen = _entries(last), _messages(messages), door
    transaction.savepoint_rollback(here)
    return seen


def _written() -> dict[str, list[str]]:
    """Return what each case writes according to the golden data: lines as `_summary` makes them, by the case's name."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in recorded.lines_of("written.txt"):
        if line.startswith(" "):
            lines.append(line.strip())
        else:
            lines = found[line] = []
    return found


def _changed(name: str, lines: list[str]) -> list[str]:
    """Return how these lines of a case differ from the golden data. With GOLDEN=remake, store them instead."""
    written = _written()
    if not recorded.IS_REMADE:
        return [] if written.get(name) == lines else [f"was {written.get(name)}", f"is  {lines}"]
    written[name] = lines
    now = [line for each in sorted(written) for line in (each, *(f"    {line}" for line in written[each]))]
    return recorded.differences({"written.txt": now})


def _summary(entries: list[dict[str, Any]], messages: Messages) -> list[str]:
    """Return what an act has written, without values: each entry with the names in its detail, and each message."""
    lines = []
    for entry in entries:
        actor, about = entry["actor"], entry["subject"]["type"]
        by = f"{actor['kind']} of {actor['side']}" + (" for a person" if "for" in actor else "")
        lines.append(f"{entry['event']} about {about} by {by}: {', '.join(sorted(entry['detail'])) or 'nothing'}")
    messages_sent = [
        f"{topic} to {', '.join(audiences) or 'nobody'}: {', '.join(names) or 'nothing'}"
        for topic, audiences, names in sorted(messages)
    ]
    return [*lines, *messages_sent]


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_interface_leaves_the_same_entry(cast: Cast, travel: Any, name: str) -> None:
    case = CASES[name]
    # With the clock stopped, no row could be restored from memory (tests/remembered.py).
    token = token_of(cast, case.who) if case.who is not None and case.calls else ""
    row = case.prepare(cast)
    travel.freeze()
    client = Client()
    if case.who is None:
        made, secret = client_of(cast, None, case.scope)
        caller = Caller(access_token(made, secret).json()["access_token"])
        actor = replace(actor_of_token(made.account.tokens.get()), door="command")
    else:
        force_login(client, cast.people[case.who], is_fresh=True)
        caller = Caller(token)
        actor = cast.as_(case.who, door="command")

    def by_operation() -> None:
        # A proposed change writes entries, too.
        with suppress(ChangeProposed):
            case.operation(cast, row, actor)

    wanted, shown, door = _seen(by_operation)
    assert (door, bool(wanted)) == ("command", True)
    # What reads the log and the messages today can read them tomorrow: they change only on purpose.
    assert _changed(name, _summary(wanted, shown)) == []
    assert _undeclared(name, {entry["event"] for entry in wanted}, shown) == []
    doors = {"pages": case.page, "admin": case.admin}
    tried = {name: call for name, call in doors.items() if call is not None}
    assert tried or case.calls
    for door_name, call in tried.items():

        def through(call: Callable[..., Any] = call) -> None:
            response = call(cast, client, row)
            assert response.status_code == case.status, response.content.decode()[-3000:]

        assert _seen(through) == (wanted, shown, door_name)
    for over in case.calls:

        def over_http(over: Callable[..., Any] = over) -> None:
            response = over(cast, caller, row)
            assert response.status_code in (200, 201, 202, 204), response.content.decode()[-3000:]

        assert _seen(over_http) == (wanted, shown, "api")


#: An application does these acts with the secret of its client, and not with a token.
AT_THE_TOKEN_ENDPOINT = ("redeem_code", "exchange_code", "renew_grant_token")
#: A client of the provider does these acts in the name of an engineer, after a denial of the decision point.
OVER_AUTHZEN = ("draft_access", "discard_draft")


def test_every_act_that_a_token_may_do_is_called_over_the_api() -> None:
    called = {act_of(name) for name, case in CASES.items() if case.calls}
    elsewhere = {"export_log", "take_evidence", "enrol_passkey", *AT_THE_TOKEN_ENDPOINT, *OVER_AUTHZEN}
    assert called == SCOPES.keys() - elsewhere


def test_each_interface_of_an_act_has_a_case() -> None:
    """A declaration lists the act's interfaces. The cases must use exactly these."""
    attributes = {Door.PAGES: "page", Door.ADMIN: "admin", Door.API: "api"}
    wrong = {}
    for name, act in ACTS.items():
        cases = [case for case_name, case in CASES.items() if act_of(case_name) == name]
        tried = {door for door, attribute in attributes.items() if any(getattr(case, attribute) for case in cases)}
        declared = act.doors & attributes.keys()
        if tried != declared and (cases or name not in ELSEWHERE):
            wrong[name] = {"declared": sorted(declared), "tried": sorted(tried)}
    assert wrong == {}


#: Acts without a case, each with the reason. The system's acts need no case.
ELSEWHERE = {
    "step_up_token": "of a token alone: on the pages the session remembers it",
    "ask_for_reset": "has no entry (ADR 0021), and the page is its only door; tests/operations/test_addresses.py",
    "export_log": "answered with the log itself; below",
    "sign_in": "the system's; tests/web/test_single_sign_on.py",
    "note_bypass": "a sign-in; tests/web/test_single_sign_on.py",
    "enrol_passkey": "of a browser, where the key is; tests/api/test_approval_page.py, tests/web/test_passkeys.py",
    "remove_passkey": "of the browser alone; tests/operations/test_passkeys.py, tests/web/test_passkeys.py",
    "take_evidence": "answered with the evidence itself; below",
    **dict.fromkeys(("list_items", "open_item", "watch"), "reads content, in pages alone; tests/web/test_content.py"),
    "note_outcome": "what became of a file that was read; the pages are its only door; tests/web/test_content.py",
    "step_up": "a proof that a page takes; tests/web/test_step_up.py",
    "renew_grant_token": "answered by the token endpoint of OAuth; tests/api/test_token_exchange.py",
    **dict.fromkeys(("open_setup_link", "make_first_staff"), "while nobody is staff; tests/web/test_set_up.py"),
    "make_sample_folder": "only in a trial; tests/operations/test_samples.py",
    "issue_code": "has no entry (ADR 0106), and the page is its only door; tests/web/test_authorize.py",
    **dict.fromkeys(("redeem_code", "exchange_code"), "at the token endpoint; tests/api/test_code_exchange.py"),
    "cut_at_gate": "the proxy of web tools does it by itself; tests/proxies/test_tool_proxy.py",
    "pass_gate": "a proxy asks for it, with its own secret, for an engineer; tests/api/test_forward_auth.py",
    **dict.fromkeys(OVER_AUTHZEN, "a client does it for an engineer, after a denial; tests/api/test_access_drafts.py"),
    "try_recovery_key": "before anybody is signed in; tests/web/test_recovery.py",
}


def test_every_act_has_a_case_or_a_reason_why_not() -> None:
    known = {name for name in ACTS if inspect.isfunction(getattr(operations, name, None))}
    assert {*TRANSITIONS, *TICKET_TRANSITIONS} <= known
    covered = {act_of(name) for name in CASES}
    assert (covered - known, covered & ELSEWHERE.keys()) == (set(), set())
    of_the_system = {name for name, act in ACTS.items() if not act.doors - {Door.TASK, Door.COMMAND}}
    assert ACTS.keys() - covered - of_the_system == ELSEWHERE.keys()


def test_an_act_of_staff_is_a_case_for_the_administration_wherever_it_has_one() -> None:
    """Every act that the administration offers must have a case, or be in the list here."""
    offered = {
        f"{model._meta.model_name} {act.name}"
        for model, shown in admin.site._registry.items()
        for act in [*getattr(shown, "acts", ()), *filter(None, [getattr(shown, "adding", None)])]
    }
    source = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(acts.__file__).parent.glob("*.py")))
    pressed = {f"{model} {act}" for model, act in re.findall(r'by_button\(\s*"(\w+)", "([\w-]+)"', source)}
    pressed |= {f"{model} add" for model in re.findall(r'by_adding\(\s*"(\w+)"', source)}
    pressed |= {" ".join(found) for found in re.findall(r'"admin:audit_app_(\w+)_act", args=\[row.pk, "(\w+)"', source)}
    assert offered - pressed == _SAME_ACT | _IN_A_TRIAL


#: Two pages of the administration offer these acts. A case uses them on the other page.
_SAME_ACT = {"tenant give-role", "invitation add", "queueassignment add"}
#: These are refused unless the installation is a trial, so they have tests of their own.
_IN_A_TRIAL = {"tenant make-sample-folder"}


@pytest.mark.parametrize("name", ["otto", "stella"])
def test_exporting_the_log_leaves_the_same_entry_through_each_interface(cast: Cast, travel: Any, name: str) -> None:
    travel.freeze()
    cast.ticket()
    client = Client()
    force_login(client, cast.people[name], is_fresh=True)
    url, actor = reverse("web:log_export", args=[cast.contoso.pk, "csv"]), cast.as_(name, door="command")
    filters: dict[str, str] = {}
    caller = Caller(token_of(cast, name))
    wanted = _seen(lambda: operations.export_log(cast.contoso.pk, actor=actor, kind="csv", filters=filters))
    found = _seen(lambda: client.post(url))
    called = _seen(lambda: list(caller.get(f"tenants/{cast.contoso.pk}/log/export", {"format": "csv"})))
    assert (wanted[0], len(wanted[0])) == (found[0], 1)
    assert (wanted[1], found[1], found[2]) == ([], [], "pages")
    assert called == (wanted[0], [], "api")


@pytest.mark.parametrize("action", ["expire", "close"])
def test_the_sweep_leaves_the_entry_that_the_single_act_leaves(cast: Cast, travel: Any, action: str) -> None:
    travel.freeze()
    row = cast.submitted() if action == "expire" else cast.opened().access_request
    travel.to(row.decide_by if action == "expire" else row.grant.closes_at)
    sweep = {"expire": operations.sweeps.expire_overdue, "close": operations.sweeps.close_elapsed}[action]
    system = cast.system("sweep")
    one = _seen(lambda: getattr(operations, action)(row.pk, actor=system))
    many = _seen(lambda: sweep(actor=system, limit=10))
    assert one == many
    assert len(one[0]) == 1


def test_taking_evidence_leaves_the_same_entry_through_each_interface(cast: Cast, travel: Any) -> None:
    travel.freeze()
    row = cast.submitted()
    checkpoints.sign(row.tenant_id, at=row.submitted_at)
    client = Client()
    client.force_login(cast.otto)
    url, form = reverse("web:access_request_evidence", args=[row.pk]), {"download": str(row.pk)}
    actor = cast.as_("otto", door="command")
    caller = Caller(token_of(cast, "otto"))
    wanted = _seen(lambda: operations.take_evidence(row.tenant_id, actor=actor, access_request_id=row.pk))
    found = _seen(lambda: client.post(url, form))
    called = _seen(lambda: list(caller.get(f"access-requests/{row.pk}/evidence")))
    assert (wanted[0], len(wanted[0])) == (found[0], 1)
    assert (wanted[1], found[1], found[2]) == ([], [], "pages")
    assert called == (wanted[0], [], "api")
