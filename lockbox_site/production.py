"""The rules for settings in production. A process does not start if a rule is broken. Reads no environment itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from requests_app.platform.loopback import is_loopback

#: The rule of Django's own check security.W009, which only warns.
LEAST_CHARACTERS, LEAST_DIFFERENT, INSECURE_PREFIX = 50, 5, "django-insecure-"
#: Prints a key of 86 characters with 512 random bits.
MAKE_A_KEY = "python3 -c 'import secrets; print(secrets.token_urlsafe(64))'"


def problems(*, keys: Mapping[str, Sequence[str]], allowed_hosts: Sequence[str], base_url: str) -> list[str]:
    """Return one sentence for each unsafe setting. No sentence quotes a key."""
    return [*_weak_keys(keys), *_open_hosts(allowed_hosts), *_open_address(base_url)]


def is_weak(key: str) -> bool:
    """Return whether a key is short, has few different characters, or is one that Django makes for a new project."""
    return len(key) < LEAST_CHARACTERS or len(set(key)) < LEAST_DIFFERENT or key.startswith(INSECURE_PREFIX)


def _weak_keys(keys: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for name, values in keys.items():
        if any(map(is_weak, values)):
            subject = f"A key in {name}" if name.endswith("_FALLBACKS") else name
            yield (
                f"{subject} is too weak for PRODUCTION=on. It must have at least {LEAST_CHARACTERS} characters and "
                f"at least {LEAST_DIFFERENT} different characters, and must not begin with {INSECURE_PREFIX!r}. "
                f"Make a new key: {MAKE_A_KEY}"
            )


def _open_hosts(hosts: Sequence[str]) -> Iterator[str]:
    for host in hosts:
        if "*" in host:
            yield f"ALLOWED_HOSTS can't contain {host!r} with PRODUCTION=on. Write each host name in full."
        elif host.startswith(".") and "." not in host[1:].rstrip("."):
            yield f"ALLOWED_HOSTS can't contain {host!r} with PRODUCTION=on. It allows a whole top-level domain."


def _open_address(base_url: str) -> Iterator[str]:
    parts = urlsplit(base_url)
    # A connection that never leaves the machine can't be read by others.
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        yield f"BASE_URL must begin with https:// when PRODUCTION=on. It is {base_url!r}."
