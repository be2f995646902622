"""The site's settings for tests. Tests write nothing into the project's own data directory."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

# Use memory if the machine has /dev/shm. The tests commit thousands of times, and SQLite would wait for the disk each
# time.
_place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - mkdtemp makes a private directory in it
_scratch = Path(tempfile.mkdtemp(prefix="lockbox-tests-", dir=_place))
atexit.register(shutil.rmtree, _scratch, ignore_errors=True)
# A developer's environment must not change what is tested. Only the database can be chosen from outside.
_stored = {name: os.environ[name] for name in ("DATABASE_URL",) if name in os.environ}
os.environ["DATA_DIR"] = str(_scratch)
os.environ["CONTENT_ROOT"] = str(_scratch / "content")
for _name in ("PRODUCTION", "DEBUG", "SECRET_KEY", "BASE_URL", "ALLOWED_HOSTS", "HOST", "PORT", "CACHE_URL"):
    os.environ.pop(_name, None)
os.environ["EMAIL_URL"] = "memorymail://"
for _name in ("LOG_ORIGIN", "LOG_KEY", "LOG_KEY_FILE", "LOG_HEADS_FILE", "LOG_HEADS"):
    os.environ.pop(_name, None)
os.environ["LOG_LEVEL"] = "WARNING"

from lockbox_site.settings import *  # noqa: E402,F403
from lockbox_site.settings import ALLOWED_HOSTS, CACHES, DATABASES, STATIC_ROOT, STORAGES  # noqa: E402

if DATABASES["default"]["ENGINE"] == "requests_app.platform.database.sqlite":
    # A file, because threads and child processes of a test must see the same database.
    DATABASES["default"]["TEST"] = {"NAME": str(_scratch / "test.sqlite3")}

# Argon2 is slow by design.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# WhiteNoise warns if the directory is missing.
STATIC_ROOT.mkdir()
# The manifest exists only after collectstatic.
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
# Tests without a database never sign in, but they clear the cache.
CACHES["default"] = CACHES["process"]
ALLOWED_HOSTS.append("testserver")
# Servers that a test starts use the same key, so that they accept codes of the cast's apps. Their other keys differ.
SECOND_FACTOR_KEYS = ["of the tests"]
