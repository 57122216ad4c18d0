"""Documents that need a password: engines get a copy without one, which lives as long as the conversion."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .failures import EngineError, FailureClass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .protocol import Convert

COPY = ".unlocked.pdf"  # in out_dir, which the service removes whatever becomes of this process


@contextmanager
def unlocked(request: Convert) -> Iterator[Convert]:
    """Give a request that an engine can do without a password; the copy, for this user's eyes only, is gone afterwards.

    Raises EngineError pdf-encrypted when no password opens the document.
    """
    if not request.passwords or _opens(request.path, None):
        yield replace(request, passwords=None)
        return
    password = next((p for p in request.passwords if _opens(request.path, p)), None)
    if password is None:
        raise EngineError(FailureClass.PDF_ENCRYPTED, "wrong password: none of those given opens the document")
    copy = Path(request.out_dir) / COPY
    try:
        _decrypt(request.path, password, copy)
        yield replace(request, path=str(copy), passwords=None)
    finally:
        copy.unlink(missing_ok=True)


def _opens(path: str, password: str | None) -> bool:
    import pypdfium2.raw as c  # noqa: PLC0415 - only who gets a password needs it

    secret = None if password is None else password.encode() + b"\0"
    document = c.FPDF_LoadDocument(os.fsencode(path) + b"\0", secret)
    if document:
        c.FPDF_CloseDocument(document)
        return True
    return bool(c.FPDF_GetLastError() != c.FPDF_ERR_PASSWORD)  # what is wrong otherwise is for the engine to say


def _decrypt(path: str, password: str, copy: Path) -> None:
    import pypdfium2  # noqa: PLC0415
    import pypdfium2.raw as c  # noqa: PLC0415

    document = pypdfium2.PdfDocument(path, password=password)
    try:
        with os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            document.save(file, flags=c.FPDF_REMOVE_SECURITY)
    finally:
        document.close()
