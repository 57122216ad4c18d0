"""Writes a folder of weights as `pdfmill engines install` would leave it, with STAND-INS in it: those of tiny1.py or tiny2.py.

    python place.py FOLDER [--pictures]

Run it in an environment of marker: its generation decides. The vision language model's files hold nothing: its server is a
stand-in too, see llama_server.py. With --pictures, the layout model of 1.10.x is the one that finds pictures.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from real_marker import tiny1, tiny2
from real_marker.installed import GENERATION

LAYOUT1 = "layout/2025_09_23"
OCR_ERROR = "ocr_error_detection/2025_02_18"
MODELS = {
    LAYOUT1: "foundation",
    "text_recognition/2025_09_23": "foundation",
    "table_recognition/2025_02_18": "table",
    "text_detection/2025_05_07": "detector",
    OCR_ERROR: "ocr-error",
}
LAYOUT = "surya_layout2"
VLM = {"surya-ocr-2-gguf": ("surya-2.gguf", "surya-2-mmproj.gguf")}


def write(folder: Path, *, pictures: bool = False) -> None:
    """Write the folder; one that is complete is left as it is. Whoever wants the same one meanwhile waits."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").is_file():
            _write(folder, pictures=pictures)


def _write(folder: Path, *, pictures: bool) -> None:
    made = folder / "made"
    if GENERATION == 1:
        tiny1.write(made)
    else:
        (made / "ocr-error").mkdir(parents=True, exist_ok=True)
        tiny2.ocr_error(made / "ocr-error")
        tiny2.layout(_snapshot(folder, LAYOUT))
    models = MODELS if GENERATION == 1 else {OCR_ERROR: MODELS[OCR_ERROR]}
    if GENERATION == 1 and pictures:
        models = models | {LAYOUT1: "pictures"}
    for place, name in models.items():
        target = folder / "datalab" / place
        shutil.copytree(made / name, target, dirs_exist_ok=True)
        names = sorted(path.name for path in target.iterdir())
        (target / "manifest.json").write_text(json.dumps({"files": names}), encoding="utf-8")
    for repo, files in VLM.items():
        snapshot = _snapshot(folder, repo)
        for name in files:
            (snapshot / name).write_text("x", encoding="ascii")
    (folder / "complete").touch()


def _snapshot(folder: Path, repo: str) -> Path:
    """Return the folder of a repository's files, as the hub's library finds them."""
    place = folder / "hub" / f"models--datalab-to--{repo}"
    snapshot = place / "snapshots" / "stand-in"
    snapshot.mkdir(parents=True, exist_ok=True)
    (place / "refs").mkdir(exist_ok=True)
    (place / "refs" / "main").write_text("stand-in", encoding="ascii")
    return snapshot


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    write(Path(sys.argv[1]), pictures="--pictures" in sys.argv[2:])
