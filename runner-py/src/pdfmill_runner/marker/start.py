"""Bringing marker up: its settings, its models, one page to warm up."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from pdfmill_runner.protocol import Convert, Options

WARM_UP_SECONDS = 600.0


def load(generation: int) -> Any:
    """Import marker and load its models, or find its servers."""
    os.environ.setdefault("IN_STREAMLIT", "true")  # surya's word for "start no processes": never fork after CUDA
    os.environ.setdefault("FONT_PATH", str(_font()))
    if generation == 1:
        from .gen1 import Resident  # noqa: PLC0415

        return Resident()
    from .gen2 import Client  # noqa: PLC0415

    return Client()


def warm_up(models: Any, generation: int) -> None:
    """Convert one page, so that the first document pays for nothing that only happens once. Raises what a conversion raises."""
    from pdfmill_runner.text import pdfium  # noqa: PLC0415

    from .work import Work  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="warm-up-") as folder:
        page = Path(folder, "page.pdf")
        page.write_bytes(pdfium.one_line("pdfmill"))
        request = Convert("warm-up", str(page), 1, 1, Options(images=False), folder, WARM_UP_SECONDS)
        with pdfium.Document(str(page)) as document:
            Work(models, generation, document, request, lambda *_: None).convert()


def _font() -> Path:
    """Return a font file: marker downloads one at its start unless it has one, and only needs it to draw what it debugs."""
    import PIL  # noqa: PLC0415

    folder = Path(os.environ.get("MODEL_CACHE_DIR") or tempfile.gettempdir())
    found = folder / "GoNotoCurrent-Regular.ttf"
    return found if found.is_file() else Path(PIL.__file__)
