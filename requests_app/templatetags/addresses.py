"""Django's tags `{% url %}` and `{% static %}`. An address that a page had before is not made again.

To make an address takes as long as to render a line of a list. Every template has the tag `{% url %}`. The library
`lockbox` has the tag `{% static %}`, so a template gets it if it loads `lockbox` after Django's `static`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from uuid import UUID

from django import template
from django.conf import settings
from django.template.base import Parser, Token
from django.template.context import Context
from django.template.defaulttags import URLNode
from django.template.defaulttags import url as djangos
from django.templatetags.static import StaticNode
from django.urls import NoReverseMatch, get_script_prefix, get_urlconf, reverse
from django.utils.html import conditional_escape

register = template.Library()
_ANY = UUID(int=0)


class Url(URLNode):
    """`{% url "web:access_request" row.pk %}`. Arguments with names are left to Django."""

    def render(self, context: Context) -> Any:
        if self.kwargs:
            return super().render(context)
        name = self.view_name.resolve(context)
        args = tuple(arg.resolve(context) for arg in self.args)
        address = ""
        try:
            if len(args) == 1 and type(args[0]) is UUID:
                address = address_of(name, args[0], _application(context))
            else:
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


def address(name: str, *args: Any) -> str:
    """Return the address of the page with this name."""
    return _address(name, args, None, get_script_prefix(), get_urlconf())


def address_of(name: Any, pk: UUID, application: str | None = None) -> str:
    """Return the address of a row's page, which has only the row's id in it."""
    before, after = _around(name, application, get_script_prefix(), get_urlconf())
    return f"{before}{pk}{after}"


@lru_cache(maxsize=512)
def _around(name: Any, application: str | None, prefix: str, urlconf: Any) -> tuple[str, str]:
    """Return what is before and after the id in the address."""
    before, _id, after = _address(name, (_ANY,), application, prefix, urlconf).partition(str(_ANY))
    return before, after


@lru_cache(maxsize=4096)
def _address(name: Any, args: tuple[Any, ...], application: str | None, _prefix: str, _urlconf: Any) -> str:
    return reverse(name, args=args, current_app=application)


def places() -> tuple[Any, ...]:
    """Return what the addresses in a page depend on. They are the same in all calls of one installation."""
    return get_script_prefix(), get_urlconf(), settings.STATIC_URL, settings.STORAGES["staticfiles"]["BACKEND"]


@register.tag
def url(parser: Parser, token: Token) -> Url:
    made = djangos(parser, token)
    return Url(made.view_name, made.args, made.kwargs, made.asvar)


class Static(StaticNode):
    """`{% static "css/base.css" %}`: the address of a file, with the mark of its content."""

    @classmethod
    def handle_simple(cls, path: str) -> str:
        return _file(path, get_script_prefix(), settings.STATIC_URL, settings.STORAGES["staticfiles"]["BACKEND"])


@lru_cache(maxsize=512)
def _file(path: str, _prefix: str, _url: str, _storage: str) -> str:
    return StaticNode.handle_simple(path)


files = template.Library()
files.tag("static", Static.handle_token)
