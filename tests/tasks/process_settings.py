"""The site's settings for the processes of a test: with the test's own database, and short time limits."""

from lockbox_site.settings import *  # noqa: F403 - settings build on settings
from lockbox_site.settings import DATABASES, Q_CLUSTER, STORAGES

# What a killed worker held comes back after `retry`.
Q_CLUSTER |= {"timeout": 3, "retry": 4}
DATABASES["default"]["CONN_MAX_AGE"] = 0
# The manifest exists only after collectstatic.
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
