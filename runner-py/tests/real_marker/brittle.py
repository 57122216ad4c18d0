"""A marker engine of the tests that breaks in what it calls: a file SABOTAGE, if there is one, says how.

segfault   a forward pass of the real detection model (1.10.x) writes to address 0 in native code
nonetype   the layout model fails on a black page as models of marker's have: a NoneType without input_ids
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pdfmill_runner.engines.marker import MarkerEngine

if TYPE_CHECKING:
    from pdfmill_runner.engine import Conversion, Progress
    from pdfmill_runner.protocol import Convert


class BrittleEngine(MarkerEngine):
    """Marker, with a fault in one of its models."""

    name: ClassVar[str] = "brittle"

    def convert(self, request: Convert, progress: Progress) -> Conversion:
        """Convert, after a fault was put in if the file is there."""
        file = Path(os.environ["SABOTAGE"])
        if not file.exists():
            return super().convert(request, progress)
        fault = file.read_text(encoding="ascii")
        file.unlink()
        models = self._models.models
        if fault == "segfault":
            hook = models["detection_model"].model.register_forward_hook(lambda *_: ctypes.memset(0, 1, 1))
            try:
                return super().convert(request, progress)
            finally:
                hook.remove()
        whole = dict(models)
        models.update({name: _Choosy(model) for name, model in whole.items() if "layout" in name and callable(model)})
        try:
            return super().convert(request, progress)
        finally:
            models.update(whole)


class _Choosy:
    """A layout model that can't do black pages."""

    def __init__(self, model: Any) -> None:
        self.__dict__["_model"] = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._model, name, value)

    def __call__(self, images: Any, *args: Any, **named: Any) -> Any:
        for image in images:
            if image.convert("L").resize((1, 1)).getpixel((0, 0)) < 64:
                nothing: Any = None
                nothing.input_ids  # noqa: B018 - what raises is what is recorded of marker
        return self._model(images, *args, **named)
