"""The rules for every mail: headers, links, HTML, and text that other people have written."""

from __future__ import annotations

import datetime as dt
import pickle
import re
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

import pytest
from django.core import mail
from django.core.mail.message import BadHeaderError
from django.urls import resolve

from lockbox_site import pseudolocale
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import ChangeProposed
from requests_app.domain.scopes import Scope
from requests_app.identity.factors import KeepsRecoveryCodes, drops_totp, keeps_totp
from requests_app.messages.mails import email, words
from requests_app.messages.topics import Topic
from requests_app.models import Heartbeat, OutboxMessage, Person, Tenant
from requests_app.models.people import actor_of_token
from requests_app.operations import sweeps
from requests_app.operations._stream_settings import Delivery, Wanted
from requests_app.queries import restored
from requests_app.work import heartbeats
from tests import ground
from tests.acts.restored import restore
from tests.caller import client_of
from tests.cast import Cast
from tests.factors import SECRET
from tests.guards import actor_of_guard, client_of_guards
from tests.notifications.conftest import Mails, parts, provider_metadata_is_read
from tests.operations.test_reports import one, report
from tests.passkeys import enrolled

pytestmark = pytest.mark.django_db

HOSTILE = (
    "First line <b>bold</b> <script>alert(1)</script> {{ provider }} &amp;\n"
    "second \u202etxet desrever\u202c with zero\u200bwidth\n"
    "Answer by Mon 1 Jan, 00:00 UTC."
)


#: The mails of `one_of_each`, after they were made once, and what each is about, by the id of its row.
_MADE: list[Any] = []
_ABOUT: dict[UUID, UUID] = {}


@pytest.fixture
def one_of_each(request: pytest.FixtureRequest) -> list[Any]:
    """Return a sent mail of every topic. All tests of a run share these mails; the rows behind them are gone.

    The process that needs them first makes them, and stores them in a file. Other processes wait for this file.
    """
    if not _MADE:
        stored = ground.place() / "one-of-each"
        with ground.one_at_a_time():
            if not stored.exists():
                made = request.getfixturevalue("one_of_each_anew")
                about = dict(OutboxMessage.objects.values_list("pk", "about"))
                stored.write_bytes(pickle.dumps((made, about)))
        mails, about = pickle.loads(stored.read_bytes())
        _MADE.extend(mails)
        _ABOUT.update(about)
    return _MADE


def joined(world: Cast) -> None:
    """Accept an invitation of the provider that was open when the tenants first switched Lockbox on."""
    tenants = list(Tenant.objects.ever_on())
    Tenant.objects.update(lockbox_on=False, lockbox_first_on_at=None)
    row = world.invited_colleague()
    for each in tenants:
        each.save(update_fields=["lockbox_on", "lockbox_first_on_at"])
    row.named_to.set(tenants)
    secret, reader = world.link_of(row), Actor.stranger(door="pages")
    person = operations.accept_invitation(secret, name="Berta", password="another battery of 7 horses", actor=reader)
    # Everybody reads the same language.
    person.language = Person.objects.get(pk=world.stella.pk).language
    person.save(update_fields=["language"])


def application_reports(world: Cast, travel: Any) -> None:
    """Report accesses outside a window, be silent while it is open, and report an access after its end."""
    grant, actor = world.in_quillo(), actor_of_guard(client_of_guards(world))
    inside, outside = one(grant), one(grant, at=grant.opens_at - dt.timedelta(hours=1))
    operations.report_accesses(report(outside), actor=actor)
    travel.by(minutes=2)
    sweeps.announce_silent_guards(actor=world.system())
    operations.release(grant.access_request_id, actor=world.as_("priya"))
    operations.report_accesses(report(inside, first=2), actor=actor)
    travel.by(minutes=2)


def stream_fails(world: Cast) -> None:
    """Report that the events of a signal stream do not reach their receiver."""
    program, _secret = client_of(world, "contoso", Scope.SSF_MANAGE)
    token = operations.issue_access_token(program, scopes=frozenset({Scope.SSF_MANAGE})).row
    wanted = Wanted(delivery=Delivery(is_push=True, url="https://hooks.contoso.example/in"))
    stream = operations.create_stream(wanted, actor=actor_of_token(token))
    operations.report_failing_stream(stream.pk, actor=world.system("webhooks"))


