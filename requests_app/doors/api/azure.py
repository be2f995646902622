"""Azure's API contract, `Microsoft.CustomerLockbox` of 2018-02-28-preview, for clients that were written for Azure.

Spelling, types and errors are those of Azure. Permissions and operations are the same as in the rest of the API. The
contract has no ETag. In place of an ETag, a person's step-up or a client's permission to decide protects a decision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

from django.urls import path, re_path
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Side
from requests_app.domain.acts.tenants import SWITCH_LOCKBOX
from requests_app.domain.errors import Malformed, NotFound, WrongState
from requests_app.domain.lifecycle import deciding_act
from requests_app.domain.scopes import Scope
from requests_app.doors.api import azure_shapes as shapes
from requests_app.doors.api.base import ApiView
from requests_app.doors.api.fields import Strict
from requests_app.doors.api.pages import CURSOR, Pages
from requests_app.doors.api.schema import described_by, extend_schema
from requests_app.models import AccessRequest, Tenant
from requests_app.queries import access
from requests_app.queries import tenant as tenants

API_VERSION, PROVIDER = shapes.API_VERSION, shapes.PROVIDER
TAG = "azure"


@described_by("AzureSchema")
class AzureView(ApiView):
    has_no_etag: ClassVar[bool] = True
    needs_version: ClassVar[bool] = True
    #: The present status of the access request, for the error after a call that was too late.
    current_status: str = ""

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        version = request.query_params.get("api-version")
        if version is None and self.needs_version:
            raise shapes.MissingApiVersionParameter
        if version is not None and version.lower() != API_VERSION:
            raise shapes.InvalidApiVersionParameter

    def known_parameters(self) -> frozenset[str]:
        return self.parameters | {"api-version"}

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return shapes.handle

    def row(self, subscription: UUID, pk: UUID) -> AccessRequest:
        """Return the access request.

        Raise NotFound if the access request does not belong to the tenant `subscription`.
        """
        found = access.access_request(pk, actor=self.actor)
        if found.tenant_id != subscription:
            raise NotFound
        return found


class TenantOptedIn(AzureView):
    scopes: ClassVar = {"GET": Scope.TENANT_READ}

    @extend_schema(
        operation_id="azure_tenant_opted_in",
        summary="Read whether a tenant has Lockbox on",
        tags=[TAG],
        responses={200: shapes.AzureOptedIn},
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        row = tenants.tenant(tenant, actor=self.actor)
        return Response({"isOptedIn": row.lockbox_on})


class _Switch(AzureView):
    """Switches Lockbox on or off.

    Azure's call does not name a tenant, so the caller must belong to exactly one tenant.
    """

    acts: ClassVar = {"POST": (SWITCH_LOCKBOX,)}

    def _switched(self, *, on: bool) -> Response:
        self.body(Strict)
        actor = self.actor
        if actor.side is not Side.CUSTOMER or len(actor.tenant_ids) != 1:
            raise Malformed(
                _(
                    "This route switches Lockbox on or off for the tenant of the caller. So the caller must belong to "
                    "exactly one tenant."
                )
            )
        [tenant_id] = actor.tenant_ids
        operations.switch_lockbox(tenant_id, on=on, actor=actor)
        return Response(status=200)


class EnableLockbox(_Switch):
    # Only switching Lockbox off can need a second person.
    is_never_proposed = True

    @extend_schema(
        operation_id="azure_enable_lockbox",
        summary="Switch Lockbox on in the caller's tenant",
        tags=[TAG],
        request=None,
        responses={200: None},
    )
    def post(self, request: Any) -> Response:
        return self._switched(on=True)


class DisableLockbox(_Switch):
    @extend_schema(
        operation_id="azure_disable_lockbox",
        summary="Switch Lockbox off in the caller's tenant",
        tags=[TAG],
        request=None,
        responses={200: None},
    )
    def post(self, request: Any) -> Response:
        return self._switched(on=False)


class _AzurePages(Pages):
    cursor_query_param = "$skiptoken"
    page_size_query_param = ""
    ordering = ("-submitted_at", "-pk")


_TOKEN = {"type": "string", "pattern": f"^{CURSOR.pattern}$"}


class Requests(AzureView):
    scopes: ClassVar = {"GET": Scope.REQUESTS_READ}
    parameters: ClassVar = frozenset({"$filter", "$skiptoken"})
    needs_version: ClassVar = False

    @extend_schema(
        operation_id="azure_requests_list",
        summary="List a tenant's access requests",
        tags=[TAG],
        parameters=[
            OpenApiParameter(
                "$filter",
                shapes.FILTER,
                description="For example: properties/status eq 'Pending'. Any status can be used.",
            ),
            OpenApiParameter("$skiptoken", _TOKEN, description="Where the previous page ended; taken from `nextLink`."),
        ],
        responses={200: shapes.AzureRequests},
    )
    def get(self, request: Any, subscription: UUID) -> Response:
        rows, at = self._rows(subscription), clock.now()
        if (wanted := request.query_params.get("$filter")) is not None:
            rows = shapes.with_status(rows, shapes.status_in(wanted), at=at)
        pages = _AzurePages()
        found = pages.paginate_queryset(rows, request, view=None)
        shown = {"value": shapes.AzureRequest(found, many=True, context={"at": at}).data}
        link = pages.get_next_link()
        return Response({**shown, "nextLink": link} if link else shown)

    def _rows(self, subscription: UUID) -> Any:
        """Return the tenant's access requests.

        Raise NotFound for a caller of the provider who can see none of them, so that the caller does not learn that
        the tenant exists. Staff get an empty result instead.
        """
        tenant = Tenant.objects.visible_to(self.actor).find(subscription)
        rows = access.access_requests(self.actor).filter(tenant=tenant)
        if self.actor.side is Side.PROVIDER and not self.actor.is_staff and not rows.exists():
            raise NotFound
        return rows


class OneRequest(AzureView):
    scopes: ClassVar = {"GET": Scope.REQUESTS_READ}

    @extend_schema(
        operation_id="azure_requests_get",
        summary="Read one access request",
        tags=[TAG],
        responses={200: shapes.AzureRequest},
    )
    def get(self, request: Any, subscription: UUID, pk: UUID) -> Response:
        return Response(shapes.AzureRequest(self.row(subscription, pk), context={"at": clock.now()}).data)


class UpdateApproval(AzureView):
    """Records the decision of the caller's side."""

    scopes: ClassVar = {"POST": Scope.DECISIONS_WRITE}

    @extend_schema(
        operation_id="azure_requests_update_approval",
        summary="Approve or deny",
        tags=[TAG],
        request=shapes.ApprovalIn,
        responses={200: shapes.Approval},
        examples=[OpenApiExample("Yes", request_only=True, value={"status": "Approve", "reason": "Seen, and agreed."})],
    )
    def post(self, request: Any, subscription: UUID, pk: UUID) -> Response:
        self.row(subscription, pk)
        status, reason = shapes.approval(self.body(shapes.ApprovalIn))
        try:
            decide = operations.of(deciding_act(status.lower(), self.actor.side))
            row = decide(pk, actor=self.actor, note=reason)
        except WrongState:
            self.current_status = shapes.status_of(self.row(subscription, pk), clock.now())
            raise
        # A repeated call is answered with the first decision and its reason.
        decision = row.decision_of(self.actor.deciding_human, str(self.actor.side))
        return Response({"status": status, "reason": decision.comment if decision else reason})


