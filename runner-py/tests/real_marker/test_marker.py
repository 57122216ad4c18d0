"""Marker's real code in the real process. What stands in for its models is named so: servers2.py, tiny1.py."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import pdfs
from pdfmill_runner.failures import FailureClass
from pdfmill_runner.protocol import FAILED, OK, Error, Probe, Probed, Result
from rig import REPOSITORY, Rig, request

from .installed import GENERATION, PATIENCE

SAMPLES = REPOSITORY / "samples"
# Unlike each other: what stands on top of every page is a running head to marker, and left out.
TITLES = ["Water", "Of grain and flour", "Stones", "Weather in the valley", "Ledgers", "Dams", "What the miller said"]
PROSE = [f"Line {n} speaks of water and of the mills along the river valley." for n in range(1, 9)]


def good(answer: Result | Error) -> Result:
    assert isinstance(answer, Result), answer
    return answer


def pages(folder: Path, result: Result) -> dict[int, str]:
    return {page.page: (folder / page.file).read_text(encoding="utf-8") for page in result.pages if page.file}


def write(folder: Path, data: bytes, name: str = "made.pdf") -> Path:
    file = folder / name
    file.write_bytes(data)
    return file


def book(*texts: list[str]) -> bytes:
    return pdfs.document(*(pdfs.text(*lines) for lines in texts))


def test_the_probe_does_something(marker: Rig) -> None:
    marker.send(Probe("p"))
    answer = marker.expect(Probed)
    assert answer.ok, answer
    assert ("multiplied two matrices" if GENERATION == 1 else "layout, ocr_error, vlm") in answer.detail


def test_a_report_comes_out_page_by_page(marker: Rig, tmp_path: Path) -> None:
    answer, progress = marker.convert(request(SAMPLES / "report.pdf", tmp_path, 1, 2))
    result = good(answer)
    assert [(page.page, page.status, page.file) for page in result.pages] == [(1, OK, "page-0001.md"), (2, OK, "page-0002.md")]
    texts = pages(tmp_path, result)
    assert "litres a second" in texts[1]
    assert all(page.fidelity is not None and page.fidelity >= 0.75 for page in result.pages)
    assert result.memory.peak_host > 100 << 20
    assert len({step.phase for step in progress}) > 10  # signs of life all along


def test_page_numbers_are_of_the_document(marker: Rig, tmp_path: Path) -> None:
    file = write(tmp_path, book(*([f"This is page number {n}.", *PROSE] for n in range(1, 7))))
    result = good(marker.convert(request(file, tmp_path / "out", 4, 5))[0])
    texts = pages(tmp_path / "out", result)
    assert sorted(texts) == [4, 5]
    assert "page number 4" in texts[4]
    assert "page number 5" in texts[5]


def test_a_page_that_contains_the_separator(marker: Rig, tmp_path: Path) -> None:
    evil = ["{1}" + "-" * 48, "{0}" + "-" * 48, *PROSE]
    file = write(tmp_path, book(evil, ["The second page is another one.", *PROSE]))
    result = good(marker.convert(request(file, tmp_path / "out", 1, 2))[0])
    texts = pages(tmp_path / "out", result)
    assert "-----" in texts[1]
    assert "second page" not in texts[1]
    assert texts[2].lstrip("# \n").startswith("The second page")


def test_a_bad_page_costs_only_itself(marker: Rig, tmp_path: Path) -> None:
    file = write(tmp_path, pdfs.document(pdfs.text("before", *PROSE), None, pdfs.text("after", *PROSE)))
    result = good(marker.convert(request(file, tmp_path / "out", 1, 3))[0])
    assert [(p.status, p.failure) for p in result.pages] == [(OK, None), (FAILED, FailureClass.PDF_CORRUPT), (OK, None)]
    assert "after" in pages(tmp_path / "out", result)[3]


def test_a_page_that_a_model_fails_on_is_read_by_the_text_engine(brittle: dict[str, str], tmp_path: Path) -> None:
    black = b"0 0 0 rg 0 0 612 792 re f 1 1 1 rg " + pdfs.text("in the night", *PROSE)
    file = write(tmp_path, pdfs.document(pdfs.text("before", *PROSE), black, pdfs.text("after", *PROSE)))
    with Rig("brittle", brittle, patience=PATIENCE) as rig:
        rig.greet()
        Path(brittle["SABOTAGE"]).write_text("nonetype", encoding="ascii")
        result = good(rig.convert(request(file, tmp_path / "out", 1, 3))[0])
    assert [(page.status, page.engine) for page in result.pages] == [(OK, None), (OK, "text"), (OK, None)]
    assert ["degraded" in page.warnings for page in result.pages] == [False, True, False]
    texts = pages(tmp_path / "out", result)
    assert "in the night" in texts[2]
    assert "after" in texts[3]


@pytest.mark.parametrize("output", ["html", "json", "chunks"])
def test_other_outputs(marker: Rig, tmp_path: Path, output: str) -> None:
    file = write(tmp_path, book(*([f"This is page number {n}.", *PROSE] for n in (1, 2))))
    result = good(marker.convert(request(file, tmp_path / "out", 1, 2, output=output))[0])
    texts = pages(tmp_path / "out", result)
    assert sorted(texts) == [1, 2]
    for n in (1, 2):
        assert f"number {n}" in texts[n]
        assert f"number {3 - n}" not in texts[n]
        if output != "html":
            json.loads(texts[n])


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        ({"colour": "red"}, "'colour'"),
        ({"disable-ocr": "maybe"}, "disable-ocr"),
        ({"llm": "nobody"}, "'nobody'"),
        ({"quality": "fast"} if GENERATION == 1 else {"layout-batch": "4"}, "marker 2.x" if GENERATION == 1 else "marker 1.x"),
    ],
    ids=["unknown", "bad value", "no such service", "of the other generation"],
)
def test_options_are_refused_by_name(marker: Rig, tmp_path: Path, engine: dict[str, str], says: str) -> None:
    answer, _ = marker.convert(request(SAMPLES / "report.pdf", tmp_path, engine=engine))
    assert isinstance(answer, Error)
    assert answer.failure == FailureClass.INVALID_MESSAGE
    assert answer.context_intact
    assert says in answer.message


def linked(target_page: int, pages: int) -> bytes:
    """A document whose first page links to a place on another one."""
    data = pdfs.document(*(pdfs.text(f"This is page number {n}.", *PROSE) for n in range(1, pages + 1)))
    target = 10 + 2 * (target_page - 1)
    annotation = b"/Annots[<</Type/Annot/Subtype/Link/Rect[72 695 300 715]/Dest[%d 0 R/XYZ 72 700 0]>>]" % target
    return data.replace(b"/Type/Page/Parent", annotation + b"/Type/Page/Parent", 1)


def test_links_work_across_ranges(marker: Rig, tmp_path: Path) -> None:
    file = write(tmp_path, linked(5, 6))
    first = pages(tmp_path / "a", good(marker.convert(request(file, tmp_path / "a", 1, 2))[0]))
    last = pages(tmp_path / "b", good(marker.convert(request(file, tmp_path / "b", 5, 6))[0]))
    (target,) = set(re.findall(r"\]\(#([^)]+)\)", first[1]))
    assert f'id="{target}"' in last[5]


def test_pictures_are_named_by_page(marker: Rig, tmp_path: Path) -> None:
    extra = {1000: pdfs.image(300, 300), 1001: pdfs.image(301, 300)}
    draw = b"q 250 0 0 250 72 %d cm /X%d Do Q "
    content = [draw % (420, 1000), draw % (420, 1001)]
    file = write(tmp_path, pdfs.document(*content, extra=extra))
    result = good(marker.convert(request(file, tmp_path / "out", 1, 2))[0])
    for image in result.images:
        assert re.fullmatch(rf"images/page-{image.page:04d}-(Picture|Figure)-\d+\.jpg", image.file)
        assert (tmp_path / "out" / image.file).stat().st_size == image.bytes
        assert image.file in pages(tmp_path / "out", result)[image.page]
    if GENERATION == 2:
        assert [image.page for image in result.images] == [1, 2]
    without = good(marker.convert(request(file, tmp_path / "no", 1, 2, images=False))[0])
    assert not without.images
    assert "images/" not in "".join(pages(tmp_path / "no", without).values())


def test_what_marker_says_of_a_page_comes_with_it(marker: Rig, tmp_path: Path) -> None:
    file = write(tmp_path, book(*([f"This is page number {n}.", *PROSE] for n in range(1, 5))))
    result = good(marker.convert(request(file, tmp_path / "out", 2, 3))[0])
    for page in result.pages:
        assert page.about == f"page-{page.page:04d}.json"
        told = json.loads((tmp_path / "out" / page.about).read_text(encoding="utf-8"))
        assert told["stats"]["page_id"] == page.page - 1
        assert set(told["stats"]) == {"page_id", "text_extraction_method", "block_counts", "block_metadata"}
        assert all(entry["page_id"] == page.page - 1 for entry in told["contents"])


@pytest.mark.parametrize("debug", ["yes", "no"])
def test_debug_output_lies_beside_the_pages(marker: Rig, tmp_path: Path, debug: str) -> None:
    file = write(tmp_path, book(*([f"This is page number {n}.", *PROSE] for n in range(1, 5))))
    result = good(marker.convert(request(file, tmp_path / "out", 2, 3, engine={"debug": debug}))[0])
    found = {image.file: image for image in result.debug or ()}
    if debug == "no":
        assert not found
        return
    assert sorted(found) == sorted(
        f"debug/{name}" for n in (1, 2) for name in (f"pdf_page_{n}.png", f"layout_page_{n}.png", f"blocks_page_{n}.json")
    )
    for name, image in found.items():
        assert (tmp_path / "out" / name).stat().st_size == image.bytes > 0
        assert f"_{image.page - 1}." in name
    assert json.loads((tmp_path / "out" / "debug" / "blocks_page_2.json").read_text(encoding="utf-8"))["page_id"] == 2
    assert not (tmp_path / "out" / ".debug").exists()


def test_plain_mode_is_the_text_engine(marker: Rig, tmp_path: Path) -> None:
    result = good(marker.convert(request(SAMPLES / "report.pdf", tmp_path, 1, 1, mode="plain"))[0])
    (page,) = result.pages
    assert (page.status, page.engine) == (OK, "text")
    assert "degraded" in page.warnings


@pytest.mark.parametrize(
    ("data", "failure"),
    [(b"<html>", FailureClass.NOT_PDF), (b"%PDF-1.7\n", FailureClass.PDF_CORRUPT), (pdfs.document(), FailureClass.PDF_EMPTY)],
    ids=["html", "header only", "no pages"],
)
def test_documents_that_cannot_be_opened(marker: Rig, tmp_path: Path, data: bytes, failure: FailureClass) -> None:
    answer, _ = marker.convert(request(write(tmp_path, data), tmp_path / "out"))
    assert isinstance(answer, Error)
    assert (answer.failure, answer.context_intact) == (failure, True)
