"""`ocr`: reads the picture of each page, on the CPU, with small models that come with their package. For scans without a GPU.

It recognises whatever it is given; which pages need that is decided before.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pdfmill_runner.engine import Conversion, Engine
from pdfmill_runner.failures import EngineError, FailureClass
from pdfmill_runner.ocr import languages
from pdfmill_runner.protocol import FAILED, LOSSY, NO_TEXT, Page

if TYPE_CHECKING:
    from collections.abc import Callable

    from pdfmill_runner.engine import Progress
    from pdfmill_runner.protocol import Convert
    from pdfmill_runner.text.pdfium import Document


class OcrEngine(Engine):
    """Recognises pages with rapidocr; lines that it is not sure of are left out."""

    name: ClassVar[str] = "ocr"
    distributions: ClassVar[tuple[str, ...]] = ("rapidocr", "onnxruntime", "pypdfium2")
    options: ClassVar[tuple[str, ...]] = (languages.OPTION,)

    def __init__(self) -> None:
        self._reader: Any = None

    def load(self) -> None:
        """Load the models (80 MB)."""
        from pdfmill_runner.ocr.reading import Reader  # noqa: PLC0415

        self._reader = Reader()

    def convert(self, request: Convert, progress: Progress) -> Conversion:
        """Recognise a range, page by page. Images, force_ocr and batch_scale mean nothing here."""
        from pdfmill_runner.text.pdfium import Document  # noqa: PLC0415

        language = languages.read(request.options.engine or {})
        ends = time.monotonic() + request.deadline_seconds
        pages: list[Page] = []
        with Document(request.path) as document:
            for number in range(request.first, request.last + 1):
                start = time.monotonic()
                if start > ends:
                    message = f"page {number} was not reached within {request.deadline_seconds:g} s"
                    raise EngineError(FailureClass.TIMEOUT, message, page=number)
                alive = partial(progress, "recognise", len(pages), request.last - request.first + 1)
                page = self._page(document, number, language, request.out_dir, alive)
                pages.append(replace(page, seconds=time.monotonic() - start))
        return Conversion(pages)

    def _page(self, document: Document, number: int, language: str | None, out_dir: str, alive: Callable[[], None]) -> Page:
        from pdfmill_runner.ocr import layout  # noqa: PLC0415

        try:
            blank = document.inspect(number, images=False).objects == 0
            lines = [] if blank else self._reader.lines(document.picture(number), language, alive)
        except EngineError as error:
            return Page(number, FAILED, failure=error.failure, message=str(error))
        good, lost = layout.believed(lines)
        text = layout.markdown(good)
        file = f"page-{number:04d}.md"
        Path(out_dir, file).write_text(text, encoding="utf-8", newline="\n")
        warnings = (*((LOSSY,) if lost > layout.LOST else ()), *((NO_TEXT,) if not text and not blank else ()))
        return Page(number, file=file, chars=len(text), warnings=warnings)

    def probe(self) -> str:
        """Make a page of one word and recognise it."""
        import tempfile  # noqa: PLC0415

        from pdfmill_runner.text import pdfium  # noqa: PLC0415

        word = "pdfmill"
        with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
            file.write(pdfium.one_line(word))
            file.flush()
            with pdfium.Document(file.name) as document:
                found = " ".join(line.text for line in self._reader.lines(document.picture(1), None, lambda: None))
        if word not in found.lower():
            raise EngineError(FailureClass.UNHEALTHY, f"the probe page should read {word!r} but reads {found!r:.80}")
        return "ocr: drew a page and recognised it"

    def models(self) -> dict[str, str]:
        """Return the models that come with rapidocr."""
        return {"detection": "PP-OCRv6_det_small", "recognition": "PP-OCRv6_rec_small"}
