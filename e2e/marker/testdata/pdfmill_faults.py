"""Faults of the tests inside marker's and surya's real code. The interpreter of workers and servers imports this at its start, because a .pth file beside
it says so, and calls arm.

A file in the folder is a fault that happens once, when the word in its name is in what is converted, unless its content is "always":

hang    waits for ever in native code, with the interpreter's lock held: nothing in the process moves any more
memory  allocates more than RLIMIT_DATA, which is lowered to just above what the process has, allows

layout  as hang, in the next picture of a page that the layout server of 2.x is given, whatever is on it

In marker 1.10.x it is in a forward pass of the layout model; in 2.x a hang is in one of the OCR error server's, and memory runs out in a worker, in the
middle of marker's own steps.
"""

import ctypes
import resource
import sys
from pathlib import Path


def arm(folder):
    """Have the faults happen in this process, if it is a worker or a server."""
    program = " ".join(sys.orig_argv)
    if "pdfmill_runner.marker.serve" in program and "ocr_error" in program:
        _server(Path(folder))
    elif "pdfmill_runner.marker.serve" in program and "layout" in program:
        _layout_server(Path(folder))
    elif "--engine marker" in program:
        _worker(Path(folder))


def _due(folder, text, faults):
    for fault in faults:
        file = folder / fault
        if fault in text and file.exists():
            if file.read_text(encoding="ascii") != "always":
                file.unlink()
            return fault
    return ""


def _hang():
    ctypes.PyDLL(None).pause()


def _limit():
    held = next(line for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if line.startswith("VmData"))
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, ((int(held.split()[1]) << 10) + (64 << 20), most))


def _worker(folder):
    from pdfmill_runner.engines.marker import MarkerEngine
    from pdfmill_runner.text.pdfium import Document

    real = MarkerEngine.convert
    faults = ("memory",) if MarkerEngine.generation > 1 else ("hang", "memory")

    def convert(self, request, progress):
        with Document(request.path) as document:
            text = " ".join(document.text(n, 10_000)[0] for n in range(request.first, request.last + 1))
        if request.options.mode == "plain" or not (fault := _due(folder, text, faults)):
            return real(self, request, progress)
        if self.generation > 1:
            return real(self, request, _Memory(progress))
        hook = _hang if fault == "hang" else _torch_memory
        self._models.models["layout_model"].foundation_predictor.model.register_forward_hook(lambda *_: hook())
        return real(self, request, progress)

    MarkerEngine.convert = convert


def _torch_memory():
    import torch

    _limit()
    torch.ones(1 << 30)


class _Memory:
    """Progress, in the middle of which memory runs out."""

    def __init__(self, progress):
        self._progress = progress

    def __call__(self, phase, done, total):
        self._progress(phase, done, total)
        if phase.endswith("Processor"):
            _limit()
            bytearray(1 << 30)


def _server(folder):
    from surya.ocr_error.server import OCRErrorEngine

    real = OCRErrorEngine.run_batch

    def run_batch(self, payloads, params):
        if _due(folder, " ".join(payloads), ("hang",)):
            self.predictor.model.register_forward_hook(lambda *_: _hang())
        return real(self, payloads, params)

    OCRErrorEngine.run_batch = run_batch


def _layout_server(folder):
    from surya.fast_layout.server import LayoutEngine

    real = LayoutEngine.run_batch

    def run_batch(self, payloads, params):
        page = max(picture.width for picture in payloads) > 32  # that is what it is asked now and then
        if page and _due(folder, "layout", ("layout",)):
            self.model.model.model.register_forward_hook(lambda *_: _hang())
        return real(self, payloads, params)

    LayoutEngine.run_batch = run_batch
