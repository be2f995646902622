"""The errors with which the domain refuses an act.

Their words are safe to show, and each interface shows them in its way.
"""

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
    """A refusal. `code` never changes, `status` is the HTTP status, and `message` is safe to show to the person.

    `current` describes the state of the row now, for answers such as "already denied by …".
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
    """The row does not exist, or it belongs to another tenant. Nobody may learn which of the two is true."""

    code, status = "not_found", 404
    default = _("This does not exist, or you do not have access to it.")


class NotAllowed(DomainError):
    code, status = "not_allowed", 403
    default = _("Your role does not allow this.")


class OwnAccessRequest(NotAllowed):
    code = "own_access_request"
    default = _("You submitted this access request, so you can’t decide on it.")


class OwnAccount(NotAllowed):
    """A person tried an act on their own account that only somebody else may do.

    It has the code of a missing role, because in both cases the solution is the same: somebody else must do the act.
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
    """The person's role needs a second factor, and the person has not set one up. The pages lead to the set-up."""

    code = "second_factor_required"
    default = _(
        "Your role needs a second factor, and you have none. Sign in on the pages of Customer Lockbox, and set up a "
        "second factor."
    )


class StepUpRequired(NotAllowed):
    code = "step_up_required"
    default = _("Confirm that it is you.")


class WrongProof(StepUpRequired):
    """The password or the code does not belong to this person.

    It has the code of a missing proof, because in both cases the solution is the same: the person must prove their
    identity.
    """

    default = _("The password or the code is not right.")


class CodeAlreadyUsed(StepUpRequired):
    """The code belongs to this person, but it was used before. This is a mistake and does not count as a guess."""

    code = "code_already_used"

    def __init__(self, wait_seconds: int) -> None:
        words = _("This code was already used. Wait for the next code (%(seconds)d s).")
        if not wait_seconds:
            words = _("This code was already used. Enter the code that your app shows now.")
        super().__init__(words % {"seconds": wait_seconds}, current={"wait_seconds": wait_seconds})


class NoPasswordCounts(WrongProof):
    """No password is accepted, because this person can sign in only at their identity provider.

    The message says this, so that the person does not try other passwords.
    """

    default = _(
        "You can sign in only with single sign-on, so no password is accepted here. Use the pages of Customer "
        "Lockbox: there you confirm your identity with your passkey."
    )


class InsufficientScope(NotAllowed):
    """The token does not have the scope that the call needs (RFC 6750, section 3.1).

    `scope` is the scope that is needed. It is empty if no scope would be enough.
    """

    code = "insufficient_scope"
    default = _("This token can’t be used for this call.")

    def __init__(self, scope: str = "") -> None:
        super().__init__()
        self.scope = scope


class ServiceClientOnly(NotAllowed):
    """A person's token or a browser tried to report that content was opened. Only a client may report this."""

    code = "service_client_only"
    default = _(
        "Only the service that opens the content can report an access. The service must use the token of an API "
        "client. If you only want to know whether an access would be allowed, use the purpose “advice”."
    )


class MachineMayNotDecide(NotAllowed):
    code = "machine_may_not_decide"
    default = _(
        "This client is not allowed to answer access requests. An administrator of the tenant can allow the client to "
        "decide for one of the tenant’s approvers."
    )


class PasskeyRefused(NotAllowed):
    """The answer of a passkey was not accepted. Each subclass is one reason, and its code never changes."""

    code = "passkey_refused"
    default = _("The answer of your passkey was not accepted. Try again.")


class PasskeyUnreadable(PasskeyRefused):
    code, status = "passkey_unreadable", 400
    default = _("The answer of your passkey could not be read. Try again.")


class PasskeyUnknown(PasskeyRefused):
    code = "passkey_unknown"
    default = _("This is not one of your passkeys, or it was removed.")


class PasskeyWrongType(PasskeyRefused):
    code = "passkey_wrong_type"
    default = _("The passkey’s answer does not belong to this action. Try again.")


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
    default = _("This passkey is for another site. Use a passkey of this site.")


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
    default = _("This passkey uses a kind of key that is not accepted here. Use another passkey.")


