from __future__ import annotations

import errno

import pytest

from pdfmill_runner.failures import EngineError, FailureClass, classify


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


@pytest.mark.parametrize(
    ("error", "failure", "intact"),
    [
        (MemoryError(), FailureClass.HOST_OOM, False),
        (OSError(errno.ENOMEM, "no memory"), FailureClass.HOST_OOM, False),
        (OSError(errno.ENOSPC, "disk full"), FailureClass.STORE_UNAVAILABLE, True),
        (OutOfMemoryError("tried to allocate"), FailureClass.OOM, True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), FailureClass.OOM, True),
        (RuntimeError("CUDA error: device-side assert triggered"), FailureClass.DEVICE_ASSERT, False),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), FailureClass.DEVICE_ASSERT, False),
        (AttributeError("'NoneType' object has no attribute 'input_ids'"), FailureClass.MODEL_BUG, True),
        (RuntimeError("stack expects a non-empty TensorList"), FailureClass.MODEL_BUG, True),
        (ValueError("anything else"), FailureClass.ENGINE_ERROR, True),
    ],
)
def test_exceptions_have_a_class(error: Exception, failure: FailureClass, *, intact: bool) -> None:
    known = classify(error)
    assert (known.failure, known.context_intact) == (failure, intact)
    assert type(error).__name__ in str(known)


def test_an_engine_error_says_what_it_says() -> None:
    error = EngineError(FailureClass.OOM, "later", page=7, context_intact=False)
    assert classify(error) is error
    assert (error.page, error.context_intact) == (7, False)
