"""Settings of Quillo. Everything that differs between two machines is in the environment."""

import os
from pathlib import Path

from lockbox_guard import Guard

BASE_DIR = Path(__file__).parents[1]
DATA_DIR = Path(os.environ.get("QUILLO_DATA", BASE_DIR / "data"))
DATA_DIR.mkdir(exist_ok=True)
ORIGIN = os.environ.get("QUILLO_ORIGIN", "http://localhost:8400")
LOCKBOX_URL = os.environ["LOCKBOX_URL"]

SECRET_KEY = os.environ["QUILLO_SECRET_KEY"]
DEBUG = bool(os.environ.get("QUILLO_DEBUG"))
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / "quillo.sqlite3",
        "OPTIONS": {"transaction_mode": "IMMEDIATE"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "quillo",  # before hijack, because it replaces the notification of hijack with the banner
    "hijack",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "quillo.support.ContentPolicy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "hijack.middleware.HijackUserMiddleware",
    "quillo.support.EndOfAccess",
]
ROOT_URLCONF = "quillo.urls"
WSGI_APPLICATION = "quillo.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "quillo.support.banner",
            ]
        },
    }
]
STATIC_URL = "/static/"
LOGIN_URL, LOGIN_REDIRECT_URL, LOGOUT_REDIRECT_URL = "login", "home", "login"
# Lockbox can run on the same host name. Browsers share cookies between the ports of a host.
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "quillo_session", "quillo_csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = ORIGIN.startswith("https://")
SECURE_REFERRER_POLICY = "same-origin"
USE_TZ = True
HIJACK_PERMISSION_CHECK = "quillo.support.may_impersonate"

# The client that asks for access. It can't open anything.
LOCKBOX_DESK = os.environ.get("LOCKBOX_DESK_ID", ""), os.environ.get("LOCKBOX_DESK_SECRET", "")

# --- The guard: six of its ten lines ---
LOCKBOX_GUARD = Guard(
    issuer=LOCKBOX_URL, service="quillo", origin=ORIGIN, queue=DATA_DIR / "lockbox",
    client_id=os.environ["LOCKBOX_CLIENT_ID"], client_secret=os.environ["LOCKBOX_CLIENT_SECRET"],
)  # fmt: skip
LOCKBOX_RULES = "quillo.support.rules"
MIDDLEWARE += ["lockbox_guard.django.LockboxMiddleware"]
# --- to here ---
