"""A page range on its way through marker: no page is lost to another one, and none comes out emptied without a word."""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdfmill_runner.engine import Conversion
from pdfmill_runner.failures import EngineError, FailureClass, classify
from pdfmill_runner.fidelity import Policy, fidelity, without_running
from pdfmill_runner.protocol import DEGRADED, FAILED, LOSSY, NO_TEXT, PLAIN, Convert, Page
from pdfmill_runner.text.images import ImageFolder
from pdfmill_runner.text.outline import Outline
from pdfmill_runner.text.pages import Limits

from . import about, culprit, options, paged, pictures
from .debug import Debug
from .headings import Heading, Headings
from .second import Second

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pdfmill_runner.engine import Progress
    from pdfmill_runner.text.pdfium import Document

log = logging.getLogger(__name__)

MAX_BAD = 4
"""Pages that may fail one after the other before the whole range does: each costs another pass over the rest."""


class Work:
    """One conversion."""

    def __init__(self, models: Any, generation: int, document: Document, request: Convert, progress: Progress) -> None:
        self._models = models
        self._document = document
        self._request = request
        self._progress = progress
        self._settings = options.read(request.options.engine or {}, generation)
        self._folder = ImageFolder(request.out_dir)
        self._debug = Debug(request.out_dir) if self._settings.debug else None
        self._limits = Limits()
        self._second = Second(document, request, progress)
        self._outline = Outline(document.outline())
        self._policy = Policy(self._settings.fidelity)
        self._numbers = range(request.first, request.last + 1)
        self._bad: dict[int, EngineError] = {}
        """Pages that marker failed at, and why."""
        self._headings: dict[int, list[Heading]] = {}
        self._told: dict[int, dict[str, Any]] = {}
        """What marker says about each page."""
        self._layers: dict[int, str] = {}
        """What there is on each page to hold the result against."""

    def convert(self) -> Conversion:
        """Convert the range. Raises what marker raises when no single page is to blame."""
        start = time.monotonic()
        done, left = self._look()
        texts = {} if self._request.options.mode == PLAIN else self._texts(left)
        self._layers = without_running({n: self._document.text(n, self._limits.chars)[0] for n in left})
        seconds = (time.monotonic() - start) / max(len(texts), 1)
        for n in left:
            done[n] = self._page(n, texts, seconds)
        marked = {n for n, page in done.items() if page.file and page.engine is None}
        debug = self._debug.take(marked) if self._debug else []
        return Conversion([done[n] for n in self._numbers], [*self._folder.images, *self._second.images], debug)

    def _look(self) -> tuple[dict[int, Page], list[int]]:
        """Load every page, which is cheap; return those that can't be, as failed, and the numbers of the others."""
        failed: dict[int, Page] = {}
        for n in self._numbers:
            try:
                shape = self._document.inspect(n, images=False)
                if shape.objects > self._limits.objects:
                    message = f"page {n} has {shape.objects} objects, the limit is {self._limits.objects}"
                    raise EngineError(FailureClass.LIMIT_PAGE_SIZE, message, page=n)
            except EngineError as error:
                failed[n] = Page(n, FAILED, failure=error.failure, message=str(error))
            self._progress("inspect", n - self._request.first + 1, len(self._numbers))
        return failed, [n for n in self._numbers if n not in failed]

    def _texts(self, left: list[int]) -> dict[int, str]:
        """Return what marker makes of pages; without those that it fails at alone, which are noted."""
        left = list(left)
        while left:
            try:
                return self._marker(left)
            except Exception as error:
                known, page = classify(culprit.cause_of(error)), culprit.page_of(error)
                if known.failure != FailureClass.MODEL_BUG or page not in left or len(self._bad) >= MAX_BAD:
                    known.page = known.page or page
                    raise known from error
                log.exception("marker failed at page %d; the others go on without it", page)
                self._bad[page] = known
                left.remove(page)
        return {}

    def _marker(self, numbers: list[int]) -> dict[int, str]:
        from .converter import Converter  # noqa: PLC0415
        from .references import Numbering  # noqa: PLC0415

        output = self._request.options.output
        nonce = secrets.token_hex(24)
        config = self._config(numbers, nonce)
        # A language model that helps reads what marker writes, marks and all, and gives levels itself.
        headings = Headings(nonce, marked=output in ("markdown", "html") and self._settings.llm is None)
        with Numbering(self._request.path), self._models.watched(self._progress), headings:
            converter = Converter(
                self._models.models,
                self._progress,
                headings.note,
                config=config,
                renderer=paged.RENDERERS[output],
                **self._llm(config),
            )
            rendered = converter(self._request.path)
        if converter.faults:
            self._models.healthy()  # when a server is down no page is to blame
        if converter.helper and converter.helper.asked and not converter.helper.answered:
            message = f"the language model service {self._settings.llm!r} answered none of {converter.helper.asked} questions"
            raise EngineError(FailureClass.UNHEALTHY, f"{message}: is it there, and is its key right?")
        for n, what in converter.faults.items():
            self._bad[n] = EngineError(FailureClass.ENGINE_ERROR, f"page {n}: {what}", page=n)
        given = getattr(rendered, "images", None) or {}
        names = pictures.write(given, self._folder)
        texts: dict[int, str] = {}
        for n, text in paged.CUTTERS[output](rendered, nonce).items():
            plain, self._headings[n] = (
                headings.of_text(text) if output in ("markdown", "html") else (text, headings.of_blocks(n))
            )
            texts[n] = pictures.link(plain, names, given)
        self._told = about.by_page(rendered.metadata)
        return texts

    def _config(self, numbers: list[int], nonce: str) -> dict[str, Any]:
        """Return marker's configuration: the models', then the request's, then what this runner needs."""
        asked = self._request.options
        config: dict[str, Any] = self._models.config(self._request.batch_scale) | self._settings.config
        if asked.force_ocr and not config.get("disable_ocr"):
            config["force_ocr"] = True
        if self._debug:
            config |= self._debug.config()
        return config | {
            "page_range": [n - 1 for n in numbers],
            "paginate_output": True,
            "page_separator": nonce,
            "extract_images": asked.images,
            "disable_tqdm": True,
            "pdftext_workers": 1,
        }

    def _llm(self, config: dict[str, Any]) -> dict[str, Any]:
        if self._settings.llm is None:
            return {}
        from . import llm  # noqa: PLC0415

        service = llm.find(self._settings.llm)
        config |= service.settings | {"use_llm": True}
        return {"llm_service": service.implementation}

    def _page(self, n: int, texts: Mapping[int, str], seconds: float) -> Page:
        """Write a page: as marker made it, or as the text engine reads it when that has more of what is there."""
        layer = self._layers[n]
        text, bad = texts.get(n), self._bad.get(n)
        headings = self._headings.get(n, [])
        if text is not None and self._request.options.output == "markdown":
            named = self._outline.lines(n, text)
            headings = [heading for heading in headings if heading.line not in named]
            text = self._outline.level(n, text)
        share = None if text is None else fidelity(layer, text)
        if text is None or bad is not None or (share is not None and share < self._policy.bound):
            second = self._second.read(n) if self._request.options.output == "markdown" else None
            if second is not None:
                other = fidelity(layer, second.text)
                # Nothing from marker: any text is more. Otherwise words alone don't outweigh tables and headings.
                better = (other or 0.0) >= (share or 0.0) + self._policy.better
                if text is None or better or (bad is not None and second.text and (other or 0.0) >= (share or 0.0)):
                    self._folder.images[:] = [image for image in self._folder.images if image.page != n]
                    page = self._second.keep(second)
                    own = (w for w in page.warnings if w != LOSSY)  # it knew less of what runs through the range
                    warnings = tuple(dict.fromkeys((DEGRADED, *own, *self._lossy(other))))
                    return replace(
                        page, fidelity=_rounded(other), engine="text", warnings=warnings, seconds=page.seconds + seconds
                    )
        if text is None:
            error = bad or EngineError(FailureClass.MODEL_BUG, f"marker gave nothing for page {n}", page=n)
            return Page(n, FAILED, failure=error.failure, message=str(error), seconds=seconds)
        file = f"page-{n:04d}.md"
        Path(self._request.out_dir, file).write_text(text, encoding="utf-8", newline="\n")
        empty = not text.strip() and not layer.strip() and self._document.inspect(n, images=False).objects > 0
        warnings = (*((NO_TEXT,) if empty else ()), *((DEGRADED,) if bad else ()), *self._lossy(share))
        told = about.write(self._request.out_dir, n, headings, self._told.get(n, {}))
        return Page(n, file=file, chars=len(text), seconds=seconds, warnings=warnings, fidelity=_rounded(share), about=told)

    def _lossy(self, share: float | None) -> tuple[str, ...]:
        return (LOSSY,) if share is not None and share < self._policy.bound else ()


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
