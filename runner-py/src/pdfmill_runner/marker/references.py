"""Anchors that mean the same in every range of a document.

Marker numbers the targets of links as it meets them, in the pages that it converts: a table of contents in the first range
names targets that the last range, converted elsewhere, never heard of. Here the numbering begins with every link of the whole
document, so that all ranges give the same names, and give an anchor to each target.
"""

from __future__ import annotations

import logging
from typing import Any

import pypdfium2
from pdftext.pdf import links
from pdftext.schema import PageReference

log = logging.getLogger(__name__)

MAX_PAGES = 2_000
"""Pages of a document that are looked through for links; a longer one has links that work within its ranges only."""
MAX_LINKS = 50_000

Targets = list[tuple[int, list[float]]]


def targets(path: str) -> Targets:
    """Return the target of every link of a document: its page (0-based) and position, in order."""
    found: Targets = []
    document = pypdfium2.PdfDocument(path)
    try:
        for number in range(min(len(document), MAX_PAGES)):
            try:
                found += _of_page(number, document)
            except pypdfium2.PdfiumError:
                log.warning("page %d can't be looked through for links", number + 1)
            if len(found) > MAX_LINKS:
                return found[:MAX_LINKS]
    finally:
        document.close()
    return found


def _of_page(number: int, document: Any) -> Targets:
    out: Targets = []
    for link in links.get_links(number, document):
        page, position = link["dest_page"], link["dest_pos"]
        if page is not None and page >= 0 and (position or page != number):
            out.append((page, position or [0.0, 0.0]))
    return out


class Numbering:
    """Puts the numbering of one document in the place of pdftext's, for as long as it is entered."""

    def __init__(self, path: str) -> None:
        self._targets = targets(path)
        self._real = links.PageReference

    def __enter__(self) -> Numbering:
        known = self._targets

        class Known(PageReference):  # type: ignore[misc] # pdftext ships no types
            def __init__(self) -> None:
                super().__init__()
                for page, position in known:
                    self.add_ref(page, position)

        links.PageReference = Known
        return self

    def __exit__(self, *_: object) -> None:
        links.PageReference = self._real
