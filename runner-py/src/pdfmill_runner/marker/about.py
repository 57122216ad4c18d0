"""What is known of a page beside its text, in a file of its own: sizes of headings, and what marker itself says about it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .headings import Heading

MAX_BYTES = 1 << 20
"""Of such a file; a page of which there is more to say has none."""


def by_page(metadata: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """Return marker's description of a document by page (1-based): `contents`, its headings, and `stats`."""
    pages: dict[int, dict[str, Any]] = {}
    for stats in metadata.get("page_stats") or []:
        pages[stats["page_id"] + 1] = {"contents": [], "stats": stats}
    for entry in metadata.get("table_of_contents") or []:
        if entry["page_id"] + 1 in pages:
            pages[entry["page_id"] + 1]["contents"].append(entry)
    return pages


def write(out_dir: str, number: int, headings: Sequence[Heading], told: Mapping[str, Any]) -> str | None:
    """Write a page's file and return its name; None when there is nothing to say, or too much."""
    known = [{name: value for name, value in asdict(heading).items() if value is not None} for heading in headings]
    text = json.dumps({**({"headings": known} if known else {}), **told}, ensure_ascii=False)
    if text == "{}" or len(text.encode()) > MAX_BYTES:
        return None
    file = f"page-{number:04d}.json"
    Path(out_dir, file).write_text(text, encoding="utf-8")
    return file
