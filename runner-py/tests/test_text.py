"""The text engine, in the real process where that matters and beside it where a library must misbehave."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

import pdfs
from pdfmill_runner.engines.text import TextEngine
from pdfmill_runner.failures import FailureClass
from pdfmill_runner.protocol import DEGRADED, FAILED, LOSSY, NO_TEXT, OK, TRUNCATED, Convert, Error, Page, Result
from pdfmill_runner.text import images, lite, markdown
from pdfmill_runner.text.pages import Limits, PageRange
from pdfmill_runner.text.pdfium import Document
from rig import REPOSITORY, Rig, request

SAMPLES = REPOSITORY / "samples"


def silent(_phase: str, _done: int, _total: int) -> None:
    pass


def write(folder: Path, data: bytes) -> Path:
    file = folder / "in.pdf"
    file.write_bytes(data)
    return file


def within(limits: Limits, wanted: Convert) -> list[Page]:
    with Document(wanted.path) as document:
        return list(PageRange(document, wanted, silent, limits).convert())


def good(answer: Result | Error) -> Result:
    assert isinstance(answer, Result), answer
    return answer


def test_the_report(runner: Rig, tmp_path: Path) -> None:
    result = good(runner.convert(request(SAMPLES / "report.pdf", tmp_path, 1, 2))[0])
    first = (tmp_path / "page-0001.md").read_text(encoding="utf-8")
    assert "# Water flow in the first quarter" in first
    assert "| South mill | 998 | 1,041 | 1,102 |" in first
    assert result.pages[0].chars == len(first)
    image = result.images[0]
    assert (image.page, image.file, image.media_type) == (2, "images/page-0002-01.png", "image/png")
    assert (tmp_path / image.file).stat().st_size == image.bytes
    assert "![](images/page-0002-01.png)" in (tmp_path / "page-0002.md").read_text(encoding="utf-8")


def test_no_images_when_not_wanted(runner: Rig, tmp_path: Path) -> None:
    result = good(runner.convert(request(SAMPLES / "report.pdf", tmp_path, 2, 2, images=False))[0])
    assert not result.images
    assert "![" not in (tmp_path / "page-0002.md").read_text(encoding="utf-8")
    assert not (tmp_path / "images").exists()


def test_the_letter(runner: Rig, tmp_path: Path) -> None:
    good(runner.convert(request(SAMPLES / "letter.pdf", tmp_path))[0])
    text = (tmp_path / "page-0001.md").read_text(encoding="utf-8")
    for word in ("Łódź", "Čáslav", "μύλος", "мельница", "ırmağın"):
        assert word in text


def test_a_scan_has_no_text_and_a_blank_page_lacks_none(runner: Rig, tmp_path: Path) -> None:
    scan = good(runner.convert(request(SAMPLES / "scan.pdf", tmp_path / "scan"))[0])
    assert [(p.status, p.chars, p.warnings) for p in scan.pages] == [(OK, 0, (NO_TEXT,))]
    assert (tmp_path / "scan" / "page-0001.md").read_bytes() == b""
    blank = good(runner.convert(request(SAMPLES / "blank-page.pdf", tmp_path / "blank", 1, 3))[0])
    assert [p.warnings for p in blank.pages] == [(), (), ()]
    assert (tmp_path / "blank" / "page-0002.md").read_bytes() == b""


@pytest.mark.parametrize("mode", ["default", "plain"])
def test_a_bad_page_costs_only_itself(runner: Rig, tmp_path: Path, mode: str) -> None:
    file = write(tmp_path, pdfs.document(pdfs.text("before"), None, pdfs.text("after")))
    result = good(runner.convert(request(file, tmp_path / "out", 1, 3, mode=mode))[0])
    assert [(p.status, p.failure) for p in result.pages] == [(OK, None), (FAILED, FailureClass.PDF_CORRUPT), (OK, None)]
    assert result.pages[1].message == "page 2 could not be loaded"
    assert "after" in (tmp_path / "out" / "page-0003.md").read_text(encoding="utf-8")


def test_pages_beyond_the_end_fail(runner: Rig, tmp_path: Path) -> None:
    result = good(runner.convert(request(SAMPLES / "report.pdf", tmp_path, 2, 3))[0])
    assert [p.status for p in result.pages] == [OK, FAILED]
    assert "has 2" in str(result.pages[1].message)


def test_plain_is_the_raw_text(runner: Rig, tmp_path: Path) -> None:
    result = good(runner.convert(request(SAMPLES / "report.pdf", tmp_path, mode="plain"))[0])
    assert result.pages[0].warnings == (DEGRADED,)
    text = (tmp_path / "page-0001.md").read_text(encoding="utf-8")
    assert "Water flow in the first quarter" in text
    assert "#" not in text


def test_an_outline_that_loops(runner: Rig, tmp_path: Path) -> None:
    loop = {
        1000: b"<</Type/Outlines/First 1001 0 R/Last 1002 0 R/Count 2>>",
        1001: b"<</Title(a)/Parent 1000 0 R/Next 1002 0 R>>",
        1002: b"<</Title(b)/Parent 1000 0 R/Next 1001 0 R>>",
    }
    pages = [pdfs.text(f"This is page {n} of the book") for n in (1, 2, 3)]
    file = write(tmp_path, pdfs.document(*pages, catalog=b"/Outlines 1000 0 R", extra=loop))
    result = good(runner.convert(request(file, tmp_path / "out", 2, 3))[0])
    assert [p.status for p in result.pages] == [OK, OK]
    assert "page 2" in (tmp_path / "out" / "page-0002.md").read_text(encoding="utf-8")
    assert "page 3" in (tmp_path / "out" / "page-0003.md").read_text(encoding="utf-8")


def test_a_flood_of_characters_is_cut(runner: Rig, tmp_path: Path) -> None:
    file = write(tmp_path, pdfs.document(b"BT /F1 12 Tf 72 700 Td " + b"(spam and more spam ) Tj " * 60_000 + b"ET"))
    result = good(runner.convert(request(file, tmp_path / "out"))[0])
    assert TRUNCATED in result.pages[0].warnings
    assert 900_000 < result.pages[0].chars <= 1_000_000


def test_a_page_of_many_lines_is_read_plainly(runner: Rig, tmp_path: Path) -> None:
    lines = b"".join(b"%d %d m %d %d l S\n" % (i % 600, i % 700, i % 599, i % 701) for i in range(60_000))
    file = write(tmp_path, pdfs.document(lines + pdfs.text("a map")))
    result = good(runner.convert(request(file, tmp_path / "out"))[0])
    assert result.pages[0].warnings == (DEGRADED,)
    assert (tmp_path / "out" / "page-0001.md").read_text(encoding="utf-8") == "a map\n"


def test_too_many_objects_fail_the_page(tmp_path: Path) -> None:
    file = write(tmp_path, pdfs.document(pdfs.text("small"), pdfs.text(*(["line"] * 50))))
    small, large = within(Limits(objects=20), request(file, tmp_path / "out", 1, 2))
    assert small.status == OK
    assert (large.status, large.failure) == (FAILED, FailureClass.LIMIT_PAGE_SIZE)


def test_images_are_bounded(tmp_path: Path) -> None:
    extra = {1000: pdfs.image(200, 200), 1001: pdfs.image(8, 200), 1002: pdfs.image(201, 200)}
    draw = b"q 200 0 0 200 72 %d cm /X%d Do Q "
    page = draw % (500, 1000) + draw % (280, 1001) + draw % (60, 1002) + pdfs.text("with images")
    file = write(tmp_path, pdfs.document(page, page, extra=extra))
    engine = TextEngine()
    done = engine.convert(request(file, tmp_path / "a", 1, 2), silent)
    assert [i.file for i in done.images] == [
        "images/page-0001-01.png",
        "images/page-0001-02.png",
    ]  # small and repeated: left out
    assert "images/page-0001-01.png" in (tmp_path / "a" / "page-0002.md").read_text(encoding="utf-8")
    (only, _) = within(Limits(image_pixels=50_000), request(file, tmp_path / "b", 1, 2))
    assert only.status == OK
    assert not (tmp_path / "b" / "images").exists()


def test_an_image_folder_stops_at_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_COUNT", 2)
    monkeypatch.setattr(images, "MAX_BYTES", 100)
    folder = images.ImageFolder(str(tmp_path))

    def add(page: int, data: bytes) -> str | None:
        return folder.add(page, lite.Figure(page, "img", 100, 100, "png", data))

    assert add(1, b"a" * 60) == "images/page-0001-01.png"
    assert add(1, b"b" * 60) is None  # bytes
    assert add(1, b"c") == "images/page-0001-02.png"
    assert add(1, b"d") is None  # count
    assert add(2, b"d") == "images/page-0002-01.png"


def test_when_the_library_fails_as_a_whole_pages_go_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, pdfs.document(*(pdfs.text(f"This is page {n}") for n in (1, 2, 3))))
    real = lite.parse

    def moody(source: str | bytes, numbers: list[int], *, references: bool, images: bool) -> lite.Parse:
        if 2 in numbers:
            raise RuntimeError("boom")
        return real(source, numbers, references=references, images=images)

    monkeypatch.setattr(lite, "parse", moody)
    pages = within(Limits(), request(file, tmp_path / "out", 1, 3))
    assert [(p.status, p.warnings) for p in pages] == [(OK, ()), (OK, (DEGRADED,)), (OK, ())]
    assert (tmp_path / "out" / "page-0002.md").read_text(encoding="utf-8") == "This is page 2\n"


@pytest.mark.parametrize(
    ("kept", "warnings", "share"),
    [(12, (), 1.0), (8, (LOSSY,), 0.67), (4, (DEGRADED,), 1.0)],
    ids=["all of it", "a third is lost", "most is lost"],
)
def test_what_the_library_loses_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int, warnings: tuple[str, ...], share: float
) -> None:
    lines = [f"Line {n} speaks of water and of the mills along the river valley." for n in range(12)]
    other = [f"Sentence {n} says nothing of it, and nothing is lost here, whatever happens." for n in range(12)]
    picture = b"\nq 99 0 0 99 300 300 cm /X1000 Do Q"
    pages_of = (pdfs.text(*lines) + picture, pdfs.text(*other))
    file = write(tmp_path, pdfs.document(*pages_of, extra={1000: pdfs.image(99, 99)}))
    real = lite.parse

    def forgetful(source: str | bytes, numbers: list[int], *, references: bool, images: bool) -> lite.Parse:
        found = real(source, numbers, references=references, images=images)
        for line in lines[kept:]:
            found.pages[1] = lite.Parsed(found.pages[1].markdown.replace(line, ""), found.pages[1].text)
        return found

    monkeypatch.setattr(lite, "parse", forgetful)
    first, second = within(Limits(), request(file, tmp_path / "out", 1, 2))
    assert first.warnings == warnings
    assert first.fidelity == pytest.approx(share, abs=0.01)
    assert (second.warnings, second.fidelity) == ((), 1.0)
    text = (tmp_path / "out" / "page-0001.md").read_text(encoding="utf-8")
    assert (lines[11] in text) == (LOSSY not in warnings)
    assert "](images/page-0001-01.png)" in text


def test_a_range_is_converted_in_chunks(tmp_path: Path) -> None:
    file = write(tmp_path, pdfs.document(*(pdfs.text(f"This is page {n}") for n in range(1, 8))))
    told: list[tuple[str, int, int]] = []
    wanted = request(file, tmp_path / "out", 2, 7)
    with Document(wanted.path) as document:
        work = PageRange(document, wanted, lambda *args: told.append(args), Limits(chunk_pages=4))
        assert [p.page for p in work.convert()] == [2, 3, 4, 5, 6, 7]
    assert [t for t in told if t[0] == "convert"] == [("convert", 4, 6), ("convert", 6, 6)]


@pytest.mark.parametrize(
    ("data", "failure"),
    [
        (b"", FailureClass.NOT_PDF),
        (b"<html>%PDF-1.4</html>", FailureClass.NOT_PDF),
        (b"PK\x03\x04", FailureClass.NOT_PDF),
        (b"%PDF-1.7\n", FailureClass.PDF_CORRUPT),
        (pdfs.document(), FailureClass.PDF_EMPTY),
    ],
    ids=["empty file", "html", "zip", "header only", "no pages"],
)
def test_documents_that_cannot_be_opened(runner: Rig, tmp_path: Path, data: bytes, failure: FailureClass) -> None:
    answer, _ = runner.convert(request(write(tmp_path, data), tmp_path / "out"))
    assert isinstance(answer, Error)
    assert (answer.failure, answer.context_intact) == (failure, True)


def test_markdown_is_tidied() -> None:
    assert markdown.tidy("```text\n\n```", {}) == ""
    assert (
        markdown.tidy("a\n\n![](img_p1_1.png)\n\nb ![](img_p1_2.png)", {"img_p1_2.png": "images/x.png"})
        == "a\n\nb ![](images/x.png)\n"
    )
    assert markdown.tidy("| 1 int a; |\n|---|\n| 2 } |\n|  |\n", {}) == "```\n1 int a;\n2 }\n```\n"
    assert markdown.tidy("| Mind the step. |\n|---|\n| It is high. |\n\nnext", {}) == "Mind the step.\nIt is high.\n\nnext\n"
    table = "| a | b |\n|---|---|\n| 1 | 2 |\n"
    assert markdown.tidy(table, {}) == table


EXPECTED = {
    "encrypted-user-password": {FailureClass.PDF_ENCRYPTED},
    "corrupt": {FailureClass.PDF_CORRUPT, FailureClass.PDF_EMPTY, FailureClass.NOT_PDF},
    "not-pdf": {FailureClass.NOT_PDF},
    "zero-byte": {FailureClass.NOT_PDF},
}


def corpus() -> list[tuple[Path, str, int]]:
    """Return file, class and pages of a corpus; of the samples when none is named."""
    folder = Path(os.environ.get("PDFMILL_CORPUS", ""))
    if not (folder / "manifest.csv").is_file():
        return [(file, "ok", 1) for file in sorted(SAMPLES.glob("*.pdf"))]
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [(folder / row["file"], row["class"], int(row["pages"]) if row["pages"].isdigit() else 1) for row in rows]


@pytest.mark.parametrize(("file", "kind", "pages"), corpus(), ids=lambda value: value.name if isinstance(value, Path) else "")
def test_the_corpus(runner: Rig, tmp_path: Path, file: Path, kind: str, pages: int) -> None:
    last = min(pages, 8)
    answer, _ = runner.convert(request(file, tmp_path, 1, last))
    if kind in EXPECTED:
        assert isinstance(answer, Error)
        assert answer.failure in EXPECTED[kind]
        return
    result = good(answer)
    assert [page.page for page in result.pages] == list(range(1, last + 1))
    if kind != "exotic":
        assert {page.status for page in result.pages} == {OK}


def test_the_characters_of_a_page_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdfs.document(pdfs.text("twelve signs")))
    with Document(str(path)) as document:
        shape = document.inspect(1, images=False, layer=12)
        assert (shape.chars, shape.layer) == (12, "twelve signs")
        shape = document.inspect(1, images=False, layer=11)
        assert (shape.chars, shape.layer) == (12, ""), "a longer layer than was wanted"
        assert document.text(1, 12) == ("twelve signs", False)
        assert document.text(1, 6) == ("twelve", True)
