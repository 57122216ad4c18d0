"""PDFium, through pypdfium2: opening, looking before leaping, raw text. One thread only: PDFium allows no more.

Everything here is bounded by a page's objects as PDFium parses them; parsing a page is a tenth of converting it.
"""

from __future__ import annotations

import ctypes
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pypdfium2
import pypdfium2.raw as c

from pdfmill_runner.failures import EngineError, FailureClass

if TYPE_CHECKING:
    from types import TracebackType

HEADER_BYTES = 1024  # the header must begin within these, as every reader has it
MAX_OUTLINE = 100_000  # entries of an outline that are looked at
MAX_ENTRIES = 10_000  # of an outline that are used
MAX_TITLE = 4_096  # bytes of such an entry
MAX_VISITED = 100_000  # objects of a page that are looked at, those inside forms too
MAX_FORM_DEPTH = 5
PICTURE_DPI = 150  # of a page that is drawn to be recognised: letters of 8 points have 16 pixels
PICTURE_PIXELS = 12_000_000  # of such a picture at most: a larger page is drawn smaller
SUSPICIOUS_OBJECTS = 10_000  # a page with more has its paths and characters counted


@dataclass(frozen=True)
class PageShape:
    """What a page is made of, found without converting it.

    `paths` and `chars` are counted only on pages with more than SUSPICIOUS_OBJECTS objects (`chars` also when the text layer is
    asked for), and are 0 on others. `layer` is the text layer, when it was asked for and is not longer.
    """

    objects: int
    paths: int = 0
    chars: int = 0
    image_pixels: int = 0
    layer: str = ""


@dataclass(frozen=True)
class Entry:
    """An entry of an outline, of depth 1 and more, and the page that it leads to."""

    page: int
    title: str
    depth: int


class Document:
    """An open PDF. Pages are 1-based."""

    def __init__(self, path: str) -> None:
        """Open the PDF; an empty password opens what it can. Raises EngineError not-pdf, pdf-corrupt, -encrypted or -empty."""
        handle = c.FPDF_LoadDocument(os.fsencode(path) + b"\0", None)
        if not handle:  # the helper class would raise too, but with a stale error code for a document without pages
            raise _why(path, c.FPDF_GetLastError())
        self._doc = pypdfium2.PdfDocument(handle)
        self.pages: int = c.FPDF_GetPageCount(handle)
        if self.pages < 1:
            self._doc.close()
            raise EngineError(FailureClass.PDF_EMPTY, "the document has no pages")

    def __enter__(self) -> Document:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._doc.close()

    def inspect(self, number: int, *, images: bool, layer: int = 0) -> PageShape:
        """Load a page and say what it is made of. The pixels of its images, and its text layer, take asking.

        `layer` is how many characters of text layer are wanted at most. Raises EngineError pdf-corrupt.
        """
        page = self._load(number)
        try:
            objects: int = c.FPDFPage_CountObjects(page)
            paths = chars = pixels = 0
            text = ""
            if layer:
                text, chars = _text_of(page, layer)
            if objects > SUSPICIOUS_OBJECTS:
                paths = sum(
                    c.FPDFPageObj_GetType(c.FPDFPage_GetObject(page, i)) == c.FPDF_PAGEOBJ_PATH
                    for i in range(min(objects, MAX_VISITED))
                )
                chars = chars if layer else _text_of(page, 0)[1]
            if images:
                pixels = _ImagePixels().of_page(page, objects)
            return PageShape(max(objects, 0), paths, chars, pixels, text if chars <= layer else "")
        finally:
            c.FPDF_ClosePage(page)

    def text(self, number: int, limit: int) -> tuple[str, bool]:
        """Return at most `limit` characters of a page's text in content order, and whether there were more."""
        page = self._load(number)
        try:
            text, count = _text_of(page, limit)
            return text, count > limit
        finally:
            c.FPDF_ClosePage(page)

    def picture(self, number: int) -> Any:  # noqa: ANN401 - a numpy array, where numpy is installed
        """Draw a page, with what is filled into its forms: rows of pixels, blue, green and red."""
        c.FPDF_ClosePage(self._load(number))  # says what is wrong with it
        page = self._doc[number - 1]
        try:
            width, height = page.get_size()
            scale = min(PICTURE_DPI / 72, (PICTURE_PIXELS / max(width * height, 1.0)) ** 0.5)
            return page.render(scale=scale, rev_byteorder=False).to_numpy()[:, :, :3].copy()
        finally:
            page.close()

    def outline_loops(self) -> bool:
        """Report whether the outline refers to itself (or is larger than MAX_OUTLINE): who walks it naively never returns."""
        seen: set[int] = set()
        waiting = [c.FPDFBookmark_GetFirstChild(self._doc.raw, None)]
        while waiting:
            mark = waiting.pop()
            while mark:
                address = ctypes.cast(mark, ctypes.c_void_p).value or 0
                if address in seen or len(seen) >= MAX_OUTLINE:
                    return True
                seen.add(address)
                waiting.append(c.FPDFBookmark_GetFirstChild(self._doc.raw, mark))
                mark = c.FPDFBookmark_GetNextSibling(self._doc.raw, mark)
        return False

    def outline(self) -> list[Entry]:
        """Return the entries that lead to pages, the first MAX_ENTRIES; none of an outline that refers to itself."""
        if self.outline_loops():
            return []
        found: list[Entry] = []
        waiting = [(c.FPDFBookmark_GetFirstChild(self._doc.raw, None), 1)]
        seen = 0
        while waiting and seen < MAX_ENTRIES:
            mark, depth = waiting.pop()
            while mark and seen < MAX_ENTRIES:
                seen += 1
                page = self._leads_to(mark)
                if page is not None:
                    found.append(Entry(page, _title(mark), depth))
                waiting.append((c.FPDFBookmark_GetFirstChild(self._doc.raw, mark), depth + 1))
                mark = c.FPDFBookmark_GetNextSibling(self._doc.raw, mark)
        return found

    def _leads_to(self, mark: Any) -> int | None:  # noqa: ANN401 - a handle of the C library
        place = c.FPDFBookmark_GetDest(self._doc.raw, mark)
        if not place and (action := c.FPDFBookmark_GetAction(mark)):
            place = c.FPDFAction_GetDest(self._doc.raw, action)
        index: int = c.FPDFDest_GetDestPageIndex(self._doc.raw, place) if place else -1
        return index + 1 if index >= 0 else None

    def extract(self, numbers: list[int]) -> bytes:
        """Return a new PDF of only these pages, in this order, without outline or password."""
        new = pypdfium2.PdfDocument.new()
        try:
            new.import_pages(self._doc, [number - 1 for number in numbers])
            out = io.BytesIO()
            new.save(out)
            return out.getvalue()
        finally:
            new.close()

    def _load(self, number: int) -> Any:  # noqa: ANN401 - a handle of the C library
        if number > self.pages:
            raise EngineError(
                FailureClass.PDF_CORRUPT, f"page {number} does not exist: the document has {self.pages}", page=number
            )
        page = c.FPDF_LoadPage(self._doc.raw, number - 1)
        if not page:
            raise EngineError(FailureClass.PDF_CORRUPT, f"page {number} could not be loaded", page=number)
        return page


