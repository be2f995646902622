"""Django's cache of whole pages is around the guard's middleware, and must not store what a window gave."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.http import HttpResponse
from django.middleware.cache import FetchFromCacheMiddleware, UpdateCacheMiddleware
from django.test import RequestFactory, override_settings

from lockbox_guard.django import LockboxMiddleware


@pytest.mark.parametrize("is_guarded", [True, False])
def test_djangos_cache_stores_no_page_of_a_window(is_guarded: bool) -> None:
    def view(request: Any) -> HttpResponse:
        if is_guarded:
            # What the guard's middleware sets after it has admitted the request.
            request.lockbox = object()
        return HttpResponse("content")

    memory = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "guard"}}
    with override_settings(CACHES=memory):
        stack = UpdateCacheMiddleware(LockboxMiddleware(FetchFromCacheMiddleware(view)))
        first: Any = stack(RequestFactory().get("/w/1/page"))
        again = FetchFromCacheMiddleware(view).process_request(RequestFactory().get("/w/1/page"))
        cache.clear()
    assert first.content == b"content"
    assert (first.get("Cache-Control"), again is None) == (
        ("private, no-store", True) if is_guarded else (first.get("Cache-Control"), False)
    )
