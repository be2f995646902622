"""The same for tests that count runs: the queue delivers again only what a slow machine can't still be doing."""

from tests.tasks.process_settings import *  # noqa: F403 - settings build on settings
from tests.tasks.process_settings import Q_CLUSTER

Q_CLUSTER |= {"timeout": 45, "retry": 60}
