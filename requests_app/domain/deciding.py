"""What the decision point's doors ask the decision lane, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from requests_app.domain.actors import Actor
from requests_app.domain.evaluation import Question, Verdict

#: How many questions wait at most, for a thread or for one log.
CROWD = 4096
#: What a caller learns whose question was not begun.
TOO_BUSY = _("The server is too busy at this moment. This attempt changed nothing. Try again in a few seconds.")


class TokenRefused(Exception):
    """The token is unknown, ended or revoked, or its account is switched off. A caller can't tell these cases apart."""


class QuotaLeft(Protocol):
    """What is left of a caller's quota."""

    @property
    def is_over(self) -> bool: ...


#: Takes this many places of the quota of the account that asks.
Take = Callable[[UUID, int], QuotaLeft]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question of a call, with the hash of the token that the caller has sent.

    Without a `question`, the decision lane only authenticates. The first question of a call takes the `places` of all
    its questions from the quota, with `take` if there is one. `repeat_id` is the id that the caller gave the call: the
    same question of the same caller under the same id gets the same entry.
    """

    token_hash: str
    question: Question | None
    is_access: bool = False
    request_id: str = ""
    ip: str = ""
    repeat_id: str = ""
    places: int = 1
    take: Take | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The answer to one question. Without a `verdict`, the question was refused, or there was none.

    `quota` is the caller's quota after this call. If it is over, nothing was judged. `about` names what the entry is
    about that was committed for this question.
    """

    verdict: Verdict | None = None
    refused: Exception | None = None
    actor: Actor | None = None
    quota: QuotaLeft | None = None
    about: tuple[str, str] = ("", "")
