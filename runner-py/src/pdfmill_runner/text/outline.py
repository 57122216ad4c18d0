"""Heading levels that mean the same on every page of a document, whoever converts it: those of its own outline.

Converters tell levels by comparing headings with each other, within the pages that they are given: two ranges of one book
would differ. What the outline does not name stays as it is.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .pdfium import Entry

MAX_LEVEL = 6
_HEADING = re.compile(r"^(#{1,6})[ \t]+(.+?)[ \t#]*$")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_MARKUP = re.compile(r"<[^<>]*>|!?\[|\]\([^)\n]*\)")
_SIGNS = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"^\d+")


class Outline:
    """The outline of a document."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._levels = {(entry.page, _key(entry.title)): min(entry.depth, MAX_LEVEL) for entry in entries if _key(entry.title)}

    def level(self, page: int, markdown: str) -> str:
        """Return a page's Markdown with the level of each heading that the outline has on that page."""
        lines = markdown.split("\n")
        for i, level in self.lines(page, markdown).items():
            lines[i] = f"{'#' * level} {lines[i].lstrip('#').lstrip()}"
        return "\n".join(lines)

    def lines(self, page: int, markdown: str) -> dict[int, int]:
        """Return the levels of the headings that the outline has on a page, by their lines (from 0)."""
        found: dict[int, int] = {}
        if not any(at == page for at, _ in self._levels):
            return found
        fence = ""
        for i, line in enumerate(markdown.split("\n")):
            if mark := _FENCE.match(line):
                fence = "" if fence == mark[1] else fence or mark[1]
            elif not fence and (heading := _HEADING.match(line)) and (level := self._levels.get((page, _key(heading[2])))):
                found[i] = level
        return found


def _key(title: str) -> str:
    """Return a title's letters and digits, without the number that one of both may lack."""
    plain = _SIGNS.sub("", _MARKUP.sub("", unicodedata.normalize("NFKC", title))).casefold()
    return _NUMBER.sub("", plain) or plain