class ManifestRefused(NotAllowed):
    """The signed text does not belong to this decision. Each subclass is one reason, and its code never changes."""

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
    """The tenant's rule requires that approvals are signed."""

    code = "signature_required"
    default = _("This tenant’s approvals must be signed with a passkey.")


class DeviceBoundRequired(NotAllowed):
    code = "device_bound_passkey_required"
    default = _("This tenant’s approvals must be signed with a passkey that can’t leave its device.")


class OwnKeyRequired(NotAllowed):
    code = "own_key_required"
    default = _(
        "This tenant accepts approvals only from the tenant’s own approval page, signed with a passkey of that page."
    )


class WindowNotOpen(NotAllowed):
    code = "window_not_open"
    default = _("There is no open window on this resource.")


class NotCovered(NotAllowed):
    code = "not_covered"
    default = _("The window does not cover this access.")


class CodeRefused(NotAllowed):
    """A one-time code was refused. Each subclass is one reason, and its code never changes."""

    code = "code_refused"
    default = _("This one-time code is not valid. Open the window again.")


class CodeUsed(CodeRefused):
    code = "code_used"
    default = _("This one-time code was used before. Open the window again.")


class CodeExpired(CodeRefused):
    code = "code_expired"
    default = _("This one-time code was valid for one minute, and this time is over. Open the window again.")


class CodeForeign(CodeRefused):
    code = "code_foreign"
    default = _("This one-time code belongs to another browser or another application. Open the window again.")


class GrantTokenEnded(NotAllowed):
    """An application sent a grant token that has ended, to renew it. The engineer has to get a new one."""

    code = "grant_token_ended"
    default = _("This grant token has ended.")


class GrantTokenNotRenewable(NotAllowed):
    """An application wants to renew a grant token that did not come to it through a one-time code."""

    code = "grant_token_not_renewable"
    default = _("Only a token that a browser brought with a one-time code is renewed. Get a new one at Lockbox.")


class GrantTokenForeign(NotAllowed):
    """A client sent a grant token of another application, or of another installation."""

    code = "grant_token_foreign"
    default = _("This grant token was made for another application.")


class TenantNeeded(NotAllowed):
    """A service asked the decision point about a resource of a tenant, and did not name the tenant."""

    code = "tenant_needed"
    default = _("Name the tenant of the resource.")


class UnknownAction(NotAllowed):
    """A service asked the decision point about an action that does not exist for content."""

    code = "unknown_action"
    default = _("This action is not known. Content can only be listed, viewed, read or downloaded.")


class WrongState(DomainError):
    code, status = "wrong_state", 409
    default = _("This is no longer possible: the state has changed.")


class Taken(WrongState):
    """The name must be unique, and another row already has it."""

    code = "taken"
    default = _("This name or address is taken.")


class LastSecondFactor(WrongState):
    code = "last_second_factor"
    default = _("This is your only second factor, and your role needs one. Set up another second factor first.")


class LastPasskey(WrongState):
    """An approver tried to remove their last passkey that can sign, but the tenant's rule requires signed approvals."""

    code = "last_passkey"
    default = _(
        "This is the last passkey that can sign approvals, and the tenant requires signed approvals. Add another "
        "passkey first."
    )


class EnforcedElsewhere(WrongState):
    """The content stays in an application of the provider, so nobody can read it through this product."""

    code = "enforced_elsewhere"
    default = _("Another application holds this content. Open it there.")


class ReportsGap(WrongState):
    """A report of a guard does not continue where its last report ended. `expected` is the number that comes next."""

    code, is_evidence = "reports_gap", False
    default = _("This report leaves out accesses that were not reported yet. Begin with the expected number.")

    def __init__(self, expected: int) -> None:
        super().__init__()
        self.expected = expected


class GuardCopied(WrongState):
    """Another life of the guard holds its id: its queue was copied, and both copies count from the same number."""

    code, is_evidence = "guard_copied", False
    default = _(
        "Another copy of this guard reports with the same id. Make a new id, and report under it everything that is "
        "not acknowledged."
    )


class TooManyGuards(WrongState):
    """The client has as many guards as it can have. Those that were not heard of recently do not count."""

    code, is_evidence = "too_many_guards", False
    default = _("This API client has too many guards. Keep the id of a guard on its disk, or make another client.")


