"""The ocr engine with its real models; `make test-ocr` runs these where `pdfmill engines install ocr` has put it."""

from __future__ import annotations

import csv
import io
import os
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING

import pypdfium2
import pytest
from PIL import Image

import pdfs
from pdfmill_runner import fidelity
from pdfmill_runner.protocol import FAILED, LOSSY, NO_TEXT, Error, Result
from rig import REPOSITORY, Rig, request

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS = Path(os.environ["PDFMILL_CORPUS"]) if os.environ.get("PDFMILL_CORPUS") else None
PATIENCE = 600


@pytest.fixture(scope="module")
def ocr() -> Iterator[Rig]:
    with Rig("ocr", {"OMP_NUM_THREADS": "1"}, patience=PATIENCE) as rig:
        rig.greet()
        yield rig


def scanned(pdf: bytes, tilt: float = 0.0) -> bytes:
    """Return a PDF of pictures of the pages of another one, as a scanner makes it."""
    pictures = []
    with pypdfium2.PdfDocument(pdf) as document:
        for page in document:
            picture = page.render(scale=150 / 72).to_pil().convert("L")
            pictures.append(picture.rotate(tilt, expand=tilt % 90 == 0, fillcolor=255, resample=Image.Resampling.BICUBIC))
    out = io.BytesIO()
    pictures[0].save(out, "PDF", save_all=True, append_images=pictures[1:], resolution=150, quality=80)
    return out.getvalue()


def converted(rig: Rig, source: bytes, folder: Path, last: int = 1, **options: object) -> tuple[Result, list[str]]:
    path = folder / "scan.pdf"
    path.write_bytes(source)
    asked = request(path, folder / "out", 1, last, **options)
    result, progress = rig.convert(asked)
    assert isinstance(result, Result), result
    assert progress
    return result, [(folder / "out" / (page.file or "")).read_text() for page in result.pages if page.status != FAILED]


WORDS = "The old mill by the river grinds wheat and barley for the whole valley since the year 1684"


def test_a_tilted_scan_is_read(ocr: Rig, tmp_path: Path) -> None:
    lines = [WORDS[i:] + " " + WORDS[:i] for i in (0, 8, 13, 20)]
    source = pdfs.document(pdfs.text(*lines, size=11), pdfs.text("A second page, of one line"), b"")
    result, texts = converted(ocr, scanned(source, tilt=0.7), tmp_path, last=2)
    got = fidelity.words(texts[0])
    want = fidelity.words("\n".join(lines))
    assert (want & got).total() / want.total() > 0.95
    assert "second page, of one line" in texts[1]
    assert [page.warnings for page in result.pages] == [(), ()]


@pytest.mark.parametrize("turn", [90, 180])
def test_a_page_that_was_put_in_the_wrong_way_is_turned(ocr: Rig, tmp_path: Path, turn: int) -> None:
    source = pdfs.document(pdfs.text(WORDS, "and this stands below it"))
    _, texts = converted(ocr, scanned(source, tilt=turn), tmp_path)
    assert texts[0].startswith("The old mill by the river")
    assert "below it" in texts[0][60:]


def test_long_lines_are_read_whole(ocr: Rig, tmp_path: Path) -> None:
    # One line of some 130 letters: read in one piece, a third of its words come out wrong.
    line = f"{WORDS}, which is {WORDS[:40].lower()}"
    _, texts = converted(ocr, scanned(pdfs.document(pdfs.text(line, size=7))), tmp_path)
    assert SequenceMatcher(None, texts[0].split(), line.split()).ratio() > 0.9


def test_a_language_keeps_other_scripts_out(ocr: Rig, tmp_path: Path) -> None:
    noise = REPOSITORY / "samples" / "letter.pdf"  # its Greek and Cyrillic lines are in no script that the model knows
    _, texts = converted(ocr, scanned(noise.read_bytes()), tmp_path, engine={"language": "de"})
    assert "Grüße aus Łódź" in texts[0]
    assert not any(ord(sign) > 0x3000 for sign in texts[0])
    path = tmp_path / "scan.pdf"
    answer, _ = ocr.convert(request(path, tmp_path / "refused", engine={"language": "ru"}))
    assert isinstance(answer, Error)
    assert answer.failure.value == "invalid-message"


def test_pages_without_words_say_so(ocr: Rig, tmp_path: Path) -> None:
    drawn = pdfs.document(b"q 300 0 0 300 100 300 cm /X1000 Do Q", b"", extra={1000: pdfs.image(64, 64)})
    result, texts = converted(ocr, drawn, tmp_path, last=2)
    assert (texts[1], result.pages[1].warnings) == ("", ())
    assert NO_TEXT in result.pages[0].warnings or LOSSY in result.pages[0].warnings


def test_the_scans_of_the_corpus(ocr: Rig, tmp_path: Path) -> None:
    """Two pages of two columns have a text layer elsewhere; the others must come through."""
    if CORPUS is None:
        return
    with (CORPUS / "manifest.csv").open(encoding="utf-8") as file:
        scans = [row for row in csv.DictReader(file) if row["class"] == "scanned"]
    for row in scans:
        answer, _ = ocr.convert(request(CORPUS / row["file"], tmp_path / row["file"], last=1))
        assert isinstance(answer, Result), answer
        assert answer.pages[0].status != FAILED
    with pypdfium2.PdfDocument(CORPUS / "tracemonkey.pdf") as document:
        layer = document[1].get_textpage().get_text_bounded()
    text = (tmp_path / "derived-scan-2col-2p.pdf" / "page-0001.md").read_text()
    share = fidelity.fidelity(layer, text)
    assert share is not None
    assert share > 0.95
    # Column by column: mixed up, only runs of a line's words would be in order.
    want, got = layer.split(), text.split()
    assert SequenceMatcher(None, want, got, autojunk=False).ratio() > 0.85
