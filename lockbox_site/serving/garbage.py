"""Collects garbage after a request was answered, and not in the middle of one."""

from __future__ import annotations

import gc
from itertools import count
from typing import Any

from django.core.signals import request_finished

#: With fewer new objects than this, nothing is collected. Most pages and calls make one or two thousand.
ENOUGH = 2_000
#: One of this number of collections also visits the objects that were still in use at an earlier one, and one of the
#: second number visits all objects that were made after the start. A collection at the end of one request finds objects
#: of the other requests in use, and they are garbage soon after: about 2 KB for each page. So 100 collections, which
#: take 400 pages, leave 1 MB. To visit the 20,000 objects that stay takes 5 to 15 ms, and more on a busy machine.
OLDER, ALL = 20, 100

_turns = count(1)


def collect_after_requests() -> None:
    """Exclude all objects that exist now from collections, and collect others at the end of requests from now on.

    Python would wait for 50,000 objects (`starting.BETWEEN_COLLECTIONS`), and then stop a page for 25 to 50
    milliseconds. At the end of a request, nearly all of its objects are garbage, and few others have to be visited. The
    answer was sent before.
    """
    gc.freeze()
    request_finished.connect(_collect, dispatch_uid="garbage")


def _collect(**_: Any) -> None:
    if gc.get_count()[0] >= ENOUGH:
        turn = next(_turns)
        gc.collect(2 if turn % ALL == 0 else 1 if turn % OLDER == 0 else 0)
