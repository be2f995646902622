"""Django's tag `{% url %}`. An address that a page had before is not made again.

To make an address takes as long as to render a line of a list. Every template has this tag.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django import template
from django.template.base import Parser, Token
from django.template.context import Context
from django.template.defaulttags import URLNode
from django.template.defaulttags import url as djangos
from django.urls import NoReverseMatch, get_script_prefix, get_urlconf, reverse
from django.utils.html import conditional_escape

register = template.Library()


class Url(URLNode):
    """`{% url "web:access_request" row.pk %}`. Arguments with names are left to Django."""

    def render(self, context: Context) -> Any:
        if self.kwargs:
            return super().render(context)
        name = self.view_name.resolve(context)
        args = tuple(arg.resolve(context) for arg in self.args)
        address = ""
        try:
            address = _address(name, args, _application(context), get_script_prefix(), get_urlconf())
        except NoReverseMatch:
            if self.asvar is None:
                raise
        if self.asvar is not None:
            context[self.asvar] = address
            return ""
        return conditional_escape(address) if context.autoescape else address


def _application(context: Context) -> Any:
    request = getattr(context, "request", None)
    namespace = getattr(getattr(request, "resolver_match", None), "namespace", None)
    return getattr(request, "current_app", namespace)


@lru_cache(maxsize=4096)
def _address(name: Any, args: tuple[Any, ...], application: str | None, _prefix: str, _urlconf: Any) -> str:
    return reverse(name, args=args, current_app=application)


@register.tag
def url(parser: Parser, token: Token) -> Url:
    made = djangos(parser, token)
    return Url(made.view_name, made.args, made.kwargs, made.asvar)