@pytest.fixture
def one_of_each_anew(world: Cast, mails: Mails, travel: Any) -> list[Any]:
    """Send a mail of every topic, and return the mails."""
    left: list[Any] = []

    def send() -> None:
        mails.send()
        left.extend(mail.outbox)

    ticket = world.ticket(by="priya", on_behalf_of_id=world.mia.pk)
    operations.comment(ticket.pk, actor=world.as_("priya"), body="We look at it.")
    row = world.submitted(ticket=ticket)
    send()
    operations.approve_as_provider(row.pk, actor=world.as_("pat"))
    send()
    travel.by(hours=1)
    sweeps.remind_deciders(actor=world.system(), limit=10)
    send()
    operations.approve_as_customer(row.pk, actor=world.as_("ada"))
    send()
    travel.by(minutes=111)
    sweeps.announce_closing_soon(actor=world.system(), limit=10)
    send()
    operations.release(row.pk, actor=world.as_("priya"))
    application_reports(world, travel)
    operations.withdraw(world.confirmed().pk, actor=world.as_("priya"))
    fields: dict[str, Any] = {
        "issuer": "https://idp.example",
        "client_id": "x",
        "client_secret": "x",
        "role_map": {},
    }
    connection = operations.Connection(**fields, is_on=True, is_only=True, break_glass_id=world.ines.pk)
    made = operations.set_sign_on(world.contoso.pk, connection=connection, was=None, actor=world.as_("ines"))
    operations.note_bypass(actor=world.as_("ines"))
    off, was = operations.Connection(**fields), made.changed_at
    operations.set_sign_on(world.contoso.pk, connection=off, was=was, actor=world.as_("ines"))
    operations.switch_lockbox(world.contoso.pk, on=False, actor=world.as_("ines"))
    hook = operations.add_webhook(
        world.contoso.pk, url="https://hooks.contoso.example/in", events=["*"], actor=world.as_("ines")
    ).webhook
    operations.give_up_webhook(hook.pk, because="gone", actor=world.system("webhooks"))
    stream_fails(world)
    provider_metadata_is_read(world)
    heartbeats.report_failure(Heartbeat.BACKUP, "The place is full.")
    sweeps.announce_backup_trouble(actor=world.system())
    operations.give_role(world.contoso.pk, world.mia.pk, role="approver", actor=world.as_("ines"))
    operations.create_client(
        tenant_id=world.contoso.pk,
        name="Help desk",
        scopes=["decisions:write"],
        decides_for_id=world.ada.pk,
        actor=world.as_("ines"),
    )
    for name, how in (("ada", "change"), ("pat", "reset")):
        operations.set_password(actor=world.as_(name), password="another battery of 7 horses", how=how)
    enrolled(world, "ada")
    operations.set_yes_rule(world.contoso.pk, rule="signed", actor=world.as_("ines"))
    operations.ask_for_reset(email=world.ada.email, actor=Actor.stranger(door="pages"))
    operations.request_address(email="ada@new.example", actor=world.as_("ada"))
    operations.invite_person(world.contoso.pk, email="new@contoso.example", role="member", actor=world.as_("ines"))
    key = operations.make_recovery_key(world.contoso.pk, actor=world.as_("ines")).key
    operations.use_recovery_key(key, email="next@contoso.example", actor=Actor.stranger(door="pages"))
    operations.set_two_person_control(world.contoso.pk, on=True, actor=world.as_("ines"))
    exchange, erik, stella = world.exchange.pk, world.erik.pk, world.as_("stella")
    world.agreed(lambda: operations.give_queue_role(exchange, erik, role="provider_approver", actor=stella))
    second, language = world.colleague(), Person.objects.get(pk=world.stella.pk).language
    Person.objects.filter(pk=second.pk).update(language=language)
    joined(world)
    operations.rule_out_level(world.contoso.pk, level="names", actor=world.as_("ines"))
    with pytest.raises(ChangeProposed):
        operations.make_staff(world.erik.pk, actor=world.as_("stella"))
    with pytest.raises(ChangeProposed):
        operations.set_window_cap(world.contoso.pk, seconds=3600, actor=world.as_("ines"))
    now = clock.now()
    operations.set_out_of_office(
        world.contoso.pk,
        deputy_id=world.alan.pk,
        from_at=now,
        until_at=now + dt.timedelta(days=1),
        actor=world.as_("ada"),
    )
    operations.deny_all_and_mute(world.contoso.pk, engineer_id=None, hours=1, actor=world.as_("ada"))
    operations.set_up_totp(actor=world.as_("otto"), keep=keeps_totp(SECRET))
    operations.remove_totp(actor=world.as_("otto"), keep=drops_totp)
    operations.make_recovery_codes(actor=world.as_("pat"), keep=KeepsRecoveryCodes())
    send()
    restore(world)
    shown = restored.digest(restored.facts_of_provider())
    operations.confirm_restored_people(shown=shown, actor=world.as_("stella", door="admin"))
    send()
    assert {m.extra_headers["X-Lockbox-Topic"] for m in left} == set(Topic)
    return left


