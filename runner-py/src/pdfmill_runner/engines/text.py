"""`text`: reads the text layer. No models, no network, some 300 pages a second.

liteparse finds headings, tables and reading order; PDFium looks at each page first, and reads the pages that liteparse can't.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pdfmill_runner.engine import Conversion, Engine
from pdfmill_runner.failures import EngineError, FailureClass

if TYPE_CHECKING:
    from pdfmill_runner.engine import Progress
    from pdfmill_runner.protocol import Convert


class TextEngine(Engine):
    """Converts pages that have a text layer; others come out without text, with the warning `no-text`."""

    name: ClassVar[str] = "text"
    distributions: ClassVar[tuple[str, ...]] = ("liteparse", "pypdfium2")

    def load(self) -> None:
        """Load both libraries (40 MB)."""
        from pdfmill_runner.text import pages, pdfium  # noqa: F401, PLC0415 - this is what loading means

    def convert(self, request: Convert, progress: Progress) -> Conversion:
        """Convert a range. force_ocr and batch_scale mean nothing here."""
        from pdfmill_runner.text.pages import Limits, PageRange  # noqa: PLC0415
        from pdfmill_runner.text.pdfium import Document  # noqa: PLC0415

        with Document(request.path) as document:
            work = PageRange(document, request, progress, Limits())
            return Conversion(list(work.convert()), work.images)

    def probe(self) -> str:
        """Make a PDF of one page and read it."""
        from pdfmill_runner.text import lite, pdfium  # noqa: PLC0415

        word = "pdfmill"
        found = lite.parse(pdfium.one_line(word), [1], references=False, images=False).pages[1].text
        if word not in found:
            raise EngineError(FailureClass.UNHEALTHY, f"the probe page should read {word!r} but reads {found!r:.80}")
        return "text: wrote a page and read it"
