"""Declares the acts of the guided set-up: the test mail, and the proofs that keys are stored in a safe place."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Family, Meaning, Severity
from requests_app.domain import limits
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Field, Noun, has

MAIL_TESTED = Event(
    "mail.tested",
    label=_("Test mail sent"),
    sentence=_("{who} sent a test mail to {to}: the mail server accepted it with the answer {answer}"),
    variants=(
        (has("problem"), _("{who} tried to send a test mail to {to}, but it could not be sent: {problem}")),
        (
            has("is_file"),
            _("{who} sent a test mail to {to}: without a mail server, it was written to a file"),
        ),
    ),
    siem=Meaning(Family.ENTITY, OTHER, "Test mail"),
)
LOG_KEY_COPY_CONFIRMED = Event(
    "log_key.copy_confirmed",
    label=_("Copy of the log’s key confirmed"),
    sentence=_("{who} showed that the encrypted copy of the log’s key is stored"),
    siem=Meaning(Family.ENTITY, OTHER, "Confirm copy", Severity.LOW),
)
LOG_KEY_STORED = Event(
    "log_key.stored",
    label=_("Public key of the log confirmed as stored"),
    sentence=_("{who} showed that the public key of this log is stored outside this site: {key}"),
    siem=Meaning(Family.ENTITY, OTHER, "Confirm key", Severity.LOW),
)
RECOVERY_KEY_CONFIRMED = Event(
    "recovery_key.confirmed",
    label=_("Recovery key confirmed as stored"),
    sentence=_("{who} showed that the recovery key is stored"),
    siem=Meaning(Family.ENTITY, OTHER, "Confirm key", Severity.LOW),
)

#: The last characters of a fingerprint or of a key. People may also enter all of it.
_CHARACTERS = Field("characters", at_least=limits.ENDING, at_most=200, label=_("Last four characters"))

SEND_TEST_MAIL = Act(
    "send_test_mail",
    noun=Noun.INSTALLATION,
    roles=frozenset({Role.STAFF}),
    humans_only=True,
    title=_("Send me a test mail"),
    events=(MAIL_TESTED,),
    tried=_("to send a test mail"),
    doors=frozenset({Door.ADMIN}),
)
CONFIRM_KEY_COPY = Act(
    "confirm_key_copy",
    noun=Noun.INSTALLATION,
    roles=frozenset({Role.STAFF}),
    humans_only=True,
    title=_("Confirm the copy of the log’s key"),
    explains=_(
        "Take the copy from the place where you store it, and compute its fingerprint there with “sha256sum "
        "log_key_copy.pem” (on Windows, “certutil -hashfile log_key_copy.pem SHA256”). Enter the last four characters. "
        "This shows that the copy is where you need it, and that it is complete. The key itself never leaves the "
        "server through a page."
    ),
    inputs=(_CHARACTERS,),
    events=(LOG_KEY_COPY_CONFIRMED,),
    tried=_("to confirm the copy of the log’s key"),
    done=_("The copy is confirmed. Keep it and its passphrase in two different places."),
    doors=frozenset({Door.ADMIN}),
)
CONFIRM_RECOVERY_KEY = Act(
    "confirm_recovery_key",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    humans_only=True,
    title=_("Confirm the recovery key"),
    inputs=(_CHARACTERS,),
    events=(RECOVERY_KEY_CONFIRMED,),
    tried=_("to confirm the recovery key"),
    done=_("The recovery key is confirmed. Put it back where nobody can take it secretly."),
    doors=frozenset({Door.PAGES}),
)
CONFIRM_LOG_KEY = Act(
    "confirm_log_key",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    humans_only=True,
    title=_("Confirm that you have the key of the log"),
    inputs=(_CHARACTERS,),
    events=(LOG_KEY_STORED,),
    tried=_("to confirm that the key of the log is stored"),
    done=_("The key of the log is confirmed. Use your own copy each time that you verify the log."),
    doors=frozenset({Door.PAGES}),
)
