"""The settings of a test's web server, but with the product's real password hashing.

The tests' fast hashing is also accepted, so that the cast's passwords still work.
"""

from tests.tasks.web_settings import *  # noqa: F403 - settings build on settings
from tests.tasks.web_settings import PASSWORD_HASHERS as _QUICK

PASSWORD_HASHERS = ["requests_app.platform.hashing.Argon2PasswordHasher", *_QUICK]
