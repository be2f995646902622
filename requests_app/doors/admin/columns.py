"""Shows values of a row, in a list and on the row's own page."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from datetime import datetime
from functools import partial
from html import escape
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.utils import label_for_field, lookup_field, quote
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.urls import NoReverseMatch, reverse
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from requests_app.domain.events import door_title
from requests_app.models import Proposal
from requests_app.templatetags import lockbox as tags
from requests_app.templatetags.addresses import address_of
from requests_app.words import proposals, text, times

NOTHING = "–"

Column = str | Callable[[Any], Any]

#: Words for columns that have no name in the model, or no name that can be translated.
LABELS: dict[str, Promise] = {
    "access_request": gettext_lazy("access request"),
    "account": gettext_lazy("account"),
    "added_at": gettext_lazy("added"),
    "asked_at": gettext_lazy("asked for"),
    "assignee": gettext_lazy("engineer"),
    "at": gettext_lazy("at"),
    "author": gettext_lazy("written by"),
    "break_glass": gettext_lazy("can sign in without the identity provider"),
    "checked_to": gettext_lazy("next recheck begins at entry"),
    "closed_at": gettext_lazy("closed"),
    "closed_by": gettext_lazy("closed by"),
    "cosigned_at": gettext_lazy("last cosigned"),
    "dated_at": gettext_lazy("last confirmed"),
    "created_by": gettext_lazy("added by"),
    "decider": gettext_lazy("decided by"),
    "decider_human": gettext_lazy("human who decided"),
    "done": gettext_lazy("entries checked"),
    "door": gettext_lazy("interface"),
    "due_at": gettext_lazy("next call to the witness"),
    "end_seq": gettext_lazy("next number"),
    "ended_at": gettext_lazy("ended"),
    "engineer": gettext_lazy("engineer"),
    "event": gettext_lazy("event"),
    "failures": gettext_lazy("failures in a row"),
    "first_seq": gettext_lazy("first number"),
    "first_used_at": gettext_lazy("signed first"),
    "found_size": gettext_lazy("entries found"),
    "held_size": gettext_lazy("entries that the witness has"),
    "human_id": gettext_lazy("human"),
    "id": gettext_lazy("id"),
    "last_at": gettext_lazy("newest entry"),
    "last_login": gettext_lazy("last signed in"),
    "message": gettext_lazy("message"),
    "on_behalf_of": gettext_lazy("for"),
    "opened_by": gettext_lazy("opened by"),
    "person": gettext_lazy("person"),
    "position": gettext_lazy("position"),
    "previous": gettext_lazy("earlier access request"),
    "pruned_to": gettext_lazy("removed before entry"),
    "requested_by": gettext_lazy("engineer"),
    "requester_human": gettext_lazy("human who asked"),
    "resource": gettext_lazy("resource"),
    "revoked_by": gettext_lazy("revoked by"),
    "seq": gettext_lazy("number"),
    "service": gettext_lazy("service"),
    "signed_at": gettext_lazy("signed"),
    "since": gettext_lazy("since"),
    "size": gettext_lazy("entries"),
    "tenant": gettext_lazy("tenant"),
    "ticket": gettext_lazy("ticket"),
    "unsigned_since": gettext_lazy("has waited for a checkpoint since"),
    "webhook": gettext_lazy("webhook"),
    "worked_at": gettext_lazy("last worked on"),
}


@admin.display(description=gettext_lazy("interface"), ordering="door")
def door(row: Any) -> str:
    return door_title(row.door)


def shown(row: Any, column: Column, model_admin: admin.ModelAdmin) -> str:
    """Render one value as safe HTML. Text from strangers can't hide anything or change the direction of other text."""
    return cell(column, model_admin)(row)


def cell(column: Column, model_admin: admin.ModelAdmin) -> Callable[[Any], str]:
    """Return the function that renders this column of a row, as `shown` does. Use it for the rows of one list only.

    What the rows share is found once: the field, the words of its choices, and a link to a row that several rows name.
    """
    field = _field(column, model_admin)
    if field is None:
        return partial(_computed, column, model_admin)
    render = _renderer(field)

    def rendered(row: Any) -> str:
        value = getattr(row, field.name)
        return NOTHING if value is None or value == "" else render(value)

    return rendered


