"""Marker's own converter, watched: it tells how far it is, and which pages its models gave nothing for.

Imports marker (5 to 9 s): imported when the engine loads. Serves both generations; what differs is in gen1 and gen2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marker.builders.layout import LayoutBuilder
from marker.builders.ocr import OcrBuilder
from marker.converters.pdf import PdfConverter
from marker.services import BaseService

from .culprit import CallError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pdfmill_runner.engine import Progress

CHUNK = 8  # pages in one call of a model: a sign of life after each


class Converter(PdfConverter):  # type: ignore[misc] # marker ships no types
    """Converts one document once.

    `last` is called with the document when its structure is known, before it is written. `faults` holds what models failed at,
    by page, where marker itself would leave the page empty and say nothing. `helper` is the language model service, if one is
    to help.
    """

    def __init__(self, models: Mapping[str, Any], progress: Progress, last: Callable[[Any], None], **settings: Any) -> None:
        self.faults: dict[int, str] = {}
        self.helper: Helper | None = None
        self._progress = progress
        watched = {
            name: _Told(model, name.removesuffix("_model"), progress) if callable(model) else model
            for name, model in models.items()
        }
        super().__init__(artifact_dict=watched, **settings)
        steps: list[Any] = vars(self)["processor_list"]
        self.processor_list = [*(_step(processor, progress) for processor in steps), last]
        self.layout_builder_class = _Layout

    def resolve_dependencies(self, cls: type) -> Any:
        """Build what marker asks for, with our builders in the place of those that hide failures."""
        built = super().resolve_dependencies(_Ocr if cls is OcrBuilder else cls)
        if isinstance(built, (_Layout, _Ocr)):
            built.faults = self.faults
        if isinstance(built, BaseService):
            built = self.helper = Helper(built)
        return built


class Helper:
    """A language model service whose answers are counted: marker itself goes on without them and says nothing."""

    def __init__(self, service: Any) -> None:
        self._service = service
        self.asked = self.answered = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Ask the service; an empty answer is none."""
        self.asked += 1
        answer = self._service(*args, **named)
        self.answered += bool(answer)
        return answer


class _Told:
    """A model that is called with a few pages at a time, and tells after each call."""

    def __init__(self, model: Any, phase: str, progress: Progress) -> None:
        self.__dict__.update(_model=model, _phase=phase, _progress=progress)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._model, name, value)

    def __call__(self, *args: Any, **named: Any) -> Any:
        if not args and "images" in named:
            args = (named.pop("images"),)
        items = args[0] if args else None
        if not isinstance(items, list) or not items or isinstance(items[0], str):
            return self._model(*args, **named)
        total, results = len(items), []
        aligned = {name for name, value in named.items() if isinstance(value, list) and len(value) == total}
        self._progress(self._phase, 0, total)
        for start in range(0, total, CHUNK):
            part = slice(start, start + CHUNK)
            some = {name: value[part] if name in aligned else value for name, value in named.items()}
            results += self._some(items[part], args[1:], some, start, total)
            self._progress(self._phase, len(results), total)
        return results

    def _some(self, items: list[Any], rest: Sequence[Any], named: dict[str, Any], start: int, total: int) -> list[Any]:
        try:
            return list(self._model(items, *rest, **named))
        except Exception as error:
            if len(items) == 1:
                raise CallError(start, total) from error
            if type(error).__module__.split(".")[0] in ("torch", "httpx"):  # memory, the device, a server: no page is to blame
                raise
        # One by one, to find the one that is to blame.
        aligned = {name for name, value in named.items() if isinstance(value, list) and len(value) == len(items)}
        return [
            result
            for i, item in enumerate(items)
            for result in self._some(
                [item], rest, {n: v[i : i + 1] if n in aligned else v for n, v in named.items()}, start + i, total
            )
        ]


def _step(processor: Callable[[Any], None], progress: Progress) -> Callable[[Any], None]:
    def told(document: Any) -> None:
        progress(type(processor).__name__, 0, len(document.pages))
        processor(document)

    return told


class _Layout(LayoutBuilder):  # type: ignore[misc] # marker ships no types
    """Notes the pages whose layout failed; marker would leave them empty."""

    faults: dict[int, str]

    def add_blocks_to_pages(self, pages: Sequence[Any], layout_results: Sequence[Any]) -> None:
        for page, result in zip(pages, layout_results, strict=True):
            if getattr(result, "error", False):
                self.faults[page.page_id + 1] = "the layout model gave no answer"
        super().add_blocks_to_pages(pages, layout_results)


class _Ocr(OcrBuilder):  # type: ignore[misc] # marker ships no types
    """Notes the pages of which a block could not be read; marker would leave the block out."""

    faults: dict[int, str]

    def replace_page_structure(
        self, document: Any, pages: Sequence[Any], images: Sequence[Any], recognition_results: Sequence[Any]
    ) -> None:
        for page, result in zip(pages, recognition_results, strict=True):
            self._note(page.page_id, result.blocks)
        super().replace_page_structure(document, pages, images, recognition_results)

    def apply_block_html(
        self, document: Any, recognition_results: Sequence[Any], block_ids: Sequence[Any], **more: Any
    ) -> None:
        for ids, result in zip(block_ids, recognition_results, strict=True):
            if ids:
                self._note(ids[0].page_id, result.blocks)
        super().apply_block_html(document, recognition_results, block_ids, **more)

    def _note(self, page_id: int, blocks: Sequence[Any]) -> None:
        bad = sum(bool(block.error) for block in blocks)
        if bad:
            self.faults[page_id + 1] = f"the recognition model gave no answer for {bad} of {len(blocks)} blocks"
