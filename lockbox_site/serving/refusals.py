"""Answers that the event loop sends itself, without a thread."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.template import loader
from django.utils.translation import gettext as _

#: Only the style of the page is allowed, because scripts would need a nonce for this answer.
_POLICY = "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"
_HEADERS = [
    ("cache-control", "no-store"),
    ("connection", "close"),
    ("content-security-policy", _POLICY),
    ("referrer-policy", "same-origin"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
]
RETRY_AFTER = 2


class Refusal:
    """An answer with a refusal, for programs and for people. It is rendered once, when the process starts.

    It says nothing about other attempts. An earlier attempt at the same act may have been saved.
    """

    def __init__(self, status: int, code: str, title: str) -> None:
        self.status = status
        problem = {"type": "about:blank", "title": title, "status": status, "code": code}
        self._problem = json.dumps(problem, ensure_ascii=False).encode()
        template = loader.get_template(f"{status}.html")
        self._page = template.render({"message": title, "code": code, "csp_nonce": ""}).encode()

    def answer(self, scope: Any, proto: Any) -> None:
        is_for_programs = scope.path.removeprefix("/").startswith(settings.FOR_PROGRAMS)
        is_page = not is_for_programs and "text/html" in scope.headers.get("accept", "")
        headers = [("content-type", "text/html; charset=utf-8" if is_page else "application/problem+json"), *_HEADERS]
        if self.status == 503:
            headers.append(("retry-after", str(RETRY_AFTER)))
        proto.response_bytes(self.status, headers, self._page if is_page else self._problem)


class Refusals:
    def __init__(self) -> None:
        self.too_slow = Refusal(
            408, "request_timeout", _("What you sent did not arrive in time. This attempt changed nothing.")
        )
        self.busy = Refusal(
            503,
            "busy",
            _("The server is too busy at this moment. This attempt changed nothing. Try again in a few seconds."),
        )
        self.streams_full = Refusal(
            503,
            "streams_full",
            _("This server has too many open downloads and waiting calls at this moment. Try again in a minute."),
        )