class RestoreNotConfirmed(WrongState):
    """After a restore from a backup, no window opens before people have confirmed what was restored."""

    code = "restore_not_confirmed"
    default = _("The installation was restored from a backup, and not everything that was restored is confirmed yet.")


class DeadlinePassed(WrongState):
    code = "deadline_passed"
    default = _("The deadline has passed.")


class FactsChanged(WrongState):
    code = "facts_changed"
    default = _(
        "Something that this access request depends on has changed since it was submitted. Read the access request "
        "again."
    )


class LogNotCosigned(WrongState):
    """The tenant's rule allows a window to open only if a witness has cosigned the log recently, and none has."""

    code = "log_not_cosigned"
    default = _(
        "No witness has cosigned the log recently. By a rule of this tenant, a window opens only after a recent "
        "cosignature."
    )


class NotYetSigned(WrongState):
    """No checkpoint covers the entry yet.

    Some seconds after an entry is written, a checkpoint is made that proves it.
    """

    code = "not_yet_signed"
    default = _("There is no proof of this entry yet. Its checkpoint will be signed within a minute. Try again then.")


class NotSignedNow(NotYetSigned):
    code = "not_signed_now"
    default = _("The log is not being signed at the moment, so there is no proof of this entry yet.")


class NeverSigned(NotYetSigned):
    code = "never_signed"
    default = _(
        "This entry was never signed. Its part of the log was damaged, and was closed before the entry could be signed."
    )


class LogDamaged(WrongState):
    """The stored log does not lead to the root hash in the signed checkpoint."""

    code = "log_damaged"
    default = _("There is no proof of this entry, because the stored log does not match the signed log.")


class Malformed(DomainError):
    code, status, is_evidence = "malformed", 400, False
    default = _("The data that you sent could not be read. Check its format, and send it again.")


class Unacceptable(DomainError):
    """The value has a valid form, but it is not allowed. `field` is the name of the input."""

    code, status, is_evidence = "unacceptable", 422, False
    default = _("This value is not allowed.")

    def __init__(self, message: Words | None = None, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class TooMany(DomainError):
    code, status = "too_many", 429
    default = _("The limit for this is reached. Try again later.")


class TooManyGuesses(TooMany):
    """There were too many wrong passwords or codes. No password or code is checked before the time `until`."""

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
    """The customer accepts no access requests from this engineer before the time `until`."""

    code = "muted"

    def __init__(self, until: datetime, message: Words) -> None:
        super().__init__(message, current={"until_at": canonical.instant(until)})
        self.until = until


class ChangeProposed(DomainError):
    """The change is now a proposal that another person must confirm, because of two-person control.

    It is not refused.
    """

    code, status = "change_proposed", 202
    default = _("Your change is now a proposal. Another administrator or approver must confirm it within 7 days.")


class SentAlready(DomainError):
    """The same form was already sent, and its act is saved."""

    code, status, is_evidence = "sent_already", 409, False
    default = _("This was saved already. Nothing was done a second time.")


class StoreUnavailable(DomainError):
    code, status, is_evidence = "store_unavailable", 503, False
    default = _("The service can't reach its database. Nothing was changed. Try again in a moment.")


class OutcomeUnknown(DomainError):
    """Nobody knows whether the act is saved: the database failed during the commit, or in a step after the commit.

    `current` names a row. The person can check there whether the act is saved. Every interface shows the same words.
    """

    code, status, is_evidence = "outcome_unknown", 503, False
    default = _("We don't know whether this was saved. Check before you try again.")


class Busy(DomainError):
    """Too many people are signing in or confirming their identity at the moment.

    The number of simultaneous password hashes is limited, and so is the number of simultaneous calls to identity
    providers.
    """

    code, status, is_evidence = "busy", 503, False
    default = _(
        "Too many people are signing in at this moment. This attempt changed nothing. Try again in a few seconds."
    )


class ContentUnavailable(DomainError):
    """The system that holds the content failed. The log already has an entry about this failure."""

    code, status, is_evidence = "content_unavailable", 503, False
    default = _("The system that holds this content does not answer. Nothing was shown.")
