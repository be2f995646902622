"""Remembers during one HTTP request which of its acts were committed or may have been, and what to say then."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from requests_app.domain.errors import DomainError, OutcomeUnknown, StoreUnavailable
from requests_app.platform.database.errors import CommitUnknown

#: The message if it is unknown whether anything changed.
UNREACHABLE = _("The service can't reach its database. Try again in a moment.")
#: What is said about an act that has not begun. An earlier attempt may have been saved, or may be running.
NOT_BEGUN = _("The service can't reach its database. This try changed nothing. Try again in a moment.")


@dataclass
class Outcome:
    """What is known. `subject_type` and `subject_id` name the subject of the last act: the place to look."""

    #: Whether an act's transaction was committed, or may have been.
    may_have_changed: bool = False
    subject_type: str = ""
    subject_id: str = ""
    #: The claims that committed acts have used.
    used: set[UUID] = field(default_factory=set)
    #: The once-token that was sent. A form that is shown again keeps it until an act has used it.
    token: str = ""
    #: Whether the answer has the same form, to be sent again: it keeps its token though its act may be saved.
    is_sent_again: bool = False
    #: Whether the answer is that too many want something now, which is no outage.
    is_put_off: bool = False

    @property
    def about(self) -> dict[str, str]:
        named = {"subject_type": self.subject_type, "subject_id": self.subject_id}
        return named if self.subject_type else {}


_current: ContextVar[Outcome | None] = ContextVar("outcome", default=None)


@contextmanager
def watched() -> Iterator[Outcome]:
    """Begin a request. Its record is forgotten at its end."""
    found = Outcome()
    reset = _current.set(found)
    try:
        yield found
    finally:
        _current.reset(reset)


def current() -> Outcome:
    """Return what is known of this request; nothing for a task or a command."""
    return _current.get() or Outcome()


def note(subject_type: str, subject_id: str, *, claim: UUID | None) -> None:
    """Record that an act was committed; without a claim also that it may have been."""
    found = current()
    found.may_have_changed = True
    found.subject_type, found.subject_id = subject_type, subject_id
    if claim is not None:
        found.used.add(claim)


def refusal_of(error: BaseException) -> DomainError:
    """Return the error for a database failure outside an act. It never claims wrongly that nothing changed."""
    found = current()
    if found.may_have_changed or _is_commit_unknown(error):
        return OutcomeUnknown(current=found.about)
    return StoreUnavailable(UNREACHABLE)


def failed(error: BaseException, subject_type: str, subject_id: str, *, has_begun: bool) -> DomainError:
    """Return the error for a database failure within an act. Unless it was being committed, the act left nothing."""
    is_unknown = _is_commit_unknown(error)
    if is_unknown:
        note(subject_type, subject_id, claim=None)
    found = current()
    if is_unknown or found.may_have_changed:
        # Without a request, as in a task, nothing was recorded.
        named = Outcome(subject_type=subject_type, subject_id=subject_id)
        return OutcomeUnknown(current=found.about or named.about)
    return StoreUnavailable() if has_begun else StoreUnavailable(NOT_BEGUN)


def _is_commit_unknown(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, CommitUnknown):
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False


def token_for_a_form() -> str:
    """Return the once-token of a form that is shown now: a new one, or for a retry the one that was sent."""
    found = current()
    is_carried_on = found.is_sent_again or not found.may_have_changed
    return found.token if found.token and is_carried_on else secrets.token_urlsafe(16)
