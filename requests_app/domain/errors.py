"""The refusals of the domain. Their words are safe to show, and each interface renders them in its own way."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from audit_app import canonical

Words = str | Promise


class DomainError(Exception):
    """A refusal. `code` is stable, `status` is its HTTP status, and `message` may be shown to the person.

    `current` is the present state of the row, for answers such as "already denied by …".
    """

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 400
    default: ClassVar[Words] = _("This was refused.")
    #: Whether the refusal gets an entry in the log: somebody tried what they may not do, or not do now. A mistake in a
    #: form or a failed database proves nothing about the person.
    is_evidence: ClassVar[bool] = True

    def __init__(self, message: Words | None = None, *, current: dict[str, Any] | None = None) -> None:
        self.message: Words = message if message is not None else self.default
        self.current = current or {}
        super().__init__(self.message)

    def __str__(self) -> str:
        return str(self.message)


class NotFound(DomainError):
    """The row does not exist, or belongs to another tenant. Nobody may learn which of the two it is."""

    code, status = "not_found", 404
    default = _("This does not exist, or you do not have access to it.")


class NotAllowed(DomainError):
    code, status = "not_allowed", 403
    default = _("Your role does not allow this.")


class OwnAccessRequest(NotAllowed):
    code = "own_access_request"
    default = _("You raised this access request, so you can’t decide on it.")


class OwnAccount(NotAllowed):
    """A person tried an act on their own account that somebody else has to do.

    The code is that of a missing role, because the remedy is the same: somebody else does it.
    """

    default = _("This is your own account. Somebody else has to do this.")


class AlreadyDecidedByYou(NotAllowed):
    code = "second_decision"
    default = _(
        "You have already decided on this access request. One person can decide only once, even with several "
        "accounts or roles."
    )


class SecondPersonNeeded(NotAllowed):
    code = "second_person_needed"
    default = _(
        "You proposed this change, so another person has to confirm it. Another account of yours does not count."
    )


class SecondFactorRequired(NotAllowed):
    """The person's role needs a second factor, and none is set up yet. The pages lead to the set-up."""

    code = "second_factor_required"
    default = _("Your role needs a second factor, and you have none. Sign in on the pages, and set up a second factor.")


class StepUpRequired(NotAllowed):
    code = "step_up_required"
    default = _("Confirm that it is you.")


class WrongProof(StepUpRequired):
    """The proof is not this person's.

    The code is that of a missing proof, because the remedy is the same: give the proof.
    """

    default = _("The password or the code is not right.")


class CodeAlreadyUsed(StepUpRequired):
    """The code is this person's, but it was used before. That is a mistake and does not count as a guess."""

    code = "code_already_used"

    def __init__(self, wait_seconds: int) -> None:
        words = _("This code was already used. Wait for the next one (%(seconds)d s).")
        if not wait_seconds:
            words = _("This code was already used. Enter the code that your app shows now.")
        super().__init__(words % {"seconds": wait_seconds}, current={"wait_seconds": wait_seconds})


class NoPasswordCounts(WrongProof):
    """No password is accepted, because the person can only sign in elsewhere.

    The message says so, so that the person does not try another password.
    """

    default = _(
        "You can sign in only with single sign-on, so no password is accepted here. Do this on the pages: there you "
        "confirm your identity with your passkey."
    )


class InsufficientScope(NotAllowed):
    """The token lacks a scope (RFC 6750, section 3.1).

    `scope` is the scope that is needed; it is empty if no scope is enough.
    """

    code = "insufficient_scope"
    default = _("This token can’t be used for this call.")

    def __init__(self, scope: str = "") -> None:
        super().__init__()
        self.scope = scope


class ServiceClientOnly(NotAllowed):
    """A person's token or a browser reported that content was opened. Only a client may report this."""

    code = "service_client_only"
    default = _(
        "Only the service that opens the content can report an access, with the token of an API client. Use "
        "such a token, or ask with the purpose “advice”."
    )


class MachineMayNotDecide(NotAllowed):
    code = "machine_may_not_decide"
    default = _(
        "A client can decide only if the tenant’s administrator has allowed it to decide for an approver of the tenant."
    )


class PasskeyRefused(NotAllowed):
    """A passkey's answer was not accepted. Each subclass is one reason, with a code that never changes."""

    code = "passkey_refused"
    default = _("The answer of your passkey was not accepted.")


