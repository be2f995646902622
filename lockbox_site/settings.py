"""The settings of the site. The values here come from the environment. README.md lists the names and the defaults.

The tests run this file once for each environment. So a value from the environment is read here, and not in a module
that this file imports, which Python would run only once.
"""

import hashlib
import hmac
from email.utils import formataddr
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from lockbox_site import __version__, logs, places, production
from lockbox_site.environment import (
    choice,
    directory,
    env,
    http_address,
    networks,
    seconds,
    seconds_list,
    secret,
    secret_in_file,
    secret_words,
    switch,
    text,
    url_of,
    whole_number,
    words,
)
from lockbox_site.fixed_settings.api import *  # noqa: F403 - they are settings too
from lockbox_site.fixed_settings.applications import *  # noqa: F403
from lockbox_site.fixed_settings.browsers import *  # noqa: F403
from lockbox_site.fixed_settings.people import *  # noqa: F403
from requests_app.platform.trial import is_trial

VERSION = __version__

# --- Where the code's files are -------------------------------------------------------------------

# Only commands for developers and tests use it, because an installation has no source tree (places.py).
BASE_DIR = places.HOME
VERIFIER, STATIC_SOURCE = places.VERIFIER, places.STATIC
PYTHON, MANAGE, PROGRAM = places.PYTHON, places.MANAGE, places.PROGRAM
WORKING_DIRECTORY = places.WORKING_DIRECTORY

# --- Where data is stored -------------------------------------------------------------------------

_raw_data_dir = text("DATA_DIR", default=places.DATA_DIR)
if places.IS_WHEEL and not Path(_raw_data_dir).is_absolute():
    # Each process would look for it in its own current directory.
    raise ImproperlyConfigured(f"DATA_DIR must be an absolute path, not {_raw_data_dir!r}.")
DATA_DIR = (places.HOME / _raw_data_dir).resolve()
# The real environment overrides the file, so that a value can be tested without editing the file.
if (DATA_DIR / ".env").is_file():
    env.read_env(str(DATA_DIR / ".env"), overwrite=False)

CONTENT_ROOT = places.path_from(text("CONTENT_ROOT", default=str(DATA_DIR / "content")), data=DATA_DIR)

# --- Profile --------------------------------------------------------------------------------------

PRODUCTION = switch("PRODUCTION", default=False)
DEBUG = switch("DEBUG", default=False)
if PRODUCTION:
    if DEBUG:
        raise ImproperlyConfigured(
            "DEBUG can't be on with PRODUCTION=on, because it shows code and settings to visitors."
        )
    missing = [name for name in ("SECRET_KEY", "EMAIL_URL") if not secret(name)]
    missing += [name for name in ("ALLOWED_HOSTS", "BASE_URL") if not text(name)]
    if missing:
        raise ImproperlyConfigured(f"PRODUCTION=on needs these settings too: {', '.join(missing)}.")

SECRET_KEY = secret("SECRET_KEY") or secret_in_file(DATA_DIR / "secret_key")
SECRET_KEY_FALLBACKS = secret_words("SECRET_KEY_FALLBACKS")
# Queued tasks are pickles, signed with their own key. So a person who can make Django sign something (a session, a
# reset link) still can't forge a task. lockbox_site.apps gives the key to django-q2.
TASK_SIGNING_KEY = (
    secret("TASK_SIGNING_KEY") or hmac.new(SECRET_KEY.encode(), b"django-q2 task", hashlib.sha256).hexdigest()
)

# Secrets of webhooks must be readable to sign with them. So they are encrypted with the first of these keys. Any of the
# keys decrypts.
WEBHOOK_KEYS = [
    *filter(None, [secret("WEBHOOK_KEY"), *secret_words("WEBHOOK_KEY_FALLBACKS")]),
    *(
        hmac.new(key.encode(), b"webhook secrets", hashlib.sha256).hexdigest()
        for key in (SECRET_KEY, *SECRET_KEY_FALLBACKS)
    ),
]

# The same for the secrets of authenticator apps, which must be readable to check codes.
SECOND_FACTOR_KEYS = [
    *filter(None, [secret("SECOND_FACTOR_KEY"), *secret_words("SECOND_FACTOR_KEY_FALLBACKS")]),
    *(
        hmac.new(key.encode(), b"second factors", hashlib.sha256).hexdigest()
        for key in (SECRET_KEY, *SECRET_KEY_FALLBACKS)
    ),
]

