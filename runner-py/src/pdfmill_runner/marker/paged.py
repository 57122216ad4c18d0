"""Cutting marker's output into pages, whatever stands on them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def markdown(rendered: Any, nonce: str) -> dict[int, str]:
    """Return the Markdown of each page (1-based).

    `nonce` was marker's page separator: drawn at random for this one conversion, so that no page can contain it, which
    marker's own separator (48 dashes) does not ensure.
    """
    cut = re.compile(r"\s*\{(\d+)\}" + re.escape(nonce) + r"\s*")
    parts = cut.split(rendered.markdown)
    return {int(page) + 1: _ended(text) for page, text in zip(parts[1::2], parts[2::2], strict=True)}


def html(rendered: Any, _nonce: str) -> dict[int, str]:
    """Return the HTML of each page: the children of the body, so that a look-alike inside a page cuts nothing."""
    from bs4 import BeautifulSoup  # noqa: PLC0415 - marker's own parser, present where marker is

    body = BeautifulSoup(rendered.html, "html.parser").body
    pages = body.find_all("div", attrs={"class": "page", "data-page-id": True}, recursive=False) if body else []
    return {int(page["data-page-id"]) + 1: _ended(page.decode_contents()) for page in pages}


def json_blocks(rendered: Any, _nonce: str) -> dict[int, str]:
    """Return each page's block tree as JSON, which pydantic writes: the images in it are by ids that are no plain keys."""
    return {int(page.id.split("/")[2]) + 1: page.model_dump_json() + "\n" for page in rendered.children}


def chunks(rendered: Any, _nonce: str) -> dict[int, str]:
    """Return each page's chunks, and its size, as JSON.

    A chunk's own `page` is corrected: marker puts a block's number there.
    """
    pages: dict[int, list[dict[str, Any]]] = {page + 1: [] for page in rendered.page_info}
    for block in rendered.blocks:
        page = int(block.id.split("/")[2])
        pages[page + 1].append(json.loads(block.model_dump_json()) | {"page": page})
    return {page: _dump({"blocks": blocks, "page_info": rendered.page_info[page - 1]}) for page, blocks in pages.items()}


CUTTERS: dict[str, Callable[[Any, str], dict[int, str]]] = {
    "markdown": markdown,
    "html": html,
    "json": json_blocks,
    "chunks": chunks,
}
RENDERERS = {
    "markdown": "marker.renderers.markdown.MarkdownRenderer",
    "html": "marker.renderers.html.HTMLRenderer",
    "json": "marker.renderers.json.JSONRenderer",
    "chunks": "marker.renderers.chunk.ChunkRenderer",
}


def _ended(text: str) -> str:
    text = text.replace("\0", "").strip()
    return f"{text}\n" if text else ""


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"
