"""From the lines of a page to its Markdown: columns, tables, paragraphs and headings, by where the lines are and how high.

Pure geometry, no models: it knows nothing of what the words say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from statistics import median

GOOD = 0.8
"""Score of a line from which on it is believed: misread lines score 0.3 to 0.7, well read ones 0.95 and more."""
LOST = 0.1
"""Share of a page's letters in lines that are not believed from which on the page counts as lossy."""

COLUMN_GAP = 0.3  # heights of a line, which the detector makes a little higher and wider than they are
COLUMN_LINES = 3  # that fill a column at least: those of a table are narrow, or hardly filled
COLUMN_SHARE = 0.2  # of a column's lines that fill it at least
COLUMN_FULL = 0.8  # of the column's width: a line that fills it
COLUMN_WIDTH = 10.0  # heights of a line
COLUMN_DEPTH = 2  # headings and feet that lie around the columns
GAPS_TRIED = 6
PARAGRAPH_GAP = 0.8  # heights of a line
INDENT = 0.9
SHORT = 0.85  # of the block's width: a line that ends before it may end a paragraph
TABLE_ROWS = 3
CELL_GAP = 1.2  # heights of a line
HEADING, TITLE = 1.35, 1.8  # by the height of the page's usual line
HEADING_WORDS = 14

_MARKS = re.compile(r"^(?=[#>*+])")
_BULLET = re.compile(r"^[•●▪■‣◦∙·]\s*")
_LETTER = re.compile(r"[^\W\d_]|\d")
_WORD = re.compile(r"[^\W\d_]{2}")
_ENDS = re.compile(r"[.!?:;。！？]['\"”’)\]]*$")
_BROKEN = re.compile(r"(?<=[^\W\d_])-$")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uff00-\uffef]")


@dataclass(frozen=True)
class Line:
    """A line of text where it was found; pixels from the upper left corner. `score` is the recogniser's confidence, 0 to 1."""

    left: float
    top: float
    right: float
    bottom: float
    text: str
    score: float = 1.0

    @property
    def height(self) -> float:
        """Its height in pixels."""
        return self.bottom - self.top

    @property
    def width(self) -> float:
        """Its width in pixels."""
        return self.right - self.left


def believed(lines: list[Line]) -> tuple[list[Line], float]:
    """Return the lines that are likely right, and the share of the page's letters that the others had."""
    good = [line for line in lines if line.score >= GOOD and _LETTER.search(line.text)]
    letters = sum(len(line.text) for line in lines)
    return good, 1 - sum(len(line.text) for line in good) / letters if letters else 0.0


def markdown(lines: list[Line]) -> str:
    """Return the Markdown of a page's lines."""
    if not lines:
        return ""
    usual = median(line.height for line in lines)
    parts = [part for block in _blocks(lines, usual, COLUMN_DEPTH) for part in _parts(block, usual)]
    return "\n\n".join(parts) + "\n"


def _blocks(lines: list[Line], usual: float, depth: int) -> list[list[Line]]:
    """Return the lines in the order of reading: by columns where there are any, and what lies around them."""
    if columns := _columns(lines, usual):
        return [block for column in columns for block in _blocks(column, usual, depth)]
    if depth:
        for above, below in _stacks(lines):
            if _has_columns(above, usual, depth - 1) or _has_columns(below, usual, depth - 1):
                return _blocks(above, usual, depth) + _blocks(below, usual, depth)
    return [lines]


def _has_columns(lines: list[Line], usual: float, depth: int) -> bool:
    if _columns(lines, usual):
        return True
    return depth > 0 and any(
        _has_columns(above, usual, depth - 1) or _has_columns(below, usual, depth - 1) for above, below in _stacks(lines)
    )


def _columns(lines: list[Line], usual: float) -> tuple[list[Line], list[Line]] | None:
    """Return the lines at the left and at the right of the widest blank that goes all the way down."""
    best: tuple[float, list[Line], list[Line]] | None = None
    ordered = sorted(lines, key=lambda line: line.left)
    reach = ordered[0].right
    for i, line in enumerate(ordered[1:], 1):
        gap = line.left - reach
        if gap >= COLUMN_GAP * usual and (best is None or gap > best[0]):
            left, right = ordered[:i], ordered[i:]
            if _is_text(left, usual) and _is_text(right, usual):
                best = (gap, left, right)
        reach = max(reach, line.right)
    return best[1:] if best else None


def _is_text(lines: list[Line], usual: float) -> bool:
    """Report whether lines are a column of running text."""
    width = max(line.right for line in lines) - min(line.left for line in lines)
    full = sum(line.width >= COLUMN_FULL * width for line in lines)
    return width >= COLUMN_WIDTH * usual and full >= max(COLUMN_LINES, COLUMN_SHARE * len(lines))


