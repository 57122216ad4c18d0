"""`marker`: layout, tables, formulas and recognition by models. The generation of marker that is installed does the work.

1.10.x holds its models in this process, 2.x asks servers; everything else is the same for both.
"""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pdfmill_runner.engine import Conversion, DeviceMemory, Engine
from pdfmill_runner.marker import options
from pdfmill_runner.protocol import Capabilities

if TYPE_CHECKING:
    from pdfmill_runner.engine import Progress
    from pdfmill_runner.protocol import Convert


def _generation() -> int:
    try:
        return int(metadata.version("marker-pdf").split(".")[0])
    except metadata.PackageNotFoundError:
        return 2


class MarkerEngine(Engine):
    """Converts with marker; a page that marker fails at, or loses too much of, is read by the text engine."""

    name: ClassVar[str] = "marker"
    distributions: ClassVar[tuple[str, ...]] = (
        "marker-pdf",
        "surya-ocr",
        "torch",
        "transformers",
        "pdftext",
        "pypdfium2",
        "liteparse",
    )
    generation: ClassVar[int] = _generation()
    options: ClassVar[tuple[str, ...]] = tuple(sorted({*options.names(1), *options.names(2)}))
    capabilities: ClassVar[Capabilities] = Capabilities(("markdown", "html", "json", "chunks"), shared_server=generation > 1)

    def __init__(self) -> None:
        self._models: Any = None

    @property
    def device(self) -> str:
        """Where the models are; before they are loaded, where they are wanted."""
        if self._models is not None:
            return str(self._models.device)
        if self.generation > 1:
            return "cpu"
        wanted = os.environ.get("TORCH_DEVICE") or ("cuda" if Path("/dev/nvidia0").exists() else "cpu")
        return "cuda:0" if wanted == "cuda" else wanted

    def load(self) -> None:
        """Import marker, load the models or find the servers, and convert a page to warm up."""
        from pdfmill_runner.marker import start  # noqa: PLC0415

        self._models = start.load(self.generation)
        start.warm_up(self._models, self.generation)

    def convert(self, request: Convert, progress: Progress) -> Conversion:
        """Convert a range; in plain mode with the text engine, which reads what makes marker fail."""
        from pdfmill_runner.marker.work import Work  # noqa: PLC0415
        from pdfmill_runner.text.pdfium import Document  # noqa: PLC0415

        with Document(request.path) as document:
            return Work(self._models, self.generation, document, request, progress).convert()

    def probe(self) -> str:
        """Compute on the device, or ask the servers."""
        return str(self._models.healthy())

    def models(self) -> dict[str, str]:
        """Return the checkpoint of each model."""
        return dict(self._models.checkpoints())

    def device_memory(self) -> DeviceMemory:
        """Return the figures of torch's allocator."""
        return self._models.memory() if self._models is not None else DeviceMemory()

    def settle(self) -> None:
        """Give the allocator's cache back."""
        self._models.settle()
