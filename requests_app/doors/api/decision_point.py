"""The decision point (AuthZEN Authorization API 1.0): is this engineer allowed to do this to this resource now?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.urls import path, reverse
from django.views.decorators.http import require_safe
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.errors import Malformed
from requests_app.domain.evaluation import Question
from requests_app.domain.scopes import Scope
from requests_app.doors.api import authzen, requestable
from requests_app.doors.api.authzen import Evaluation, Purpose
from requests_app.doors.api.base import ApiView
from requests_app.platform import telemetry
from requests_app.queries.evaluation import evaluate

TAG = "decision point"
#: The longest id that a caller can give a call. The answer contains it unchanged, even if it is not fit for a log.
_ID_MAX = 200


def answered(asked: Evaluation, *, actor: Actor) -> dict[str, Any]:
    """Return the answer to one question. Raise Malformed if a text in the question is too long or can't be stored."""
    question = question_of(asked)
    ask = operations.allow_access if asked.context.get("purpose") == Purpose.ACCESS else evaluate
    verdict = ask(question, actor=actor)
    telemetry.happened(telemetry.DECISION, "decision_point", "permit" if verdict.decision else "deny")
    approval = asked.context.get("approval")
    return requestable.extended(authzen.answer(verdict), question, verdict, approval=approval, actor=actor)


def question_of(asked: Evaluation) -> Question:
    """Return the question in the product's words. Raise Malformed if a text is too long or can't be stored."""
    return Question(
        subject_type=asked.subject_type,
        subject=asked.subject_id,
        action=asked.action,
        service=asked.resource_type,
        resource=asked.resource_id,
        tenant=asked.context.get("tenant", ""),
        item=asked.context.get("item", ""),
    )


class DecisionPoint(ApiView):
    """The base of the decision point's routes, which ignore an Idempotency-Key.

    With a key, a repeated call would return a stored permission, even after the window has closed.
    """

    schema = authzen.AuthZenSchema()
    scopes: ClassVar = {"POST": Scope.EVALUATE}
    changes: ClassVar[bool] = False
    has_no_etag: ClassVar[bool] = True
    quota_name: ClassVar[str] = "evaluations"

    def quota_limit(self) -> int:
        return int(settings.EVALUATIONS_PER_MINUTE)

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return authzen.handle

    def _finished(self, response: HttpResponseBase) -> HttpResponseBase:
        offered = getattr(self.request, "offered_id", "")
        if offered.isascii() and offered.isprintable() and 0 < len(offered) <= _ID_MAX:
            response["X-Request-ID"] = offered
        return super()._finished(response)


_QUESTION = {
    "subject": {"type": "engineer", "id": "priya.nair@provider.example"},
    "action": {"name": "read"},
    "resource": {"type": "exchange-online", "id": "finance@contoso.example"},
    "context": {"tenant": "contoso"},
}


class OneEvaluation(DecisionPoint):
    """A denial is also answered with 200. If the purpose is `advice`, nothing is written to the log.

    If `context.purpose` is `access`, an entry is written before the permission is given.
    """

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
    def post(self, request: Any) -> Response:
        return Response(answered(authzen.evaluation_in(request.data), actor=self.actor))


class Evaluations(DecisionPoint):
    """The answers are in the order of the questions. Each question counts for the quota.

    With `deny_on_first_deny`, the answers end at the first denial; with `permit_on_first_permit`, at the first
    permission.
    """

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
    def post(self, request: Any) -> Response:
        batch = authzen.batch_in(request.data)
        if batch is None:
            return Response(answered(authzen.evaluation_in(request.data), actor=self.actor))
        self.take(len(batch.questions) - 1)
        answers = []
        for question in batch.questions:
            answers.append(self._one(question))
            if batch.semantic.ends_with(answers[-1]["decision"]):
                break
        return Response({"evaluations": answers})

    def _one(self, question: Evaluation | Malformed) -> dict[str, Any]:
        """Return the answer to one question of several. The answer to a malformed question is an error.

        Other refusals, such as a missing permission or a database that fails, are raised: they answer the whole call.
        """
        try:
            if isinstance(question, Malformed):
                raise question
            return answered(question, actor=self.actor)
        except Malformed as error:
            return authzen.fault(error)


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
