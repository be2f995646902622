"""Settings for the processes that a test starts. People of the cast can sign in on their web server."""

from tests.tasks.patient_settings import *  # noqa: F403 - settings build on settings

# The cast's passwords were hashed with the tests' fast hasher.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# The secrets of the cast's apps were encrypted with the tests' key.
SECOND_FACTOR_KEYS = ["of the tests"]
