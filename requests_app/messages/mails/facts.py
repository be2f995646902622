"""The context of a mail: everything that its templates need, read once, in words for the recipient."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from importlib import import_module
from pkgutil import iter_modules

from django.conf import settings
from django.utils.translation import gettext as _

from requests_app.messages import mails
from requests_app.messages.mails import _several, words
from requests_app.messages.mails._reading import PLAIN_READERS, READERS, Facts
from requests_app.messages.topics import PlainTopic, topic_of
from requests_app.models import OutboxMessage, Person
from requests_app.words import sentences

# Each module whose name begins with "_" has functions that read facts. It is imported, so that they are registered.
for _module in iter_modules(mails.__path__, f"{mails.__name__}."):
    if _module.name.rpartition(".")[2].startswith("_"):
        import_module(_module.name)


def of(message: OutboxMessage, at: datetime) -> Facts:
    """Return the context for the templates of a message.

    The caller must have activated the language and the time zone of the recipient.
    """
    topic = topic_of(message.topic)
    read = PLAIN_READERS[topic.noun] if isinstance(topic, PlainTopic) else READERS[topic]
    return _whole(message, at, read(message, at))


def of_several(messages: Sequence[OutboxMessage], at: datetime) -> Facts:
    """Return the context for one mail about several access requests."""
    return _whole(messages[0], at, _several.decisions_needed(messages, at))


def _whole(message: OutboxMessage, at: datetime, read: Facts) -> Facts:
    """Add the facts that every mail has to the facts that were read for this message."""
    reader = message.person
    common = {
        "now": at,
        "provider": words.line(settings.PROVIDER_NAME),
        "tenant": words.line(message.tenant.name if message.tenant else settings.PROVIDER_NAME),
        "is_customer": reader is None or reader.side == Person.Side.CUSTOMER,
        "is_address": reader is None,
    }
    found = {**common, **read}
    if found.get("is_practice"):
        found["practice"] = sentences.PRACTICE
    if close_path := found.get("close_path"):
        found["close_url"] = settings.BASE_URL + close_path
    return {**found, "url": settings.BASE_URL + found["path"], "why_you": _why_you(message, found)}


def _why_you(message: OutboxMessage, found: Facts) -> str:
    """Return the sentence that says why this reader gets the mail."""
    if found.get("is_colleague"):
        return _("You get this mail because the staff of %(provider)s invited your address.") % found
    if found.get("by_provider"):
        return _("You get this mail because the staff of %(provider)s invited your address to %(tenant)s.") % found
    if found.get("is_invited"):
        return _("You get this mail because somebody at %(tenant)s entered your address.") % found
    if found["is_address"]:
        return _("You get this mail because %(tenant)s sends notifications to this address.") % found
    if found.get("is_of_tenant"):
        return _("You get this mail because you have a role at %(tenant)s.") % found
    if found.get("is_of_staff"):
        return (
            _("You get this mail because you are on the staff of %(provider)s, and can confirm or withdraw changes.")
            % found
        )
    if found.get("is_own_account"):
        return _("You get this mail because it is about your account.")
    if found.get("is_webhook"):
        return _("You get this mail because you manage webhooks for %(tenant)s.") % found
    if found.get("is_stream"):
        return _("You get this mail because of your role at %(tenant)s.") % found
    if found.get("is_requester"):
        return _("You get this mail because you asked for this access.")
    if "ticket_reference" in found:
        if found["is_customer"]:
            return _("You get this mail because you are the customer’s contact for this ticket.")
        return _("You get this mail because you work on tickets of %(service)s.") % found
    if found["is_customer"]:
        return _("You get this mail because of your role at %(tenant)s.") % found
    if message.tenant_id is None:
        return _("You get this mail because you are on the staff of %(provider)s.") % found
    return _("You get this mail because you confirm access requests of %(service)s.") % found
