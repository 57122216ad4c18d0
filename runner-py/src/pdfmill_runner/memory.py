"""Host memory of this process, in bytes: how much it holds, and the most it held since a mark."""

from __future__ import annotations

import contextlib
import ctypes
import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_KIB = 1024


def resident() -> int:
    """Return what the process holds now; where the system doesn't say, the most it ever held."""
    return _status("VmRSS") or _ever()


def peak() -> int:
    """Return the most the process held since the last mark, or ever where a mark can't be set."""
    return _status("VmHWM") or _ever()


def mark() -> None:
    """Begin a new peak, where the system can (Linux)."""
    with contextlib.suppress(OSError):
        _CLEAR_REFS.write_text("5", encoding="ascii")


def release() -> None:
    """Hand freed memory back to the system (glibc keeps it otherwise: 116 MB after a page of 3 million characters)."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _status(name: str) -> int:
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * _KIB for line in lines if line.startswith(f"{name}:")), 0)


def _ever() -> int:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * _KIB