class Operations(AzureView):
    @extend_schema(
        operation_id="azure_operations_list",
        summary="List the operations of this contract",
        tags=[TAG],
        responses={200: shapes.AzureOperations},
    )
    def get(self, request: Any) -> Response:
        return Response({"value": [_operation(*each) for each in _OPERATIONS]})


class NothingOfAzure(AzureView):
    """Answers every other path under `providers/` with an error in Azure's format, not with a page."""

    needs_version: ClassVar = False

    @extend_schema(exclude=True)
    def get(self, request: Any, **_named: Any) -> Response:
        raise NotFound

    post = put = patch = delete = get

    def known_parameters(self) -> frozenset[str]:
        return frozenset(self.request.query_params)


#: The resource, the act, and what the act does. Resources and acts have the names that roles in Azure use.
_OPERATIONS = (
    ("requests", "read", "Read access requests"),
    ("requests/updateApproval", "action", "Decide on access requests"),
    ("tenantOptedIn", "read", "Read whether a tenant has Lockbox on"),
    ("enableLockbox", "action", "Switch Lockbox on"),
    ("disableLockbox", "action", "Switch Lockbox off"),
    ("operations", "read", "Read this list"),
)


def _operation(resource: str, act: str, description: str) -> dict[str, Any]:
    return {
        "name": f"{PROVIDER}/{resource}/{act}",
        "isDataAction": "false",
        "display": {"provider": PROVIDER, "resource": resource, "operation": act, "description": description},
    }


_OF_TENANT = f"subscriptions/<uuid:subscription>/providers/{PROVIDER}/requests"
_HERE = f"providers/{PROVIDER}"
urlpatterns = [
    path(f"{_HERE}/operations", Operations.as_view(), name="azure_operations"),
    path(f"{_HERE}/tenantOptedIn/<uuid:tenant>", TenantOptedIn.as_view(), name="azure_opted_in"),
    path(f"{_HERE}/enableLockbox", EnableLockbox.as_view(), name="azure_enable"),
    path(f"{_HERE}/disableLockbox", DisableLockbox.as_view(), name="azure_disable"),
    path(_OF_TENANT, Requests.as_view(), name="azure_requests"),
    path(f"{_OF_TENANT}/<uuid:pk>", OneRequest.as_view(), name="azure_request"),
    path(f"{_OF_TENANT}/<uuid:pk>/updateApproval", UpdateApproval.as_view(), name="azure_update_approval"),
    re_path(r"^(?:subscriptions/[^/]+/)?providers/", NothingOfAzure.as_view(), name="azure_nothing"),
]
