"""What only marker 2.x has: models behind servers. The servers here are stand-ins, see servers2.py."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import pdfs
from pdfmill_runner.failures import FailureClass
from pdfmill_runner.protocol import DEGRADED, FAILED, OK, Error
from rig import Rig, request

from .test_marker import PROSE, SAMPLES, TITLES, book, good, pages, write

if TYPE_CHECKING:
    from pathlib import Path


def test_layout_makes_headings_and_tables(marker: Rig, tmp_path: Path) -> None:
    answer, _ = marker.convert(request(SAMPLES / "report.pdf", tmp_path, 1, 1))
    text = pages(tmp_path, good(answer))[1]
    assert re.search(r"^#+ .*Monthly figures", text, re.MULTILINE)
    assert re.search(r"^\| South mill +\| 998 ", text, re.MULTILINE)


def test_a_scan_is_read_by_the_vision_model(marker: Rig, tmp_path: Path) -> None:
    result = good(marker.convert(request(SAMPLES / "scan.pdf", tmp_path, 1, 1))[0])
    assert "The stand-in read a block" in pages(tmp_path, result)[1]
    assert result.pages[0].fidelity is None


def test_each_answer_of_the_vision_model_is_a_sign_of_life(marker: Rig, tmp_path: Path) -> None:
    _, progress = marker.convert(request(SAMPLES / "scan.pdf", tmp_path, 1, 1))
    assert any(step.phase == "answers of the vision model" for step in progress)


def test_a_model_that_gives_nothing_is_not_an_empty_page(marker: Rig, tmp_path: Path, servers: Path) -> None:
    fail = servers / "vlm.fail"
    fail.touch()
    try:
        result = good(marker.convert(request(SAMPLES / "scan.pdf", tmp_path, 1, 1))[0])
    finally:
        fail.unlink()
    (page,) = result.pages
    assert "degraded" in page.warnings or page.status == FAILED


def test_what_the_models_lose_comes_from_the_text_layer(marker: Rig, tmp_path: Path) -> None:
    file = write(tmp_path, book(PROSE))
    result = good(marker.convert(request(file, tmp_path / "out", force_ocr=True))[0])
    (page,) = result.pages
    assert (page.status, page.engine) == (OK, "text")
    assert DEGRADED in page.warnings
    assert page.fidelity is not None
    assert page.fidelity > 0.9
    assert "river valley" in pages(tmp_path / "out", result)[1]


def test_how_much_may_be_lost_is_an_option(marker: Rig, tmp_path: Path) -> None:
    file = write(tmp_path, book(PROSE))
    result = good(marker.convert(request(file, tmp_path / "out", force_ocr=True, engine={"fidelity": "0"}))[0])
    (page,) = result.pages
    assert (page.status, page.engine, page.warnings) == (OK, None, ())
    assert page.fidelity is not None
    assert page.fidelity < 0.5


def test_a_layout_server_that_fails_is_unhealthy(marker: Rig, tmp_path: Path, servers: Path) -> None:
    fail = servers / "layout.fail"
    fail.touch()
    try:
        answer, _ = marker.convert(request(SAMPLES / "report.pdf", tmp_path, 1, 2))
    finally:
        fail.unlink()
    assert isinstance(answer, Error)
    assert answer.failure == FailureClass.UNHEALTHY
    assert "HTTPStatusError" in answer.traceback


def chapters(*sizes: int) -> bytes:
    """A page for each size, with a heading of that size and some text."""
    text = pdfs.text(
        *[
            "",
            "",
            "",
            "",
            *(
                f"Line {n} of the chapter, which says nothing new about mills, or about the river that they stand by, or wind."
                for n in range(9)
            ),
        ]
    )
    return pdfs.document(*(pdfs.text(f"{TITLES[n]} {n}", size=size) + b"\n" + text for n, size in enumerate(sizes)))


@pytest.mark.parametrize("output", ["markdown", "html", "json", "chunks"])
def test_sizes_of_headings_come_with_a_page(marker: Rig, tmp_path: Path, output: str) -> None:
    file = tmp_path / "chapters.pdf"
    file.write_bytes(chapters(40, 26, 40, 32, 22, 26, 32))
    whole = good(marker.convert(request(file, tmp_path / "whole", 1, 7, output=output))[0])
    sizes: dict[int, float] = {}
    for page in whole.pages:
        assert page.file
        assert page.about
        text = (tmp_path / "whole" / page.file).read_text(encoding="utf-8")
        (heading,) = json.loads((tmp_path / "whole" / page.about).read_text(encoding="utf-8"))["headings"]
        sizes[page.page] = heading["size"]
        if output in ("markdown", "html"):
            assert re.match(r"#+ " if output == "markdown" else r"\s*<h\d>", text.split("\n")[heading["line"]])
        else:
            assert heading["block"] in text
        assert re.search(f"{TITLES[page.page - 1]} {page.page - 1}", text)
        assert not re.search(r"H\d+X", text)  # no mark is left
    alike = {n: round(size / 4) for n, size in sizes.items()}  # what letters are in a line makes it a little higher
    assert alike[1] == alike[3] > alike[4] == alike[7] > alike[2] == alike[6] > alike[5] > 0, sizes
    # Of a page alone the same is told.
    one = good(marker.convert(request(file, tmp_path / "one", 5, 5, output=output))[0]).pages[0]
    assert one.about
    (heading,) = json.loads((tmp_path / "one" / one.about).read_text(encoding="utf-8"))["headings"]
    assert heading["size"] == sizes[5]


def serve(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the starter of servers with a program that only prints its arguments."""
    program = folder / "program"
    program.write_text(f"#!{sys.executable}\nimport json, sys; print(json.dumps(sys.argv[1:]))\n", encoding="utf-8")
    program.chmod(0o755)
    command = [
        sys.executable,
        "-m",
        "pdfmill_runner.marker.serve",
        "--port",
        "7",
        *args,
        "--program",
        str(program),
        "--parallel",
        "3",
    ]
    env = {**os.environ, "HF_HOME": str(folder), "HF_HUB_OFFLINE": "1"}
    return subprocess.run([*command, "--", "--more"], env=env, capture_output=True, text=True, check=False)


