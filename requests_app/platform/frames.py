"""Gives a thread room for the frames of all its calls, so that no call has to get memory from the system.

Python keeps the frames of a thread in chunks of 16 KB, and gives an empty chunk back at once. If a loop is at the end
of a chunk, each call in it gets a chunk from the system and gives it back, which takes ten times as long as a short
call. The depth of the calls decides where this happens: the list of access requests did it 417 times. A frame that
needs more room gets a larger chunk, and the frames of all calls below it are in the rest of this chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
#: How many values the frame of `in_one_chunk` claims to store. Its chunk then has 512 KB, and 236 KB of it are left. A
#: page needs about a tenth. A second such frame does not fit into what is left of the chunk of the first one: it gets a
#: chunk of its own, with as much room. The system gives only the memory that is used.
_VALUES = 36_000


def in_one_chunk(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `work(*args, **kwargs)`. Processes, and threads that run requests or a lane, begin with this call."""
    return work(*args, **kwargs)


in_one_chunk.__code__ = in_one_chunk.__code__.replace(co_stacksize=_VALUES)
