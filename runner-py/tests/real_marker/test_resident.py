"""What only marker 1.10.x has: models in the process. They are surya's real classes with tiny random weights, see tiny1.py."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pdfs
from rig import Rig, request

from .installed import PATIENCE
from .test_marker import PROSE, SAMPLES, book, good, pages, write

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = """
import json, sys, torch
from pdfmill_runner.engines.marker import MarkerEngine
from pdfmill_runner.marker import work
from pdfmill_runner.protocol import Convert, Options

asked, warm = {}, []
real = work.Work.convert
def convert(self):
    warm.append(self._request.id)
    return real(self)
work.Work.convert = convert

engine = MarkerEngine()
engine.load()
loaded = list(warm)
models = engine._models.models

def watch(name, predictor):
    kind = type(predictor)
    call = kind.__call__
    def told(self, *args, **named):
        if "batch_size" in named or "recognition_batch_size" in named:
            sizes = [named.get("recognition_batch_size"), named.get("batch_size", named.get("detection_batch_size"))]
            asked.setdefault(name, []).append(sizes)
        return call(self, *args, **named)
    models[name].__class__ = type(kind.__name__, (kind,), {"__call__": told})
for name, predictor in models.items():
    watch(name, predictor)
asking = Options(images=False, force_ocr=True)
engine.convert(Convert("it", sys.argv[1], 1, 1, asking, sys.argv[2], 600.0, 0.5), lambda *_: None)
nets = {name: getattr(p, "model", None) or p.foundation_predictor.model for name, p in models.items()}
print(json.dumps({
    "threads": torch.get_num_threads(),
    "warm": loaded,
    "asked": asked,
    "attention": {
        n: [m.config.decoder._attn_implementation, type(m.vision_encoder.blocks[0].attn).__name__]
        for n, m in nets.items() if hasattr(m, "vision_encoder")
    },
    "dtypes": {n: str(next(m.parameters()).dtype) for n, m in nets.items()},
    "half": engine._models.config(0.5),
    "whole": engine._models.config(1.0),
}))
"""

# For a module that Python imports at its start. What it registers is called before each fork, of Python and of native code, in
# the process that forks; not where a program is only started, which takes no copy of the process.
FORKED = """
import ctypes, os, traceback

@ctypes.CFUNCTYPE(None)
def told():
    with open(os.environ["FORKS"], "a") as file:
        file.write("".join(traceback.format_stack()))

