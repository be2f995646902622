"""What a mail says: everything its templates read, looked up once and in the recipient's own zone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from requests_app.models import OutboxMessage


def of(message: OutboxMessage, at: datetime) -> dict[str, Any]:
    return {"message": message, "now": at}
