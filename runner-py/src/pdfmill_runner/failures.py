"""The one vocabulary of what can go wrong, shared with the services, and how exceptions translate into it."""

from __future__ import annotations

import errno
from dataclasses import dataclass
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
    OVER_QUOTA = "over-quota"


# After these the process can't be trusted: a destroyed device context stays destroyed, and memory that ran out once
# leaves libraries in states that nobody tests.
_DESTROYING = frozenset({FailureClass.DEVICE_ASSERT, FailureClass.HOST_OOM, FailureClass.CRASH})

# Types that say it all, by the name they are known under: none of these libraries is imported to tell.
_BY_TYPE = {
    "builtins.MemoryError": FailureClass.HOST_OOM,
    "httpx.TransportError": FailureClass.UNHEALTHY,
    "httpx.HTTPStatusError": FailureClass.UNHEALTHY,
    "openai.APIConnectionError": FailureClass.UNHEALTHY,
    "openai.InternalServerError": FailureClass.UNHEALTHY,
    "surya.inference.backends.spawn.SpawnError": FailureClass.UNHEALTHY,
    "huggingface_hub.errors.LocalEntryNotFoundError": FailureClass.ENGINE_MISSING,
    "huggingface_hub.errors.OfflineModeIsEnabled": FailureClass.ENGINE_MISSING,
    "huggingface_hub.errors.RepositoryNotFoundError": FailureClass.ENGINE_MISSING,
    "huggingface_hub.errors.HFValidationError": FailureClass.ENGINE_MISSING,
    "requests.exceptions.ConnectionError": FailureClass.UNHEALTHY,
    "requests.exceptions.Timeout": FailureClass.UNHEALTHY,
}
# What CUDA and the libraries above it say. Their exceptions share one type, so the text is all there is to tell them by.
_DEVICE_OOM = ("cuda out of memory", "cuda error: out of memory", "cudaerrormemoryallocation", "cublas_status_alloc_failed")
_DEVICE_LOST = (
    "device-side assert",
    "illegal memory access",
    "cuda error",
    "cublas_status",
    "cudnn_status",
    "misaligned address",
)
_HOST_OOM = ("defaultcpuallocator: can't allocate memory", "defaultcpuallocator: not enough memory", "cannot allocate memory")
_MODEL_BUG = ("'nonetype' object has no attribute 'input_ids'", "stack expects a non-empty tensorlist")
_MISTAKES = frozenset(
    f"builtins.{name}"
    for name in (
        "AttributeError",
        "LookupError",
        "TypeError",
        "AssertionError",
        "ArithmeticError",
        "NameError",
        "RecursionError",
    )
)
_PAGE_CODE = frozenset(
    ("marker", "surya", "pdftext", "transformers", "torch", "markdownify", "bs4", "PIL", "numpy", "sklearn", "ftfy")
)


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


@dataclass(frozen=True)
class Evidence:
    """What an exception tells, without the exception: what is recorded of real ones reads the same."""

    types: tuple[str, ...]
    """Its type and the ones it derives from, as `module.name`, most special first."""
    message: str
    raised_in: str = ""
    """The package whose code raised it."""
    errno: int | None = None


def evidence(error: BaseException) -> Evidence:
    """Return what an exception tells."""
    types = tuple(f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__ if kind is not object)
    trace, package = error.__traceback__, ""
    while trace is not None:
        package = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        trace = trace.tb_next
    return Evidence(types, str(error).strip(), package, error.errno if isinstance(error, OSError) else None)


def classify(error: BaseException) -> EngineError:
    """Return what an exception means. An EngineError is returned as it is."""
    if isinstance(error, EngineError):
        return error
    message = str(error).strip() or type(error).__name__
    return EngineError(class_of(evidence(error)), f"{type(error).__name__}: {message}")


def class_of(found: Evidence) -> FailureClass:
    """Return the class of an exception: by its types first, by its message where libraries share one type for everything."""
    text = found.message.lower()
    for kind in found.types:
        if rule := _BY_TYPE.get(kind):
            return rule
    if any(kind.endswith(".OutOfMemoryError") for kind in found.types) or any(sign in text for sign in _DEVICE_OOM):
        return FailureClass.OOM
    if any(kind.endswith(".PdfiumError") for kind in found.types):
        return _of_pdfium(text)
    if found.errno is not None:
        # A file that can't be read or written is this machine's trouble; somebody else, or the same one later, may succeed.
        # A full disk holds the range until there is room.
        if found.errno in (errno.ENOSPC, errno.EDQUOT):
            return FailureClass.STORE_UNAVAILABLE
        return FailureClass.HOST_OOM if found.errno == errno.ENOMEM else FailureClass.UNHEALTHY
    return _of_message(found, text)


def _of_pdfium(text: str) -> FailureClass:
    return FailureClass.PDF_ENCRYPTED if "password" in text or "security" in text else FailureClass.PDF_CORRUPT


def _of_message(found: Evidence, text: str) -> FailureClass:
    for signs, failure in (
        (_HOST_OOM, FailureClass.HOST_OOM),
        (_DEVICE_LOST, FailureClass.DEVICE_ASSERT),
        (_MODEL_BUG, FailureClass.MODEL_BUG),
    ):
        if any(sign in text for sign in signs):
            return failure
    # A mistake in a program shows on the pages that reach it: others go through.
    if found.raised_in in _PAGE_CODE and _MISTAKES.intersection(found.types):
        return FailureClass.MODEL_BUG
    return FailureClass.ENGINE_ERROR