def _field(column: Column, model_admin: admin.ModelAdmin) -> Any:
    """Return the model's field with this name, or None for a value that code computes."""
    try:
        found = model_admin.opts.get_field(column) if isinstance(column, str) else None
    except FieldDoesNotExist:
        return None
    # "tenant_id" also finds the foreign key "tenant", but means its key. A field that leads to many rows has no value.
    return found if found is not None and found.name == column and not found.one_to_many else None


def _computed(column: Column, model_admin: admin.ModelAdmin, row: Any) -> str:
    attribute, value = (column, column(row)) if callable(column) else lookup_field(column, row, model_admin)[1:]
    if value is None or value == "":
        return NOTHING
    return _yes_or_no(value) if getattr(attribute, "boolean", False) else _plain(value)


def _renderer(field: Any) -> Callable[[Any], str]:
    """Return the function that renders a value of this field which is not empty."""
    if field.is_relation:
        return _link_renderer()
    if field.flatchoices:
        words = {value: str(label) for value, label in field.flatchoices}
        return lambda value: str(words.get(value, value))
    if isinstance(field, models.BooleanField):
        return _yes_or_no
    return text.visible_block if isinstance(field, models.TextField) else _plain


def _link_renderer() -> Callable[[models.Model], str]:
    """Return the function that renders a link to a row. It makes the link to a row only once."""
    made: dict[tuple[type, Any], str] = {}

    def link(row: models.Model) -> str:
        key = type(row), row.pk
        if key not in made:
            made[key] = link_to(row, _title(row))
        return made[key]

    return link


def heading(column: Column, model_admin: admin.ModelAdmin) -> str:
    named = LABELS.get(column) if isinstance(column, str) else None
    words = str(named or label_for_field(column, model_admin.model, model_admin))
    return words[:1].upper() + words[1:]


def link_to(row: models.Model, words: Any = None) -> str:
    """Return a link to a row's page. If the row has no page, return only the words."""
    label = words if hasattr(words, "__html__") else text.visible_single(row if words is None else words)
    try:
        return format_html('<a href="{}">{}</a>', page_of(row), label)
    except NoReverseMatch:
        return label


def _title(row: models.Model) -> str | None:
    """Return what a proposal would do, in words. All other rows have a name."""
    return capfirst(proposals.words(row.act, row.said)) if isinstance(row, Proposal) else None


def page_of(row: models.Model) -> str:
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return address_of(name, row.pk) if type(row.pk) is UUID else reverse(name, args=[quoted(row)])


def quoted(row: models.Model) -> Any:
    """Return a row's key, quoted for an address.

    A key of bytes is written as Base64, from which Django can read the key.
    """
    return quote(b64encode(bytes(row.pk)).decode() if isinstance(row.pk, bytes | memoryview) else row.pk)


def list_of(model: type[models.Model], **filters: object) -> str:
    """Return the address of a model's list, with these filters."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist", query=filters or None)


def instant(at: datetime | None) -> str:
    if at is None:
        return NOTHING
    words = escape(times.when_words(at, None))
    return SafeString(f'<time datetime="{at.isoformat()}">{words}</time>')


def length(name: str, description: Any) -> Callable[[Any], str]:
    """Make a column that shows a number of seconds in words."""

    @admin.display(description=description, ordering=name)
    def column(row: Any) -> str:
        return times.duration_words(getattr(row, name))

    return column


def state(subject: str, description: Any) -> Callable[[Any], str]:
    """Make a column that shows the badge of a row's stored state."""

    @admin.display(description=description, ordering="state")
    def column(row: Any) -> str:
        return tags.badge(row.state, subject=subject)

    return column


def reached(path: str, description: Any, *, words: str = "") -> Callable[[Any], str]:
    """Make a column that links to a row over foreign keys, for example `reached("grant__engineer", …)`."""

    @admin.display(description=description)
    def column(row: Any) -> str:
        for name in path.split("__"):
            row = getattr(row, name, None)
            if row is None:
                return NOTHING
        return link_to(row, getattr(row, words) if words else None)

    return column


def mono(value: object) -> str:
    return format_html('<span class="mono">{}</span>', value)


def preformatted(value: str) -> str:
    """Return text as HTML that keeps its line breaks. Hidden characters become visible."""
    return format_html('<pre class="portal-pre" tabindex="0">{}</pre>', text.visible_block(value, has_links=False))


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return instant(value)
    # Safe text must stay marked as safe: after str(), the template would escape it.
    return value if hasattr(value, "__html__") else text.visible_single(str(value))


def _yes_or_no(value: object) -> str:
    return _("yes") if value else _("no")