class PasskeyUnreadable(PasskeyRefused):
    code, status = "passkey_unreadable", 400
    default = _("The answer of your passkey could not be read.")


class PasskeyUnknown(PasskeyRefused):
    code = "passkey_unknown"
    default = _("This is not one of your passkeys, or it was removed.")


class PasskeyWrongType(PasskeyRefused):
    code = "passkey_wrong_type"
    default = _("The answer of the passkey is for another purpose.")


class PasskeyWrongChallenge(PasskeyRefused):
    code = "passkey_wrong_challenge"
    default = _("The passkey did not sign what it was asked to sign.")


class PasskeyTooLate(PasskeyRefused):
    code = "passkey_too_late"
    default = _("The passkey answered a challenge that is unknown, too old, or already used. Try again.")


class PasskeyWrongOrigin(PasskeyRefused):
    code = "passkey_wrong_origin"
    default = _("The passkey was used on the page of another site.")


class PasskeyWrongSite(PasskeyRefused):
    code = "passkey_wrong_rp"
    default = _("The passkey answered for another site.")


class PasskeyNotVerified(PasskeyRefused):
    code = "passkey_user_not_verified"
    default = _("The passkey did not check that it is you. Use its PIN, your fingerprint or your face.")


class PasskeyBadSignature(PasskeyRefused):
    code = "passkey_bad_signature"
    default = _("This passkey did not make this signature.")


class PasskeyCounter(PasskeyRefused):
    code = "passkey_counter"
    default = _(
        "The passkey’s signature counter did not increase. There might be a copy of the passkey. Remove the "
        "passkey, and add a new passkey."
    )


class PasskeyBackupChanged(PasskeyRefused):
    code = "passkey_backup_changed"
    default = _(
        "The passkey’s backup status has changed since the passkey was added. Remove the passkey and add it again."
    )


class PasskeyAlgorithm(PasskeyRefused):
    code = "passkey_algorithm"
    default = _("This kind of key is not accepted here.")


class ManifestRefused(NotAllowed):
    """The signed text does not fit this decision. Each subclass is one reason, with a code that never changes."""

    code = "manifest_refused"
    default = _("The signed text is not valid for this decision.")


class ManifestChanged(ManifestRefused):
    code = "manifest_changed"
    default = _("The signed text is different from the text that this server made for signing.")


class ManifestForeign(ManifestRefused):
    code = "manifest_foreign"
    default = _("The signed text is about another access request, another answer, or another person.")


class ManifestExpired(ManifestRefused):
    code = "manifest_expired"
    default = _("The signed text was valid for five minutes, and this time is over. Sign again.")


class SignatureRequired(NotAllowed):
    """The tenant's rule requires a signed approval."""

    code = "signature_required"
    default = _("This tenant’s approvals must be signed with a passkey.")


class DeviceBoundRequired(NotAllowed):
    code = "device_bound_passkey_required"
    default = _("This tenant’s approvals must be signed with a passkey that can’t leave its device.")


class OwnKeyRequired(NotAllowed):
    code = "own_key_required"
    default = _("This tenant’s approvers approve on the tenant’s own approval page, with a passkey of that page.")


class WindowNotOpen(NotAllowed):
    code = "window_not_open"
    default = _("There is no open window on this resource.")


class NotCovered(NotAllowed):
    code = "not_covered"
    default = _("The window does not cover this access.")


class UnknownAction(NotAllowed):
    """The decision point was asked about an action that can't be done with content."""

    code = "unknown_action"
    default = _("Content can only be listed, read or downloaded.")


class WrongState(DomainError):
    code, status = "wrong_state", 409
    default = _("This is no longer possible: the state has changed.")


class Taken(WrongState):
    """The name must be unique, and another row has it."""

    code = "taken"
    default = _("This name or address is taken.")


class LastSecondFactor(WrongState):
    code = "last_second_factor"
    default = _("This is the last second factor, and the role needs one. Set up another one first.")


class LastPasskey(WrongState):
    """An approver tried to remove the last passkey that signs, and the tenant's rule requires signed approvals."""

    code = "last_passkey"
    default = _(
        "This is the last passkey that can sign approvals, and the tenant requires signed approvals. Add another "
        "passkey first."
    )


class DeadlinePassed(WrongState):
    code = "deadline_passed"
    default = _("The deadline has passed.")


