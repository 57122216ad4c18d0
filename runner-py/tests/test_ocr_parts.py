"""The parts of the ocr engine that need no models: what it is asked, and what it makes of lines."""

from __future__ import annotations

import pytest

from pdfmill_runner.failures import EngineError, FailureClass
from pdfmill_runner.ocr import languages, layout
from pdfmill_runner.ocr.layout import Line


def line(left: float, top: float, text: str, *, width: float = 400, height: float = 20, score: float = 1.0) -> Line:
    return Line(left, top, left + width, top + height, text, score)


def column(left: float, top: float, *texts: str) -> list[Line]:
    return [line(left, top + 26 * i, text) for i, text in enumerate(texts)]


def test_columns_are_read_one_after_the_other_with_what_stands_around_them() -> None:
    lines = [
        line(100, 20, "A title that crosses both columns", width=880, height=40),
        *column(100, 100, "one", "two", "three", "four"),
        *column(560, 100, "five", "six", "seven", "eight"),
        line(100, 300, "a foot across the page", width=880),
    ]
    assert layout.markdown(lines[::-1]).split("\n\n") == [
        "# A title that crosses both columns",
        "one two three four",
        "five six seven eight",
        "a foot across the page\n",
    ]


def test_cells_in_rows_are_a_table_and_not_columns() -> None:
    rows = [("name", "a|b"), ("mill", "3"), ("wheel", "14")]
    lines = [line(100 + 200 * x, 50 + 30 * y, text, width=60) for y, row in enumerate(rows) for x, text in enumerate(row)]
    lines.append(line(100, 10, "Before it", width=300))
    assert layout.markdown(lines) == "Before it\n\n| name | a\\|b |\n| --- | --- |\n| mill | 3 |\n| wheel | 14 |\n"


def test_paragraphs_end_at_gaps_indents_and_short_lines() -> None:
    lines = [
        line(100, 0, "A word that is bro-"),
        line(100, 26, "ken goes on."),
        line(130, 52, "An indented one"),
        line(100, 78, "ends early.", width=100),
        line(100, 104, "Then 水"),
        line(100, 130, "車 and # no mark"),
        line(100, 200, "# after a gap"),
        line(100, 226, "• of a list"),
        line(140, 252, "that goes on"),
    ]
    assert layout.markdown(lines).split("\n\n") == [
        "A word that is broken goes on.",
        "An indented one ends early.",
        "Then 水車 and # no mark",
        "\\# after a gap",
        "- of a list that goes on\n",
    ]


def test_lines_that_were_hardly_read_are_left_out_and_counted() -> None:
    lines = [line(0, 0, "well read", score=0.97), line(0, 30, "b4dly r…", score=0.66), line(0, 60, "——", score=0.99)]
    good, lost = layout.believed(lines)
    assert [one.text for one in good] == ["well read"]
    assert lost == pytest.approx(10 / 19)
    assert layout.believed([]) == ([], 0.0)
    assert layout.markdown([]) == ""


def test_a_language_bars_the_signs_of_other_scripts() -> None:
    assert languages.read({}) is None
    assert languages.read({"language": "de"}) == "de"
    signs = "eß水のＡ"
    assert [s for s in signs if not languages.foreign(s, "de")] == ["e", "ß"]
    assert [s for s in signs if not languages.foreign(s, "zh")] == ["e", "ß", "水", "Ａ"]
    assert [s for s in signs if not languages.foreign(s, "ja")] == list(signs)
    assert not any(languages.foreign(s, None) for s in signs)


@pytest.mark.parametrize(("asked", "says"), [({"language": "ru"}, "'ru'"), ({"quality": "fast"}, "'quality'")])
def test_what_the_model_does_not_read_is_refused_by_name(asked: dict[str, str], says: str) -> None:
    with pytest.raises(EngineError, match=says) as refused:
        languages.read(asked)
    assert refused.value.failure == FailureClass.INVALID_MESSAGE
