"""Adds a one-time token to every form with `{% csrf_token %}`, so that no template can forget it."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.defaulttags import CsrfTokenNode
from django.utils.html import format_html

from requests_app.platform import outcome

register = template.Library()

#: The name of the token's field in every form.
FIELD = "once"


class TokensNode(CsrfTokenNode):
    def render(self, context: Any) -> str:
        found = super().render(context)
        if not found:
            return found
        return found + format_html('<input type="hidden" name="{}" value="{}">', FIELD, outcome.token_for_a_form())


@register.tag
def csrf_token(parser: template.base.Parser, token: template.base.Token) -> TokensNode:
    """Render Django's CSRF field, and a one-time token, so that a form acts only once."""
    return TokensNode()
