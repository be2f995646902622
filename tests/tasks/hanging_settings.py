"""The settings of a test's processes, but with the product's time limits: a task can wait for other machines."""

from tests.tasks.process_settings import *  # noqa: F403 - settings build on settings
from tests.tasks.process_settings import Q_CLUSTER

Q_CLUSTER |= {"timeout": 60, "retry": 120}
WEBHOOK_PRIVATE_NETWORK = WITNESS_PRIVATE_NETWORK = True
