"""Keeps in mind, for one HTTP request, which of its acts were committed or may have been, and says what that means."""

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

#: What is said where nothing is known about changes.
UNREACHABLE = _("The service can't reach its database. Try again in a moment.")
#: What is said of an act that has not begun. An earlier try of the same may have been saved, or is under way.
NOT_BEGUN = _("The service can't reach its database. This try changed nothing. Try again in a moment.")


@dataclass
class Outcome:
    """`subject_type` and `subject_id` name what the last of these acts was about: there one can look."""

    #: Whether an act's transaction was committed, or may have been.
    may_have_changed: bool = False
    subject_type: str = ""
    subject_id: str = ""
    #: The claims that committed acts have used up.
    used: set[UUID] = field(default_factory=set)
    #: The once-token that was sent. Forms that are shown again carry it on, until an act has used it up.
    token: str = ""
    #: Whether the answer holds the same form, to be sent again: it carries its token though its act may be saved.
    is_sent_again: bool = False
    #: Whether the answer is that too many want something at this moment. That is no outage.
    is_put_off: bool = False

    @property
    def about(self) -> dict[str, str]:
        named = {"subject_type": self.subject_type, "subject_id": self.subject_id}
        return named if self.subject_type else {}


_current: ContextVar[Outcome | None] = ContextVar("outcome", default=None)


@contextmanager
def watched() -> Iterator[Outcome]:
    """Begin a request. What was noted about it is forgotten at its end."""
    found = Outcome()
    reset = _current.set(found)
    try:
        yield found
    finally:
        _current.reset(reset)


def current() -> Outcome:
    """What is known of this request; of a task or a command, which is no request, nothing."""
    return _current.get() or Outcome()


def note(subject_type: str, subject_id: str, *, claim: UUID | None) -> None:
    """Note that an act was committed; without a claim also that nobody knows whether it was."""
    found = current()
    found.may_have_changed = True
    found.subject_type, found.subject_id = subject_type, subject_id
    if claim is not None:
        found.used.add(claim)


def refusal_of(error: BaseException) -> DomainError:
    """What a failure of the database comes to, outside an act: nobody is told that nothing was changed if it may be."""
    found = current()
    if found.may_have_changed or _is_commit_unknown(error):
        return OutcomeUnknown(current=found.about)
    return StoreUnavailable(UNREACHABLE)


def failed(error: BaseException, subject_type: str, subject_id: str, *, has_begun: bool) -> DomainError:
    """What a failure of the database within an act comes to. Of an act that was not being committed nothing is left."""
    is_unknown = _is_commit_unknown(error)
    if is_unknown:
        note(subject_type, subject_id, claim=None)
    found = current()
    if is_unknown or found.may_have_changed:
        # Without a request, as in a task, nothing was noted.
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
    """The once-token of a form that is shown now: a new one for each form, but the one that was sent for a retry."""
    found = current()
    is_carried_on = found.is_sent_again or not found.may_have_changed
    return found.token if found.token and is_carried_on else secrets.token_urlsafe(16)
