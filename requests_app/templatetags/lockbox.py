"""Template tags and filters for all pages: times, states, people, digests, and text from strangers."""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from html import escape
from typing import Any

from django import template
from django.template.context import Context
from django.template.defaultfilters import filesizeformat
from django.template.loader import get_template
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from requests_app.domain.levels import can_change
from requests_app.models.practice import is_practice
from requests_app.queries.guide import ONWARDS
from requests_app.templatetags import addresses, translated
from requests_app.words import checks, sentences, states, times
from requests_app.words import text as _text
from requests_app.words.skeletons import filled

register = template.Library()
register.tags.update(translated.register.tags)
register.tags.update(addresses.files.tags)


def _partial(name: str, values: dict[str, Any]) -> SafeString:
    """Render a component inside a line of text.

    White space at the component's ends is removed, because it would be shown as a space.
    """
    return mark_safe(get_template(f"components/{name}").render(values).strip())  # noqa: S308  a rendered template


# --- Times ----------------------------------------------------------------------------------------


@register.simple_tag(takes_context=True)
def when(context: Context, at: datetime | None) -> str:
    """`{% when at %}`: "Tue 25 Nov, 14:05 CET" in the reader's zone, or nothing for None."""
    if at is None:
        return ""
    words = escape(times.when_words(at, context.get("now")))
    return SafeString(f'<time class="when" datetime="{at.isoformat()}">{words}</time>')


@register.simple_tag(takes_context=True)
def relative(context: Context, at: datetime | None) -> str:
    """`{% relative at %}`: "in 3 h 10 min" or "2 h ago", measured from the page's `now`.

    A script keeps the text up to date.
    """
    if at is None:
        return ""
    words = escape(times.relative_words(at, context["now"]))
    return SafeString(f'<time class="relative" datetime="{at.isoformat()}" data-relative>{words}</time>')


@register.simple_tag(takes_context=True)
def when_full(context: Context, at: datetime | None) -> str:
    """`{% when_full at %}`: "Tue 25 Nov, 14:05 CET (in 3 h 10 min)"."""
    if at is None:
        return ""
    return SafeString(f"{when(context, at)} ({relative(context, at)})")


@register.filter
def duration(seconds: float | None) -> str:
    """`{{ access_request.window_for|duration }}`: "2 hours"."""
    return "" if seconds is None else times.duration_words(seconds)


@register.filter
def duration_number(seconds: float) -> int:
    """`{{ seconds|duration_number }}`: the number for singular or plural: "1 hour is …", "2 hours are …"."""
    return times.duration_number(seconds)


@register.simple_tag
def relative_words() -> str:
    """`{% relative_words %}`: the words of relative times for countdown.js, as JSON in an attribute."""
    return json.dumps(times.unit_patterns(), ensure_ascii=False)


@register.simple_tag(takes_context=True)
def deadline(
    context: Context,
    closes: datetime,
    opened: datetime | None = None,
    kind: str = "decision",
    over: bool = False,
) -> SafeString:
    """`{% deadline decide_by opened=submitted_at %}`: the instant, the time left, and a bar that shows the time used.

    `kind` is "decision" (answer by …), "window" (closes …) or "token" (ends …). Set `over` if the access request or
    window ended before its deadline: only the instant is shown, and nothing counts down.
    """
    now: datetime = context["now"]
    left = (closes - now).total_seconds()
    total = int((closes - opened).total_seconds()) if opened else 0
    values = {
        "closes": closes.isoformat(),
        "when": when(context, closes),
        "left": "" if over else relative(context, closes),
        "total": total,
        "used": max(0, min(total, total - int(left))),
        "soon_seconds": times.SECONDS_MATTER,
    }
    return filled(
        "components/_deadline.html",
        values,
        is_window=kind == "window",
        is_token=kind == "token",
        over=over,
        is_past=left <= 0,
        is_soon=0 < left <= times.SECONDS_MATTER,
        has_bar=total,
    )


# --- States, people, things -----------------------------------------------------------------------


@register.simple_tag
def icon(name: str, label: str = "", css: str = "") -> SafeString:
    """`{% icon "lock" %}`: an icon without words. With `label`, a screen reader reads the label."""
    return _icon(name, str(label), css)


@lru_cache(maxsize=512)
def _icon(name: str, label: str, css: str) -> SafeString:
    # A page can have a hundred icons of some dozen kinds. Rendering each of them again would take as long as the
    # queries.
    return _partial("_icon.html", {"name": name, "label": label, "css": css})


@register.simple_tag
def badge(state: object, subject: str = "access_request", word: str = "") -> SafeString:
    """`{% badge access_request.state %}` or `{% badge ticket.state subject="ticket" %}`: a state with its icon.

    `subject` says what has the state: "access_request", "ticket" or "message". With `subject="kind"`, the first
    argument is not a state but the kind of badge, and `word` is the badge's text.
    """
    return _badge_of(str(getattr(state, "value", state)), subject, str(word), get_language())


