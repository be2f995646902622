"""The bodies of the Shared Signals Framework: what a receiver sends, and how a stream is shown to it.

The framework has members that this product does not know. They are ignored. A member that the transmitter supplies may
be in a body, but its value must be right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _
from rest_framework import serializers

from requests_app.domain.errors import Malformed
from requests_app.doors.api.fields import Text, Whole, YesNo
from requests_app.messages import signals
from requests_app.models import SignalStream
from requests_app.operations._stream_settings import ALGORITHMS, Delivery, Wanted
from requests_app.operations.signal_polls import MOST_EVENTS, MOST_SETTLED
from requests_app.operations.signal_streams import VERIFY_EVERY

METHODS = PUSH, POLL = "urn:ietf:rfc:8935", "urn:ietf:rfc:8936"
_SUPPLIED = ("iss", "aud", "events_supported", "events_delivered", "min_verification_interval")


class DeliveryOut(serializers.Serializer):
    method = serializers.ChoiceField(choices=METHODS)
    endpoint_url = serializers.CharField()


class StreamOut(serializers.Serializer):
    """A stream's configuration. The receiver's `authorization_header` is never shown.

    `subject_format` and `signing_alg` are this product's own members.
    """

    stream_id = serializers.CharField()
    iss = serializers.SerializerMethodField()
    aud = serializers.SerializerMethodField()
    events_supported = serializers.SerializerMethodField()
    events_requested = serializers.ListField(child=serializers.CharField(), source="requested")
    events_delivered = serializers.SerializerMethodField()
    delivery = serializers.SerializerMethodField()
    min_verification_interval = serializers.SerializerMethodField()
    description = serializers.CharField(source="webhook.label")
    subject_format = serializers.ChoiceField(choices=SignalStream.Subject.values)
    signing_alg = serializers.ChoiceField(choices=ALGORITHMS, source="alg")

    def get_iss(self, _row: SignalStream) -> str:
        return str(settings.BASE_URL)

    def get_aud(self, row: SignalStream) -> str:
        return signals.audience(row)

    def get_events_supported(self, _row: SignalStream) -> list[str]:
        return list(signals.SUPPORTED)

    def get_events_delivered(self, row: SignalStream) -> list[str]:
        return [event for event in signals.SUPPORTED if event in row.requested]

    def get_delivery(self, row: SignalStream) -> dict[str, str]:
        if row.is_push:
            return {"method": PUSH, "endpoint_url": row.webhook.url}
        return {"method": POLL, "endpoint_url": settings.BASE_URL + reverse("api:signal_poll", args=[row.pk])}

    def get_min_verification_interval(self, _row: SignalStream) -> int:
        return VERIFY_EVERY


class StatusOut(serializers.Serializer):
    stream_id = serializers.CharField()
    status = serializers.ChoiceField(choices=SignalStream.Status.values)
    reason = serializers.CharField()


class FetchedOut(serializers.Serializer):
    """`sets` has the tokens by their `jti`. Acknowledge each, or you get it again."""

    sets = serializers.DictField(child=serializers.CharField())
    moreAvailable = serializers.BooleanField()


class DeliveryIn(serializers.Serializer):
    method = serializers.ChoiceField(choices=METHODS)
    endpoint_url = Text(required=False, allow_blank=True)
    authorization_header = Text(required=False, allow_blank=True, allow_null=True, trim_whitespace=False)


class StreamIn(serializers.Serializer):
    """What the receiver chooses. Without `delivery`, the receiver fetches the events."""

    events_requested = serializers.ListField(child=Text(max_length=200), required=False, max_length=50)
    delivery = DeliveryIn(required=False)
    description = Text(required=False, allow_blank=True)
    subject_format = serializers.ChoiceField(choices=SignalStream.Subject.values, required=False)
    signing_alg = serializers.ChoiceField(choices=ALGORITHMS, required=False)


class StreamChange(StreamIn):
    needs_a_member = True
    stream_id = Text()


class StatusIn(serializers.Serializer):
    stream_id = Text()
    status = serializers.ChoiceField(choices=SignalStream.Status.values)
    reason = Text(required=False, allow_blank=True, allow_null=True)


class VerifyIn(serializers.Serializer):
    """The verification event contains `state` unchanged."""

    stream_id = Text()
    state = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False, max_length=1000)


class SetError(serializers.Serializer):
    err = Text(max_length=64)
    description = Text(required=False, allow_blank=True, max_length=1000)


class PollIn(serializers.Serializer):
    """A call that fetches events, and acknowledges those that were fetched before."""

    maxEvents = Whole(required=False, min_value=0, max_value=10**9)
    returnImmediately = YesNo(required=False)
    ack = serializers.ListField(child=Text(max_length=64), required=False, max_length=MOST_SETTLED)
    setErrs = serializers.DictField(child=SetError(), required=False)

    def validate_setErrs(self, value: dict[str, Any]) -> dict[str, Any]:
        if len(value) > MOST_EVENTS or any(len(jti) > 64 for jti in value):
            raise serializers.ValidationError(_("These are too many."))
        return value


def wanted(found: Mapping[str, Any], *, is_whole: bool = False) -> Wanted:
    """Return what the receiver chose. With `is_whole`, a member that is missing gets its default."""
    defaults = {
        "events_requested": list(signals.SUPPORTED),
        "delivery": {"method": POLL},
        "description": "",
        "subject_format": SignalStream.Subject.EMAIL.value,
        "signing_alg": ALGORITHMS[0],
    }
    given = {**defaults, **found} if is_whole else found
    delivery = given.get("delivery")
    return Wanted(
        requested=given.get("events_requested"),
        delivery=None if delivery is None else _delivery(delivery),
        description=given.get("description"),
        subject_format=given.get("subject_format"),
        alg=given.get("signing_alg"),
    )


def _delivery(found: Mapping[str, Any]) -> Delivery:
    header = found.get("authorization_header", "" if "authorization_header" in found else None)
    # null removes the header, and a missing member keeps it for the same address.
    header = "" if "authorization_header" in found and header is None else header
    return Delivery(is_push=found["method"] == PUSH, url=found.get("endpoint_url", ""), authorization=header)


def require_supplied(body: Any, row: SignalStream) -> None:
    """Raise Malformed if the body has a member of the transmitter with another value."""
    shown = StreamOut(row).data
    for name in _SUPPLIED:
        if isinstance(body, Mapping) and name in body and body[name] != shown[name]:
            raise Malformed(_("%(member)s has another value.") % {"member": name})