register = getattr(ctypes.CDLL(None), "__register_atfork")
register.argtypes = [ctypes.c_void_p] * 4
register(told, None, None, None)
"""


@pytest.fixture
def forks(tmp_path: Path) -> dict[str, str]:
    """Variables with which a process writes each of its forks to the file FORKS."""
    folder = tmp_path / "told"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(FORKED, encoding="utf-8")
    path = os.pathsep.join((str(folder), os.environ.get("PYTHONPATH", "")))
    return {"PYTHONPATH": path, "FORKS": str(tmp_path / "forks")}


def test_no_worker_forks(environment: dict[str, str], forks: dict[str, str], tmp_path: Path) -> None:
    """What has used CUDA must not: a child of it can't use CUDA, and may hang in the locks that it has inherited."""
    # So many pages that marker's own settings would have them read by children.
    many = write(tmp_path, book(*([f"This is page number {n}.", *PROSE] for n in range(1, 21))))
    with Rig("marker", environment | forks, patience=PATIENCE) as rig:
        rig.greet()
        good(rig.convert(request(many, tmp_path / "many", 1, 20))[0])
        good(rig.convert(request(SAMPLES / "scan.pdf", tmp_path / "scan", force_ocr=True))[0])
        good(rig.convert(request(SAMPLES / "report.pdf", tmp_path / "report", 1, 2, output="json"))[0])
        rig.hang_up()
        assert rig.ends()[0] == 0
    found = Path(forks["FORKS"])
    assert not found.exists(), found.read_text(encoding="utf-8")
    # It would have been seen: marker has pages read in this way, unless told otherwise.
    code = "import sys; from pdftext.extraction import dictionary_output; dictionary_output(sys.argv[1], workers=2)"
    subprocess.run([sys.executable, "-c", code, str(many)], env={**os.environ, **forks}, check=True, timeout=PATIENCE)
    assert "pdftext" in found.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def settings(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the settings of a worker have come to, in the models themselves."""
    out = tmp_path_factory.mktemp("out")
    own = {
        "OMP_NUM_THREADS": "1",
        "PDFMILL_MARKER_DTYPE": "bfloat16",
        "PDFMILL_MARKER_ATTENTION": "eager",
        "TORCH_DEVICE": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-c", SETTINGS, str(SAMPLES / "scan.pdf"), str(out)],
        env={**os.environ, **environment, **own}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_page_is_converted_before_ready(settings: dict[str, Any]) -> None:
    assert settings["warm"] == ["warm-up"]


def test_threads_are_the_workers_share(settings: dict[str, Any]) -> None:
    assert settings["threads"] == 1


def test_the_number_format_reaches_the_models(settings: dict[str, Any]) -> None:
    assert set(settings["dtypes"].values()) == {"torch.bfloat16"}, settings["dtypes"]


def test_the_attention_reaches_the_models(settings: dict[str, Any]) -> None:
    eager = ["eager", "Qwen2_5_VLVisionAttention"]  # sdpa's and flash attention's are other classes
    assert settings["attention"] == {"layout_model": eager, "recognition_model": eager}


def test_the_scale_of_batches_reaches_the_models(settings: dict[str, Any]) -> None:
    whole, half = settings["whole"], settings["half"]
    assert half == {name: max(1, round(size / 2)) for name, size in whole.items()}
    assert settings["asked"]["layout_model"] == [[None, half["layout_batch_size"]]]
    assert settings["asked"]["detection_model"][0][1] == half["detection_batch_size"]
    assert settings["asked"]["recognition_model"][0][0] == half["recognition_batch_size"]


def test_a_real_segmentation_fault_leaves_its_stack(brittle: dict[str, str], tmp_path: Path) -> None:
    with Rig("brittle", brittle, patience=600) as rig:
        rig.greet()
        Path(brittle["SABOTAGE"]).write_text("segfault", encoding="ascii")
        rig.send(request(SAMPLES / "scan.pdf", tmp_path / "out"))
        status, _, said = rig.ends()
        assert status == -signal.SIGSEGV
        assert "Segmentation fault" in said
        assert "detection" in said  # whose forward pass it was


@pytest.fixture(scope="module")
def pictured(environment: dict[str, str]) -> Iterator[Rig]:
    """A runner to which the lower half of every page is a picture."""
    model = Path(environment["LAYOUT_MODEL_CHECKPOINT"]).with_name("pictures")
    with Rig("marker", environment | {"LAYOUT_MODEL_CHECKPOINT": str(model)}, patience=PATIENCE) as rig:
        rig.greet()
        yield rig


@pytest.mark.parametrize("output", ["markdown", "html", "json", "chunks"])
def test_pictures_come_with_every_output(pictured: Rig, tmp_path: Path, output: str) -> None:
    content = [pdfs.text(f"This is page number {n}.", *PROSE) + b"\nq 250 0 0 250 72 100 cm /X1000 Do Q" for n in (1, 2)]
    file = write(tmp_path, pdfs.document(*content, extra={1000: pdfs.image(300, 300)}))
    result = good(pictured.convert(request(file, tmp_path / "out", 1, 2, output=output))[0])
    texts = pages(tmp_path / "out", result)
    for n in (1, 2):
        assert f"page number {n}" in texts[n]
    if output in ("json", "chunks"):  # which hold pictures themselves, as marker writes them
        for n in (1, 2):
            (picture,) = [block for block in blocks(json.loads(texts[n])) if block.get("block_type") == "Picture"]
            (image,) = picture["images"].values()
            assert base64.b64decode(image).startswith(b"\xff\xd8")
        return
    assert [image.page for image in result.images] == [1, 2]
    for image in result.images:
        assert re.fullmatch(rf"images/page-{image.page:04d}-Picture-\d+\.jpg", image.file)
        assert (tmp_path / "out" / image.file).stat().st_size == image.bytes
        assert image.file in texts[image.page]


def blocks(value: Any) -> Iterator[dict[str, Any]]:
    """Every block in a page's JSON, however deep."""
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from blocks(inner)
    if isinstance(value, dict) and "block_type" in value:
        yield value
