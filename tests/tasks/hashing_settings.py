"""The same with the product's own hashing, beside the fast one of the tests, with which the cast's passwords are
stored.
"""

from tests.tasks.web_settings import *  # noqa: F403 - settings build on settings
from tests.tasks.web_settings import PASSWORD_HASHERS as _QUICK

PASSWORD_HASHERS = ["requests_app.platform.hashing.Argon2PasswordHasher", *_QUICK]
