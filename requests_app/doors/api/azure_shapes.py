"""Azure's statuses, and its formats of bodies, answers and errors."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from requests_app.domain.errors import Malformed, Unacceptable
from requests_app.domain.states import State
from requests_app.doors.api import errors
from requests_app.doors.api.fields import Strict, Text
from requests_app.models import AccessRequest, Grant
from requests_app.queries import access

API_VERSION = "2018-02-28-preview"
PROVIDER = "Microsoft.CustomerLockbox"


class MissingApiVersionParameter(Malformed):
    code = "missing_api_version_parameter"
    default = _("The api-version query parameter is required.")


class InvalidApiVersionParameter(Malformed):
    code = "invalid_api_version_parameter"
    default = _("This api-version is not supported here.")


class InvalidFilter(Malformed):
    code = "invalid_filter_in_query_string"
    default = _("You can filter only by status, for example: properties/status eq 'Pending'.")


# --- Statuses ------------------------------------------------------------------------------------------------

#: All statuses of the contract. This product uses the statuses in `_OF_STATE`, Revoked and Completed.
STATUSES = (
    "Initializing",
    "Pending",
    "Approving",
    "Denying",
    "Approved",
    "Denied",
    "Expired",
    "Revoking",
    "Revoked",
    "Error",
    "Unknown",
    "Completed",
    "Completing",
)
SOURCES = tuple(AccessRequest.Reason.values)
_OF_STATE = {
    State.PENDING_PROVIDER: "Initializing",
    State.PENDING_CUSTOMER: "Pending",
    State.OPEN: "Approved",
    State.DENIED: "Denied",
    State.EXPIRED: "Expired",
    State.WITHDRAWN: "Unknown",
}
_STATE_OF = {status: state for state, status in _OF_STATE.items()}
_FILTER = re.compile(rf" *properties/status +eq +'({'|'.join(STATUSES)})' *", re.ASCII)
FILTER = {"type": "string", "pattern": f"^{_FILTER.pattern}$"}


def status_of(row: AccessRequest, at: datetime) -> str:
    """Return Azure's status of an access request.

    A window that was revoked is Revoked; any other closed window is Completed.
    """
    state = row.state_at(at)
    if state is not State.CLOSED:
        return _OF_STATE[state]
    return "Revoked" if row.grant.close_reason == Grant.CloseReason.REVOKED else "Completed"


def with_status(rows: QuerySet[AccessRequest], status: str, *, at: datetime) -> Any:
    if status in _STATE_OF:
        return access.in_state(rows, _STATE_OF[status], at=at)
    if status not in ("Revoked", "Completed"):
        return rows.none()
    closed, revoked = access.in_state(rows, State.CLOSED, at=at), {"grant__close_reason": Grant.CloseReason.REVOKED}
    return closed.filter(**revoked) if status == "Revoked" else closed.exclude(**revoked)


def status_in(wanted: str) -> str:
    match = _FILTER.fullmatch(wanted)
    if match is None:
        raise InvalidFilter
    return match[1]


# --- Answers -------------------------------------------------------------------------------------------------


class AzureProperties(serializers.Serializer):
    """`duration` is a number of hours as text. `resourceIds` is one text with commas between the ids.

    Azure has no field for practice requests, so their `justification` begins with `[Practice]`. It has none for the
    level either. If the engineer could change things, the `justification` begins with `[Can change things]`.
    """

    requestId = serializers.UUIDField(source="pk")
    justification = serializers.SerializerMethodField()
    status = serializers.SerializerMethodField()
    createdDateTime = serializers.DateTimeField(source="submitted_at")
    expirationDateTime = serializers.DateTimeField(source="decide_by")
    duration = serializers.SerializerMethodField()
    resourceIds = serializers.SerializerMethodField()
    resourceType = serializers.SerializerMethodField()
    supportRequest = serializers.SerializerMethodField()
    supportCaseUrl = serializers.SerializerMethodField()
    workItemSource = serializers.ChoiceField(source="reason_kind", choices=SOURCES)
    subscriptionId = serializers.UUIDField(source="tenant_id")

    def get_justification(self, row: AccessRequest) -> str:
        marks = "[Practice] " * row.is_practice + "[Can change things] " * row.can_change
        return f"{marks}{row.justification}"

    @extend_schema_field(serializers.ChoiceField(choices=STATUSES))
    def get_status(self, row: AccessRequest) -> str:
        return status_of(row, self.context["at"])

    def get_duration(self, row: AccessRequest) -> str:
        return f"{row.window_for / 3600:g}"

    def get_resourceIds(self, row: AccessRequest) -> str:
        return ",".join(str(scope.resource_id) for scope in row.scope.all())

    def get_resourceType(self, row: AccessRequest) -> str:
        kinds = dict.fromkeys(scope.resource.kind for scope in row.scope.all())
        return ",".join(f"{row.service.key}/{kind}" for kind in kinds)

    def get_supportRequest(self, row: AccessRequest) -> str:
        return row.ticket.reference if row.ticket else row.demand_reference

    def get_supportCaseUrl(self, row: AccessRequest) -> str:
        return settings.BASE_URL + reverse("web:ticket", args=[row.ticket_id]) if row.ticket else ""


class AzureRequest(serializers.Serializer):
    """The LockboxRequestResponse of Azure."""

    id = serializers.SerializerMethodField()
    name = serializers.SerializerMethodField()
    type = serializers.SerializerMethodField()
    properties = AzureProperties(source="*")

    def get_id(self, row: AccessRequest) -> str:
        return f"/subscriptions/{row.tenant_id}/providers/{PROVIDER}/requests/{row.pk}"

    def get_name(self, row: AccessRequest) -> str:
        return f"LockboxRequest_{row.pk}"

    def get_type(self, row: AccessRequest) -> str:
        return "requests"


class AzureRequests(serializers.Serializer):
    """`nextLink` is given only if there is a next page."""

    value = AzureRequest(many=True)
    nextLink = serializers.URLField(required=False)


class AzureOptedIn(serializers.Serializer):
    isOptedIn = serializers.BooleanField()


class AzureDisplay(serializers.Serializer):
    provider = serializers.CharField()
    resource = serializers.CharField()
    operation = serializers.CharField()
    description = serializers.CharField()


class AzureOperation(serializers.Serializer):
    name = serializers.CharField()
    isDataAction = serializers.CharField()
    display = AzureDisplay()


class AzureOperations(serializers.Serializer):
    value = AzureOperation(many=True)
    nextLink = serializers.URLField(required=False)


class AzureInfo(serializers.Serializer):
    currentStatus = serializers.ChoiceField(choices=STATUSES)


class AzureAdditionalInfo(serializers.Serializer):
    type = serializers.CharField()
    info = AzureInfo()


class AzureErrorBody(serializers.Serializer):
    code = serializers.CharField()
    message = serializers.CharField()
    target = serializers.CharField()
    additionalInfo = AzureAdditionalInfo(many=True)


class AzureError(serializers.Serializer):
    error = AzureErrorBody()


# --- Bodies --------------------------------------------------------------------------------------------------


class ApprovalIn(Strict):
    """Send `status`. Older callers send `decision` instead."""

    needs_a_member = True

    status = serializers.ChoiceField(choices=["Approve", "Deny"], required=False)
    decision = serializers.ChoiceField(choices=["Approve", "Deny"], required=False)
    reason = Text(required=False, allow_blank=True, default="")


class Approval(serializers.Serializer):
    status = serializers.ChoiceField(choices=["Approve", "Deny"])
    reason = serializers.CharField()


def approval(body: dict[str, Any]) -> tuple[str, str]:
    """Return the decision and its reason. Older callers send the decision in `decision`, and all others in `status`."""
    decisions = {body[name] for name in ("status", "decision") if name in body}
    if len(decisions) != 1:
        raise Unacceptable(_("Send “Approve” or “Deny”."), field="status")
    return decisions.pop(), body["reason"]


# --- Errors ---------------------------------------------------------------------------------------------------

#: The codes for which Azure has its own word. All other codes are this API's codes in Azure's spelling.
_CODES = {
    "invalid_token": "InvalidAuthenticationToken",
    "insufficient_scope": "AuthorizationFailed",
    "not_allowed": "AuthorizationFailed",
    "not_found": "ResourceNotFound",
    "malformed": "BadRequest",
    "unknown_parameter": "InvalidQueryParameter",
    "unacceptable": "InvalidRequestContent",
    "wrong_state": "Conflict",
    "rate_limited": "TooManyRequests",
    "too_many": "TooManyRequests",
    "store_unavailable": "ServiceUnavailable",
}


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer with the same refusal as the rest of the API, in Azure's error format."""
    found = errors.handle(error, context)
    if found is not None:
        found.data = {"error": _error(found.data, getattr(context["view"], "current_status", ""))}
        found.content_type = None
    return found


def _error(problem: dict[str, Any], current_status: str) -> dict[str, Any]:
    code, faults = problem["code"], problem.get("errors", [])
    details = [f"{each['field']}: {each['detail']}" for each in faults if each["detail"] != problem["title"]]
    info = [{"type": "CurrentStatus", "info": {"currentStatus": current_status}}] if current_status else []
    return {
        "code": _CODES.get(code) or code.title().replace("_", ""),
        "message": " ".join([problem["title"], *details]),
        "target": faults[0]["field"] if faults else "",
        "additionalInfo": info,
    }
