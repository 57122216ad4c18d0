"""The conversation, with the real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import pdfs
from pdfmill_runner import __version__
from pdfmill_runner.failures import FailureClass
from pdfmill_runner.protocol import MAX_LINE, Error, Hello, Probe, Probed, Progress, Ready, Result, Shutdown, format_line
from rig import SECONDS, Rig, request

if TYPE_CHECKING:
    from pathlib import Path


def fake(path: str, what: str = "") -> Rig:
    return Rig("fake", {"PYTHONPATH": os.pathsep.join([path, os.environ.get("PYTHONPATH", "")]), "FAKE": what})


def command(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pdfmill_runner", *args], capture_output=True, text=True, timeout=SECONDS, check=False
    )


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    file = tmp_path / "two.pdf"
    file.write_bytes(pdfs.document(pdfs.text("First page"), pdfs.text("Second page")))
    return file


def test_a_whole_conversation(pdf: Path, tmp_path: Path) -> None:
    with Rig() as rig:
        hello = rig.expect(Hello)
        assert (hello.engine, hello.device, hello.protocol, hello.pid) == ("text", "cpu", 1, rig.process.pid)
        assert hello.versions["pdfmill-runner"] == __version__
        assert {"liteparse", "pypdfium2", "python"} <= hello.versions.keys()
        ready = rig.expect(Ready)
        assert ready.memory.host_rss > 1 << 20
        rig.send(Probe("p-1"))
        assert rig.expect(Probed) == Probed("p-1", ok=True, detail="text: wrote a page and read it")
        result, progress = rig.convert(request(pdf, tmp_path / "out", 1, 2))
        assert isinstance(result, Result)
        assert [(p.page, p.file) for p in result.pages] == [(1, "page-0001.md"), (2, "page-0002.md")]
        assert result.memory.peak_host >= ready.memory.host_rss // 2
        assert progress[-1] == Progress("two.pdf", "convert", 2, 2)
        assert "Second page" in (tmp_path / "out" / "page-0002.md").read_text(encoding="utf-8")
        rig.send(Shutdown())
        assert rig.ends()[0] == 0


def test_the_end_of_the_pipe_ends_it() -> None:
    with Rig() as rig:
        rig.greet()
        rig.hang_up()
        assert rig.ends()[0] == 0


def test_it_does_not_outlive_the_service_while_it_converts(pdf: Path, tmp_path: Path, fake_engine: str) -> None:
    with fake(fake_engine, "hang") as rig:
        rig.greet()
        rig.send(request(pdf, tmp_path / "out"))
        rig.expect(Progress)
        rig.hang_up()
        assert rig.ends()[0] == 0


def test_it_does_not_outlive_the_service_while_it_loads(fake_engine: str) -> None:
    with fake(fake_engine, "slow load") as rig:
        rig.expect(Hello)
        rig.hang_up()
        assert rig.ends()[0] == 0


def test_a_shutdown_waits_for_the_job_in_hand(pdf: Path, tmp_path: Path) -> None:
    with Rig() as rig:
        rig.greet()
        rig.send_raw(format_line(request(pdf, tmp_path / "out", 1, 2)) + format_line(Shutdown()))
        rig.hang_up()
        while isinstance(message := rig.next(), Progress):
            pass
        assert isinstance(message, Result)
        assert rig.ends()[0] == 0


@pytest.mark.parametrize(
    "line",
    [
        b"garbage\n",
        b'{"type":"greet"}\n',
        b'{"type":"probe","id":"p-',
        b"x" * (MAX_LINE + 10) + b"\n",
        format_line(Probed("p", ok=True, detail="")),
    ],
    ids=["garbage", "unknown type", "half a line", "a giant line", "a message for the service"],
)
def test_garbage_ends_it_with_a_clear_word(line: bytes) -> None:
    with Rig("null") as rig:
        rig.greet()
        for at in range(0, len(line), 4096):
            rig.send_raw(line[at : at + 4096])
        rig.hang_up()
        status, _, err = rig.ends()
        assert status == 3
        assert "the conversation broke" in err


def test_what_libraries_print_does_not_disturb(pdf: Path, tmp_path: Path, fake_engine: str) -> None:
    with fake(fake_engine, "chatty") as rig:
        assert rig.greet().engine == "fake"
        result, _ = rig.convert(request(pdf, tmp_path / "out"))
        assert isinstance(result, Result)
        rig.send(Shutdown())
        status, out, err = rig.ends()
        assert status == 0
        assert out == "to stdout\nraw stdout\nchild\n"
        assert "to stderr" in err


def test_hasty_progress_is_thinned_out(pdf: Path, tmp_path: Path, fake_engine: str) -> None:
    with fake(fake_engine, "eager") as rig:
        rig.greet()
        result, progress = rig.convert(request(pdf, tmp_path / "out"))
        assert isinstance(result, Result)
        assert 1 <= len(progress) < 1000


@pytest.mark.parametrize(
    ("what", "failure", "intact"),
    [
        ("assert", FailureClass.DEVICE_ASSERT, False),
        ("short", FailureClass.ENGINE_ERROR, True),
        ("no file", FailureClass.ENGINE_ERROR, True),
    ],
)
def test_an_engine_that_fails(
    pdf: Path, tmp_path: Path, fake_engine: str, what: str, failure: FailureClass, *, intact: bool
) -> None:
    with fake(fake_engine, what) as rig:
        rig.greet()
        error, _ = rig.convert(request(pdf, tmp_path / "out"))
        assert isinstance(error, Error)
        assert (error.failure, error.context_intact) == (failure, intact)
        assert "Traceback" in error.traceback


def test_an_engine_that_cannot_load(fake_engine: str) -> None:
    with fake(fake_engine, "load") as rig:
        rig.expect(Hello)
        error = rig.expect(Error)
        assert (error.id, error.failure) == ("load", FailureClass.DEVICE_ASSERT)
        assert rig.ends()[0] == 1


def test_no_collection_goes_through_what_loading_made(fake_engine: str) -> None:
    with fake(fake_engine, "count") as rig:
        rig.greet()
        rig.send(Probe("p-1"))
        assert rig.expect(Probed).detail == "0"


def test_a_sick_engine_says_so(fake_engine: str) -> None:
    with fake(fake_engine, "sick") as rig:
        rig.greet()
        rig.send(Probe("p"))
        probed = rig.expect(Probed)
        assert not probed.ok
        assert "no answer from the device" in probed.detail


def test_requests_that_cannot_be_met(pdf: Path, tmp_path: Path, runner: Rig) -> None:
    html, _ = runner.convert(request(pdf, tmp_path / "out", output="html"))
    assert isinstance(html, Error)
    assert html.failure is FailureClass.INVALID_MESSAGE
    strange, _ = runner.convert(request(pdf, tmp_path / "out", engine={"colour": "red", "quality": "fast"}))
    assert isinstance(strange, Error)
    assert strange.failure is FailureClass.INVALID_MESSAGE
    assert "'colour'" in strange.message
    others, _ = runner.convert(request(pdf, tmp_path / "out", engine={"quality": "fast", "language": "de"}))
    assert isinstance(others, Result)  # a page of a document whose other pages they are for
    gone, _ = runner.convert(request(tmp_path / "gone.pdf", tmp_path / "out"))
    assert isinstance(gone, Error)
    assert (gone.failure, gone.context_intact) == (FailureClass.UNHEALTHY, True)


def test_null_is_instant_and_says_little(tmp_path: Path) -> None:
    with Rig("null") as rig:
        rig.greet()
        anything = tmp_path / "anything"
        anything.write_bytes(b"")
        result, _ = rig.convert(request(anything, tmp_path / "out", 3, 5))
        assert isinstance(result, Result)
        assert [p.file for p in result.pages] == ["page-0003.md", "page-0004.md", "page-0005.md"]


def test_list_engines(fake_engine: str) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([fake_engine, os.environ.get("PYTHONPATH", "")])}
    out = subprocess.run(
        [sys.executable, "-m", "pdfmill_runner", "--list-engines"], capture_output=True, timeout=SECONDS, check=True, env=env
    ).stdout
    engines = {engine["name"]: engine for engine in json.loads(out)["engines"]}
    assert list(engines) == ["text", "marker", "ocr", "null", "sim", "fake"]
    assert not engines["sim"]["auto"]
    assert (engines["text"]["available"], engines["text"]["auto"]) == (True, True)
    assert not engines["marker"]["available"]
    assert "marker-pdf" in engines["marker"]["reason"]
    assert not engines["ocr"]["available"]
    assert "rapidocr" in engines["ocr"]["reason"]
    assert (engines["null"]["available"], engines["null"]["auto"]) == (True, False)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--engine", "nonsense"], "there is no engine 'nonsense'"),
        ([], "which engine?"),
        (["--engine", "null", "--read-fd", "77"], "descriptor 77 is not open"),
        (["--engine", "null", "--read-fd", "0", "--write-fd", "78"], "descriptor 78 is not open"),
    ],
)
def test_usage_errors_have_a_hint(args: list[str], says: str) -> None:
    done = command(*args)
    assert done.returncode == 2
    assert says in done.stderr
    assert "hint: " in done.stderr
    assert not done.stdout


def test_starting_imports_nothing_heavy() -> None:
    code = (
        "import sys, pdfmill_runner.runner, pdfmill_runner.pipes; from pdfmill_runner import registry; "
        "registry.find('text'); print(*sys.modules)"
    )
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {m for m in modules if m.split(".")[0] in ("liteparse", "pypdfium2", "asyncio", "numpy")}
