"""Serves the product, and Django answers every call. Some calls are otherwise answered earlier, on the event loop."""

from __future__ import annotations

from typing import Any

# This import sets the product up, so it comes first.
from lockbox_site.rsgi import application as application  # isort: skip
from lockbox_site.serving.fast_gate import FastGate
from lockbox_site.serving.fast_path import FastPath


def _none(_path: object, *_args: Any) -> None:
    return None


# The server makes its objects after this.
FastPath.call_of = _none  # type: ignore[method-assign,assignment]
FastGate.question_of = _none  # type: ignore[method-assign,assignment]
