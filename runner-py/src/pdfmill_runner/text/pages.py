"""A page range on its way through the text engine: look at each page, convert in chunks, lose no page to another one."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pdfmill_runner.failures import EngineError, FailureClass
from pdfmill_runner.fidelity import Policy, fidelity, without_running
from pdfmill_runner.protocol import DEGRADED, FAILED, LOSSY, NO_TEXT, PLAIN, TRUNCATED, Image, Page

from . import images, lite, markdown
from .outline import Outline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pdfmill_runner.engine import Progress
    from pdfmill_runner.protocol import Convert

    from .pdfium import Document, PageShape

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """Bounds of the engine, with the reason for each."""

    chars: int = 1_000_000
    """Characters of one page; the rest is cut off, with the warning `truncated`."""
    paths: int = 20_000
    """Lines and curves of one page. liteparse's time grows with their square (10,000: 0.8 s, 30,000: 7 s, 100,000: 82 s), so a
    page with more is read plainly, with the warning `degraded`."""
    objects: int = 2_000_000
    """Objects of one page; one with more fails as `limit-page-size` (4 million take 1.1 GB only to be loaded)."""
    image_pixels: int = images.MAX_PIXELS
    """Pixels of all images of one page; the images of a page with more are left out."""
    layer_chars: int = 100_000
    """Characters of a page's text layer up to which the result is held against it."""
    chunk_pages: int = 32
    """Pages of one call of liteparse. It recognises running heads within a call; progress is told after each."""
    chunk_pixels: int = 128_000_000
    """Pixels of all images of one call."""


