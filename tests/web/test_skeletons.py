"""A row that is filled into a skeleton says what the template would say, and nothing in it acts as a tag."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Value
from django.db.models.functions import Concat
from django.template import Context
from django.template.loader import get_template, render_to_string
from django.utils import translation
from django.utils.safestring import SafeString, mark_safe

from requests_app import operations
from requests_app.doors.web import _log_rows
from requests_app.doors.web._log_rows import SLOTS
from requests_app.models import Person, Resource, Service, Tenant
from requests_app.words import skeletons
from requests_app.words.skeletons import skeleton
from tests.cast import Cast
from tests.web.pages import look, signed_in

VALUES = {name: f'<{name}>&"' for name in SLOTS}


def test_a_value_is_escaped_unless_it_is_safe_already() -> None:
    row = skeleton("log/_row.html", SLOTS).fill({**VALUES, "sentence": mark_safe("<b>Mia</b>"), "door": "<i>"})
    assert '<span class="entry-sentence"><b>Mia</b></span>' in row
    assert "&lt;i&gt;" in row
    assert "<record>" not in row


def test_it_is_what_the_template_renders() -> None:
    flags = {"is_altered", "is_open", "has_comment", "has_about", "is_signed", "has_email", "has_lists"}
    for some in (set(), {"has_email"}, {"is_altered", "is_open"}, flags):
        filled = skeleton("log/_row.html", SLOTS, frozenset(some)).fill(VALUES)
        assert filled == render_to_string("log/_row.html", {"slot": VALUES, **dict.fromkeys(some, True)}).strip()


def test_languages_do_not_share_a_skeleton() -> None:
    english = skeleton("log/_row.html", SLOTS)
    with translation.override("de"):
        assert skeleton("log/_row.html", SLOTS) is not english
    assert skeleton("log/_row.html", SLOTS) is english


# --- All templates that are rendered once ----------------------------------------------------------------------


class Mark(SafeString):
    """A slot that nobody may ask whether it is empty: all rows share the answer."""

    def __bool__(self) -> bool:
        # Each digest has groups. All other slots can be empty.
        assert self == "\x02groups\x03", "A template tests a slot. Use a flag."
        return True


class Reading(Context):
    """Remembers the names that it does not have."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.missing = set[str]()

    def __getitem__(self, name: Any) -> Any:
        try:
            return super().__getitem__(name)
        except KeyError:
            self.missing.add(name)
            raise


Made = tuple[str, tuple[str, ...], frozenset[str]]


def read_by(made: Made) -> tuple[set[str], set[str]]:
    """Render a skeleton. Return the names that the template does not find, and the slots that it shows."""
    name, slots, flags = made
    context = Reading({"slot": {slot: Mark(f"\x02{slot}\x03") for slot in slots}, **dict.fromkeys(flags, True)})
    template: Any = get_template(name)
    html = template.template.render(context)
    return context.missing, set(re.findall("\x02(\\w+)\x03", html))


