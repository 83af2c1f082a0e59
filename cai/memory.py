"""Memory that a process keeps for its next step."""

from __future__ import annotations

import contextlib
import ctypes

# glibc's numbers: arenas, the size from which memory is mapped anew, and that from which it is given back.
_OPTIONS = ((-8, 1), (-3, 1 << 30), (-1, (1 << 31) - 1))


def keep_memory() -> None:
    """Have glibc keep freed memory; elsewhere, nothing.

    A training step on a CPU asks for the same large pieces again and again, and to fault in fresh pages for them each
    time takes a sixth of the step.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        for option, value in _OPTIONS:
            libc.mallopt(option, value)
