"""Maps each topic to the function that reads the facts for its mails. These functions register themselves here."""

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


#: The functions for topics that only a declaration names, by the kind of row that the mail is about.
PLAIN_READERS: dict[Noun, Reader] = {}


def reads_plain(noun: Noun) -> Callable[[Reader], Reader]:
    """Register a function that reads the facts for mails about this kind of row.

    It is used for topics that only a declaration names.
    """

    def registered(reader: Reader) -> Reader:
        PLAIN_READERS[noun] = reader
        return reader

    return registered


def reads(*topics: Topic) -> Callable[[Reader], Reader]:
    """Register a function that reads the facts for the mails of these topics.

    Raise ValueError if one of the topics already has a function.
    """

    def registered(reader: Reader) -> Reader:
        for topic in topics:
            if topic in READERS:
                raise ValueError(f"Two functions read the facts of {topic}.")
            READERS[topic] = reader
        return reader

    return registered
