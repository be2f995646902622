"""The page that says what this product can't prevent, for everybody who relies on it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe

from requests_app.doors.web.context import instant


@require_safe
def limits(request: HttpRequest) -> HttpResponse:
    return render(request, "limits/limits.html", {"now": instant(request)})


urlpatterns = [path("limits/", limits, name="limits")]
