"""Fetching weights with the real huggingface_hub, and surya's own word on them. The servers are a stand-in: mirror.py."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from . import mirror
from .installed import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

S3 = "s3://text_detection/2025_05_07"
HUB = "hf://datalab-to/surya_layout2"
SIZE = 3 << 20


class Place:
    """A mirror with both kinds of checkpoint, and a folder for weights."""

    def __init__(self, folder: Path) -> None:
        self.mirror, self.home = folder / "mirror", folder / "models"
        for path in ("s3/text_detection/2025_05_07", "hub/datalab-to/surya_layout2"):
            at = self.mirror / path
            at.mkdir(parents=True)
            (at / "config.json").write_text('{"small": true}', encoding="utf-8")
            (at / "model.safetensors").write_bytes(random.Random(path).randbytes(SIZE))  # noqa: S311 - content, not a secret
        self.variables = mirror.start(self.mirror)

    def start(self, *args: str, **more: str) -> subprocess.Popen[str]:
        keep = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        env = {**keep, "HF_HOME": str(self.home), "MODEL_CACHE_DIR": str(self.home / "datalab"), **self.variables, **more}
        command = [sys.executable, "-m", "pdfmill_runner.marker.weights", *args]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *args: str, **more: str) -> tuple[int, list[dict[str, Any]]]:
        process = self.start(*args, **more)
        out, err = process.communicate(timeout=PATIENCE)
        assert "Traceback" not in err, err
        return process.returncode, [json.loads(line) for line in out.splitlines()]

    def large(self, checkpoint: str) -> Path:
        (state,) = [e for e in self.run("check", checkpoint)[1] if e["event"] == "state"]
        return Path(state["folder"]) / "model.safetensors"

    def ranges(self) -> list[str]:
        lines = (self.mirror / "requests.log").read_text(encoding="utf-8").splitlines()
        return [line.split()[-1] for line in lines if line.startswith("GET") and "model.safetensors" in line]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


both = pytest.mark.parametrize("checkpoint", [S3, HUB])


@both
def test_fetched_verified_and_told_of(place: Place, checkpoint: str) -> None:
    status, events = place.run("fetch", checkpoint)
    assert status == 0, events
    assert events[0] == {"event": "plan", "checkpoint": checkpoint, "files": 2, "total": SIZE + 15}
    progress = [e for e in events if e["event"] == "progress"]
    assert progress[-1]["done"] == progress[-1]["total"] == SIZE + 15
    assert (events[-1]["status"], events[-1]["verified"], events[-1]["bytes"]) == ("there", True, SIZE + 15)
    asked = len(place.ranges())
    assert place.run("fetch", checkpoint)[0] == 0
    assert len(place.ranges()) == asked  # nothing twice


@both
def test_a_broken_connection_is_resumed(place: Place, checkpoint: str) -> None:
    (place.mirror / "cut").write_text(str(1 << 20), encoding="ascii")
    assert place.run("fetch", checkpoint)[0] == 0
    assert place.ranges()[-1].startswith("bytes=")
    assert place.run("check", "--deep", checkpoint)[0] == 0


@both
def test_a_killed_fetch_is_resumed_by_the_next(place: Place, checkpoint: str) -> None:
    (place.mirror / "stall").write_text(str(2 << 20), encoding="ascii")
    process = place.start("fetch", checkpoint)
    _until(lambda: any(p.stat().st_size >= 1 << 20 for p in place.home.rglob("*.partial")))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (place.mirror / "stall").unlink()
    assert place.run("check", checkpoint)[0] == 1  # what is half there is not there
    status, events = place.run("fetch", checkpoint)
    assert status == 0, events
    (resumed,) = [e for e in events if e["event"] == "resume"]
    assert resumed["at"] >= 1 << 20
    assert place.ranges()[-1] == f"bytes={resumed['at']}-"
    assert place.run("check", "--deep", checkpoint)[0] == 0


@both
def test_what_comes_out_damaged_is_fetched_again(place: Place, checkpoint: str) -> None:
    (place.mirror / "corrupt").write_text("model.safetensors", encoding="utf-8")
    status, events = place.run("fetch", checkpoint)
    assert status == 0, events
    assert [e["file"] for e in events if e["event"] == "refetch"] == ["model.safetensors"]
    assert place.run("check", "--deep", checkpoint)[0] == 0


@both
def test_damage_on_disk_is_seen_and_mended(place: Place, checkpoint: str) -> None:
    assert place.run("fetch", checkpoint)[0] == 0
    file = place.large(checkpoint).resolve()
    data = bytearray(file.read_bytes())
    data[7] ^= 1
    file.chmod(0o644)
    file.write_bytes(data)
    assert place.run("check", checkpoint)[0] == 0  # the length is right …
    status, events = place.run("check", "--deep", checkpoint)
    assert (status, events[0]["status"]) == (1, "damaged")  # … the content is not
    assert "model.safetensors" in events[0]["detail"]
    assert place.run("fetch", checkpoint)[0] == 0
    assert place.run("check", "--deep", checkpoint)[0] == 0
    file.write_bytes(data[:-1])
    assert place.run("check", checkpoint)[1][0]["status"] == "damaged"


@both
def test_without_network_the_error_says_what_to_do(place: Place, checkpoint: str) -> None:
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "S3_BASE_URL": "http://127.0.0.1:9"}
    status, (failed,) = place.run("fetch", checkpoint, **nowhere)
    assert (status, failed["event"]) == (1, "failed")
    assert checkpoint in failed["message"]
    assert "Connect" in failed["message"]
    assert "try again" in failed["message"]


@both
def test_offline_touches_no_network(place: Place, checkpoint: str) -> None:
    status, (failed,) = place.run("fetch", checkpoint, HF_HUB_OFFLINE="1")
    assert status == 1
    assert str(place.home) in failed["message"]
    assert not (place.mirror / "requests.log").exists()
    assert place.run("check", checkpoint)[1][0]["status"] == "missing"


def test_what_is_not_there_is_named(place: Place) -> None:
    status, events = place.run("fetch", "s3://text_detection/1999_01_01")
    assert status == 1
    assert "404" in events[-1]["message"]
    assert "1999_01_01" in events[-1]["message"]


def test_surya_finds_what_was_fetched_and_asks_nobody(place: Place) -> None:
    assert place.run("fetch", S3)[0] == 0
    code = (
        "from surya.common.s3 import check_manifest, S3DownloaderMixin, download_directory\n"
        f"folder = S3DownloaderMixin.get_local_path({S3!r})\n"
        f"assert check_manifest(folder); download_directory({S3.removeprefix('s3://')!r}, folder); print('found')"
    )
    env = {**os.environ, "MODEL_CACHE_DIR": str(place.home / "datalab"), "S3_BASE_URL": "http://127.0.0.1:9"}
    assert subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True).stdout == "found\n"


def test_the_hub_library_finds_what_was_fetched_and_asks_nobody(place: Place) -> None:
    assert place.run("fetch", HUB)[0] == 0
    code = "from huggingface_hub import snapshot_download as s; print(s('datalab-to/surya_layout2'))"
    env = {**os.environ, "HF_HOME": str(place.home), "HF_HUB_OFFLINE": "1"}
    found = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True).stdout
    assert (Path(found.strip()) / "model.safetensors").stat().st_size == SIZE


def test_only_the_files_that_are_wanted(place: Place) -> None:
    some = HUB + "#config.json"
    assert place.run("fetch", some)[1][0]["total"] == 15
    assert place.run("check", some)[0] == 0
    assert not place.ranges()


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
