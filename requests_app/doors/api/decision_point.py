"""The decision point (AuthZEN Authorization API 1.0): is this engineer allowed to do this to this resource now?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import path, reverse
from django.views.decorators.http import require_safe
from drf_spectacular.utils import OpenApiExample
from rest_framework.response import Response

from requests_app.domain.scopes import Scope
from requests_app.doors.api import authzen, exchange, requestable
from requests_app.doors.api.base import ApiView
from requests_app.doors.api.exchange import Call
from requests_app.doors.api.schema import described_by, extend_schema

TAG = "decision point"


@described_by("AuthZenSchema")
class DecisionPoint(ApiView):
    """The base of the decision point's routes, which ignore an Idempotency-Key.

    With a key, a repeated call would return a stored permission, even after the window has closed.
    """

    scopes: ClassVar = {"POST": Scope.EVALUATE}
    changes: ClassVar[bool] = False
    has_no_etag: ClassVar[bool] = True
    quota_name: ClassVar[str] = exchange.QUOTA

    def quota_limit(self) -> int:
        return int(settings.EVALUATIONS_PER_MINUTE)

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return authzen.handle

    def _finished(self, response: HttpResponseBase) -> HttpResponseBase:
        offered = getattr(self.request, "offered_id", "")
        if exchange.is_echoed(offered):
            response["X-Request-ID"] = offered
        return super()._finished(response)


class _Evaluating(DecisionPoint):
    """The base of the routes for questions. `exchange` answers every POST; the framework refuses other methods."""

    is_several: ClassVar[bool]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method != "POST":
            return super().dispatch(request, *args, **kwargs)
        answer = exchange.answered(call_of(request, is_several=self.is_several))
        return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))


def call_of(request: HttpRequest, *, is_several: bool) -> Call:
    meta = request.META
    return Call(
        path=request.path,
        is_several=is_several,
        body=_body_of(request),
        authorization=meta.get("HTTP_AUTHORIZATION", ""),
        accept=meta.get("HTTP_ACCEPT", "*/*"),
        content_type=meta.get("CONTENT_TYPE", ""),
        parameters=request.GET,
        offered_id=getattr(request, "offered_id", ""),
        request_id=getattr(request, "request_id", ""),
        ip=meta.get("REMOTE_ADDR", ""),
        has_key="HTTP_IDEMPOTENCY_KEY" in meta,
    )


def _body_of(request: HttpRequest) -> bytes | Exception | None:
    try:
        return request.body if int(request.META.get("CONTENT_LENGTH") or 0) else None
    except ValueError:
        return None
    except Exception as error:
        # Too long, or the client has disconnected. The caller learns it after the other refusals.
        return error


_QUESTION = {
    "subject": {"type": "engineer", "id": "priya.nair@provider.example"},
    "action": {"name": "read"},
    "resource": {"type": "exchange-online", "id": "finance@contoso.example"},
    "context": {"tenant": "contoso"},
}


class OneEvaluation(_Evaluating):
    """A denial is also answered with 200. If the purpose is `advice`, nothing is written to the log.

    If `context.purpose` is `access`, an entry is written before the permission is given.
    """

    is_several: ClassVar[bool] = False

    @extend_schema(
        operation_id="evaluation",
        summary="Ask whether a person is allowed to do something now",
        tags=[TAG],
        request={"application/json": authzen.EVALUATION},
        responses={200: authzen.EvaluationOut},
        examples=[
            OpenApiExample(
                "Access",
                request_only=True,
                value={**_QUESTION, "context": {"tenant": "contoso", "purpose": "access", "item": "7.mail"}},
            )
        ],
    )
    def post(self, request: Any) -> None:
        # `dispatch` answers the call. This method only has its description.
        raise NotImplementedError


class Evaluations(_Evaluating):
    """The answers are in the order of the questions. Each question counts for the quota.

    With `deny_on_first_deny`, the answers end at the first denial; with `permit_on_first_permit`, at the first
    permission.
    """

    is_several: ClassVar[bool] = True

    @extend_schema(
        operation_id="evaluations",
        summary="Ask several questions in one call",
        tags=[TAG],
        request={"application/json": authzen.EVALUATIONS},
        responses={200: authzen.EvaluationsOut},
        examples=[
            OpenApiExample(
                "Two actions",
                request_only=True,
                value={**_QUESTION, "evaluations": [{"action": {"name": "list"}}, {"action": {"name": "read"}}]},
            )
        ],
    )
    def post(self, request: Any) -> None:
        # `dispatch` answers the call. This method only has its description.
        raise NotImplementedError


#: The names of the endpoints in the standard, with their routes.
_ENDPOINTS = {
    "access_evaluation": "evaluation",
    "access_evaluations": "evaluations",
    "search_subject": "search_subject",
    "search_resource": "search_resource",
    "search_action": "search_action",
    "access_request": "access_tasks",
}


@require_safe
def configuration(request: HttpRequest) -> JsonResponse:
    """Return the addresses of the endpoints."""
    endpoints = {f"{name}_endpoint": settings.BASE_URL + reverse(f"api:{route}") for name, route in _ENDPOINTS.items()}
    more = {"jwks_uri": settings.BASE_URL + reverse("api:jwks"), "capabilities": [requestable.CAPABILITY]}
    return JsonResponse({"policy_decision_point": settings.BASE_URL, **endpoints, **more})


urlpatterns = [
    path("access/v1/evaluation", OneEvaluation.as_view(), name="evaluation"),
    path("access/v1/evaluations", Evaluations.as_view(), name="evaluations"),
    path(".well-known/authzen-configuration", configuration, name="authzen"),
]
