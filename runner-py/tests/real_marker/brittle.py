"""A marker engine of the tests that breaks inside PyTorch: when there is a file SABOTAGE, the next forward pass of the real
detection model writes to address 0 in native code.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pdfmill_runner.engines.marker import MarkerEngine

if TYPE_CHECKING:
    from pdfmill_runner.engine import Conversion, Progress
    from pdfmill_runner.protocol import Convert


class BrittleEngine(MarkerEngine):
    """Marker, with a hook in one of its models."""

    name: ClassVar[str] = "brittle"

    def convert(self, request: Convert, progress: Progress) -> Conversion:
        """Convert, after a hook was hung in if the file is there."""
        file = Path(os.environ["SABOTAGE"])
        if not file.exists():
            return super().convert(request, progress)
        file.unlink()
        hook = self._models.models["detection_model"].model.register_forward_hook(lambda *_: ctypes.memset(0, 1, 1))
        try:
            return super().convert(request, progress)
        finally:
            hook.remove()
