"""Which door an address leads to."""

from django.contrib import admin
from django.urls import include, path

from lockbox_site import health

urlpatterns = [
    path("", include("requests_app.web.urls", namespace="web")),
    path("accounts/", include("allauth.account.urls")),
    path("admin/", admin.site.urls),
    # ProbeMiddleware answers these two earlier; they stand here so that they are part of the address plan.
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
]

handler500 = "lockbox_site.views.server_error"
