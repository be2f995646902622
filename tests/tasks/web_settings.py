"""The same for a web server to which people of the cast sign in."""

from tests.tasks.patient_settings import *  # noqa: F403 - settings build on settings

# The cast's passwords are hashed in the tests' quick way.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# And their authenticator apps' secrets are sealed with the tests' key.
SECOND_FACTOR_KEYS = ["of the tests"]
