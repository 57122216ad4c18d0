"""`null`: an instant engine that reads nothing. For tests and for measuring everything around an engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pdfmill_runner.engine import Conversion, Engine
from pdfmill_runner.protocol import Page

if TYPE_CHECKING:
    from pdfmill_runner.engine import Progress
    from pdfmill_runner.protocol import Convert


class NullEngine(Engine):
    """Writes the same few words for every page, whatever the document holds."""

    name: ClassVar[str] = "null"
    auto: ClassVar[bool] = False

    def load(self) -> None:
        """Load nothing."""

    def convert(self, request: Convert, progress: Progress) -> Conversion:
        """Write one small file a page."""
        total = request.last - request.first + 1
        pages = []
        for page in range(request.first, request.last + 1):
            text = f"# Page {page}\n\nThe null engine reads nothing.\n"
            file = f"page-{page:04d}.md"
            (Path(request.out_dir) / file).write_text(text, encoding="utf-8", newline="\n")
            pages.append(Page(page, file=file, chars=len(text)))
            progress("null", len(pages), total)
        return Conversion(pages)

    def probe(self) -> str:
        """Answer."""
        return "null: nothing to go wrong"
