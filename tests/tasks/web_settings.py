"""The same for a web server that people of the cast sign in to."""

from tests.tasks.process_settings import *  # noqa: F403
from tests.tasks.process_settings import Q_CLUSTER

# A drain that sends mail takes longer than the chores of the other tests.
Q_CLUSTER |= {"timeout": 15, "retry": 20}
# The cast's passwords are hashed in the tests' quick way.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# And their authenticator apps' secrets are sealed with the tests' key.
SECOND_FACTOR_KEYS = ["of the tests"]
