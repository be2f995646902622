"""Records which acts of the current HTTP request are committed, or may be, and chooses the error for the caller."""

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
#: The message if the act has not begun. An earlier attempt may have been saved, or may still run.
NOT_BEGUN = _("The service can't reach its database. This attempt changed nothing. Try again in a moment.")


@dataclass
class Outcome:
    """What is known about the acts of one HTTP request.

    `subject_type` and `subject_id` name the row of the last act. There the person can check whether the act is saved.
    """

    #: Whether the transaction of an act was committed, or may have been.
    may_have_changed: bool = False
    subject_type: str = ""
    subject_id: str = ""
    #: The claims that the committed acts have used.
    used: set[UUID] = field(default_factory=set)
    #: The once-token of the form that was sent. A form that is shown again has the same token, until an act has used
    #: it.
    token: str = ""
    #: Whether the answer repeats the same form to be sent again. The form then has the same token, although its act may
    #: be saved.
    is_sent_again: bool = False
    #: Whether the answer says that too many people want something now. That is no outage.
    is_put_off: bool = False

    @property
    def about(self) -> dict[str, str]:
        named = {"subject_type": self.subject_type, "subject_id": self.subject_id}
        return named if self.subject_type else {}


_current: ContextVar[Outcome | None] = ContextVar("outcome", default=None)


@contextmanager
def watched() -> Iterator[Outcome]:
    """Record the acts of one HTTP request until the block ends."""
    found = Outcome()
    reset = _current.set(found)
    try:
        yield found
    finally:
        _current.reset(reset)


def current() -> Outcome:
    """Return what is known about the current HTTP request. In a task or a command, return an empty record."""
    return _current.get() or Outcome()


def note(subject_type: str, subject_id: str, *, claim: UUID | None) -> None:
    """Record that an act on this row was committed, or may have been.

    Pass the act's `claim` only if it was committed.
    """
    found = current()
    found.may_have_changed = True
    found.subject_type, found.subject_id = subject_type, subject_id
    if claim is not None:
        found.used.add(claim)


def refusal_of(error: BaseException) -> DomainError:
    """Return the error for the caller when the database failed outside of an act.

    The error says that nothing changed only if that is certain.
    """
    found = current()
    if found.may_have_changed or _is_commit_unknown(error):
        return OutcomeUnknown(current=found.about)
    return StoreUnavailable(UNREACHABLE)


def failed(error: BaseException, subject_type: str, subject_id: str, *, has_begun: bool) -> DomainError:
    """Return the error for the caller when the database failed within an act.

    Only a failure during the commit leaves the outcome unknown. After any other failure, the act saved nothing.
    """
    is_unknown = _is_commit_unknown(error)
    if is_unknown:
        note(subject_type, subject_id, claim=None)
    found = current()
    if is_unknown or found.may_have_changed:
        # In a task there is no HTTP request, so nothing was recorded.
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
    """Return the once-token for a form that is shown now.

    If the person may send the same form again, it is the token that the form had before. Otherwise it is a new token.
    """
    found = current()
    is_carried_on = found.is_sent_again or not found.may_have_changed
    return found.token if found.token and is_carried_on else secrets.token_urlsafe(16)
