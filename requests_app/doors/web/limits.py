"""The page about what this product can't prevent. It is for everybody who relies on the product."""

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