def test_vision_models_are_started_as_surya_starts_them(tmp_path: Path) -> None:
    for repo, files in (("surya-ocr-2", ["config.json"]), ("surya-ocr-2-gguf", ["surya-2.gguf", "surya-2-mmproj.gguf"])):
        place = tmp_path / "hub" / f"models--datalab-to--{repo}"
        snapshot = place / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text("abc", encoding="ascii")
        for name in files:
            (snapshot / name).write_text("x", encoding="ascii")
    vllm = serve(tmp_path, "vllm", "--memory", "0.5")
    args = json.loads(vllm.stdout)
    assert args[:2] == ["serve", "datalab-to/surya-ocr-2"]
    assert args[args.index("--max-num-seqs") + 1] == "3"
    assert args[args.index("--gpu-memory-utilization") + 1] == "0.5"
    assert args[-1] == "--more"
    args = json.loads(serve(tmp_path, "llamacpp").stdout)
    assert args[args.index("-m") + 1].endswith("snapshots/abc/surya-2.gguf")
    assert args[args.index("--alias") + 1] == "datalab-to/surya-ocr-2"
    assert args[args.index("--ctx-size") + 1] == str(3 * 12_288)


def test_servers_say_which_weights_are_missing(tmp_path: Path) -> None:
    for kind, what in (
        ("layout", "surya_layout2"),
        ("ocr_error", "ocr_error_detection"),
        ("vllm", "surya-ocr-2"),
        ("llamacpp", "gguf"),
    ):
        done = serve(tmp_path, kind)
        assert done.returncode == 78
        last = done.stderr.strip().splitlines()[-1]
        assert what in last
        assert "pdfmill engines install" in last
