"""Answers a call to the decision point: from the bytes of a POST to the bytes of its answer.

The web server answers most calls with this module alone (`lockbox_site.serving.fast_path`). The Django view of the same
address answers all others with it. So both give the same answers. An `Exchange` neither waits nor reads from the
database: it yields what it needs, and its driver sends the result back.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from json import JSONDecodeError, JSONDecoder
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import structlog
from django.conf import settings
from rest_framework import exceptions
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.utils.encoders import JSONEncoder
from rest_framework.utils.json import strict_constant
from rest_framework.utils.mediatypes import media_type_matches
from structlog.contextvars import bound_contextvars

from requests_app.domain.actors import Actor
from requests_app.domain.deciding import Asked, Decided, TokenRefused
from requests_app.domain.errors import Busy, Malformed, OutcomeUnknown, StoreUnavailable
from requests_app.domain.evaluation import Question, Verdict
from requests_app.doors.api import authzen, quota, requestable
from requests_app.doors.api.authentication import hash_of
from requests_app.doors.api.authzen import Evaluation, Purpose, Semantic
from requests_app.doors.api.base import TooOften
from requests_app.doors.api.pages import require_known
from requests_app.operations import gates
from requests_app.platform import outcome, telemetry
from requests_app.queries import asking

security_log = structlog.get_logger("security")

QUOTA = "evaluations"
#: The longest id that a caller can give a call. The answer contains it unchanged, even if it is not fit for a log.
_ID_MAX = 200
_JSON = "application/json"
#: The content types of nearly all calls.
USUAL = frozenset({_JSON, f"{_JSON}; charset=utf-8", f"{_JSON};charset=utf-8"})
_DECODER = JSONDecoder(parse_constant=strict_constant)


class _Encoder(JSONEncoder):
    """Writes what the framework's encoder writes. The values of nearly all answers are tried first."""

    def default(self, obj: Any) -> Any:
        if type(obj) is UUID:
            return str(obj)
        if type(obj) is datetime:
            text = obj.isoformat()
            return f"{text[:-6]}Z" if text.endswith("+00:00") else text
        return super().default(obj)


