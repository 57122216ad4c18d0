"""Corrections to the Markdown of a page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_EMPTY_FENCE = re.compile(r"^```[a-z]*\n\s*```$\n*", re.MULTILINE)
_REFERENCE = re.compile(r"!\[([^\]\n]*)\]\((img_p\d+_\d+\.[a-z]+)\)")
_PICTURE = re.compile(r"!\[[^\]\n]*\]\(images/[^)\n]+\)")
_ONE_COLUMN = re.compile(r"^\|(?:[^|\n\\]|\\.)*\|\n\|-+\|\n(?:\|(?:[^|\n\\]|\\.)*\|(?:\n|\Z))*", re.MULTILINE)
_CODE_LINE = re.compile(r"^\d+ |[{};=]|\)$|^\d*$")
_BLANK_LINES = re.compile(r"\n{3,}")


def tidy(markdown: str, images: Mapping[str, str]) -> str:
    """Return a page's Markdown without empty code fences, ended by one line end, or "" when nothing is left.

    References to images become links to the files that `images` names, and vanish when it names none.
    """

    def link(found: re.Match[str]) -> str:
        file = images.get(found[2])
        return f"![{found[1]}]({file})" if file else ""

    text = _REFERENCE.sub(link, _EMPTY_FENCE.sub("", markdown.replace("\0", "")))
    text = _ONE_COLUMN.sub(_unbox, text)
    text = _BLANK_LINES.sub("\n\n", text).strip()
    return f"{text}\n" if text else ""


def _unbox(table: re.Match[str]) -> str:
    """Undo a table of one column, which is no table: a frame around lines of code, or around a paragraph."""
    first, _, *rest = (row.strip("|").strip().replace("\\|", "|") for row in table[0].rstrip("\n").split("\n"))
    rows = [first, *rest]
    while rows and not rows[-1]:
        rows.pop()
    is_code = sum(bool(_CODE_LINE.search(row)) for row in rows) * 2 > len(rows)
    body = "\n".join(rows)
    return f"```\n{body}\n```\n" if is_code and "```" not in body else f"{body}\n"


def pictures(markdown: str) -> str:
    """Return the links to pictures in the Markdown of a page, each a paragraph."""
    return "".join(f"\n{link}\n" for link in _PICTURE.findall(markdown))


def unindent(text: str) -> str:
    """Return raw text without the spaces that only placed it on the page, so that no line reads as a code block."""
    text = _BLANK_LINES.sub("\n\n", "\n".join(line.strip() for line in text.splitlines())).strip()
    return f"{text}\n" if text else ""


def cut(text: str, limit: int) -> tuple[str, bool]:
    """Return at most `limit` characters, cut at the end of a line where one is near, and whether anything was cut."""
    if len(text) <= limit:
        return text, False
    head = text[: limit - 1]  # one for the line end
    end = head.rfind("\n", max(0, limit - 2_000))
    return (head[:end] if end > 0 else head) + "\n", True