def _title(mark: Any) -> str:  # noqa: ANN401 - a handle of the C library
    size: int = c.FPDFBookmark_GetTitle(mark, None, 0)
    buffer = ctypes.create_string_buffer(min(size, MAX_TITLE))
    if size > MAX_TITLE:
        return ""
    c.FPDFBookmark_GetTitle(mark, buffer, size)
    return buffer.raw[: max(size - 2, 0)].decode("utf-16-le", errors="replace")


def one_line(text: str) -> bytes:
    """Return a new PDF with one page that says `text` (ASCII)."""
    doc = pypdfium2.PdfDocument.new()
    try:
        page = doc.new_page(300, 100)
        line = c.FPDFPageObj_NewTextObj(doc.raw, b"Helvetica", 12.0)
        words = ctypes.create_string_buffer((text + "\0").encode("utf-16-le"))
        c.FPDFText_SetText(line, ctypes.cast(words, ctypes.POINTER(ctypes.c_ushort)))
        c.FPDFPageObj_Transform(line, 1, 0, 0, 1, 36, 50)
        c.FPDFPage_InsertObject(page.raw, line)
        c.FPDFPage_GenerateContent(page.raw)
        out = io.BytesIO()
        doc.save(out)
        return out.getvalue()
    finally:
        doc.close()


class _ImagePixels:
    """Adds up the pixels of all images of a page, also of those inside forms, without decoding any."""

    def __init__(self) -> None:
        self._visited = 0

    def of_page(self, page: Any, objects: int) -> int:  # noqa: ANN401 - a handle of the C library
        return sum(self._of(c.FPDFPage_GetObject(page, i), 0) for i in range(min(objects, MAX_VISITED)))

    def _of(self, item: Any, depth: int) -> int:  # noqa: ANN401 - a handle of the C library
        self._visited += 1
        if self._visited > MAX_VISITED or not item:
            return 0
        kind = c.FPDFPageObj_GetType(item)
        if kind == c.FPDF_PAGEOBJ_IMAGE:
            width, height = ctypes.c_uint(), ctypes.c_uint()
            c.FPDFImageObj_GetImagePixelSize(item, width, height)
            return width.value * height.value
        if kind == c.FPDF_PAGEOBJ_FORM and depth < MAX_FORM_DEPTH:
            inner = range(max(c.FPDFFormObj_CountObjects(item), 0))
            return sum(self._of(c.FPDFFormObj_GetObject(item, i), depth + 1) for i in inner if self._visited <= MAX_VISITED)
        return 0


def _text_of(page: Any, limit: int) -> tuple[str, int]:  # noqa: ANN401 - a handle of the C library
    """Return at most `limit` characters of a page's text in content order, and how many there are."""
    text_page = c.FPDFText_LoadPage(page)
    if not text_page:
        return "", 0
    try:
        count = max(c.FPDFText_CountChars(text_page), 0)
        take = min(count, limit)
        buffer = (ctypes.c_ushort * (take * 2 + 1))()  # a character may be two units; one more for the final zero
        units = c.FPDFText_GetText(text_page, 0, take, buffer) if take else 1
        text = bytes(buffer)[: max(units - 1, 0) * 2].decode("utf-16-le", errors="replace")
        return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", ""), count
    finally:
        c.FPDFText_ClosePage(text_page)


def _why(path: str, code: int) -> EngineError:
    """Say more than PDFium does, which gives one code for HTML, an empty file and a broken PDF alike."""
    if code in (c.FPDF_ERR_PASSWORD, c.FPDF_ERR_SECURITY):
        return EngineError(
            FailureClass.PDF_ENCRYPTED, "the document needs a password, or is protected in a way PDFium can't read"
        )
    with Path(path).open("rb") as file:
        head = file.read(HEADER_BYTES + len(b"%PDF-"))
    if not head:
        return EngineError(FailureClass.NOT_PDF, "the file is empty")
    if b"%PDF-" not in head or head.lstrip().startswith(b"<"):  # a web page may well speak of PDFs
        return EngineError(FailureClass.NOT_PDF, f"not a PDF: it begins {head[:16]!r}")
    return EngineError(FailureClass.PDF_CORRUPT, f"PDFium can't open the document (its error code {code})")