HOST = text("HOST", default="localhost")
PORT = whole_number("PORT", default=8000, least=1, most=65535)
_public_host = "localhost" if HOST in ("0.0.0.0", "::") else HOST  # noqa: S104 - compared, never bound
# Mails are rendered without a request that could give the address.
_url_host = f"[{_public_host}]" if ":" in _public_host else _public_host
BASE_URL = http_address("BASE_URL", default=f"http://{_url_host}:{PORT}")
ALLOWED_HOSTS = words("ALLOWED_HOSTS", default=sorted({"localhost", "127.0.0.1", "[::1]", _url_host}))
if PRODUCTION:
    # A key that is derived from SECRET_KEY is only as strong as SECRET_KEY.
    _keys = {
        "SECRET_KEY": [SECRET_KEY],
        "SECRET_KEY_FALLBACKS": SECRET_KEY_FALLBACKS,
        **{name: [key] for name in ("TASK_SIGNING_KEY", "WEBHOOK_KEY", "SECOND_FACTOR_KEY") if (key := secret(name))},
        "WEBHOOK_KEY_FALLBACKS": secret_words("WEBHOOK_KEY_FALLBACKS"),
        "SECOND_FACTOR_KEY_FALLBACKS": secret_words("SECOND_FACTOR_KEY_FALLBACKS"),
    }
    if _unsafe := production.problems(keys=_keys, allowed_hosts=ALLOWED_HOSTS, base_url=BASE_URL):
        raise ImproperlyConfigured("\n".join(_unsafe))
_site_origins = [BASE_URL] if BASE_URL.startswith("https://") else []
CSRF_TRUSTED_ORIGINS = words("CSRF_TRUSTED_ORIGINS", default=_site_origins)
# How many reverse proxies append to X-Forwarded-For. With 0, the header is ignored, because anybody can send it.
TRUSTED_PROXY_COUNT = whole_number("TRUSTED_PROXY_COUNT", default=0, most=10)

# Passkeys belong to one site permanently: under another name they do not work. Pages of these origins may use them.
PASSKEY_RP_ID = text("PASSKEY_RP_ID") or urlsplit(BASE_URL).hostname or "localhost"
PASSKEY_ORIGINS = words("PASSKEY_ORIGINS", default=["{0.scheme}://{0.netloc}".format(urlsplit(BASE_URL))])

# --- The product ----------------------------------------------------------------------------------

PROVIDER_NAME = text("PROVIDER_NAME", default="Microsoft")
# Whether the operator has chosen the name. The guided set-up asks for it.
PROVIDER_NAME_IS_SET = bool(text("PROVIDER_NAME"))
CUSTOMER_DECISION_SECONDS = seconds("CUSTOMER_DECISION_SECONDS", default=12 * 3600)
# The time between the use of a tenant's recovery key and the first access of the new administrator.
RECOVERY_DELAY_SECONDS = seconds("RECOVERY_DELAY_SECONDS", default=72 * 3600)
# The time between the confirmation of a staff change that weakens customers and its effect.
STAFF_CHANGE_WAIT_SECONDS = whole_number(
    "STAFF_CHANGE_WAIT_SECONDS", default=72 * 3600, least=24 * 3600 if PRODUCTION else 1
)
PROVIDER_DECISION_SECONDS = seconds("PROVIDER_DECISION_SECONDS", default=24 * 3600)
WINDOW_CHOICES_SECONDS = seconds_list("WINDOW_CHOICES_SECONDS", default=[1800, 3600, 7200, 14400, 28800])
CLOSING_SOON_SECONDS = seconds("CLOSING_SOON_SECONDS", default=600)
REMINDER_SECONDS = seconds_list("REMINDER_SECONDS", default=[3600, 21600, 39600])
if not WINDOW_CHOICES_SECONDS or WINDOW_CHOICES_SECONDS[0] > 4 * 3600:
    # The cap of a new tenant is four hours. Without a choice that fits, nobody could ask for a window.
    raise ImproperlyConfigured("WINDOW_CHOICES_SECONDS must contain at least one number that is 14400 or less.")

