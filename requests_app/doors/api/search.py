"""The searches of the decision point (AuthZEN Authorization API 1.0): who, to what, and how is access open now?"""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple
from typing import Any, ClassVar

from django.core import signing
from django.urls import path
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from requests_app.domain.errors import Malformed
from requests_app.domain.evaluation import Question
from requests_app.doors.api import authzen
from requests_app.doors.api.authzen import Purpose
from requests_app.doors.api.decision_point import TAG, DecisionPoint
from requests_app.doors.api.schema import extend_schema
from requests_app.queries.search import MOST, Candidate, Sought, search

#: How long the token of a next page can be used, in seconds.
TOKEN_LIVES_FOR = 3600
#: The members that each search needs, and the names that each member must have. All other members are ignored.
_NEEDED: dict[Sought, dict[str, tuple[str, ...]]] = {
    Sought.SUBJECT: {"subject": ("type",), "action": ("name",), "resource": ("type", "id")},
    Sought.RESOURCE: {"subject": ("type", "id"), "action": ("name",), "resource": ("type",)},
    Sought.ACTION: {"subject": ("type", "id"), "resource": ("type", "id")},
}


# --- Questions -----------------------------------------------------------------------------------------------


def question_in(body: Any, sought: Sought) -> Question:
    """Read the question of a search. Raise Malformed if a member is missing or has the wrong type.

    What the search is for has an empty text in the question, even if the caller sent one.
    """
    needed = _NEEDED[sought]
    parts = authzen.required(authzen.parts_in(body), needed)
    context = parts.get("context", {})
    if context.get("purpose") == Purpose.ACCESS:
        raise Malformed(_("A search is only advice. Before you open content, ask for access in an evaluation."))

    def text(part: str, name: str) -> str:
        return str(parts[part][name]) if name in needed.get(part, ()) else ""

    return Question(
        subject_type=text("subject", "type"),
        subject=text("subject", "id"),
        action=text("action", "name"),
        service=text("resource", "type"),
        resource=text("resource", "id"),
        tenant=context.get("tenant", ""),
    )


def _page_in(body: dict[str, Any], salt: str) -> tuple[str, int]:
    """Return the key after which the page begins, and how many results it can have."""
    page = body.get("page", {})
    if not isinstance(page, dict):
        raise Malformed(_("%(member)s must be an object.") % {"member": "page"})
    limit, token = page.get("limit", MOST), page.get("token", "")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise Malformed(_("page.limit must be a number, at least 1."))
    try:
        after = signing.loads(token, salt=salt, max_age=TOKEN_LIVES_FOR) if token else ""
    except (signing.BadSignature, TypeError, ValueError, AttributeError) as error:
        words = _("This page.token is too old, or belongs to another search. Start again without a token.")
        raise Malformed(words) from error
    return after, min(limit, MOST)


# --- Answers -------------------------------------------------------------------------------------------------


class PageOut(serializers.Serializer):
    """`next_token` is empty on the last page. `count` is the number of results on this page."""

    next_token = serializers.CharField(allow_blank=True)
    count = serializers.IntegerField()


class SubjectProperties(serializers.Serializer):
    """Only callers of the provider get `email`."""

    name = serializers.CharField()
    email = serializers.CharField(required=False)


class FoundSubjectOut(serializers.Serializer):
    type = serializers.CharField()
    id = serializers.UUIDField()
    properties = SubjectProperties()


class ResourceProperties(serializers.Serializer):
    """`external_id` is the resource's id in its application, and may be empty. `tenant` is a short name."""

    name = serializers.CharField()
    external_id = serializers.CharField(allow_blank=True)
    tenant = serializers.CharField()


class FoundResourceOut(serializers.Serializer):
    type = serializers.CharField()
    id = serializers.UUIDField()
    properties = ResourceProperties()


class FoundActionOut(serializers.Serializer):
    name = serializers.CharField()


class FoundSubjectsOut(serializers.Serializer):
    page = PageOut()
    results = FoundSubjectOut(many=True)


