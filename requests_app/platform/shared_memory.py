"""Prepares the memory of a process for its forks, which copy each page that they write to."""

from __future__ import annotations

import ctypes
import gc


def stay() -> None:
    """Make what this process has loaded stay in pages that its forks do not write to.

    Garbage collections leave alone the objects that exist now, because they would write to all of them. And the gaps
    between these objects are filled: a fork would put each small object into such a gap, and so copy a page for it.
    """
    _fill_gaps()
    gc.freeze()


#: What fills the gaps. It is never used.
_filling: list[object] = []
#: Python takes small objects from pools of this size. An object at the beginning of a pool is the first one in it.
_POOL_BYTES, _POOL_HEAD = 16_384, 64
_MOST_FILLINGS = 100_000
#: A block outside of this range is not in the heap.
_HEAP_BYTES = 2**32


class _Allocated(ctypes.Structure):
    """What mallinfo2(3) returns. `keepcost` is the free memory behind everything that is in use."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks"),
            "keepcost",
        )
    ]


def _fill_gaps() -> None:
    # A bytes object has 33 bytes besides its content. Python rounds the size up to a multiple of 16.
    for size in range(512, 32, -16):
        for _ in range(_MOST_FILLINGS):
            _filling.append(bytes(size - 33))
            if id(_filling[-1]) % _POOL_BYTES <= _POOL_HEAD:
                break
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        return
    libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
    libc.malloc.argtypes, libc.sbrk.argtypes = [ctypes.c_size_t], [ctypes.c_ssize_t]
    libc.mallinfo2.restype = _Allocated
    behind = libc.sbrk(0) - libc.mallinfo2().keepcost
    for size in (*(2**power for power in range(16, 9, -1)), 384, 256, 192, 128, 96, 64, 48, 24):
        for _ in range(_MOST_FILLINGS):
            if not behind - _HEAP_BYTES < (libc.malloc(size) or behind) < behind - size:
                break