_ENCODER = _Encoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A POST to the decision point, with the values of its headers.

    `body` is the error if the body could not be read, and None if the call has no body. `is_several` says whether the
    address takes several questions. `offered_id` is the id that the caller gave the call.
    """

    path: str
    is_several: bool
    body: bytes | Exception | None
    authorization: str = ""
    accept: str = "*/*"
    content_type: str = ""
    parameters: Iterable[str] = ()
    offered_id: str = ""
    request_id: str = ""
    ip: str = ""
    has_key: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """`is_put_off` says that the caller has to wait because too many others want the same. That is no outage."""

    status: int
    headers: Headers
    body: bytes
    is_put_off: bool = False


#: An exchange yields questions for the decision lane, or a function that reads from the database. It gets the result.
Steps = Generator[Sequence[Asked] | Callable[[], Any], Any, Answer]
_Part = Generator[Sequence[Asked] | Callable[[], Any], Any, Any]


def _take(account_id: UUID, places: int) -> quota.QuotaStatus:
    most = int(settings.EVALUATIONS_PER_MINUTE)
    return quota.CALLS.take((account_id, QUOTA), most, places=places, name=QUOTA)


#: One decision lane for all: what waits for the same log in this process is written together.
LANE = gates.LANE


def is_echoed(offered: str) -> bool:
    """Return whether the answer repeats this id of a call, as the standard wants it."""
    return offered.isascii() and offered.isprintable() and 0 < len(offered) <= _ID_MAX


def answered(call: Call) -> Answer:
    """Answer a call in this thread. Raise an error only for a bug."""
    steps = Exchange(call).steps()
    go_on: Callable[[Any], Any] = steps.send
    result: Any = None
    while True:
        try:
            wanted = go_on(result)
        except StopIteration as end:
            return cast(Answer, end.value)
        try:
            go_on, result = steps.send, wanted() if callable(wanted) else LANE.decide(wanted)
        except Exception as error:
            go_on, result = steps.throw, error


class Exchange:
    """One call and its answer. It refuses in the same order as every other route of the API."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self._media_type = ""
        self._actor: Actor | None = None
        self._standing: quota.QuotaStatus | None = None
        #: What the last entry is about that was committed for this call.
        self.about = ("", "")
        self._echo = call.offered_id if is_echoed(call.offered_id) else ""

    def steps(self) -> Steps:
        """Make the answer. Raise an error only for a bug."""
        try:
            self._media_type = _accepted(self.call.accept)
            data = yield from self._data(_token_hash(self.call))
        except Exception as error:
            return self._failed(error)
        return Answer(200, self._headers(_JSON), self._rendered(data))

    def _data(self, token_hash: str) -> _Part:
        try:
            asked = _read(self.call)
        except Exception:
            # First the refusals that do not depend on the body.
            yield from self._decided([self._question(token_hash, None, places=1)])
            raise
        answers = list[dict[str, Any]]()
        places = len(asked.questions)
        if places > 1:
            # Until the caller is known, the call takes the room of one question.
            yield from self._decided([self._question(token_hash, None, places=places)])
            places = 0
        for group in asked.groups():
            decided = iter((yield from self._decided(self._questions(token_hash, group, places), among=answers)))
            places = 0
            for each in group:
                if isinstance(each, Malformed):
                    answers.append(authzen.fault(each.status, str(each)))
                else:
                    answers.append((yield from self._extended(each, next(decided))))
                if asked.semantic.ends_with(answers[-1]["decision"]):
                    return {"evaluations": answers}
        return {"evaluations": answers} if asked.is_list else answers[0]

    def _questions(self, token_hash: str, group: Iterable[_Read | Malformed], places: int) -> list[Asked]:
        """Return the questions for the decision lane. The first takes the places of the whole call from the quota."""
        found = list[Asked]()
        for each in group:
            if not isinstance(each, Malformed):
                found.append(self._question(token_hash, each, places=0 if found else places))
        return found if found or not places else [self._question(token_hash, None, places=places)]

    def _question(self, token_hash: str, read: _Read | None, *, places: int) -> Asked:
        is_access = read is not None and read.is_access
        return Asked(
            token_hash=token_hash,
            question=None if read is None else read.question,
            is_access=is_access,
            request_id=self.call.request_id,
            ip=self.call.ip,
            repeat_id=self._echo if is_access else "",
            places=places,
            take=_take,
        )

    def _decided(self, asked: list[Asked], *, among: Sequence[Any] = ()) -> _Part:
        """Ask the decision lane. If it answers nothing, and `among` has no answer either, raise the first refusal."""
        decided: Sequence[Decided] = (yield asked) if asked else ()
        for each in decided:
            # Noted before anything is raised: a question after the refused one may have its entry.
            if each.about[0]:
                self.about = each.about
        for each in decided:
            self._actor = each.actor
            if each.quota is not None:
                self._standing = standing = cast(quota.QuotaStatus, each.quota)
                if standing.is_over:
                    raise TooOften(wait=standing.reset)
        if decided and not among and all(each.refused is not None for each in decided):
            raise cast(Exception, decided[0].refused)
        return decided

    def _extended(self, read: _Read, decided: Decided) -> _Part:
        if decided.refused is not None:
            return self._fault_of(decided.refused)
        verdict, actor = cast(Verdict, decided.verdict), cast(Actor, decided.actor)
        telemetry.happened(telemetry.DECISION, "decision_point", "permit" if verdict.decision else "deny")
        found = authzen.answer(verdict)
        if not asking.may_ask(actor):
            return found
        approval = read.evaluation.context.get("approval")
        more = partial(requestable.extended, found, read.question, verdict, approval=approval, actor=actor)
        return (yield more)

    def _fault_of(self, refused: Exception) -> dict[str, Any]:
        """Return the answer to a question that was refused beside others. Raise the error of a bug."""
        with bound_contextvars(request_id=self.call.request_id, ip=self.call.ip), outcome.watched():
            response = authzen.handle(refused, {"request": self._request()})
        if response is None:
            raise refused
        return authzen.fault(response.status_code, str(response.data["title"]))

    # --- The bytes ---

    def _failed(self, error: Exception) -> Answer:
        if isinstance(error, TokenRefused):
            error = exceptions.AuthenticationFailed()
        outer = outcome.current()
        with bound_contextvars(request_id=self.call.request_id, ip=self.call.ip), outcome.watched() as found:
            if self.about[0]:
                outcome.note(*self.about, claim=None)
                if isinstance(error, StoreUnavailable | Busy):
                    # Both say that nothing was changed.
                    error = OutcomeUnknown(current=found.about)
            if isinstance(error, exceptions.AuthenticationFailed):
                security_log.warning("api.token_refused", ip=self.call.ip)
            response = authzen.handle(error, {"request": self._request()})
        if response is None:
            if self.about[0]:
                # The answer to a bug must not say that nothing was changed.
                outcome.note(*self.about, claim=None)
            raise error
        outer.is_put_off = found.is_put_off
        more = [(name, value) for name, value in response.items() if name != "Content-Type"]
        headers = self._headers(response.content_type, more)
        return Answer(response.status_code, headers, self._rendered(response.data), is_put_off=found.is_put_off)

    def _request(self) -> Any:
        """Return what the errors of the API read of a request."""
        who = SimpleNamespace(pk=None if self._actor is None else self._actor.person_id)
        headers = {"Idempotency-Key": ""} if self.call.has_key else {}
        return SimpleNamespace(request_id=self.call.request_id, path=self.call.path, headers=headers, _user=who)

    def _headers(self, content_type: str, more: Iterable[tuple[str, str]] = ()) -> Headers:
        found = [("Content-Type", content_type), *more, ("Allow", "POST, OPTIONS")]
        if self._echo:
            found.append(("X-Request-ID", self._echo))
        found.append(("Cache-Control", "no-store"))
        if self._standing is not None:
            found.extend(self._standing.headers.items())
        return found

    def _rendered(self, data: Any) -> bytes:
        if self._media_type:
            return cast(bytes, JSONRenderer().render(data, self._media_type, {}))
        # As the framework's renderer does it.
        return _ENCODER.encode(data).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").encode()


