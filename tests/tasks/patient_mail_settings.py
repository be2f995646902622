"""The settings of a test's processes in which a worker waits for a mail server for as long as the test needs."""

from tests.tasks.hanging_settings import *  # noqa: F403 - settings build on settings
from tests.tasks.hanging_settings import Q_CLUSTER

EMAIL_TIMEOUT = 600
Q_CLUSTER |= {"timeout": 1200, "retry": 2400}