# --- The log --------------------------------------------------------------------------------------

# The name of the logs in their checkpoints. The database stores it at the first signature (log_name.py). After that, a
# name that is set here must be the same.
LOG_ORIGIN_IS_SET = bool(text("LOG_ORIGIN"))
LOG_ORIGIN = text("LOG_ORIGIN") or urlsplit(BASE_URL).hostname or "lockbox"
# The private key, from here or from the file. Only machines that sign need it.
LOG_KEY = text("LOG_KEY")
if LOG_KEY and text("LOG_KEY_FILE"):
    raise ImproperlyConfigured("Both LOG_KEY and LOG_KEY_FILE are set. Remove one of them.")
LOG_KEY_FILE = places.path_from(text("LOG_KEY_FILE", default=str(DATA_DIR / "log_key")), data=DATA_DIR)
# The last signed heads, outside of the database that they protect. Back this file up separately from the database.
LOG_HEADS_FILE = places.path_from(text("LOG_HEADS_FILE", default=str(DATA_DIR / "log_heads.sqlite3")), data=DATA_DIR)
# Several hosts that sign share one place for the heads, dir:///path or s3://bucket/prefix, instead of the file.
LOG_HEADS = text("LOG_HEADS")
LOG_HEADS_S3_ENDPOINT = text("LOG_HEADS_S3_ENDPOINT")
LOG_HEADS_S3_REGION = text("LOG_HEADS_S3_REGION", default="us-east-1")
LOG_HEADS_S3_ACCESS_KEY = text("LOG_HEADS_S3_ACCESS_KEY")
LOG_HEADS_S3_SECRET_KEY = secret("LOG_HEADS_S3_SECRET_KEY")
LOG_HEADS_S3_CA_FILE = text("LOG_HEADS_S3_CA_FILE")
# Which host signs, as the lease in the database shows it, and after which time without a sign another host signs.
LOG_SIGNER_NAME = text("LOG_SIGNER_NAME")
LOG_LEASE_SECONDS = seconds("LOG_LEASE_SECONDS", default=20, most=40)
if "://" in LOG_HEADS and not LOG_HEADS.startswith(("dir:///", "s3://")):
    raise ImproperlyConfigured("LOG_HEADS must be dir:///path, s3://bucket/prefix, or the path of a file.")
if LOG_HEADS and "://" not in LOG_HEADS:
    LOG_HEADS, LOG_HEADS_FILE = "", places.path_from(LOG_HEADS, data=DATA_DIR)
LOG_HEARTBEAT_SECONDS = seconds("LOG_HEARTBEAT_SECONDS", default=3600)
# The log does not know the product, so the meanings of events for a SIEM come from the product's declarations.
LOG_MEANINGS = "requests_app.domain.acts.MEANINGS"
# Neither does it read the time: this is the clock of this machine, for calls to an S3 store.
LOG_CLOCK = "requests_app.domain.clock.here"
# The product sends requests to witnesses. With this, they may have no TLS and be in the same network.
WITNESS_PRIVATE_NETWORK = switch("WITNESS_PRIVATE_NETWORK", default=not PRODUCTION)
if any(mark in LOG_ORIGIN for mark in "+ \t\n") or not LOG_ORIGIN:
    raise ImproperlyConfigured("LOG_ORIGIN must be a name like lockbox.example.com, without spaces or plus signs.")

# --- Webhooks -------------------------------------------------------------------------------------

