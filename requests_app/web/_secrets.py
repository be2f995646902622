"""Which of a form's fields are secret: what was typed into them is never shown again, and waits nowhere."""

from __future__ import annotations

_ANYWHERE = ("password", "credential", "secret", "assertion")
#: `manifest` is no secret, and of no use without its signature.
_WHOLE = frozenset({"key", "code", "manifest"})
_NEVER = frozenset({"csrfmiddlewaretoken"})


def may_wait(name: str, value: str) -> bool:
    """Whether what was sent may wait for a proof or a sign-in, and be sent again.

    A secret that was left empty waits as such: what is missing altogether is known by that to have been left out.
    """
    return name not in _NEVER and not (value and is_secret(name))


def is_secret(name: str) -> bool:
    """Whether what is sent under this name proves who somebody is, or opens something."""
    return name in _WHOLE or any(part in name for part in _ANYWHERE)


def are_left_out(fields: list[tuple[str, str]]) -> bool:
    """Whether any of these was typed and does not wait."""
    return any(name not in _NEVER and not may_wait(name, value) for name, value in fields)
