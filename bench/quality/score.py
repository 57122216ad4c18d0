#!/usr/bin/env python3
"""Scores produced Markdown against reference Markdown: text, headings, tables. Standard library only.

    score.py PRODUCED --truth TRUTH [--json]

TRUTH holds NAME.md files. PRODUCED holds, for each NAME, one of: NAME.md, NAME/document.md, or NAME/page-0001.md and so on,
which are joined. A document that was not produced scores 0: a converter can't gain by leaving out what is hard.

text      similarity of the two sequences of words, 0 to 1 (twice the words in common, in order, over the words of both)
headings  F1 of the headings' words, matched one to one when they are at least 0.85 alike; the level doesn't count
tables    F1 of the table cells as a multiset; over the documents whose truth has a table, or that produced a false one

Compare scores of converters with each other. A reference is what a document was built from, or what another tool made of it:
nobody reaches 1.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import unicodedata
from collections import Counter
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from pathlib import Path

ALIKE = 0.85

_FRONT_MATTER = re.compile(r"\A---\n.*?\n(?:---|\.\.\.)\n", re.DOTALL)
_FENCE = re.compile(r"^(?:```|~~~).*?^(?:```|~~~)[^\n]*$", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)(?:\{[^}]*\})?")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_TAG = re.compile(r"</?[a-zA-Z][^>]*>")
_ATX = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t#]*$", re.MULTILINE)
_SETEXT = re.compile(r"^([^\n|>#-][^\n]*)\n(?:=+|-{3,})[ \t]*$", re.MULTILINE)
_RULE = re.compile(r"^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
_HTML_CELL = re.compile(r"<t[dh][^>]*>(.*?)</t[dh]>", re.DOTALL | re.IGNORECASE)
_LATEX_TABLE = re.compile(r"\\begin\{(longtable|tabular)\}.*?\\end\{\1\}", re.DOTALL)
_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_CJK = re.compile(r"([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])")


@dataclass(frozen=True)
class Score:
    """The scores of one document; None where a measure doesn't apply."""

    name: str
    text: float
    headings: float | None
    tables: float | None


def words(text: str) -> list[str]:
    """Return the words of a text in one spelling; of Chinese and Japanese, each character is one."""
    return _WORD.findall(_CJK.sub(r" \1 ", unicodedata.normalize("NFKC", text).lower()))


def prose(markdown: str) -> str:
    """Return what a reader reads: no front matter, images, link targets or tags."""
    text = _COMMENT.sub(" ", _FRONT_MATTER.sub("", markdown))
    return _TAG.sub(" ", _LINK.sub(r"\1", _IMAGE.sub(" ", text)))


def headings(markdown: str) -> list[str]:
    """Return the headings of a document, as words."""
    text = prose(_FENCE.sub("", markdown))
    found = [*_ATX.findall(text), *_SETEXT.findall(text)]
    return [line for line in (" ".join(words(heading)) for heading in found) if line]


def cells(markdown: str) -> Counter[str]:
    """Return the cells of all tables that are not empty: of pipes, HTML or LaTeX."""
    found = _HTML_CELL.findall(markdown)
    for table in _LATEX_TABLE.finditer(markdown):
        body = table[0].partition("\\toprule")[2].partition("\\bottomrule")[0]
        found += re.split(r"&|\\tabularnewline|\\\\", re.sub(r"\\(?:midrule|endhead|endfirsthead)", "", body))
    lines = _FENCE.sub("", markdown).splitlines()
    for i, line in enumerate(lines):
        if "|" in line and _RULE.match(line) and i > 0 and "|" in lines[i - 1]:
            rows = [lines[i - 1]]
            for row in lines[i + 1 :]:
                if "|" not in row:
                    break
                rows.append(row)
            found += [cell for row in rows for cell in row.strip().strip("|").split("|")]
    return Counter(cell for cell in (" ".join(words(prose(cell))) for cell in found) if cell)


def f1(common: float, want: float, got: float) -> float | None:
    """Return the harmonic mean of precision and recall, None when there was nothing to find and nothing found."""
    return None if want + got == 0 else 2 * common / (want + got)


def match(want: list[str], got: list[str]) -> int:
    """Count the headings that have a partner of their own on the other side."""
    left, count = list(got), 0
    for heading in want:
        best = max(left, key=lambda other: SequenceMatcher(None, heading, other).ratio(), default=None)
        if best is not None and SequenceMatcher(None, heading, best).ratio() >= ALIKE:
            left.remove(best)
            count += 1
    return count


def score(name: str, truth: str, produced: str) -> Score:
    """Score one document."""
    want, got = words(prose(truth)), words(prose(produced))
    want_headings, got_headings = headings(truth), headings(produced)
    want_cells, got_cells = cells(truth), cells(produced)
    return Score(
        name,
        SequenceMatcher(None, want, got, autojunk=False).ratio(),
        f1(match(want_headings, got_headings), len(want_headings), len(got_headings)),
        f1((want_cells & got_cells).total(), want_cells.total(), got_cells.total()),
    )


def read(folder: Path, name: str) -> str:
    """Return what was produced for a document, "" when nothing was."""
    for file in (folder / f"{name}.md", folder / name / "document.md", folder / f"{name}.pdf" / "document.md"):
        if file.is_file():
            return file.read_text(encoding="utf-8", errors="replace")
    pages = sorted((folder / name).glob("page-*.md"))
    return "\n\n".join(page.read_text(encoding="utf-8", errors="replace") for page in pages)


def mean(values: list[float | None]) -> float | None:
    """Return the mean of the values that there are."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def table(scores: list[Score]) -> str:
    """Return the scores as lines of a table, the mean last."""
    rows = [*scores, Score("mean", *(mean([getattr(s, m) for s in scores]) for m in ("text", "headings", "tables")))]
    width = max(len(row.name) for row in rows)

    def cell(value: float | None) -> str:
        return f"{value:9.3f}" if value is not None else "        -"

    lines = [f"{'document':<{width}}     text headings   tables"]
    lines += [f"{row.name:<{width}}{cell(row.text)}{cell(row.headings)}{cell(row.tables)}" for row in rows]
    return "\n".join(lines)


def main() -> int:
    """Run the command line; exit status 2 when there is nothing to compare."""
    parser = argparse.ArgumentParser(description="Score produced Markdown against references.")
    parser.add_argument("produced", type=Path, help="folder of what a converter made")
    parser.add_argument("--truth", type=Path, required=True, help="folder of references, NAME.md")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    truths = sorted(args.truth.glob("*.md"))
    if not truths or not args.produced.is_dir():
        sys.stderr.write(f"nothing to compare: {len(truths)} references in {args.truth}, produced: {args.produced}\n")
        sys.stderr.write("hint: both are folders; the references are NAME.md\n")
        return 2
    scores = [score(t.stem, t.read_text(encoding="utf-8"), read(args.produced, t.stem)) for t in truths]
    sys.stdout.write((json.dumps([asdict(s) for s in scores], indent=2) if args.json else table(scores)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
