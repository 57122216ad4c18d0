"""What only marker 2.x has: models behind servers. The servers here are stand-ins, see servers2.py."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pdfmill_runner.failures import FailureClass
from pdfmill_runner.protocol import FAILED, Error
from rig import Rig, request

from .test_marker import SAMPLES, good, pages

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


def test_a_model_that_gives_nothing_is_not_an_empty_page(marker: Rig, tmp_path: Path, servers: Path) -> None:
    fail = servers / "vlm.fail"
    fail.touch()
    try:
        result = good(marker.convert(request(SAMPLES / "scan.pdf", tmp_path, 1, 1))[0])
    finally:
        fail.unlink()
    (page,) = result.pages
    assert "degraded" in page.warnings or page.status == FAILED


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