class FactsChanged(WrongState):
    code = "facts_changed"
    default = _("The facts have changed since this access request was raised.")


class LogNotCosigned(WrongState):
    """The tenant's rule is that a window opens only if a witness has cosigned the log recently."""

    code = "log_not_cosigned"
    default = _(
        "No witness has cosigned the log recently, and this tenant opens a window only after a recent cosignature."
    )


class NotYetSigned(WrongState):
    """No checkpoint covers the entry yet. A checkpoint is made some seconds after the entry and proves it."""

    code = "not_yet_signed"
    default = _("There is no proof of this entry yet. Its checkpoint will be signed within a minute. Try again then.")


class NotSignedNow(NotYetSigned):
    code = "not_signed_now"
    default = _("The log is not being signed at the moment, so there is no proof of this entry yet.")


class NeverSigned(NotYetSigned):
    code = "never_signed"
    default = _(
        "This entry was never signed, because its part of the log was closed as damaged before the "
        "entry could be signed."
    )


class LogDamaged(WrongState):
    """The stored log does not lead to the root in the signed checkpoint."""

    code = "log_damaged"
    default = _("There is no proof of this entry, because the stored log does not match the signed log.")


class Malformed(DomainError):
    code, status, is_evidence = "malformed", 400, False
    default = _("This could not be read.")


class Unacceptable(DomainError):
    """The value is well-formed, but it is not allowed. `field` names the input."""

    code, status, is_evidence = "unacceptable", 422, False
    default = _("This value is not allowed.")

    def __init__(self, message: Words | None = None, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class TooMany(DomainError):
    code, status = "too_many", 429
    default = _("The limit for this is reached. Try again later.")


class TooManyGuesses(TooMany):
    """There were too many wrong inputs. Nothing more is checked until `until`."""

    code = "too_many"

    def __init__(self, until: datetime, *, at: datetime) -> None:
        minutes = max(1, math.ceil((until - at).total_seconds() / 60))
        words = ngettext_lazy(
            "Too many wrong passwords or codes were entered. For the next %(minutes)d minute, no password or code is "
            "checked, not even a correct one. Nothing was done. Wait until then, and try again. If you did not "
            "enter the wrong passwords or codes, tell your administrator.",
            "Too many wrong passwords or codes were entered. For the next %(minutes)d minutes, no password or code "
            "is checked, not even a correct one. Nothing was done. Wait until then, and try again. If you did "
            "not enter the wrong passwords or codes, tell your administrator.",
            minutes,
        )
        super().__init__(words % {"minutes": minutes}, current={"until_at": canonical.instant(until)})
        self.until = until


class Muted(TooMany):
    """The customer accepts no access requests from this engineer until `until`."""

    code = "muted"

    def __init__(self, until: datetime, message: Words) -> None:
        super().__init__(message, current={"until_at": canonical.instant(until)})
        self.until = until


class ChangeProposed(DomainError):
    """Not a refusal: under two-person control, the change is now a proposal that another person must confirm."""

    code, status = "change_proposed", 202
    default = _("Your change is now a proposal. Another administrator or approver must confirm it within 7 days.")


class SentAlready(DomainError):
    """The same form was sent before, and its act is committed."""

    code, status, is_evidence = "sent_already", 409, False
    default = _("This was saved already. Nothing was done a second time.")


class StoreUnavailable(DomainError):
    code, status, is_evidence = "store_unavailable", 503, False
    default = _("The service can't reach its database. Nothing was changed. Try again in a moment.")


class OutcomeUnknown(DomainError):
    """Nobody knows whether the act is saved: the database failed during the commit, or a step after it failed.

    `current` names the row that the person can check. Every interface uses the same words.
    """

    code, status, is_evidence = "outcome_unknown", 503, False
    default = _("We don't know whether this was saved. Check before you try again.")


class Busy(DomainError):
    """Too many people sign in or confirm their identity now.

    The number of password hashes and of calls to identity providers at the same time is limited.
    """

    code, status, is_evidence = "busy", 503, False
    default = _("Too many people are signing in at this moment. This try changed nothing. Try again in a few seconds.")


class ContentUnavailable(DomainError):
    """The system that holds the content failed. The log has an entry about the failure."""

    code, status, is_evidence = "content_unavailable", 503, False
    default = _("The system that holds this content does not answer. Nothing was shown.")