@lru_cache(maxsize=512)
def _badge_of(state: str, subject: str, word: str, _language: str | None) -> SafeString:
    look = states.badge_of(state, subject, word)
    return _badge(look.kind, look.icon, str(look.word))


#: The names that templates use for the row of a page.
_ROWS = ("row", "ticket", "grant", "resource")


@register.simple_tag
def practice_badge(row: object) -> SafeString:
    """`{% practice_badge line.row %}`: the badge "Practice" in a list, or nothing for a real row."""
    return badge("practice", subject="kind", word=_("Practice")) if is_practice(row) else SafeString("")


@register.simple_tag
def level_badge(row: Any) -> SafeString:
    """`{% level_badge line.row %}`: the badge "Can change things" for such a level, or nothing for a smaller one."""
    return badge("changes", subject="kind", word=_("Can change things")) if can_change(row.level) else SafeString("")


@register.simple_tag(takes_context=True)
def practice_notice(context: Context) -> SafeString:
    """`{% practice_notice %}`: the badge and the sentence, if the page is about a practice request. For `base.html`.

    The page's row is found in its context by the usual names, so that no template can forget the mark.
    """
    is_marked = context.get("is_practice") or any(is_practice(context.get(name)) for name in _ROWS)
    return _partial("_practice.html", {"text": sentences.PRACTICE}) if is_marked else SafeString("")


@lru_cache(maxsize=512)
def _badge(kind: str, icon_name: str, word: str) -> SafeString:
    return _partial("_badge.html", {"kind": kind, "icon_name": icon_name, "word": word})


@register.simple_tag(takes_context=True)
def person(context: Context, someone: Any, role: str = "", organisation: str = "") -> SafeString:
    """`{% person someone role=_("engineer") %}`: name, role, organisation. Suspicious characters are marked.

    `someone` is a Person, an Actor, or a name. A person of the provider needs no `organisation`.
    """
    name = someone if isinstance(someone, str) else str(getattr(someone, "name", "") or "")
    if not organisation and getattr(someone, "side", "") == "provider":
        organisation = str(context.get("provider_name") or "")
    return _person(name or _("nobody"), str(role), organisation, name, get_language())


@lru_cache(maxsize=1024)
def _person(shown: str, role: str, organisation: str, name: str, _language: str | None) -> SafeString:
    return _partial(
        "_person.html",
        {
            "name": shown,
            "role": role,
            "organisation": organisation,
            "is_mixed": _text.is_mixed_script(name),
            "has_hidden": _text.has_hidden_characters(name),
        },
    )


@register.simple_tag(takes_context=True)
def cell(context: Context, column: Any, row: Any) -> str:
    """`{% cell column row %}`: one fact about a row, as `column` shows it (`doors.web._things.Column`)."""
    found: str = column.html(context, row)
    return found


@register.filter
def level_words(level: object, kind: object = "") -> str:
    """`{{ access_request.level|level_words:resource.kind }}`: "read messages"."""
    return states.level_words(level, kind)


@register.simple_tag(takes_context=True)
def unreachable_words(context: Context, resource: Any) -> str:
    """`{% unreachable_words resource %}`: since when a resource can't be reached, and why."""
    return checks.unreachable(resource, context.get("now"))


@register.simple_tag
def step_url(link: Any, tenant: Any = None) -> str:
    """`{% step_url link tenant %}`: the address of a link of a guided set-up."""
    args = link.args or ((tenant.pk,) if tenant and not link.is_personal else ())
    query = {} if link.is_press else dict(link.query)
    # Who comes from the list continues with the next step after the act, in the administration.
    is_form = link.page.startswith("admin:") and link.page.endswith(("_add", "_act"))
    return reverse(link.page, args=args, query={**query, ONWARDS: "yes"} if is_form else query)


@register.filter
def size(count: int | None) -> str:
    """`{{ item.size|size }}`: "12.4 KB"."""
    return "" if count is None else filesizeformat(count)


# --- Text -----------------------------------------------------------------------------------------


@register.filter
def visible(text: object) -> SafeString:
    """`{{ access_request.justification|visible }}`: the text, with hidden characters shown and addresses as links."""
    return _text.visible_block(text)


@register.filter
def visible_verbatim(text: object) -> SafeString:
    """`{{ entry.record|visible_verbatim }}`: like `visible`, without links. For records, excerpts and signed text."""
    return _text.visible_block(text, has_links=False)


@register.filter
def visible_line(text: object) -> SafeString:
    """`{{ ticket.title|visible_line }}`: like `visible`, but on one line and without links."""
    return _text.visible_single(text)


@register.filter
def digest(value: object) -> SafeString:
    """`{{ access_request.content_digest|digest }}`: the digest in groups of four, in a monospaced font."""
    return _text.digest_groups(value)


@register.filter
def breakable(path: str) -> SafeString:
    return _text.breakable(path)
