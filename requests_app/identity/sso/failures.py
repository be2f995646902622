"""The one error of single sign-on, whichever protocol it uses."""

from __future__ import annotations


class SignOnFailed(Exception):
    """A sign-on failed. `args[0]` is a stable code. `args[1]` is a detail in words, or ""."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail[:200]
