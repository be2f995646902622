"""The web settings with the product's password hashing. The tests' fast hashing still checks the cast's passwords."""

from tests.tasks.web_settings import *  # noqa: F403 - settings build on settings
from tests.tasks.web_settings import PASSWORD_HASHERS as _QUICK

PASSWORD_HASHERS = ["requests_app.platform.hashing.Argon2PasswordHasher", *_QUICK]
