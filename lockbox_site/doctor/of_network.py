"""Checks from outside: the site at its public address, and the mail server."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import mail

from lockbox_site.doctor.findings import Found, ok, problem, unknown, warning
from lockbox_site.doctor.question import question
from lockbox_site.installing import answers
from lockbox_site.installing.answers import WrongAnswer
from requests_app.domain import clock
from requests_app.platform.certificates import fault_of
from requests_app.work.supervisor import web_answers

#: For one dialogue, in seconds.
WITHIN = 5.0
CLOCKS_DIFFER = 5.0
#: An address that belongs to nobody (RFC 5737). If the product takes it for the client's, anybody can choose theirs.
SPOOFED = "192.0.2.77"


def address() -> Iterator[Found]:
    """Ask the site at BASE_URL what it sees of this call: host, scheme and client address."""
    parts = urlsplit(settings.BASE_URL)
    try:
        status, headers, body = _asked(parts)
    except (OSError, http.client.HTTPException) as failure:
        judge = unknown if _may_be_right(failure) else problem
        yield judge(f"{settings.BASE_URL} can't be reached from here: {_why(failure)}.", _way_out(failure))
        return
    if status != 200 or not isinstance(body.get("seen"), dict):
        yield problem(
            f"{settings.BASE_URL}/healthz answered {status}, but not as a process of this installation.",
            "Check where the proxy sends calls, whether the web server runs, and whether it has the same SECRET_KEY.",
        )
        return
    found = [*_of_call(parts, body["seen"]), *_of_clock(headers)]
    yield from found or [ok(f"{settings.BASE_URL} leads here, and host, scheme and client address arrive.")]


def _asked(parts: Any) -> tuple[int, Any, dict[str, Any]]:
    port, host = parts.port, parts.hostname or ""
    made: http.client.HTTPConnection
    if parts.scheme == "https":
        made = http.client.HTTPSConnection(host, port, timeout=WITHIN, context=ssl.create_default_context())
    else:
        made = http.client.HTTPConnection(host, port, timeout=WITHIN)
    try:
        made.request("GET", "/healthz", headers={"X-Lockbox-Doctor": question(), "X-Forwarded-For": SPOOFED})
        answer = made.getresponse()
        raw = answer.read(65536)
    finally:
        made.close()
    try:
        body = json.loads(raw)
    except ValueError:
        body = {}
    return answer.status, answer.headers, body if isinstance(body, dict) else {}


def _of_call(parts: Any, seen: dict[str, Any]) -> Iterator[Found]:
    if seen.get("scheme") != parts.scheme:
        yield problem(
            f"The call came with {parts.scheme}, but the product takes it for {seen.get('scheme')}.",
            "The proxy must set X-Forwarded-Proto, and TRUSTED_PROXY_COUNT must be 1 or more.",
        )
    if seen.get("host") != parts.netloc:
        yield problem(
            f"The call was for {parts.netloc}, but the product takes it for {seen.get('host')}.",
            "The proxy must pass the header Host unchanged.",
        )
    hops = [str(each) for each in seen.get("forwarded", [])]
    # What the proxies have added comes after what the caller has sent.
    added = len(hops) - hops.index(SPOOFED) - 1 if SPOOFED in hops else len(hops)
    if added != settings.TRUSTED_PROXY_COUNT:
        count = settings.TRUSTED_PROXY_COUNT
        effect = "callers can choose their address" if added < count else "all callers seem to be the proxy"
        yield problem(
            f"{added} proxies add to X-Forwarded-For, but TRUSTED_PROXY_COUNT is {count}: {effect}.",
            f"Set TRUSTED_PROXY_COUNT={added}, or correct the proxy.",
        )


def _of_clock(headers: Any) -> Iterator[Found]:
    try:
        there = parsedate_to_datetime(headers["Date"])
    except (TypeError, ValueError):
        return
    differs = abs((clock.here() - there).total_seconds())
    if differs > CLOCKS_DIFFER:
        yield warning(
            f"The clock at {settings.BASE_URL} differs by {differs:.0f} seconds from this machine's.",
            "Synchronise the clocks of both machines: timedatectl set-ntp true",
        )


def _why(failure: Exception) -> str:
    why = getattr(failure, "verify_message", "") or getattr(failure, "strerror", "") or type(failure).__name__
    return " ".join(str(why).split()).rstrip(".")


def _may_be_right(failure: Exception | None) -> bool:
    """Return whether the site may work although its public address does not lead to it from here.

    A container often can't reach the address in front of it. On a machine whose web server answers, the name may lead
    somewhere else from inside. But if nothing listens where the name leads, no proxy runs.
    """
    if failure is not None and fault_of(failure) is not None:
        return False
    if settings.PROBE_FILE:
        return True
    return not isinstance(failure, ConnectionRefusedError) and web_answers(settings.HOST, settings.PORT)


def no_answer_in_time() -> Found | None:
    """Return what it means if this check takes too long: a name server may not answer, for example."""
    if not _may_be_right(None):
        return None
    return unknown(f"{settings.BASE_URL} can't be reached from here: no answer in time.", _FROM_OUTSIDE)


_FROM_OUTSIDE = "Open it from outside. If it works there, ignore this."


def _way_out(failure: Exception) -> str:
    if fault_of(failure) is not None:
        return "Correct the certificate, or name the file of the authority that made it: SSL_CERT_FILE."
    if _may_be_right(failure):
        return _FROM_OUTSIDE
    return "Check the name, the proxy and the firewall."


def mail_server(to: str) -> Callable[[], Iterator[Found]]:
    """Return the check of the mail server. It signs in and sends nothing, unless `to` is an address."""

    def check() -> Iterator[Found]:
        if not settings.EMAIL_BACKEND.endswith("smtp.EmailBackend"):
            judge = problem if settings.PRODUCTION else warning
            yield judge(
                "Mails are written to files and not sent.",
                "Set EMAIL_URL, for example to smtp+tls://user:password@mail.example.com:587",
            )
            return
        server = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
        try:
            answers.greet_mail_server(
                settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD,
                has_tls=settings.EMAIL_USE_TLS, has_ssl=settings.EMAIL_USE_SSL,
            )  # fmt: skip
        except WrongAnswer as wrong:
            what, _, advice = str(wrong).partition(". ")
            yield problem(f"{what.rstrip('.')}.", advice or "Correct EMAIL_URL.")
            return
        if to:
            mail.EmailMessage("Customer Lockbox: test", "The mail server works.", to=[to]).send()
            yield ok(f"The mail server {server} has accepted a mail to {to}.")
        else:
            yield ok(f"The mail server {server} accepts the connection and the login. Nothing was sent.")

    return check
