"""The site's settings for the processes of a test: they use the test's database, and have short time limits."""

from lockbox_site.settings import *  # noqa: F403 - settings build on settings
from lockbox_site.settings import DATABASES, Q_CLUSTER, STORAGES

# After `retry` seconds, the queue delivers a killed worker's task again.
Q_CLUSTER |= {"timeout": 3, "retry": 4}
DATABASES["default"]["CONN_MAX_AGE"] = 0
# The manifest exists only after collectstatic.
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