# --- What a call asks ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Read:
    evaluation: Evaluation
    question: Question

    @property
    def is_access(self) -> bool:
        return self.evaluation.context.get("purpose") == Purpose.ACCESS


@dataclass(frozen=True, slots=True)
class _Asking:
    """The questions of a call. `is_list` says whether the answers are a list."""

    questions: list[_Read | Malformed]
    semantic: Semantic = Semantic.EXECUTE_ALL
    is_list: bool = False

    def groups(self) -> Iterator[list[_Read | Malformed]]:
        """Yield the questions that are asked together. If an answer may end the call, each question is alone."""
        if self.semantic is Semantic.EXECUTE_ALL:
            yield self.questions
        else:
            yield from ([each] for each in self.questions)


def _read(call: Call) -> _Asking:
    require_known(call.parameters, ())
    body = _body_of(call)
    batch = authzen.batch_in(body) if call.is_several else None
    if batch is None:
        found = _question_in(authzen.evaluation_in(body))
        return _Asking([found])
    return _Asking([_one_of(each) for each in batch.questions], batch.semantic, is_list=True)


def _question_in(evaluation: Evaluation) -> _Read:
    return _Read(evaluation, authzen.question_of(evaluation))


def _one_of(evaluation: Evaluation | Malformed) -> _Read | Malformed:
    try:
        return evaluation if isinstance(evaluation, Malformed) else _question_in(evaluation)
    except Malformed as fault:
        return fault


def _body_of(call: Call) -> Any:
    """Return the JSON of a body, read in the same way as the parser of the framework does."""
    if call.body is None:
        return {}
    if call.content_type not in USUAL and not _is_json(call.content_type):
        raise exceptions.UnsupportedMediaType(call.content_type)
    if isinstance(call.body, Exception):
        raise call.body
    try:
        text, _length = codecs.utf_8_decode(call.body, "strict", False)
        if text.startswith("\ufeff"):
            raise JSONDecodeError("Unexpected UTF-8 BOM (decode using utf-8-sig)", text, 0)
        return _DECODER.decode(text)
    except ValueError as error:
        raise exceptions.ParseError(f"JSON parse error - {error}") from error


def _is_json(content_type: str) -> bool:
    most = DefaultContentNegotiation.max_media_type_length
    return len(content_type) <= most and media_type_matches(_JSON, content_type)


@lru_cache(maxsize=64)
def _accepted(accept: str) -> str:
    """Return the media type of the answer, or "" for JSON without parameters. Raise NotAcceptable."""
    request = SimpleNamespace(headers={"accept": accept}, query_params={})
    _renderer, media_type = DefaultContentNegotiation().select_renderer(request, [JSONRenderer])
    return "" if media_type == _JSON else str(media_type)


def _token_hash(call: Call) -> str:
    """Return the hash of the token that the caller has sent. Raise an error unless it has the form of a token."""
    scheme, _space, secret = call.authorization.partition(" ")
    if not scheme:
        raise exceptions.NotAuthenticated
    found = hash_of(secret) if scheme.lower() == "bearer" else None
    if found is None:
        raise TokenRefused
    return found