# The same for the receivers of webhooks.
WEBHOOK_PRIVATE_NETWORK = switch("WEBHOOK_PRIVATE_NETWORK", default=not PRODUCTION)
# The same for identity providers.
SSO_PRIVATE_NETWORK = switch("SSO_PRIVATE_NETWORK", default=not PRODUCTION)
# Single sign-on of the provider's own people. Each tenant's administrator sets it up for the tenant.
SSO_ISSUER = text("SSO_ISSUER")
SSO_CLIENT_ID = text("SSO_CLIENT_ID")
SSO_CLIENT_SECRET = secret("SSO_CLIENT_SECRET")
SSO_DOMAINS = frozenset(domain.strip().lower() for domain in words("SSO_DOMAINS", default=[]))
# The same with SAML: a file with the identity provider's metadata, or its address and the certificate that signs it;
# and files with the keys of this installation.
SSO_SAML_METADATA = text("SSO_SAML_METADATA")
SSO_SAML_METADATA_URL = text("SSO_SAML_METADATA_URL")
SSO_SAML_METADATA_SIGNER = text("SSO_SAML_METADATA_SIGNER")
SSO_SAML_KEYS = words("SSO_SAML_KEYS", default=[])
SSO_SAML_EMAIL = text("SSO_SAML_EMAIL")
if (SSO_SAML_METADATA or SSO_SAML_METADATA_URL) and (SSO_ISSUER or not (SSO_SAML_KEYS and SSO_DOMAINS)):
    raise ImproperlyConfigured("Metadata for SAML also needs SSO_SAML_KEYS and SSO_DOMAINS, and no SSO_ISSUER.")
if SSO_SAML_METADATA and SSO_SAML_METADATA_URL:
    raise ImproperlyConfigured("Set SSO_SAML_METADATA (a file) or SSO_SAML_METADATA_URL (an address), not both.")
if SSO_SAML_METADATA_SIGNER and not SSO_SAML_METADATA_URL:
    raise ImproperlyConfigured("SSO_SAML_METADATA_SIGNER also needs SSO_SAML_METADATA_URL.")
if SSO_SAML_METADATA_URL and not SSO_SAML_METADATA_URL.startswith("https://") and not SSO_PRIVATE_NETWORK:
    raise ImproperlyConfigured("SSO_SAML_METADATA_URL must begin with https://.")
if len(SSO_SAML_KEYS) > 2:
    raise ImproperlyConfigured("SSO_SAML_KEYS must be at most two files, separated by a comma.")
if SSO_ISSUER and not (SSO_CLIENT_ID and SSO_CLIENT_SECRET and SSO_DOMAINS):
    raise ImproperlyConfigured("SSO_ISSUER also needs SSO_CLIENT_ID, SSO_CLIENT_SECRET and SSO_DOMAINS.")

# --- Django ---------------------------------------------------------------------------------------

# --- Database -------------------------------------------------------------------------------------

DATABASES = {"default": url_of("DATABASE_URL", env.db_url_config, default=f"sqlite:///{DATA_DIR / 'lockbox.sqlite3'}")}
_database = DATABASES["default"]
if _database["ENGINE"] == "django.db.backends.sqlite3":
    _database["ENGINE"] = "requests_app.platform.database.sqlite"
    if _database["NAME"] != ":memory:":
        _database["NAME"] = str(places.path_from(_database["NAME"], data=DATA_DIR))
    directory(Path(_database["NAME"]).parent)
    _database["OPTIONS"] = {
        # SQLite has no row locks. A transaction that takes the write lock at its start makes writers take turns. A
        # transaction that takes it later is refused immediately, even before the timeout.
        "transaction_mode": "IMMEDIATE",
        # FULL: a committed audit entry survives a power failure.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON",
    }
elif _database["ENGINE"] != "django.db.backends.postgresql":
    raise ImproperlyConfigured("DATABASE_URL must begin with postgres:// or sqlite://.")
else:
    _database["ENGINE"] = "requests_app.platform.database.postgresql"
    _database["CONN_HEALTH_CHECKS"] = True
    # No "pool", because its threads do not survive the fork of django-q2's workers.
    _database["OPTIONS"] = {
        # For all hosts together, if the address names several.
        "connect_timeout": 2,
        # The kernel detects a server that has disappeared: within 10 seconds if an acknowledgement is missing, within
        # 25 if this side only waits. A server that is stopped still acknowledges everything (ADR 69).
        "tcp_user_timeout": 10_000,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        # Options in the address override these.
        **_database.get("OPTIONS", {}),
        "server_side_binding": True,
    }

# To open a connection takes longer than most requests. SQLite reads its whole schema each time. PostgreSQL plans all
# fixed statements again, so its connections stay longer (ADR 123).
_database["CONN_MAX_AGE"] = 60 if _database["ENGINE"].endswith("sqlite") else 600
STATEMENT_SECONDS = whole_number("STATEMENT_SECONDS", default=15, least=1, most=300)
# How long a statement of a worker, the beat or the signer may take before its connection is closed.
WORKER_WAIT_SECONDS = whole_number("WORKER_WAIT_SECONDS", default=30, least=5, most=3600)

