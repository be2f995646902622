"""The rows of the log's table as HTML. The parts that all rows share are rendered once (`words.skeletons`)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from requests_app.doors.web._log_words import EntryPosition, ShownEntry, grouped
from requests_app.models import Tenant
from requests_app.words import text, times
from requests_app.words.skeletons import skeleton

#: What differs from row to row in `log/_row.html`.
SLOTS = (
    "seq", "number", "when", "sentence", "event", "email", "index", "origin", "signed", "proof", "lists", "record",
    "leaf", "groups", "comment", "about", "about_url", "door",
)  # fmt: skip

#: In an address, a number is written in place of this one. No other part of an address has so many digits.
_NUMBER = 9_876_543_210_123_456_789


def rows(
    entries: Iterable[ShownEntry], *, tenant: Tenant, opened: int | None, at: dt.datetime, state: dict[str, Any]
) -> Iterator[SafeString]:
    """Yield each entry as a row. The entry with the number `opened` is unfolded.

    `state` is the state of the log (`_log_state.standing`).
    """
    signed: dict[tuple[int, bool], SafeString] = {}
    # The numbers in these addresses are replaced, because Django takes long to make an address.
    proof = reverse("web:log_proof", args=[tenant.pk, _NUMBER])
    for entry in entries:
        place = entry.standing
        key = (place.signed_size, place.is_closed)
        if key not in signed:
            signed[key] = _signed(place, state)
        slots = _slots(entry, at) | {"signed": signed[key]}
        slots["proof"] = proof.replace(str(_NUMBER), str(entry.row.seq)) if place.signed_size else ""
        yield skeleton("log/_row.html", SLOTS, _flags(entry, opened)).fill(slots)


def _flags(entry: ShownEntry, opened: int | None) -> frozenset[str]:
    flags = {
        "is_altered": not entry.is_intact,
        "is_open": opened == entry.row.seq,
        "has_comment": entry.comment,
        "has_about": entry.request_reference or entry.ticket_reference,
        "is_signed": entry.standing.signed_size,
        "has_email": entry.email,
        "has_lists": entry.lists,
    }
    return frozenset(name for name, is_set in flags.items() if is_set)


def _slots(entry: ShownEntry, at: dt.datetime) -> dict[str, object]:
    row, place = entry.row, entry.standing
    about_url = ""
    if entry.request_reference:
        about_url = reverse("web:access_request", args=[row.correlation_id])
    elif entry.ticket_reference:
        about_url = reverse("web:ticket", args=[row.subject_id])
    number = grouped(row.seq)
    return {
        "seq": str(row.seq),
        "number": number,
        "when": format_html(
            '<time class="when" datetime="{}">{}</time>', row.at.isoformat(), times.when_words(row.at, at)
        ),
        "sentence": entry.sentence,
        "event": text.visible_single(row.event),
        "email": text.visible_single(entry.email),
        "index": number if place.index == row.seq else grouped(place.index),
        "origin": place.origin,
        "lists": render_to_string("log/_lists.html", {"lists": entry.lists, "now": at}) if entry.lists else "",
        "record": text.visible_block(entry.record, has_links=False),
        "leaf": entry.leaf,
        "groups": text.digest_groups(entry.leaf),
        "comment": text.visible_block(entry.comment) if entry.comment else "",
        "about": entry.request_reference or entry.ticket_reference,
        "about_url": about_url,
        "door": entry.door,
    }


def _signed(place: EntryPosition, state: dict[str, Any]) -> SafeString:
    values = {"standing": place, "alarm": state["alarm"], "is_late": state["is_late"]}
    return mark_safe(render_to_string("log/_signed_by.html", values).strip())  # noqa: S308 - a rendered template
