"""An application for tests/site/test_served_alike.py. This module serves it with WSGI, and bridged.py with the bridge.

WSGI needs no model and no other part of the product, so this module does not load them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse

from lockbox_site.serving.handler import Handler

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")


class Echo(Handler):
    """Answers with the request that it got, or in the way that the path asks for.

    It uses no middleware and no database.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        pass

    def get_response(self, request: Any) -> HttpResponseBase:
        answers: dict[str, Callable[[], HttpResponseBase]] = {
            "/204": lambda: HttpResponse(status=204),
            "/304": lambda: HttpResponse(status=304, headers={"ETag": '"a"'}),
            "/302": lambda: HttpResponse(status=302, headers={"Location": "/ü?a=b"}),
            "/long": lambda: HttpResponse(b"x" * 200_000),
            "/stream": lambda: StreamingHttpResponse(iter([b"a" * 10, b"b" * 70_000, b"c"])),
            "/sized": lambda: StreamingHttpResponse(iter([b"a" * 50_000] * 2), headers={"Content-Length": "100000"}),
            "/cut": lambda: StreamingHttpResponse(cut(), headers={"Content-Length": "100000"}),
            "/fails": lambda: StreamingHttpResponse(cut()),
            "/cookies": self._cookies,
        }
        response = answers.get(
            request.path, lambda: HttpResponse(shown_request(request), content_type="application/json")
        )()
        if not response.streaming and response.status_code == 200:
            # The framework's middleware does the same.
            response["Content-Length"] = str(len(response.content))  # type: ignore[attr-defined]  # not streaming
        return response

    @staticmethod
    def _cookies() -> HttpResponse:
        response = HttpResponse("x")
        response.set_cookie("a", "1", httponly=True)
        response.set_cookie("b", "ü")
        return response


def cut() -> Iterable[bytes]:
    yield b"a" * 50_000
    raise RuntimeError


def shown_request(request: Any) -> str:
    environ = {name: str(value) for name, value in request.META.items() if is_shown(name)}
    body = request.body.decode("latin-1")
    return json.dumps(
        {"path": request.path, "body": body, "get": request.GET.dict(), "environ": environ}, sort_keys=True
    )


def is_shown(name: str) -> bool:
    return name.startswith("HTTP_") or name in (
        "CONTENT_TYPE", "CONTENT_LENGTH", "REMOTE_ADDR", "REQUEST_METHOD",
        "PATH_INFO", "QUERY_STRING", "SCRIPT_NAME", "wsgi.url_scheme"
    )  # fmt: skip


application = Echo()
