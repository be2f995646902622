"""The URLs of the site, each with its interface."""

from allauth.account.urls import urlpatterns as library_routes
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, include, path

from lockbox_site import health, passkeys

#: The routes of the sign-in library that are used here. All others (for example to change one's own address, or to sign
#: up) would change a person without the operations and the log.
OFFERED = frozenset(
    {
        "account_login",
        "account_logout",
        "account_inactive",
        "account_change_password",
        "account_reset_password",
        "account_reset_password_done",
        "account_reset_password_from_key",
        "account_reset_password_from_key_done",
    }
)


def absent(request: HttpRequest, **named: object) -> HttpResponse:
    raise Http404


def sign_in_urls() -> list[URLPattern]:
    """Return the sign-in library's routes.

    Routes that this product does not offer answer 404, but keep their names, because the library's views reverse them.
    """
    return [
        route if route.name in OFFERED else URLPattern(route.pattern, absent, name=route.name)
        for route in library_routes
        if isinstance(route, URLPattern)
    ]


urlpatterns = [
    # The API comes first, because it has few beginnings: a call of it does not try the address of each page.
    path("", include("requests_app.doors.api.urls", namespace="api")),
    path("", include("requests_app.doors.web.urls", namespace="web")),
    path("accounts/", include(sign_in_urls())),
    path("accounts/code/", passkeys.second_factor, name="mfa_authenticate"),
    path("accounts/passkey/", passkeys.sign_in, name="passkey_sign_in"),
    path("admin/", admin.site.urls),
    # ProbeMiddleware answers these addresses earlier. They are here so that the list of addresses is complete.
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", absent, name="metrics"),
]

handler400 = "lockbox_site.views.bad_request"
handler500 = "lockbox_site.views.server_error"