@pytest.fixture
def made(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> set[Made]:
    """The skeletons that pages need for access requests and tickets in several states."""
    found, plain = set[Made](), skeletons.skeleton

    def skeleton_(
        template: str, slots: tuple[str, ...], flags: frozenset[str] = frozenset(), place: tuple[Any, ...] = ()
    ) -> Any:
        found.add((template, slots, flags))
        return plain(template, slots, flags, place)

    for module in (skeletons, _log_rows):
        monkeypatch.setattr(module, "skeleton", skeleton_)
    ticket = cast.ticket(priority="high")
    operations.assign_ticket(ticket.pk, actor=cast.as_("priya"))
    cast.submitted()
    cast.confirmed(ticket=ticket)
    look(cast, grant := cast.opened(), "1.mail")
    operations.deny_as_provider(cast.submitted().pk, actor=cast.as_("pat"), note="This is not needed.")
    for who in ("ada", "mia", "priya", "pat", "otto"):
        for page in (
            "/",
            "/access-requests/",
            "/access-requests/?state=closed",
            "/tickets/",
            f"/access-requests/{grant.access_request_id}/",
            f"/log/{cast.contoso.pk}/",
        ):
            signed_in(cast, who).get(page)
    signed_in(cast, "stella").get("/admin/requests_app/accessrequest/")
    return found


#: The flags that each template can have. A row sets only some of them.
FLAGS: dict[str, set[str]] = {
    "access_requests/_row.html": {"with_tenant", "is_mine", "is_open", "has_turn", "has_again"},
    "admin/_cell.html": set(),
    "admin/_row.html": {"has_box"},
    "components/_deadline.html": {"is_window", "is_token", "over", "is_past", "is_soon", "has_bar"},
    "components/_footer.html": {"has_times"},
    "components/_header.html": {"has_parties", "has_tenant", "has_items"},
    "components/_live.html": {"closes", "has_back", "polls"},
    "components/_live_item.html": {"has_item", "has_resource"},
    "components/_live_items.html": {"has_seen", "is_silent", "is_gate", "has_items", "has_gate", "is_elsewhere"},
    "components/_nav_item.html": {"is_current", "has_count"},
    "components/_page_files.html": {"has_nonce"},
    "components/_page_start.html": {"has_now", "has_person"},
    "components/_person_menu.html": {"has_roles", "is_light", "is_dark"},
    "components/_timeline_event.html": {"has_person", "has_receipt", "has_comment", "has_details"},
    "home/_own_row.html": set(),
    "home/_queue_row.html": {"has_ticket", "has_last"},
    "home/_ticket_row.html": {"with_tenant"},
    "home/_waiting_row.html": {"with_tenant"},
    "log/_row.html": {
        "is_altered", "is_open", "has_comment", "has_about", "is_signed", "has_email", "has_lists",
    },
    "tickets/_row.html": {"with_tenant", "is_high", "has_assignee"},
}  # fmt: skip


@pytest.mark.django_db
def test_a_template_that_is_rendered_once_reads_only_its_slots_and_flags(made: set[Made]) -> None:
    """Anything else would be shown to everybody as it was for the first reader."""
    assert {template for template, _slots, _flags in made} == FLAGS.keys()
    for template, slots, flags in made:
        missing, shown = read_by((template, slots, flags))
        assert not (missing - FLAGS[template]) | (shown - {*slots}) | (flags - FLAGS[template]), template
        missing, _shown = read_by((template, slots, frozenset(FLAGS[template])))
        assert not missing - FLAGS[template], template


def test_every_template_that_is_filled_in_is_tested_here() -> None:
    sources = [path.read_text() for path in Path(skeletons.__file__).parents[1].rglob("*.py")]
    found = {name for source in sources for name in re.findall(r'\b(?:filled|skeleton)\(\s*"([^"]+)"', source)}
    assert found == FLAGS.keys()


#: Turns the rest of a line around, and ends a tag.
HIDDEN, MARKUP = "\u202e", "<script>\"'"


@pytest.mark.django_db
def test_names_in_rows_hide_nothing_and_act_as_no_tag(cast: Cast) -> None:
    ticket = cast.ticket(title=f"{MARKUP}title{HIDDEN}")
    operations.assign_ticket(ticket.pk, actor=cast.as_("priya"))
    cast.submitted(ticket=ticket)
    cast.confirmed(justification=f"{MARKUP}reason{HIDDEN} because of the invoices of November")
    cast.opened()
    denied = cast.submitted()
    operations.deny_as_provider(denied.pk, actor=cast.as_("pat"), note="This is not needed.")
    for model in (Tenant, Person, Service, Resource):
        model.objects.update(name=Concat(Value(f"{MARKUP}{model.__name__}{HIDDEN}"), "name"))
    pages = {
        ("priya", "/"): {"Tenant", "Resource", "title"},
        ("priya", "/access-requests/"): {"Tenant", "Resource"},
        ("priya", "/tickets/"): {"Tenant", "Service", "Person", "title"},
        ("pat", "/access-requests/"): {"Tenant", "Person", "Resource"},
        ("ada", "/"): {"Person", "Service", "Resource", "reason"},
        ("ada", "/access-requests/"): {"Person", "Resource"},
        ("ada", "/tickets/"): {"Service", "Person", "title"},
        ("stella", "/admin/requests_app/accessrequest/"): {"Tenant", "Service", "Person"},
    }
    for (who, page), words in pages.items():
        html = signed_in(cast, who).get(page).content.decode()
        # A browser shows the choices of a form without marks.
        rows = re.sub("(?s)<(title|option)\\b.*?</\\1>", "", html)
        assert (HIDDEN in rows, MARKUP in html) == (False, False), (who, page)
        assert words <= set(re.findall("&lt;script&gt;&quot;&#x27;(\\w+)<", rows)), (who, page)
