"""Adds a one-time token to every form with `{% csrf_token %}`, so that no template can forget it."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.defaulttags import CsrfTokenNode
from django.utils.html import format_html
from django.utils.safestring import SafeString

from requests_app.platform import outcome

register = template.Library()

#: The name of the token's field in every form.
FIELD = "once"


class TokensNode(CsrfTokenNode):
    def render(self, context: Any) -> str:
        place: SafeString | None = context.get("form_tokens")
        if place is not None:
            # In a skeleton, whose places are filled for each form (`tokens`).
            return place
        found = super().render(context)
        if not found:
            return found
        return found + format_html('<input type="hidden" name="{}" value="{}">', FIELD, outcome.token_for_a_form())


@register.tag
def csrf_token(parser: template.base.Parser, token: template.base.Token) -> TokensNode:
    """Render Django's CSRF field, and a one-time token, so that a form acts only once."""
    return TokensNode()


_NODE = TokensNode()


def tokens(context: Any) -> SafeString:
    """Return the HTML of both tokens for one form."""
    return SafeString(_NODE.render(context))
