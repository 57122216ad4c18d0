"""The second way to read a page: the text engine, in this process, into a folder of its own until it is known to be better."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pdfmill_runner.protocol import OK, Image, Options, Page
from pdfmill_runner.text.pages import Limits, PageRange

if TYPE_CHECKING:
    from pdfmill_runner.engine import Progress
    from pdfmill_runner.protocol import Convert
    from pdfmill_runner.text.pdfium import Document

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """A page as the text engine reads it, not yet taken."""

    page: Page
    text: str
    folder: Path
    images: tuple[Image, ...]


class Second:
    """Reads single pages of a document."""

    def __init__(self, document: Document, request: Convert, progress: Progress) -> None:
        self._document = document
        self._request = request
        self._progress = progress
        self.images: list[Image] = []
        """Of the readings that were kept."""

    def read(self, number: int) -> Reading | None:
        """Read a page; None when the text engine can't either."""
        folder = Path(self._request.out_dir, f".second-{number}")
        folder.mkdir()
        # The plain way for who asked for it: something died on this page before.
        asked = Options(images=self._request.options.images, mode=self._request.options.mode)
        one = replace(self._request, first=number, last=number, options=asked, out_dir=str(folder))
        work = PageRange(self._document, one, self._progress, Limits())
        try:
            (page,) = work.convert()
        except Exception:
            log.exception("the text engine failed at page %d too", number)
            return None
        if page.status != OK or page.file is None:
            return None
        return Reading(page, (folder / page.file).read_text(encoding="utf-8"), folder, tuple(work.images))

    def keep(self, reading: Reading) -> Page:
        """Put a reading into the conversion's folder and return its page."""
        out = Path(self._request.out_dir)
        for file in (reading.page.file or "", *(image.file for image in reading.images)):
            (out / file).parent.mkdir(exist_ok=True)
            shutil.move(reading.folder / file, out / file)
        self.images += reading.images
        return reading.page
