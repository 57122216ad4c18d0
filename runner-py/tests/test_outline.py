"""Heading levels by the document's own outline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pdfs
from pdfmill_runner.protocol import Result
from pdfmill_runner.text.outline import Outline
from pdfmill_runner.text.pdfium import Document, Entry
from rig import Rig, request

if TYPE_CHECKING:
    from pathlib import Path


def test_headings_get_the_level_of_the_outline() -> None:
    outline = Outline(
        [Entry(1, "Mills", 1), Entry(1, "Of the River", 3), Entry(2, "Mills", 2), Entry(1, "Deep", 9), Entry(1, " - ", 1)]
    )
    page = "## 1. **Mills**\n\ntext\n\n# Of the <b>river</b> #\n\n```\n# Mills\n```\n\n# Wind\n\n# Deep\n"
    assert outline.level(1, page) == (
        "# 1. **Mills**\n\ntext\n\n### Of the <b>river</b> #\n\n```\n# Mills\n```\n\n# Wind\n\n###### Deep\n"
    )
    assert outline.level(2, "# Mills") == "## Mills"
    assert outline.level(3, "# Mills") == "# Mills"


def book() -> bytes:
    """Two chapters on pages of their own, each with a heading of the same size, of which the outline says another level."""
    pages = [
        pdfs.text(title, size=24)
        + pdfs.text("", "", "The mill turns as long as something moves it.", "When nothing does, it waits.")
        for title in ("Of water", "Of wind")
    ]
    entries = {
        50: b"<</Type/Outlines/First 51 0 R/Last 51 0 R/Count 1>>",
        51: b"<</Title(Of water)/Parent 50 0 R/Dest[10 0 R/Fit]/First 52 0 R/Last 52 0 R/Count 1>>",
        52: b"<</Title<feff004f0066002000770069006e0064>/Parent 51 0 R/A<</S/GoTo/D[12 0 R/Fit]>>>>",
    }
    return pdfs.document(*pages, catalog=b"/Outlines 50 0 R", extra=entries)


def test_the_outline_is_read(tmp_path: Path) -> None:
    path = tmp_path / "book.pdf"
    path.write_bytes(book())
    with Document(str(path)) as document:
        assert document.outline() == [Entry(1, "Of water", 1), Entry(2, "Of wind", 2)]


def test_ranges_that_are_converted_apart_agree(runner: Rig, tmp_path: Path) -> None:
    path = tmp_path / "book.pdf"
    path.write_bytes(book())
    for page, heading in ((1, "# Of water\n"), (2, "## Of wind\n")):
        answer, _ = runner.convert(request(path, tmp_path / str(page), page, page))
        assert isinstance(answer, Result), answer
        assert (tmp_path / str(page) / f"page-{page:04d}.md").read_text().startswith(heading)