def _stacks(lines: list[Line]) -> list[tuple[list[Line], list[Line]]]:
    """Return the ways of cutting lines into upper and lower ones, at the widest blanks first."""
    ordered = sorted(lines, key=lambda line: line.top)
    reach, gaps = ordered[0].bottom, []
    for i, line in enumerate(ordered[1:], 1):
        if line.top > reach:
            gaps.append((line.top - reach, i))
        reach = max(reach, line.bottom)
    return [(ordered[:i], ordered[i:]) for _, i in sorted(gaps, reverse=True)[:GAPS_TRIED]]


def _parts(lines: list[Line], usual: float) -> list[str]:
    """Return the tables, headings and paragraphs of a block."""
    rows = _rows(lines)
    parts: list[str] = []
    i = 0
    while i < len(rows):
        end = i
        while end < len(rows) and len(rows[end]) == len(rows[i]) > 1:
            end += 1
        if end - i >= TABLE_ROWS:
            parts.append(_table(rows[i:end]))
            i = end
            continue
        end = i + 1
        while end < len(rows) and not _begins_table(rows, end):
            end += 1
        parts += _prose([_joined(row) for row in rows[i:end]], usual)
        i = end
    return parts


def _begins_table(rows: list[list[Line]], at: int) -> bool:
    some = rows[at : at + TABLE_ROWS]
    return len(some) == TABLE_ROWS and len(some[0]) > 1 and all(len(row) == len(some[0]) for row in some)


def _rows(lines: list[Line]) -> list[list[Line]]:
    """Return lines side by side as rows of cells."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (line.top + line.bottom) / 2):
        if rows and (line.top + line.bottom) / 2 < rows[-1][0].bottom - 0.3 * rows[-1][0].height:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [_cells(sorted(row, key=lambda line: line.left)) for row in rows]


def _cells(row: list[Line]) -> list[Line]:
    """Join what only the detector took apart."""
    cells = row[:1]
    for line in row[1:]:
        if line.left - cells[-1].right < CELL_GAP * min(line.height, cells[-1].height):
            cells[-1] = _joined([cells[-1], line])
        else:
            cells.append(line)
    return cells


def _joined(row: list[Line]) -> Line:
    if len(row) == 1:
        return row[0]
    return Line(
        min(line.left for line in row), min(line.top for line in row), max(line.right for line in row),
        max(line.bottom for line in row), " ".join(line.text for line in row),
    )  # fmt: skip


def _table(rows: list[list[Line]]) -> str:
    texts = [[cell.text.replace("|", "\\|") for cell in row] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in texts]
    return "\n".join([lines[0], "|" + " --- |" * len(texts[0]), *lines[1:]])


def _prose(lines: list[Line], usual: float) -> list[str]:
    """Return headings and paragraphs of lines that stand one above the other."""
    margin, width = min(line.left for line in lines), max(line.right for line in lines) - min(line.left for line in lines)
    parts: list[str] = []
    text, before = "", None
    for line in lines:
        level = _level(line, usual)
        if before is not None and not level and not _begins(line, before, margin, width, listed=text.startswith("- ")):
            text = _continued(text, line.text)
        else:
            parts.append(text)
            text = _BULLET.sub("- ", _MARKS.sub(r"\\", line.text))
        if level:
            parts.append(f"{'#' * level} {text}")
            text, before = "", None
            continue
        before = line
    return [part for part in (*parts, text) if part]


def _level(line: Line, usual: float) -> int:
    """Return the level of a heading, 0 of any other line."""
    if not _WORD.search(line.text) or len(line.text.split()) > HEADING_WORDS or line.height < HEADING * usual:
        return 0
    return 1 if line.height >= TITLE * usual else 2


def _begins(line: Line, before: Line, margin: float, width: float, *, listed: bool) -> bool:
    """Report whether a line begins a paragraph."""
    height = min(line.height, before.height)
    if line.top - before.bottom > PARAGRAPH_GAP * height or _BULLET.match(line.text):
        return True
    indented = not listed and line.left - margin > INDENT * height > before.left - margin
    ended = bool(_ENDS.search(before.text)) and before.right - margin < SHORT * width
    return indented or ended


def _continued(text: str, more: str) -> str:
    if _BROKEN.search(text) and more[:1].islower():
        return text[:-1] + more
    if text and more and _UNSPACED.match(text[-1]) and _UNSPACED.match(more):
        return text + more
    return f"{text} {more}"
