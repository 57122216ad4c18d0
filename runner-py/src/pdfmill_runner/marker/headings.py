"""The sizes of headings, told beside each page: their levels are given where the whole document is.

Marker tells levels by clustering the heights of the headings that it is given, a range's, so that two ranges of one book would
differ. Levels that somebody has seen (a model that read the heading, a language model, the document's outline) are left alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_BEGIN = re.compile(r"#{1,6} |\s*<h[1-6]>")


@dataclass(frozen=True)
class Heading:
    """A heading, by the block's id or, in text, by the line (from 0) that it begins in; `size` is a line's height in points."""

    size: float
    line: int | None = None
    block: str | None = None


class Headings:
    """Those of one conversion. While this is entered, marker writes a mark into each heading that `note` has measured.

    `nonce` is drawn at random for this one conversion, so that no page can contain a mark.
    """

    def __init__(self, nonce: str, *, marked: bool) -> None:
        self._nonce = nonce
        self.marked = marked
        self._sizes: dict[str, float] = {}
        self._mark = re.compile(re.escape(nonce) + r"H(\d+)X")

    def note(self, document: Any) -> None:
        """Measure the headings of a document whose structure is known."""
        from marker.schema import BlockTypes  # noqa: PLC0415

        for page in document.pages:
            for block in page.children:
                if block.block_type != BlockTypes.SectionHeader or block.removed or block.ignore_for_output:
                    continue
                size = 0.0 if getattr(block, "html", None) else block.line_height(document)
                if size > 0:
                    self._sizes[str(block.id)] = round(float(size), 1)

    def __enter__(self) -> Headings:
        from marker.schema.blocks.sectionheader import SectionHeader  # noqa: PLC0415

        self._class, self._real = SectionHeader, SectionHeader.assemble_html
        real, sizes, nonce = self._real, self._sizes, self._nonce
        at: dict[str, int] = {}

        def assemble_html(block: Any, *args: Any, **named: Any) -> str:
            html = str(real(block, *args, **named))
            if (name := str(block.id)) not in sizes:
                return html
            number = at.setdefault(name, len(at))
            return re.sub(r"^<h\d>", lambda tag: f"{tag[0]}{nonce}H{number}X", html, count=1)

        self._numbers = at
        if self.marked:
            SectionHeader.assemble_html = assemble_html
        return self

    def __exit__(self, *_: object) -> None:
        self._class.assemble_html = self._real

    def of_blocks(self, page: int) -> list[Heading]:
        """Return those of a page (1-based), by their ids."""
        return [Heading(size, block=name) for name, size in self._sizes.items() if name.startswith(f"/page/{page - 1}/")]

    def of_text(self, text: str) -> tuple[str, list[Heading]]:
        """Return a page's text without marks, and the headings that had one."""
        by_number = {number: self._sizes[name] for name, number in self._numbers.items()}
        found: list[Heading] = []
        lines, begun = text.split("\n"), None
        for i, line in enumerate(lines):
            if _BEGIN.match(line):
                begun = i
            if mark := self._mark.search(line):
                lines[i] = self._mark.sub("", line)
                if begun is not None:
                    found.append(Heading(by_number[int(mark[1])], line=begun))
                    begun = None
        return "\n".join(lines), found
