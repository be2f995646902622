"""Closes a window for an engineer who says in the application's banner that they have finished."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain.acts.access_requests import RELEASE
from requests_app.doors.api.access_requests import WindowOut
from requests_app.doors.api.base import ApiView
from requests_app.doors.api.fields import Strict
from requests_app.doors.api.guard import TAG
from requests_app.doors.api.schema import extend_schema

#: The longest grant token, in characters. A token names each resource of its window.
TOKEN_MAX = 64 * 1024


class ReleaseIn(Strict):
    """`token` is a grant token of this application that has not ended."""

    token = serializers.CharField(max_length=TOKEN_MAX)


class Release(ApiView):
    acts: ClassVar = {"POST": (RELEASE,)}
    is_of_provider: ClassVar[bool] = True

    @extend_schema(
        operation_id="guard_release",
        summary="Close an engineer's window early, from the application",
        tags=[TAG],
        request=ReleaseIn,
        responses={200: WindowOut},
        examples=[OpenApiExample("The engineer has finished", request_only=True, value={"token": "{grant_token}"})],
    )
    def post(self, request: Any) -> Response:
        """Only the client of the application can do this, with the token of the engineer who has finished.

        The log shows it as an act of the client in the name of the engineer.
        """
        row = operations.release_with_token(self.body(ReleaseIn)["token"], actor=self.actor)
        return Response(WindowOut(row.grant).data)
