"""The typed seam around liteparse: pages in, Markdown, text and images out. Never OCR, never a download.

It uses liteparse's native class and not its Python wrapper, which costs 50 ms at the start and a third of the time of every
conversion, turning positions of words that nobody asked for into objects. The version is pinned for that reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from liteparse._liteparse import LiteParse

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Figure:
    """An image of a page. `reference` is the target that the Markdown gives to it; duplicates have one each or share one."""

    page: int
    reference: str
    width: int  # pixels
    height: int
    format: str  # "png" or "jpg"
    data: bytes


@dataclass(frozen=True)
class Parsed:
    """A page as liteparse reads it."""

    markdown: str
    text: str


@dataclass(frozen=True)
class Parse:
    """What one call gives. Pages that it could not load are in `errors`, with its words."""

    pages: dict[int, Parsed]
    errors: dict[int, str]
    figures: list[Figure]


def parse(source: str | bytes, numbers: Sequence[int], *, references: bool, images: bool) -> Parse:
    """Parse pages (1-based) of a file, or of a PDF in memory. Raises what liteparse raises when the whole call fails.

    `references` puts a link into the Markdown where an image is, `images` also extracts them: bound their pixels before.
    """
    parser = LiteParse(
        ocr_enabled=False,
        quiet=True,
        num_workers=1,
        output_format="markdown",
        image_mode="embed" if references else "off",
        extract_images=images,
        continue_on_page_error=True,
        max_pages=len(numbers),
        target_pages=",".join(map(str, numbers)),
    )
    try:
        result = parser.parse(source) if isinstance(source, str) else parser.parse_bytes(source)
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # of Rust: an exception that `except Exception` would let through
            raise RuntimeError(f"liteparse panicked: {error}") from error
        raise
    return Parse(
        {page.page_num: Parsed(page.markdown, page.text) for page in result.pages},
        {error.page_num: error.message for error in result.page_errors},
        [Figure(i.page, i.name, i.width, i.height, i.format, bytes(i.bytes)) for i in result.images],
    )
