"""The one vocabulary of what can go wrong, shared with the services, and how exceptions translate into it."""

from __future__ import annotations

import errno
from enum import Enum


class FailureClass(str, Enum):
    """A kind of failure. Whoever decides (retry, split, replace the worker, give up) reads this, never a text."""

    NOT_PDF = "not-pdf"
    PDF_CORRUPT = "pdf-corrupt"
    PDF_ENCRYPTED = "pdf-encrypted"
    PDF_EMPTY = "pdf-empty"
    LIMIT_BYTES = "limit-bytes"
    LIMIT_PAGES = "limit-pages"
    LIMIT_PAGE_SIZE = "limit-page-size"
    LIMIT_PIXELS = "limit-pixels"
    LIMIT_OBJECTS = "limit-objects"
    LIMIT_CONTENT = "limit-content"
    LIMIT_CHARS = "limit-chars"
    LIMIT_NESTING = "limit-nesting"
    LIMIT_TIME = "limit-time"
    LIMIT_PAGE_TIME = "limit-page-time"
    LIMIT_MEMORY = "limit-memory"
    SOURCE_GONE = "source-gone"
    SOURCE_CHANGED = "source-changed"
    STORE_UNAVAILABLE = "store-unavailable"
    DEVICE_ASSERT = "device-assert"
    OOM = "oom"
    HOST_OOM = "host-oom"
    CRASH = "crash"
    CRASH_LOOP = "crash-loop"
    TIMEOUT = "timeout"
    MODEL_BUG = "model-bug"
    UNHEALTHY = "unhealthy"
    ENGINE_MISSING = "engine-missing"
    ENGINE_ERROR = "engine-error"
    INVALID_MESSAGE = "invalid-message"
    CANCELLED = "cancelled"


# After these the process can't be trusted: a destroyed device context stays destroyed, and memory that ran out once
# leaves libraries in states that nobody tests.
_DESTROYING = frozenset({FailureClass.DEVICE_ASSERT, FailureClass.HOST_OOM, FailureClass.CRASH})

# What CUDA and the libraries above it say. Their exceptions share one type, so the text is all there is to tell them by.
_DEVICE_OOM = ("cuda out of memory", "cudaerrormemoryallocation", "cublas_status_alloc_failed")
_DEVICE_LOST = (
    "device-side assert",
    "illegal memory access",
    "cuda error",
    "cublas_status",
    "cudnn_status",
    "misaligned address",
)
_MODEL_BUG = ("'nonetype' object has no attribute 'input_ids'", "stack expects a non-empty tensorlist")


class EngineError(Exception):
    """A failure that knows its class, the page it happened on (None when not known) and whether the process survives it.

    `context_intact` None means: what the class says.
    """

    def __init__(
        self, failure: FailureClass, message: str, *, page: int | None = None, context_intact: bool | None = None
    ) -> None:
        super().__init__(message)
        self.failure = failure
        self.page = page
        self.context_intact = failure not in _DESTROYING if context_intact is None else context_intact


def classify(error: BaseException) -> EngineError:
    """Return what an exception means. An EngineError is returned as it is."""
    if isinstance(error, EngineError):
        return error
    message = str(error).strip() or type(error).__name__
    return EngineError(_class_of(error, message.lower()), f"{type(error).__name__}: {message}")


def _class_of(error: BaseException, text: str) -> FailureClass:
    if isinstance(error, MemoryError):
        return FailureClass.HOST_OOM
    if isinstance(error, OSError) and error.errno is not None:
        return _class_of_os_error(error)
    if type(error).__name__ == "OutOfMemoryError" or any(sign in text for sign in _DEVICE_OOM):
        return FailureClass.OOM
    if any(sign in text for sign in _DEVICE_LOST):
        return FailureClass.DEVICE_ASSERT
    if any(sign in text for sign in _MODEL_BUG):
        return FailureClass.MODEL_BUG
    return FailureClass.ENGINE_ERROR


def _class_of_os_error(error: OSError) -> FailureClass:
    """Return the class of a system call's error.

    A file that can't be read or written is this machine's trouble; somebody else, or the same one later, may succeed.
    """
    return FailureClass.HOST_OOM if error.errno == errno.ENOMEM else FailureClass.UNHEALTHY