class FoundResourcesOut(serializers.Serializer):
    page = PageOut()
    results = FoundResourceOut(many=True)


class FoundActionsOut(serializers.Serializer):
    page = PageOut()
    results = FoundActionOut(many=True)


def _result(sought: Sought, found: Candidate) -> dict[str, Any]:
    question = found.question
    if sought is Sought.ACTION:
        return {"name": question.action}
    if sought is Sought.SUBJECT:
        return {"type": question.subject_type, "id": question.subject, "properties": found.properties}
    return {"type": question.service, "id": question.resource, "properties": found.properties}


# --- Routes --------------------------------------------------------------------------------------------------


class _Search(DecisionPoint):
    """The base of the searches. Each question that was asked to make a page counts for the quota."""

    sought: ClassVar[Sought]

    def found(self, body: Any) -> Response:
        question = question_in(body, self.sought)
        asked = json.dumps([str(self.token.account_id), self.sought, *astuple(question)])
        salt = f"search:{hashlib.sha256(asked.encode()).hexdigest()}"
        after, limit = _page_in(body, salt)
        page = search(self.sought, question, actor=self.actor, after=after, limit=limit)
        self.take(page.asked - 1)
        return Response(
            {
                "page": {
                    "next_token": signing.dumps(page.last, salt=salt) if page.last else "",
                    "count": len(page.found),
                },
                "results": [_result(self.sought, each) for each in page.found],
            }
        )


_SUBJECT, _ACTION = {"type": "engineer", "id": "priya.nair@provider.example"}, {"name": "read"}
_RESOURCE, _CONTEXT = {"type": "exchange-online", "id": "finance@contoso.example"}, {"tenant": "contoso"}


class SearchSubjects(_Search):
    """Each result is a person for whom the decision point would permit the action now."""

    sought = Sought.SUBJECT

    @extend_schema(
        operation_id="search_subject",
        summary="Find who is allowed to do something now",
        tags=[TAG],
        request={"application/json": authzen.searching(_NEEDED[Sought.SUBJECT])},
        responses={200: FoundSubjectsOut},
        examples=[
            OpenApiExample(
                "Who",
                request_only=True,
                value={"subject": {"type": "engineer"}, "action": _ACTION, "resource": _RESOURCE, "context": _CONTEXT},
            )
        ],
    )
    def post(self, request: Any) -> Response:
        return self.found(request.data)


class SearchResources(_Search):
    """Each result is a resource for which the decision point would permit the action now.

    Without `context.tenant`, the results are from all tenants that the caller can ask about.
    """

    sought = Sought.RESOURCE

    @extend_schema(
        operation_id="search_resource",
        summary="Find what a person is allowed to open now",
        tags=[TAG],
        request={"application/json": authzen.searching(_NEEDED[Sought.RESOURCE])},
        responses={200: FoundResourcesOut},
        examples=[
            OpenApiExample(
                "What",
                request_only=True,
                value={"subject": _SUBJECT, "action": _ACTION, "resource": {"type": "exchange-online"}},
            )
        ],
    )
    def post(self, request: Any) -> Response:
        return self.found(request.data)


class SearchActions(_Search):
    """Each result is an action that the decision point would permit now."""

    sought = Sought.ACTION

    @extend_schema(
        operation_id="search_action",
        summary="Find what a person is allowed to do to a resource now",
        tags=[TAG],
        request={"application/json": authzen.searching(_NEEDED[Sought.ACTION])},
        responses={200: FoundActionsOut},
        examples=[
            OpenApiExample(
                "How", request_only=True, value={"subject": _SUBJECT, "resource": _RESOURCE, "context": _CONTEXT}
            )
        ],
    )
    def post(self, request: Any) -> Response:
        return self.found(request.data)


urlpatterns = [
    path("access/v1/search/subject", SearchSubjects.as_view(), name="search_subject"),
    path("access/v1/search/resource", SearchResources.as_view(), name="search_resource"),
    path("access/v1/search/action", SearchActions.as_view(), name="search_action"),
]
