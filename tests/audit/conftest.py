"""What several tests of signers use."""

from __future__ import annotations

from typing import Any

import pytest

from audit_app import notes
from audit_app.notes import Head


@pytest.fixture
def signed_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all heads that were signed, in their order."""
    plain, made = notes.sign, []

    def sign(text: str, *rest: Any) -> Any:
        made.append(Head.parse(text).size)
        return plain(text, *rest)

    monkeypatch.setattr(notes, "sign", sign)
    return made
