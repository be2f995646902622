"""When a webhook message is sent again after a failure. The schedule follows Standard Webhooks 1.0."""

from __future__ import annotations

import random
from datetime import timedelta

#: The wait after the first failure, after the second, and so on.
STEPS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
MOST_ATTEMPTS = len(STEPS) + 1
#: The shortest time from the first attempt to the last one: about three days.
WHOLE = sum(STEPS, timedelta())
JITTER = 0.1


def wait(failures: int) -> timedelta:
    """Return how long to wait after this many failures. A random part spreads the attempts of many messages."""
    step = STEPS[min(failures, len(STEPS)) - 1]
    return step * (1 + random.random() * JITTER)  # noqa: S311 - spreads load, guards nothing
