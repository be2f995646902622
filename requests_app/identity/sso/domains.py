"""Checks that a tenant owns a domain: the domain's web server must show a text that only this tenant got."""

from __future__ import annotations

import hmac
import re

from requests_app.platform import outbound
from requests_app.platform.outbound import BadTarget, Unreachable

PATH = "/.well-known/customer-lockbox.txt"
_NAME = re.compile(r"(?=.{4,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]\Z")


def is_name(name: str) -> bool:
    return bool(_NAME.match(name)) and not name.endswith((".localhost", ".local", ".internal", ".invalid"))


def of_address(email: str) -> str:
    return email.strip().rpartition("@")[2].lower()


def url(name: str) -> str:
    return f"https://{name}{PATH}"


def problem(name: str, challenge: str, *, peer: str) -> str:
    """Read the file on the domain's web server. Return why it is not a proof (unreachable, status or content), or "".

    `peer` is the tenant under which `outbound` counts the call.
    """
    try:
        answer = outbound.get(url(name), private=False, peer=peer, purpose="domain")
    except (Unreachable, BadTarget):
        return "unreachable"
    if answer.status != 200:
        return "status"
    lines = [line.strip() for line in answer.body.decode(errors="replace").splitlines()[:20]]
    return "" if any(hmac.compare_digest(line.encode(), challenge.encode()) for line in lines) else "content"
