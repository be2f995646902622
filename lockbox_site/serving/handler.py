"""Django's request handler, changed so that every request is read as UTF-8."""

from __future__ import annotations

from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters


class Request(WSGIRequest):
    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        """Store the content type of the header, but ignore the encoding that it names.

        Django would decode with any Python codec that the header names, and would use it even for the query. It
        fails with a codec that is not for text. `lockbox_site.crossing.CharsetMiddleware` refuses bodies that are
        not in UTF-8.
        """
        self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))


class Handler(WSGIHandler):
    request_class = Request
