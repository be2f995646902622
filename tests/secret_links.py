"""The addresses that contain a secret: a person who reads one can use it."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, get_resolver

SECRET = "an-unguessable-part"  # noqa: S105 - of the tests
#: The arguments of routes that are secrets.
ARGUMENTS = ("<str:secret>", "(?P<key>.+)")


def secret_links() -> list[str]:
    """Return an address of each route that has a secret in its path."""
    found = []

    def walk(resolver: URLResolver, before: str) -> None:
        for each in resolver.url_patterns:
            text = before + str(each.pattern).lstrip("^").rstrip("$")
            if isinstance(each, URLResolver):
                walk(each, text)
            elif isinstance(each, URLPattern) and (names := [name for name in ARGUMENTS if name in text]):
                found.append("/" + text.replace(names[0], SECRET).replace("(?P<uidb36>[0-9A-Za-z]+)", "1a"))

    walk(get_resolver(), "")
    return found
