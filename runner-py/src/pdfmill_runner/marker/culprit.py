"""Finding the page at fault: in a model's call that failed, or in the variables of the frames an exception went through."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

# What marker calls a page, or something that lies on one, in its loops.
_PAGE_NAMES = ("page", "document_page", "block", "block_id", "line", "span")
# What it calls the pages whose images it hands to a model, in order.
_LIST_NAMES = ("pages", "full_page_pages")


class CallError(RuntimeError):
    """A model failed on the item at `index` of `total` that were handed to it; the cause is the model's exception."""

    def __init__(self, index: int, total: int) -> None:
        super().__init__(f"the model failed on item {index + 1} of {total}")
        self.index = index
        self.total = total


def cause_of(error: BaseException) -> BaseException:
    """Return the exception that tells what happened: the model's own one, when it came out of a call."""
    return error.__cause__ if isinstance(error, CallError) and error.__cause__ is not None else error


def page_of(error: BaseException) -> int | None:
    """Return the page (1-based) that marker had in hand when the exception was raised, None when nothing tells."""
    frames = list(_frames(error))
    if isinstance(error, CallError):
        for frame in reversed(frames):
            for name in _LIST_NAMES:
                pages = frame.f_locals.get(name)
                if isinstance(pages, list) and len(pages) == error.total and (found := _number(pages[error.index])):
                    return found
        return None
    for frame in reversed(frames):
        if not str(frame.f_globals.get("__name__", "")).startswith("marker."):
            continue
        for name in _PAGE_NAMES:
            if found := _number(frame.f_locals.get(name)):
                return found
    return None


def _number(value: object) -> int | None:
    page_id = getattr(value, "page_id", None)
    return page_id + 1 if isinstance(page_id, int) else None


def _frames(error: BaseException) -> Iterator[FrameType]:
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next
