"""Template tags and filters for pages about tickets and content."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlsplit

from django import template
from django.utils.safestring import SafeString, mark_safe

from requests_app.models import AccessRequest, Decision
from requests_app.words import sentences

register = template.Library()


@register.filter
def asked_in_words(row: AccessRequest) -> str:
    """`{{ access_request|asked_in_words }}`: "read messages in 1 mailbox (finance@contoso.example)"."""
    return sentences.reading(row.level, [line.resource for line in row.scope.all()])


@register.filter
def signed_in_words(decision: Decision) -> str:
    """`{{ decision|signed_in_words }}`: whether the decision is signed, and with which passkey."""
    return sentences.signed_with(
        is_signed=decision.is_signed, name=decision.key_name, is_device_bound=decision.is_device_bound
    )


@register.filter
def host(url: str) -> str:
    """`{{ ticket.external_url|host }}`: the host that a link leads to. The words of the link can name another host."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


@register.filter
def instant(text: str) -> datetime | None:
    """`{% when item.details.sent_at|instant %}`: the instant in a connector's text, or None for another text."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


@register.filter
def sanitised_by_connector(html: str) -> SafeString:
    """`{{ message.html|sanitised_by_connector }}`: HTML that the connector has already made safe."""
    return mark_safe(html)  # noqa: S308  the connector's contract: nothing that runs, styles or loads
