"""Giving back the disk space of a file's beginning while another program appends to it."""

import ctypes
import os
from contextlib import suppress
from pathlib import Path

_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02  # linux/falloc.h


def free_beginning(path: Path, end: int) -> None:
    """Give the disk blocks of the first `end` bytes back; they read as zeros from now on, and the size stays.

    Truncating would lose what is written at that moment. Does nothing where the system or the file system can't do it,
    or the file is gone.
    """
    with suppress(OSError, AttributeError):  # AttributeError: not Linux
        descriptor = os.open(path, os.O_WRONLY)
        try:
            start, length = ctypes.c_int64(0), ctypes.c_int64(end)
            ctypes.CDLL(None).fallocate(descriptor, _KEEP_SIZE | _PUNCH_HOLE, start, length)
        finally:
            os.close(descriptor)