class PageRange:
    """One conversion at work."""

    def __init__(self, document: Document, request: Convert, progress: Progress, limits: Limits) -> None:
        self._document = document
        self._request = request
        self._progress = progress
        self._limits = limits
        self._total = request.last - request.first + 1
        self._ends = time.monotonic() + request.deadline_seconds
        self._folder = images.ImageFolder(request.out_dir)
        self._looping = document.outline_loops()
        self._outline = Outline(document.outline())
        self._policy = Policy()

    @property
    def images(self) -> list[Image]:
        """The images written so far."""
        return self._folder.images

    def convert(self) -> Iterator[Page]:
        """Convert the range and yield its pages in order. Their seconds are their share of their chunk's."""
        number = self._request.first
        while number <= self._request.last:
            start = time.monotonic()
            chunk = self._look(number)
            number += len(chunk)
            pages = self._convert(chunk)
            seconds = (time.monotonic() - start) / len(chunk)
            self._progress("convert", number - self._request.first, self._total)
            yield from (replace(pages[n], seconds=seconds) for n in chunk)

    def _look(self, first: int) -> dict[int, PageShape | EngineError]:
        """Inspect pages from `first` on, until they make a chunk."""
        chunk: dict[int, PageShape | EngineError] = {}
        pixels = 0
        for number in range(first, min(first + self._limits.chunk_pages, self._request.last + 1)):
            if time.monotonic() > self._ends:
                message = f"page {number} was not reached within {self._request.deadline_seconds:g} s"
                raise EngineError(FailureClass.TIMEOUT, message, page=number)
            chunk[number] = shape = self._inspect(number)
            self._progress("inspect", number - self._request.first + 1, self._total)
            if not isinstance(shape, EngineError):
                pixels += min(shape.image_pixels, self._limits.image_pixels)
            if pixels > self._limits.chunk_pixels:
                break
        return chunk

    def _inspect(self, number: int) -> PageShape | EngineError:
        try:
            shape = self._document.inspect(number, images=self._request.options.images, layer=self._limits.layer_chars)
        except EngineError as error:
            return error
        if shape.objects > self._limits.objects:
            message = f"page {number} has {shape.objects} objects, the limit is {self._limits.objects}"
            return EngineError(FailureClass.LIMIT_PAGE_SIZE, message, page=number)
        return shape

    def _convert(self, chunk: dict[int, PageShape | EngineError]) -> dict[int, Page]:
        """Convert each page of a chunk in the best way that it allows."""
        done = {n: _failed(n, e) for n, e in chunk.items() if isinstance(e, EngineError)}
        shapes = {n: s for n, s in chunk.items() if not isinstance(s, EngineError)}
        rich = [n for n, shape in shapes.items() if self._is_rich(shape)]
        bare = [n for n in rich if shapes[n].image_pixels > self._limits.image_pixels]
        pictures: dict[int, str] = {}
        layers = without_running({n: shape.layer for n, shape in shapes.items()})
        for numbers, with_images in (([n for n in rich if n not in bare], self._request.options.images), (bare, False)):
            for n, page in self._parse(numbers, images=with_images).items():
                share = fidelity(layers[n], page.markdown)
                if share is None or share >= self._policy.bare:
                    done[n] = self._measured(self._write(n, page.markdown, has_text=bool(page.text), shape=shapes[n]), share)
                else:
                    log.warning("liteparse gave %.0f %% of the text of page %d", 100 * share, n)
                    pictures[n] = markdown.pictures(page.markdown)
        for n, shape in shapes.items():
            if n not in done:
                done[n] = self._plain(n, shape, layers[n], pictures.get(n, ""))
        return done

    def _measured(self, page: Page, share: float | None) -> Page:
        """Return the page with what is to be said about how much of its text layer came out."""
        if share is None:
            return page
        lossy = (LOSSY,) if share < self._policy.bound else ()
        return replace(page, fidelity=round(share, 4), warnings=(*page.warnings, *lossy))

    def _is_rich(self, shape: PageShape) -> bool:
        return self._request.options.mode != PLAIN and shape.paths <= self._limits.paths and shape.chars <= self._limits.chars

    def _parse(self, numbers: list[int], *, images: bool) -> dict[int, lite.Parsed]:
        """Parse pages in one call; when the whole call fails, one by one. Pages that fail alone are missing from the answer."""
        if not numbers:
            return {}
        try:
            return self._parse_call(numbers, images=images)
        except MemoryError:
            raise
        except Exception:
            log.exception("liteparse failed on pages %d-%d", numbers[0], numbers[-1])
        if len(numbers) == 1:
            return {}
        found: dict[int, lite.Parsed] = {}
        for done, number in enumerate(numbers, 1):
            found |= self._parse([number], images=images)
            self._progress("one by one", done, len(numbers))
        return found

    def _parse_call(self, numbers: list[int], *, images: bool) -> dict[int, lite.Parsed]:
        source: str | bytes = self._request.path
        if self._looping:  # liteparse would walk the outline forever; a copy of the pages has none
            source = self._document.extract(numbers)
        name = dict(zip(range(1, len(numbers) + 1), numbers, strict=True)) if self._looping else {n: n for n in numbers}
        parse = lite.parse(source, list(name), references=images, images=images)
        for n, error in parse.errors.items():
            log.warning("liteparse skipped page %d: %s", name[n], error)
        files = {f.reference: self._folder.add(name[f.page], f) for f in parse.figures}
        return {name[n]: self._tidy(page, files) for n, page in parse.pages.items()}

    @staticmethod
    def _tidy(page: lite.Parsed, files: dict[str, str | None]) -> lite.Parsed:
        text = page.text.strip()
        tidied = markdown.tidy(page.markdown, {ref: file for ref, file in files.items() if file})
        # What looks like a running head is dropped, even when the page holds nothing else: then it stays.
        return lite.Parsed(tidied or markdown.unindent(text), text)

    def _plain(self, number: int, shape: PageShape, layer: str, pictures: str) -> Page:
        """Read a page's text as it comes, and have its pictures after it."""
        try:
            text, more = self._document.text(number, self._limits.chars)
        except EngineError as error:
            return _failed(number, error)
        text = markdown.unindent(text)
        warnings = (DEGRADED, TRUNCATED) if more else (DEGRADED,)
        page = self._write(number, text + pictures, has_text=bool(text), shape=shape, warnings=warnings)
        return self._measured(page, fidelity(layer, text))

    def _write(self, number: int, text: str, *, has_text: bool, shape: PageShape, warnings: tuple[str, ...] = ()) -> Page:
        text, was_cut = markdown.cut(self._outline.level(number, text), self._limits.chars)
        if was_cut:
            warnings += (TRUNCATED,)
        if not has_text and shape.objects:  # a blank page lacks nothing
            warnings += (NO_TEXT,)
        file = f"page-{number:04d}.md"
        Path(self._request.out_dir, file).write_bytes(text.encode("utf-8", errors="replace"))
        return Page(number, file=file, chars=len(text), warnings=tuple(dict.fromkeys(warnings)))


def _failed(number: int, error: EngineError) -> Page:
    return Page(number, FAILED, failure=error.failure, message=str(error))
