"""Tags for the frame of every page. The parts that are equal for all people are rendered once, the rest is filled in.

No text of a person is stored: only the places for it are.
"""

from __future__ import annotations

from typing import Any

from django import template
from django.template.context import Context
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from requests_app.templatetags.addresses import places
from requests_app.templatetags.lockbox import visible_line
from requests_app.templatetags.once import tokens
from requests_app.words.skeletons import filled

register = template.Library()


@register.simple_tag(takes_context=True)
def page_start(context: Context) -> SafeString:
    """`{% page_start %}`: the first lines of the page, before its title."""
    now, theme = context.get("now"), context.get("theme") or "system"
    user, secret_names = context.get("user"), context.get("secret_names", "")
    # Without the names of the secret fields, the page's script must not store what a person sends.
    person = str(user.pk) if user is not None and user.is_authenticated and secret_names else ""
    values = {"language": get_language(), "theme": theme, "now": now.isoformat() if now else ""}
    values |= {"person": person, "secret_names": secret_names}
    return filled("components/_page_start.html", values, has_now=now, has_person=person)


@register.simple_tag(takes_context=True)
def page_files(context: Context) -> SafeString:
    """`{% page_files %}`: the style sheets and scripts of every page. Without a nonce, no script would run."""
    nonce = context.get("csp_nonce")
    values = {"nonce": str(nonce) if nonce else ""}
    return filled("components/_page_files.html", values, place=places(), has_nonce=values["nonce"])


@register.simple_tag(takes_context=True)
def page_header(context: Context) -> SafeString:
    """`{% page_header %}`: the product's name, both parties, the person's menu, and the menu of pages."""
    user, tenant_name, provider_name = context.get("user"), context.get("tenant_name"), context.get("provider_name")
    items = context.get("nav_items") or []
    values = {
        "tenant_name": visible_line(tenant_name) if tenant_name else "",
        "provider_name": provider_name or "",
        "person": _person_menu(context, user) if user is not None and user.is_authenticated else "",
        "items": SafeString("".join(map(_item, items))),
    }
    return filled(
        "components/_header.html",
        values,
        place=places(),
        has_tenant=tenant_name,
        has_parties=tenant_name or provider_name,
        has_items=items,
    )


def _item(item: Any) -> SafeString:
    values = {"url": item.url, "label": str(item.label), "count": item.count}
    return filled("components/_nav_item.html", values, is_current=item.current, has_count=item.count)


def _person_menu(context: Context, user: Any) -> SafeString:
    role_words, theme = context.get("role_words"), context.get("theme")
    values = {
        "name": visible_line(user.name),
        "roles": role_words or "",
        "email": user.email,
        "zone": timezone.get_current_timezone_name(),
        # Each form has a one-time token of its own.
        "theme_tokens": tokens(context),
        "sign_out_tokens": tokens(context),
        "next": context["request"].get_full_path(),
    }
    flags = {"has_roles": role_words, "is_light": theme == "light", "is_dark": theme == "dark"}
    return filled("components/_person_menu.html", values, place=places(), **flags)


@register.simple_tag(takes_context=True)
def page_footer(context: Context) -> SafeString:
    """`{% page_footer %}`: the product's name, and the link to its limits."""
    user = context.get("user")
    has_times = user is not None and user.is_authenticated and context.get("now")
    return filled("components/_footer.html", {}, place=places(), has_times=has_times)
