"""The process settings for tests that count runs: no task is delivered again while a slow machine still runs it."""

from tests.tasks.process_settings import *  # noqa: F403 - settings build on settings
from tests.tasks.process_settings import Q_CLUSTER

Q_CLUSTER |= {"timeout": 45, "retry": 60}
