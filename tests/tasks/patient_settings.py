"""The settings for tests that count how often a task runs.

While a slow machine still runs a task, the task is not delivered again.
"""

from tests.tasks.process_settings import *  # noqa: F403 - settings build on settings
from tests.tasks.process_settings import Q_CLUSTER

Q_CLUSTER |= {"timeout": 45, "retry": 60}
