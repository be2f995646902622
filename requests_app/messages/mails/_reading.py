"""Which function reads the facts of a mail: each names its topics beside it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from requests_app.domain.acts.declaration import Noun
from requests_app.messages.topics import Topic
from requests_app.models import OutboxMessage

Facts = dict[str, Any]
Reader = Callable[[OutboxMessage, datetime], Facts]

READERS: dict[Topic, Reader] = {}


#: Reads the facts of a mail about such a row, where its topic is only declared.
PLAIN_READERS: dict[Noun, Reader] = {}


def reads_plain(noun: Noun) -> Callable[[Reader], Reader]:
    """Register a function that reads the facts of each plain mail about such a row."""

    def registered(reader: Reader) -> Reader:
        PLAIN_READERS[noun] = reader
        return reader

    return registered


def reads(*topics: Topic) -> Callable[[Reader], Reader]:
    """Let a function read the facts of the mails of these topics. Raises ValueError where one is read already."""

    def registered(reader: Reader) -> Reader:
        for topic in topics:
            if topic in READERS:
                raise ValueError(f"Two functions read the facts of {topic}.")
            READERS[topic] = reader
        return reader

    return registered
