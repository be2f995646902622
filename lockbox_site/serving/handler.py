"""Django's handler, with requests that are read in UTF-8 whatever their header says."""

from __future__ import annotations

from typing import Any

from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.utils.http import parse_header_parameters


class Request(WSGIRequest):
    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        """Note what is said, and decode nothing by it.

        The framework takes whichever codec of Python is named, for the query too, and fails here where that is none for
        text. What is not in UTF-8 is refused by `lockbox_site.crossing.CharsetMiddleware`.
        """
        self.content_type, self.content_params = parse_header_parameters(meta.get("CONTENT_TYPE", ""))


class Handler(WSGIHandler):
    request_class = Request
