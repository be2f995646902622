"""Decides the questions of one call to the decision point, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context

from django.db import close_old_connections, connection
from structlog.contextvars import bound_contextvars

from requests_app import operations
from requests_app.domain import policy
from requests_app.domain.actors import Actor, Side
from requests_app.domain.deciding import Asked, Decided, Standing, Take, TokenRefused
from requests_app.domain.errors import SecondFactorRequired
from requests_app.domain.scopes import Scope
from requests_app.doors.api.authentication import token_with
from requests_app.models import Token
from requests_app.models.people import actor_of_token
from requests_app.models.row_security import only_tenants
from requests_app.platform import outcome
from requests_app.queries.evaluation import evaluate

#: How many calls of the web server's short way are decided at the same time.
THREADS = 8


class Lane:
    """Decides calls in the thread of the caller (`decide`), or in threads of its own (`submit`)."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._threads: ThreadPoolExecutor | None = None

    def submit(self, asked: Sequence[Asked]) -> Future[list[Decided]]:
        """Decide in another thread. A future that is cancelled before its call has begun is not decided."""
        if self._threads is None:
            # Started with the first call, because threads do not survive a fork.
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="lane")
        # In a copy of the caller's context, so that the spans of acts are a part of the span of the call.
        return self._threads.submit(copy_context().run, self._decide_in_thread, asked)

    def _decide_in_thread(self, asked: Sequence[Asked]) -> list[Decided]:
        try:
            # The lines of the log that the operations write name the call.
            with outcome.watched(), bound_contextvars(request_id=asked[0].request_id, ip=asked[0].ip):
                return self.decide(asked)
        finally:
            _release()

    def decide(self, asked: Sequence[Asked]) -> list[Decided]:
        """Return the answers to the questions of one call, in their order."""
        try:
            token = token_with(asked[0].token_hash)
            if token is None:
                raise TokenRefused
        except Exception as error:
            return [Decided(refused=error)] * len(asked)
        actor = actor_of_token(token, request_id=asked[0].request_id, ip=asked[0].ip)
        standing: Standing | None = None
        if asked[0].places:
            standing = self._take(token.account_id, 1)
            if standing.is_over:
                return [Decided(actor=actor, quota=standing)] * len(asked)
        try:
            _require_fit(actor, token)
        except Exception as error:
            return [Decided(refused=error, actor=actor, quota=standing)] * len(asked)
        if asked[0].places > 1:
            standing = self._take(token.account_id, asked[0].places - 1)
            if standing.is_over:
                return [Decided(actor=actor, quota=standing)] * len(asked)
        with _rows_of(actor):
            return _all_of(asked, actor, standing)


def _release() -> None:
    """Release this thread's connection as after every request, but keep a good one to an SQLite file.

    To open the file again takes longer than to decide.
    """
    if connection.vendor != "sqlite" or connection.errors_occurred:
        close_old_connections()


def _require_fit(actor: Actor, token: Token) -> None:
    if actor.machine is None and policy.needs_second_factor(actor) and not token.account.has_second_factor:
        raise SecondFactorRequired
    policy.require_scope(actor, Scope.EVALUATE)


def _rows_of(actor: Actor) -> AbstractContextManager[None]:
    return only_tenants(actor.tenant_ids) if actor.side is Side.CUSTOMER else nullcontext()


def _all_of(asked: Sequence[Asked], actor: Actor, standing: Standing | None) -> list[Decided]:
    """Decide until a question is refused. The refusal also answers the questions after it."""
    found = list[Decided]()
    for each in asked:
        if found and found[-1].refused is not None:
            found.append(found[-1])
        else:
            found.append(_one(each, actor, standing))
    return found


def _one(asked: Asked, actor: Actor, standing: Standing | None) -> Decided:
    if asked.question is None:
        return Decided(actor=actor, quota=standing)
    try:
        ask = operations.allow_access if asked.is_access else evaluate
        verdict = ask(asked.question, actor=actor)
    except Exception as error:
        return Decided(refused=error, actor=actor, quota=standing)
    about = outcome.current().about if asked.is_access else {}
    named = (about.get("subject_type", ""), about.get("subject_id", ""))
    return Decided(verdict=verdict, actor=actor, quota=standing, about=named)