class Tags(HTMLParser):
    """Collects each tag with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_no_mail_loads_runs_or_submits_anything(one_of_each: list[Any]) -> None:
    allowed = {
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "div",
        "table",
        "tr",
        "td",
        "th",
        "h1",
        "p",
        "a",
        "br",
        "span",
        "bdi",
    }
    for found in one_of_each:
        html = found.alternatives[0][0]
        tags = Tags(html).found
        assert {tag for tag, _ in tags} <= allowed
        assert "url(" not in html
        assert "@import" not in html
        assert not [
            name for _, attrs in tags for name in attrs if name.startswith("on") or name in ("src", "background")
        ]


def test_every_layout_table_is_hidden_from_screen_readers_and_the_facts_are_not(one_of_each: list[Any]) -> None:
    for found in one_of_each:
        tables = [attrs.get("role") for tag, attrs in Tags(found.alternatives[0][0]).found if tag == "table"]
        assert tables.count(None) == 1
        assert set(tables) == {None, "presentation"}


def test_the_only_link_opens_a_page_and_carries_nothing_else(one_of_each: list[Any]) -> None:
    for found in one_of_each:
        plain, html = parts(found)
        links = {attrs["href"] for tag, attrs in Tags(html).found if tag == "a"}
        assert links == set(re.findall(r"https?://\S+", plain))
        link = min((str(each) for each in links), key=len)
        # A person who can close a window also gets a link to the page for closing. Opening that page closes nothing.
        closes = found.extra_headers["X-Lockbox-Topic"] in ("notify.window_opened", "notify.closing_soon")
        assert links <= ({link, f"{link}revoke/"} if closes else {link})
        assert re.fullmatch(
            r"http://localhost:8000/((access-requests|tickets|tenant|log)/[0-9a-f-]{36}/(people/|clients/|levels/|restored/|sign-on/|out-of-office/|mutes/|proposals/|(webhooks|signal-streams)/[0-9a-f-]{36}/)?|accounts/password/reset/(key/[0-9a-f]{32}-[\w-]+/)?|security/|admin/(restored|single-sign-on|requests_app/(heartbeat|(proposal|signalstream)/[0-9a-f-]{36}/change))/|(invitation|address)/[\w-]{43}/)?",
            str(link),
        )


def test_every_link_leads_to_a_page_that_exists(one_of_each: list[Any]) -> None:
    names = {"access-requests": "access_request", "tickets": "ticket", "tenant": "tenant", "log": "log"}
    for found in one_of_each:
        path = min(re.findall(r"http://localhost:8000(/\S*)", found.body), key=len)
        match = resolve(path)
        if path == "/":
            assert found.extra_headers["X-Lockbox-Topic"] == "notify.role_given"
            continue
        if path.startswith(("/accounts/", "/security/")):
            views = ("account_reset_password", "account_reset_password_from_key", "web:security")
            assert match.view_name in views
            continue
        if path.startswith("/admin/"):
            assert match.view_name in (
                "admin:requests_app_proposal_change",
                "admin:requests_app_signalstream_change",
                "admin:restored",
                "admin:single_sign_on",
                "admin:requests_app_heartbeat_changelist",
            )
            continue
        if path.startswith("/address/"):
            assert match.view_name == "web:address_confirm"
            continue
        if path.startswith("/invitation/"):
            assert match.view_name == "web:invitation"
            continue
        listed = next(
            (
                name
                for name in (
                    "people",
                    "clients",
                    "out-of-office",
                    "mutes",
                    "proposals",
                    "restored",
                    "sign-on",
                    "levels",
                )
                if path.endswith(f"/{name}/")
            ),
            None,
        )
        listed = listed and listed.replace("-", "_").replace("levels", "level_rules")
        expected = listed or names[path.split("/")[1]]
        expected = "webhook" if "/webhooks/" in path else expected
        expected = "signal_stream" if "/signal-streams/" in path else expected
        assert match.view_name == f"web:{expected}"


def test_the_text_part_fits_a_terminal_and_has_no_markup(one_of_each: list[Any]) -> None:
    for found in one_of_each:
        for line in found.body.splitlines():
            assert len(line) <= words.WIDTH or " " not in line.strip()
            assert line == line.rstrip()
        assert "<" not in found.body
        assert "&" not in found.body
        assert "\n\n\n" not in found.body


def test_mails_about_one_thing_are_one_thread(one_of_each: list[Any]) -> None:
    threads: dict[UUID, set[str]] = {}
    for found in one_of_each:
        about = _ABOUT[UUID(found.extra_headers["Message-ID"][1:37])]
        message = found.message()
        assert message["References"] == message["In-Reply-To"]
        threads.setdefault(about, set()).add(message["References"])
    assert all(len(ids) == 1 for ids in threads.values())
    assert len(set.union(*threads.values())) == len(threads)


def test_headers_keep_machines_from_answering(one_of_each: list[Any]) -> None:
    for found in one_of_each:
        message = found.message()
        assert message["Auto-Submitted"] == "auto-generated"
        assert message["X-Auto-Response-Suppress"] == "All"
        assert message["Reply-To"] is None
        assert message["Date"].endswith("+0000")
    assert len({found.extra_headers["Message-ID"] for found in one_of_each}) == len(one_of_each)


def test_answers_go_where_a_setting_says(world: Cast, mails: Mails, settings: Any) -> None:
    settings.REPLY_TO_EMAIL = "support@provider.example"
    world.ticket()
    assert mails.sent("priya", "ticket_opened").message()["Reply-To"] == "support@provider.example"


def test_the_sender_names_the_domain_of_the_ids(world: Cast, mails: Mails, settings: Any) -> None:
    settings.DEFAULT_FROM_EMAIL = '"Acme, Inc." <lockbox@acme.example>'
    world.ticket()
    message = mails.sent("priya", "ticket_opened").message()
    assert message["Message-ID"].endswith("@acme.example>")
    assert message["From"] == '"Acme, Inc." <lockbox@acme.example>'


def test_an_engineers_text_is_shown_with_hidden_characters_visible(world: Cast, mails: Mails) -> None:
    world.confirmed(justification=HOSTILE)
    found = mails.sent("ada", "decide_as_customer")
    html = found.alternatives[0][0]
    assert "> First line <b>bold</b> <script>alert(1)</script>" in found.body
    assert "> second [U+202E]txet desrever[U+202C] with zero[U+200B]width" in found.body
    assert "&lt;script&gt;alert(1)&lt;/script&gt; {{ provider }} &amp;amp;" in html
    assert "second [U+202E]txet desrever[U+202C] with zero[U+200B]width" in html
    assert not re.search("[\u200b\u202a-\u202e\u2066-\u2069]", found.subject + found.body + html)
    # Every line of a quotation is marked, so that quoted text can't look like the product's own text.
    assert "\n> Answer by Mon 1 Jan, 00:00 UTC." in found.body
    assert "\nAnswer by Mon 1 Jan" not in found.body


def test_a_name_and_a_title_cannot_break_a_line_or_a_header(world: Cast, mails: Mails) -> None:
    Person.objects.filter(pk=world.priya.pk).update(name="Priya\r\nBcc: eve@evil.example")
    Tenant.objects.filter(pk=world.contoso.pk).update(name="Contoso\nLtd\u2028x")
    world.submitted()
    found = mails.sent("pat", "decide_as_provider")
    assert (
        found.subject
        == "Contoso ↵ Ltd[U+2028]x: Priya ↵ Bcc: eve@evil.example asks to read 1 mailbox, confirm by Wed 13:05 UTC"
    )
    assert found.message()["Bcc"] is None
    assert found.recipients() == ["pat@provider.example"]


def test_a_line_break_in_a_stored_subject_is_refused(world: Cast) -> None:
    rendered = {
        "subject": "One\nBcc: eve@evil.example",
        "text": "",
        "html": "",
        "from": "a@a.example",
        "to": "b@b.example",
    }
    with pytest.raises(BadHeaderError):
        email.built({**rendered, "message_id": "<1@a>", "headers": {}}).message()


def test_a_subject_is_bounded(world: Cast, mails: Mails) -> None:
    world.ticket(title="very " * 39 + "long")
    subject = mails.sent("priya", "ticket_opened").subject
    assert len(subject) <= email.SUBJECT_MAX
    assert subject.endswith("…")


def test_a_name_of_two_alphabets_says_so(world: Cast, mails: Mails) -> None:
    Person.objects.filter(pk=world.priya.pk).update(name="Pri\u0443a Test")
    world.confirmed()
    plain, html = parts(mails.sent("ada", "decide_as_customer"))
    assert "(this name mixes letters of different alphabets)" in plain
    assert "(this name mixes letters of different alphabets)" in html


def test_a_long_text_is_quoted_in_part_and_says_so(world: Cast, mails: Mails) -> None:
    world.confirmed(justification="word " * 700)
    plain, html = parts(mails.sent("ada", "decide_as_customer"))
    assert plain.count("word") < 300
    assert "…" in plain
    assert "(This mail has only the beginning of the text. The page shows the full text.)" in plain
    assert "(This mail has only the beginning of the text. The page shows the full text.)" in html


def test_a_broken_time_zone_is_read_as_utc(world: Cast, mails: Mails) -> None:
    Person.objects.filter(pk=world.ada.pk).update(time_zone="Mars/Olympus", language="xx")
    world.confirmed()
    assert mails.sent("ada", "decide_as_customer").subject.endswith("answer by Wed 01:05 UTC")


def test_a_mail_in_another_year_names_the_year(world: Cast, mails: Mails, travel: Any) -> None:
    travel.to(dt.datetime(2026, 12, 31, 20, 0, tzinfo=dt.UTC))
    world.confirmed()
    assert "Answer by Fri 1 Jan 2027, 09:00 CET." in mails.sent("ada", "decide_as_customer").body


@pytest.mark.slow
def test_every_word_of_every_mail_is_translated(
    world: Cast, mails: Mails, travel: Any, settings: Any, request: pytest.FixtureRequest
) -> None:
    settings.LANGUAGES = [*settings.LANGUAGES, (pseudolocale.LANGUAGE, "Pseudo")]
    pseudolocale.install()
    Person.objects.get_queryset().update(language=pseudolocale.LANGUAGE)
    settings.LANGUAGE_CODE = pseudolocale.LANGUAGE
    data = {"Contoso", "Microsoft", "Exchange", "Online", "Priya", "Ines", "Mia", "Test", "Invoices", "are", "missing"}
    data |= {"Ada", "Alan", "Help", "desk", "Phone", "Stella", "Fabrikam", "Northwind", "Erik", "Sten", "Berta"}
    data |= {"UTC", "CET", "EST", "IST", "hooks", "contoso", "example", "idp", "Quillo", "Cloud", "notes", "provider"}
    data |= {"metadata"}
    for found in request.getfixturevalue("one_of_each_anew"):
        raw = re.sub(
            r"https?://\S+|\S+@\S+|\b(AR|T)-\S+|\b[0-9A-F]{64}\b|(?m:^>.*$|^  .*$)",
            "",
            found.subject + "\n" + found.body,
        )
        assert set(re.findall(r"[A-Za-z]{3,}", _outside(raw))) <= data


def _outside(text: str) -> str:
    """Return the text that is outside all brackets of the test language. Brackets can be nested."""
    depth, remaining = 0, []
    for char in text:
        depth += (char == pseudolocale.OPENING) - (char == pseudolocale.CLOSING)
        remaining.append(char if depth == 0 else " ")
    return "".join(remaining)