# --- People and sessions --------------------------------------------------------------------------

# A folder with the ranges of Pwned Passwords, or the address of a service with the same answers. "" means neither.
BREACHED_PASSWORDS = text("BREACHED_PASSWORDS", default="")
ACCOUNT_DEFAULT_HTTP_PROTOCOL = BASE_URL.partition(":")[0]

# Whether engineers must have a second factor, as all deciders must. Engineers open content.
ENGINEER_SECOND_FACTOR = switch("ENGINEER_SECOND_FACTOR", default=True)

SESSION_SECONDS = seconds("SESSION_SECONDS", default=12 * 3600)
DECIDER_IDLE_SECONDS = seconds("DECIDER_IDLE_SECONDS", default=15 * 60)
SESSION_COOKIE_AGE = SESSION_SECONDS

# --- TLS and cookies ------------------------------------------------------------------------------

SECURE_SSL_REDIRECT = switch("SSL_REDIRECT", default=PRODUCTION)
SECURE_HSTS_SECONDS = whole_number("HSTS_SECONDS", default=365 * 86400 if PRODUCTION else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_SECONDS > 0
SECURE_HSTS_PRELOAD = SECURE_HSTS_SECONDS > 0
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = switch("SECURE_COOKIES", default=PRODUCTION)
# Browsers share cookies between the ports of a host. With Django's names, a Django application of the provider on this
# machine would end the sessions here, and the other way round.
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "lockbox_session", "lockbox_csrf"
LANGUAGE_COOKIE_NAME = "lockbox_language"
if SESSION_COOKIE_SECURE:
    # Browsers accept a cookie with this prefix only from exactly this host, over TLS.
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
    LANGUAGE_COOKIE_NAME = "__Host-language"
if TRUSTED_PROXY_COUNT:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- Languages and time ---------------------------------------------------------------------------

USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = True
LANGUAGE_CODE = "en"
LANGUAGES: list[tuple[str, Any]] = [("en", _("English"))]
LOCALE_PATHS = [places.LOCALE]
# Shows translated words in brackets and with accents, so that people see untranslated words. For tests only.
PSEUDO_LOCALE = switch("PSEUDO_LOCALE", default=False)
if PSEUDO_LOCALE:
    # It is the only language. Otherwise a browser that asks for English would get English.
    LANGUAGE_CODE = "en-xa"
    LANGUAGES = [(LANGUAGE_CODE, "Pseudo")]
LANGUAGE_COOKIE_SAMESITE = "Strict"
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SECURE = SESSION_COOKIE_SECURE

# --- Files, cache, mail ---------------------------------------------------------------------------

STATIC_URL = "/static/"
# In an image, the static files are a part of the program, and DATA_DIR is not.
STATIC_ROOT = places.path_from(text("STATIC_ROOT", default=str(DATA_DIR / "static")), data=DATA_DIR)
STATICFILES_DIRS = [STATIC_SOURCE]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
# A missing picture must not break the decision page. tests/site checks that every name in use exists.
WHITENOISE_MANIFEST_STRICT = False
WHITENOISE_ALLOW_ALL_ORIGINS = False

CACHES = {
    # Single sign-ons are marked here as used. If each web process had its own cache, each would accept one again.
    "default": url_of("CACHE_URL", env.cache_url_config, default="dbcache://lockbox_cache?max_entries=10000"),
    # django-q2 writes here twice a second. Nothing else reads it.
    "process": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
}

_mail = url_of("EMAIL_URL", env.email_url_config, default=f"filemail://{DATA_DIR / 'mail'}")
EMAIL_BACKEND = _mail["EMAIL_BACKEND"]
if EMAIL_BACKEND == "django.core.mail.backends.filebased.EmailBackend":
    # One file per mail, which a mail program can open.
    EMAIL_BACKEND = "requests_app.messages.mails.files.EmailBackend"
elif EMAIL_BACKEND == "django.core.mail.backends.smtp.EmailBackend":
    # With limits on the time of each dialogue and the length of each answer.
    EMAIL_BACKEND = "requests_app.messages.mails.smtp.EmailBackend"
# The library removes the slash that makes the path absolute. Mails would then be written to the current directory.
EMAIL_FILE_PATH = f"/{_mail['EMAIL_FILE_PATH'].lstrip('/')}"
EMAIL_HOST = _mail["EMAIL_HOST"] or "localhost"
EMAIL_PORT = _mail["EMAIL_PORT"] or 25
EMAIL_HOST_USER = _mail["EMAIL_HOST_USER"] or ""
EMAIL_HOST_PASSWORD = _mail["EMAIL_HOST_PASSWORD"] or ""
EMAIL_USE_TLS = _mail.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = _mail.get("EMAIL_USE_SSL", False)
# For the connection, TLS and the login together. One mail has twice this time.
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = text(
    "DEFAULT_FROM_EMAIL",
    # Quoted if needed, because the provider's name may contain a comma, which separates addresses.
    default=formataddr((f"{PROVIDER_NAME} Customer Lockbox", "lockbox@localhost")),
)
SERVER_EMAIL = DEFAULT_FROM_EMAIL
# The address for answers to a mail. Without it, answers go to the sender's address.
REPLY_TO_EMAIL = text("REPLY_TO_EMAIL")

# --- Tasks ----------------------------------------------------------------------------------------

# The ORM broker: a task that is queued inside a transaction commits or rolls back with it. `retry` must be larger than
# `timeout`, or one task runs several times at the same time. The beat process schedules, not the clusters.
Q_CLUSTER: dict[str, Any] = {
    "name": "lockbox",
    "orm": "default",
    "broker_class": "requests_app.work.broker.HeartbeatBroker",
    # The mail server, webhook receivers and witnesses may each block one worker. The fourth worker continues.
    "workers": whole_number("WORKERS", default=4, least=1, most=32),
    "timeout": 60,
    "retry": 120,
    "max_attempts": 5,
    "recycle": 0,
    "bulk": 10,
    "queue_limit": 20,
    "save_limit": -1,
    "catch_up": False,
    "ack_failures": False,
    # A task that was queued on another host is found after this time. One of this host wakes the cluster.
    "poll": 1.0,
    # How often the sentinel looks after its processes.
    "guard_cycle": 2,
    "scheduler": False,
    "cache": "process",
    "label": "Task queue",
}
TASK_ATTEMPTS = whole_number("TASK_ATTEMPTS", default=3, least=1, most=5)
HEARTBEAT_SECONDS = seconds("HEARTBEAT_SECONDS", default=10)
# How often sweep, outbox and checkpoints run between the minutes of the schedule. With less than twice a minute, an
# entry would wait more than a minute for its checkpoint.
SWEEP_SECONDS = seconds("SWEEP_SECONDS", default=10, most=30)

# --- Processes of `manage.py lockbox` -------------------------------------------------------------

CLUSTERS = whole_number("CLUSTERS", default=1, most=16)
WEB_WORKERS = whole_number("WEB_WORKERS", default=2, least=1, most=64)
WEB_THREADS = whole_number("WEB_THREADS", default=16, least=2, most=256)
# The most downloads, event streams and waiting calls in each web process. They need memory and a connection to the
# client, but no thread. Calls of the API may use half of them, downloads of content a quarter, and pages a quarter. So
# one process can have a thousand event streams.
WEB_STREAMS = whole_number("WEB_STREAMS", default=2000, least=4, most=20_000)
# The port of the proxy for web tools that have an upstream address (docs/web-tools.md). 0 means that none runs here.
TOOL_PROXY_PORT = whole_number("TOOL_PROXY_PORT", default=0, least=0, most=65535)
# Whether a part waits until the database answers and is up to date, instead of ending. For containers, which start in
# any order.
WAIT_FOR_DATABASE = switch("WAIT_FOR_DATABASE", default=False)
# The file in which the supervisor stores, for the probes of its container, whether its parts work. "" writes none.
PROBE_FILE = text("PROBE_FILE")
# A process that has not ended this long after a SIGTERM is killed.
STOP_SECONDS = whole_number("STOP_SECONDS", default=15, least=1, most=18)

# --- Health ---------------------------------------------------------------------------------------

HEARTBEAT_MAX_AGE_SECONDS = seconds("HEARTBEAT_MAX_AGE_SECONDS", default=60)
OUTBOX_MAX_AGE_SECONDS = seconds("OUTBOX_MAX_AGE_SECONDS", default=900)
SWEEP_MAX_AGE_SECONDS = seconds("SWEEP_MAX_AGE_SECONDS", default=300)
# An entry that waits longer than this for a checkpoint is reported.
CHECKPOINT_MAX_AGE_SECONDS = seconds("CHECKPOINT_MAX_AGE_SECONDS", default=180)

# --- Metrics and traces -----------------------------------------------------------------------------

# Who can read /metrics: a program that sends this token, one of these networks, or, with both, a program that has both.
# Without either, the address does not exist, and nothing is counted.
METRICS_TOKEN = secret("METRICS_TOKEN")
METRICS_ADDRESSES = networks("METRICS_ADDRESSES")
METRICS = bool(METRICS_TOKEN or METRICS_ADDRESSES)
if METRICS_TOKEN and (len(METRICS_TOKEN) < 20 or not METRICS_TOKEN.isascii() or not METRICS_TOKEN.isprintable()):
    raise ImproperlyConfigured("METRICS_TOKEN must have at least 20 characters, all of them ASCII.")
if not METRICS_TOKEN and any(network.prefixlen == 0 for network in METRICS_ADDRESSES):
    raise ImproperlyConfigured("METRICS_ADDRESSES is every address. Name your networks, or set METRICS_TOKEN too.")
# Where a supervisor without a web server answers /metrics, because nobody else can read the counters of its container.
METRICS_PORT = whole_number("METRICS_PORT", default=0, least=0, most=65535)
if METRICS_PORT and not METRICS:
    raise ImproperlyConfigured("METRICS_PORT is set, but nobody may read the metrics. Set METRICS_TOKEN too.")
# The counters of the processes of one host, in files that the processes share.
METRICS_DIR = DATA_DIR / "run" / "metrics"
# Where spans are sent (OTLP over HTTP). The other OTEL_ settings are read by OpenTelemetry itself.
TRACES = bool(text("OTEL_EXPORTER_OTLP_ENDPOINT") or text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
# Whether a request continues the trace that its header `traceparent` names. Only for a proxy that replaces the header.
TRACES_FROM_PROXY = switch("TRACES_FROM_PROXY", default=False)

# --- Backups --------------------------------------------------------------------------------------

# Where `backup` writes to, for whom it encrypts, and how many backups stay. The options of the command override these.
BACKUP_TO = text("BACKUP_TO")
BACKUP_RECIPIENTS = words("BACKUP_RECIPIENTS", default=[])
BACKUP_PASSPHRASE_FILE = text("BACKUP_PASSPHRASE_FILE")
BACKUP_KEEP = whole_number("BACKUP_KEEP", default=14, least=1, most=10_000)
# A last good backup that is older than this is reported.
BACKUP_MAX_AGE_SECONDS = seconds("BACKUP_MAX_AGE_SECONDS", default=26 * 3600)

# --- Logs -----------------------------------------------------------------------------------------

LOG_LEVEL = choice("LOG_LEVEL", default="INFO", allowed=("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_FORMAT = choice("LOG_FORMAT", default="json" if PRODUCTION else "console", allowed=("json", "console"))
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = 10
_IS_TRIAL = is_trial(base_url=BASE_URL, email_backend=EMAIL_BACKEND, is_production=PRODUCTION)
LOGGING = logs.configuration(level=LOG_LEVEL, form=LOG_FORMAT, is_trial=_IS_TRIAL)
logs.configure_structlog()

# --- API ------------------------------------------------------------------------------------------

# The most calls of one caller within a minute, counted in each web process.
API_CALLS_PER_MINUTE = whole_number("API_CALLS_PER_MINUTE", default=1200, least=1, most=1_000_000)
# The most calls of one caller to the decision point, counted in the same way.
EVALUATIONS_PER_MINUTE = whole_number("EVALUATIONS_PER_MINUTE", default=120_000, least=1, most=100_000_000)
