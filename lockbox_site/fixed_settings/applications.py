"""What Django runs: applications, middleware, addresses and templates."""

import re

from lockbox_site import places

INSTALLED_APPS = [
    "lockbox_site.apps.SiteConfig",
    "requests_app.apps.RequestsConfig",
    "audit_app.apps.AuditConfig",
    "requests_app.apps.LockboxAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "django_q",
    "rest_framework",
    "drf_spectacular",
    "csp",
    "django_htmx",
    "django_structlog",
]

# In this order from the outside in. Early answers need the request id and the headers. The probes come before
# everything that needs a host name, a session or the database. Probes and static files are not logged. The first one
# counts requests, and does not run where nothing is counted or traced.
MIDDLEWARE = [
    "lockbox_site.monitoring.watching.WatchingMiddleware",
    "lockbox_site.middleware.RequestIdMiddleware",
    "requests_app.doors.api.forward_auth.ForwardAuthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "lockbox_site.lighter.PolicyMiddleware",
    "django_permissions_policy.PermissionsPolicyMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "lockbox_site.middleware.IsolationMiddleware",
    "lockbox_site.crossing.CharsetMiddleware",
    "lockbox_site.middleware.ProbeMiddleware",
    "lockbox_site.middleware.StaticFilesMiddleware",
    "lockbox_site.middleware.RequestLogMiddleware",
    "lockbox_site.crossing.CrossingMiddleware",
    "lockbox_site.crossing.BodyLimitMiddleware",
    "lockbox_site.compressing.CompressionMiddleware",
    "lockbox_site.middleware.FirstPieceMiddleware",
    "lockbox_site.middleware.StoreUnavailableMiddleware",
    # Calls with a token pass by all that follow.
    "lockbox_site.token_calls.TokenCallMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "lockbox_site.middleware.SessionLimitsMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "requests_app.doors.web.middleware.ActorMiddleware",
    "requests_app.doors.web.signed_out.SignedOutMiddleware",
    "requests_app.doors.web.once.OnceMiddleware",
    "requests_app.doors.web.gate.SecondFactorMiddleware",
    "requests_app.doors.web.stepping.StepUpMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "lockbox_site.token_calls.AfterAllMiddleware",
]

ROOT_URLCONF = "lockbox_site.urls"

# The addresses for programs: cookies have no effect, no page is sent, and a call without TLS is refused and not
# redirected.
FOR_PROGRAMS = ("api/v1/", "oauth/token", "access/v1/", ".well-known/", "providers/", "subscriptions/", "scim/")
# A set-up link without TLS is refused and not redirected, so that the operator notices that others could read it.
SECURE_REDIRECT_EXEMPT = [
    r"^healthz$",
    r"^readyz$",
    r"^metrics$",
    r"^set-up/",
    f"^({'|'.join(map(re.escape, FOR_PROGRAMS))})",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [places.TEMPLATES],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "lockbox_site.context.site",
                "requests_app.doors.web.context.page",
            ],
            # Protects every form in every template from being sent twice. Remembers addresses.
            "builtins": ["requests_app.templatetags.once", "requests_app.templatetags.addresses"],
        },
    }
]

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
