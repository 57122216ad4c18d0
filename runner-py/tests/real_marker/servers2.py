"""STAND-INS for the servers of marker 2.x: they answer the real wire formats over HTTP, without any model.

    python servers2.py --dir FOLDER

starts all three on free ports and writes FOLDER/servers.json: the variables that surya reads. They end when stdin does.
Files in FOLDER make a server, by its name below, misbehave:

NAME.fail  while it is there every inference answers 500
NAME.hold  while it is there no inference is answered; NAME.held says that one waits
vlm.slow   while it is there the server of llama_server.py does not begin to listen

NAME.asked has a sign for each inference.

layout     finds blocks by geometry: ink, cut at white rows; tall rows are headings, ruled areas tables, dense ones pictures
ocr_error  calls a text bad when it holds U+FFFD
vlm        speaks OpenAI's chat completions; "reads" every block as a fixed sentence with the block's size in it
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

LAYOUT_MODEL = "hf://datalab-to/surya_layout2"
OCR_ERROR_MODEL = "s3://ocr_error_detection/2025_02_18"
VLM_MODEL = "datalab-to/surya-ocr-2"
RAW = {"SectionHeader": "Section-Header", "Picture": "Image"}
READ = "The stand-in read a block"


def blocks(image: Image.Image) -> list[tuple[str, list[int]]]:
    """Return label and box of the blocks of a page: what white rows separate."""
    ink = np.asarray(image.convert("L")) < 160
    rows = np.flatnonzero(ink.any(axis=1))
    if not rows.size:
        return []
    gap = max(6, image.height // 110)
    cuts = np.flatnonzero(np.diff(rows) > gap)
    found = []
    for top, bottom in zip(rows[np.r_[0, cuts + 1]], rows[np.r_[cuts, rows.size - 1]], strict=True):
        band = ink[top : bottom + 1]
        columns = np.flatnonzero(band.any(axis=0))
        box = [int(columns[0]), int(top), int(columns[-1]) + 1, int(bottom) + 1]
        found.append((_label(band[:, columns[0] : columns[-1] + 1], image.width), box))
    return found


def _label(band: Any, page_width: int) -> str:
    height, width = band.shape
    lines = int((np.diff(np.r_[False, band.any(axis=1), False].astype(int)) == 1).sum())
    if height > 60 and band.mean() > 0.35:
        return "Picture"
    if height > 30 and (band.mean(axis=1) > 0.95).sum() >= 3 and width > page_width * 0.3:
        return "Table"
    if lines == 1 and 14 < height < 60 and width < page_width * 0.7:
        return "SectionHeader"
    return "Text"


def _poly(box: list[int]) -> list[list[float]]:
    x0, y0, x1, y1 = map(float, box)
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]


def _page(data: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")


def layout(item: str) -> dict[str, Any]:
    """Answer one item of the layout server."""
    page = _page(item)
    boxes = [
        {
            "polygon": _poly(box),
            "label": label,
            "raw_label": RAW.get(label, label),
            "position": i,
            "confidence": 0.9,
            "count": 200,
        }
        for i, (label, box) in enumerate(blocks(page))
    ]
    return {"bboxes": boxes, "image_bbox": [0.0, 0.0, float(page.width), float(page.height)], "error": False}


def ocr_error(item: str) -> dict[str, Any]:
    """Answer one item of the OCR error server."""
    bad = "\ufffd" in item
    return {"label": "bad" if bad else "good", "score": 0.99 if bad else 0.01}


def vlm(request: dict[str, Any]) -> str:
    """Return what the vision language model "says" to a request."""
    (message,) = request["messages"]
    image = next(part["image_url"]["url"] for part in message["content"] if part["type"] == "image_url")
    prompt = next(part["text"] for part in message["content"] if part["type"] == "text")
    page = _page(image.partition(",")[2])
    if prompt.startswith("OCR this block"):
        return f"<p>{READ} of {page.width} by {page.height}.</p>"
    scaled = [
        (label, [round(v * 1000 / size) for v, size in zip(box, (page.width, page.height) * 2, strict=True)])
        for label, box in blocks(page)
    ]
    if prompt.startswith("Output the layout"):
        return json.dumps(
            [{"label": RAW.get(label, label), "bbox": " ".join(map(str, box)), "count": 200} for label, box in scaled]
        )
    return "".join(_div(label, box) for label, box in scaled)


def _div(label: str, box: list[int]) -> str:
    tag = "h2" if label == "SectionHeader" else "p"
    place = " ".join(map(str, box))
    return f'<div data-label="{RAW.get(label, label)}" data-bbox="{place}"><{tag}>{READ} at {box[1]}.</{tag}></div>'


class _Handler(BaseHTTPRequestHandler):
    """One server; `kind` says which."""

    protocol_version = "HTTP/1.1"
    kind = ""
    model = ""
    folder = Path()  # of files that make it misbehave: see the module

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _send(self, code: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        path = self.path.rstrip("/")
        if path == "/health":
            self._send(200, {"status": "ok", "stand_in": True})
        elif path.endswith("/models"):
            self._send(200, {"data": [{"id": self.model, "object": "model"}]})
        else:
            self._send(404, {"error": "not found"})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        hold = self.folder / f"{self.kind}.hold"
        while hold.exists() and request.get("max_tokens") != 1:  # which is only asked to see whether it lives
            (self.folder / f"{self.kind}.held").touch()
            time.sleep(0.02)
        with (self.folder / f"{self.kind}.asked").open("a", encoding="ascii") as asked:
            asked.write(".")
        if (self.folder / f"{self.kind}.fail").exists():
            self._send(500, {"error": {"message": "the stand-in was told to fail", "type": "server_error"}})
        elif self.kind == "vlm":
            text = vlm(request)
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", "logprobs": None}
            usage = {"prompt_tokens": 1, "completion_tokens": len(text) // 4, "total_tokens": 1 + len(text) // 4}
            self._send(
                200,
                {
                    "id": "stand-in",
                    "object": "chat.completion",
                    "created": int(time.time()),
                    "model": self.model,
                    "choices": [choice],
                    "usage": usage,
                },
            )
        else:
            answer = {"layout": layout, "ocr_error": ocr_error}[self.kind]
            self._send(200, {"results": [answer(item) for item in request["items"]]})


def start(kind: str, model: str, folder: Path, port: int = 0) -> str:
    """Start a server, on a free port unless one is given, and return its address."""
    handler = type(f"_{kind}", (_Handler,), {"kind": kind, "model": model, "folder": folder})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/v1"


def main() -> None:
    """Start all three and wait for the end of stdin."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    folder = parser.parse_args().dir
    variables = {
        "FAST_LAYOUT_SERVER_URL": start("layout", LAYOUT_MODEL, folder),
        "OCR_ERROR_SERVER_URL": start("ocr_error", OCR_ERROR_MODEL, folder),
        "SURYA_INFERENCE_URL": start("vlm", VLM_MODEL, folder),
    }
    partial = folder / "servers.json.partial"
    partial.write_text(json.dumps(variables), encoding="utf-8")
    partial.rename(folder / "servers.json")
    sys.stdin.read()


if __name__ == "__main__":
    main()
