"""`sim`: stands in for marker on a GPU. It allocates as marker does, takes as long, and fails on pages that ask.

It converts nothing. A page whose text holds `pdfmill-sim:WORD` fails as WORD says; `pdfmill-sim:WORD!` fails
in the plain mode too. It runs only when asked for by name, and with PDFMILL_GPUSIM naming the socket of a gpusim
broker, or `torch`: then the GPU is a real one, and so is the memory.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pdfmill_runner.engine import Conversion, DeviceMemory, Engine
from pdfmill_runner.failures import EngineError, FailureClass
from pdfmill_runner.protocol import PLAIN, Page

if TYPE_CHECKING:
    from pdfmill_runner.device import Device
    from pdfmill_runner.engine import Progress
    from pdfmill_runner.protocol import Convert

GIB = 1 << 30
MODELS = 31 * GIB // 10  # with a context of 0.4 GiB, what marker 1.x is reported to hold when it does nothing
MODEL_PARTS = 12
LOAD_SECONDS = (10.0, 15.0)
PAGE_SECONDS = 0.18
MOST = 55 * GIB // 10  # of a conversion, beside the models
_MARK = re.compile(r"pdfmill-sim:([a-z-]+)(!?)")
_DEVICE_FAULTS = {
    "device-assert": "assert",
    "illegal-access": "illegal",
    "xid": "xid",
    "ecc": "ecc",
    "device-lost": "lost",
    "hang": "hang",
}


@dataclass(frozen=True)
class _Shape:
    """What is looked at before a page is converted."""

    pixels: float
    fault: str
    even_plain: bool


class SimEngine(Engine):
    """Uses the memory and the time of marker 1.x, and none of its models."""

    name: ClassVar[str] = "sim"
    auto: ClassVar[bool] = False

    def __init__(self) -> None:
        self._scale = float(os.environ.get("PDFMILL_SIM_TIME_SCALE", "1"))
        self._blocking = os.environ.get("CUDA_LAUNCH_BLOCKING") == "1"
        self._device: Device | None = None
        self._sick = ""
        self._models: list[int] = []

    @property
    def device(self) -> str:
        """The device's name."""
        return os.environ.get("CUDA_VISIBLE_DEVICES") or "sim"

    def load(self) -> None:
        """Attach, then allocate what the models of marker 1.x would."""
        import pypdfium2  # noqa: F401, PLC0415 - this is what loading means

        self._device = attach(os.environ.get("PDFMILL_GPUSIM", ""))
        pause = random.SystemRandom().uniform(*LOAD_SECONDS) * self._scale / MODEL_PARTS
        for _ in range(MODEL_PARTS):
            self._models.append(self._device.alloc(MODELS // MODEL_PARTS))
            time.sleep(pause)
        self._device.reset_peak()

    def convert(self, request: Convert, progress: Progress) -> Conversion:
        """Use memory and time, and write a line a page."""
        assert self._device
        shapes = _shapes(request)
        need = _need(request, shapes)
        held: list[int] = []
        pages = []
        try:
            for shape, number in zip(shapes, range(request.first, request.last + 1), strict=True):
                if request.options.mode != PLAIN:
                    held.append(self._device.alloc(need // len(shapes)))
                self._page(shape, number, request)
                text = f"# Page {number}\n\nConverted by the simulated engine.\n"
                file = f"page-{number:04d}.md"
                (Path(request.out_dir) / file).write_text(text, encoding="utf-8", newline="\n")
                pages.append(Page(number, file=file, chars=len(text)))
                progress("sim", len(pages), len(shapes))
        except EngineError:
            raise
        except RuntimeError as error:
            # Kernels run on their own: only where each launch is waited for is it known which page has broken the device.
            if self._blocking and "CUDA error" in str(error):
                raise EngineError(FailureClass.DEVICE_ASSERT, str(error), page=number) from error
            raise
        finally:
            self._drop(held)
        return Conversion(pages)

    def _drop(self, held: list[int]) -> None:
        assert self._device
        try:
            for block in held:
                self._device.free(block)
        except RuntimeError:  # a broken device takes nothing back; what broke it is on its way up
            held.clear()

    def _page(self, shape: _Shape, number: int, request: Convert) -> None:
        assert self._device
        fault = shape.fault if shape.even_plain or request.options.mode != PLAIN else ""
        self._device.kernel(PAGE_SECONDS * self._scale, _DEVICE_FAULTS.get(fault, ""))
        match fault:
            case "oom":
                self._device.alloc(1 << 50)
            case "oom-large-batch" if request.batch_scale >= 1:
                self._device.alloc(1 << 50)
            case "compile":
                self._device.compile()
            case "leak":
                self._models.append(self._device.alloc(GIB // 2))
            case "unhealthy":
                self._sick = "the simulated device no longer answers"
                raise ValueError("sick from now on")
            case _:
                _die(fault)
                _fail(fault, number)

    def probe(self) -> str:
        """Run a kernel and wait for it."""
        assert self._device
        if self._sick:
            raise RuntimeError(self._sick)
        self._device.kernel()
        return f"sim: a kernel ran on {self._device.id}"

    def device_memory(self) -> DeviceMemory:
        """Return the allocator's figures; zeros from a broken device."""
        if self._device is None:
            return DeviceMemory()
        try:
            stats = self._device.stats()
        except RuntimeError:
            return DeviceMemory()
        return DeviceMemory(stats.allocated, stats.reserved, stats.peak_reserved)

    def settle(self) -> None:
        """Give back the cache and begin a new peak."""
        assert self._device
        try:
            self._device.empty_cache()
            self._device.reset_peak()
        except RuntimeError:  # it is broken, and whoever asks next will be told so
            return


def attach(where: str) -> Device:
    """Become a process on a device: on a real one ("torch"), or on one of the broker at a socket."""
    if not where:
        raise EngineError(
            FailureClass.ENGINE_MISSING, "the sim engine is for tests: PDFMILL_GPUSIM must name a gpusim socket, or be torch"
        )
    if where == "torch":
        from pdfmill_runner.torchdevice import TorchDevice  # noqa: PLC0415

        return TorchDevice()
    from pdfmill_runner.simdevice import SimDevice  # noqa: PLC0415

    conf = os.environ.get("PYTORCH_CUDA_ALLOC_CONF", "")
    return SimDevice(where, os.environ.get("CUDA_VISIBLE_DEVICES", ""), expandable="expandable_segments:True" in conf)


def _die(fault: str) -> None:
    match fault:
        case "crash":
            signal.signal(signal.SIGSEGV, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGSEGV)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(9)
        case "silent":
            time.sleep(3600)
        case "hog":  # real memory, until the kernel has had enough; where nothing bounds it, this does
            hoard = [b"\x01" * (16 << 20) for _ in range(256)]
            raise MemoryError(f"nobody minds {len(hoard)} blocks")


def _fail(fault: str, number: int) -> None:
    match fault:
        case "host-oom":
            raise MemoryError
        case "model-bug":
            raise AttributeError("'NoneType' object has no attribute 'input_ids'")
        case "pdf-corrupt":
            raise EngineError(FailureClass.PDF_CORRUPT, "Failed to load document (PDFium: Data format error).", page=number)
        case "engine-error":
            raise ValueError("a simulated error")


def _shapes(request: Convert) -> list[_Shape]:
    import pypdfium2  # noqa: PLC0415

    document = pypdfium2.PdfDocument(request.path)
    shapes = []
    for number in range(request.first - 1, request.last):
        page = document[number]
        width, height = page.get_size()
        words = page.get_textpage()
        mark = _MARK.search(words.get_text_bounded())
        shapes.append(_Shape(width * height * (192 / 72) ** 2, mark[1] if mark else "", bool(mark and mark[2])))
        words.close()
        page.close()
    document.close()
    return shapes


def _need(request: Convert, shapes: list[_Shape]) -> int:
    """Return the bytes that the range takes: from pages and pixels, now and then many times as much; the same each time.

    The law is that of bench/vram, which docs/vram.md states.
    """
    seed = hashlib.sha256(Path(request.path).read_bytes() + f"{request.first}-{request.last}".encode()).digest()
    draw = random.Random(seed)  # noqa: S311 - a simulation, not a secret
    megapixels = sum(shape.pixels for shape in shapes) / 1e6
    density = min(10.0, draw.paretovariate(2.5)) if draw.random() < 0.02 else 1.0  # noqa: PLR2004
    gib = draw.lognormvariate(0, 0.25) * (0.3 + density * (len(shapes) * 0.02 + megapixels * 0.008))
    return int(min(gib * GIB, MOST) * (0.3 + 0.7 * min(request.batch_scale, 1)))
