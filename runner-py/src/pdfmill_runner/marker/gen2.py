"""Marker 2.x: a thin client of servers that hold the models.

Which servers there are is said by surya's own variables: FAST_LAYOUT_SERVER_URL, OCR_ERROR_SERVER_URL and
SURYA_INFERENCE_URL. Whoever starts this process starts them; marker's habit of starting its own is switched off.

Imports surya and marker: imported when the engine loads.
"""

from __future__ import annotations

import os
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

# Before surya reads them.
for _name in (
    "FAST_LAYOUT_SERVER_AUTOSTART",
    "OCR_ERROR_SERVER_AUTOSTART",
    "DETECTOR_SERVER_AUTOSTART",
    "SURYA_INFERENCE_AUTOSTART",
):
    os.environ[_name] = "false"
os.environ.setdefault("SURYA_INFERENCE_BACKEND", "vllm")  # only says how requests are sent: both servers speak the same

import httpx  # noqa: E402
from marker.models import create_model_dict  # noqa: E402
from surya.inference.backends import openai_client  # noqa: E402
from surya.settings import settings  # noqa: E402

from pdfmill_runner.engine import DeviceMemory  # noqa: E402
from pdfmill_runner.failures import EngineError, FailureClass  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pdfmill_runner.engine import Progress

NUMBER = 2
HEALTH_SECONDS = 5.0


@dataclass(frozen=True)
class _Server:
    variable: str
    what: str
    checkpoint: str  # the setting that names its model


_SERVERS = {
    "layout": _Server("FAST_LAYOUT_SERVER_URL", "the layout server", "FAST_LAYOUT_MODEL_CHECKPOINT"),
    "ocr_error": _Server("OCR_ERROR_SERVER_URL", "the OCR error server", "OCR_ERROR_MODEL_CHECKPOINT"),
    "vlm": _Server("SURYA_INFERENCE_URL", "the vision language model's server", "SURYA_MODEL_CHECKPOINT"),
}


class Client:
    """Marker without models, and the servers it asks.

    PDFMILL_MARKER_SERVERS names those it may ask, of layout, ocr_error and vlm; without it, all three. With `none`, the whole
    page is one block of its text layer; without ocr_error or vlm nothing is recognised.
    """

    def __init__(self) -> None:
        """Check that every server answers.

        Raises EngineError engine-missing for one without address, unhealthy for one that is silent.
        """
        asked = os.environ.get("PDFMILL_MARKER_SERVERS", ",".join(_SERVERS)).split(",")
        self._servers = [name for name in asked if name != "none"]
        for name in self._servers:
            if name not in _SERVERS:
                raise EngineError(
                    FailureClass.ENGINE_MISSING,
                    f"PDFMILL_MARKER_SERVERS names {name!r:.80}; there are: {', '.join(_SERVERS)}, none",
                )
            if not os.environ.get(_SERVERS[name].variable):
                raise EngineError(
                    FailureClass.ENGINE_MISSING,
                    f"marker 2.x needs {_SERVERS[name].what}: {_SERVERS[name].variable} is not set"
                    f" (or leave {name} out of PDFMILL_MARKER_SERVERS)",
                )
        self.healthy()
        self.models: dict[str, Any] = create_model_dict()

    device = "cpu"

    def checkpoints(self) -> dict[str, str]:
        """Return what the servers are expected to serve; marker refuses one that serves something else."""
        return {name: str(getattr(settings, _SERVERS[name].checkpoint)) for name in self._servers}

    def config(self, _scale: float) -> dict[str, Any]:
        """Return what follows from the servers there are. Batch sizes are theirs."""
        found: dict[str, Any] = {}
        if "ocr_error" not in self._servers or "vlm" not in self._servers:
            found["disable_ocr"] = True
        if "layout" not in self._servers and ("vlm" not in self._servers or "disable_ocr" in found):
            found["force_layout_block"] = "Text"
        if "layout" not in self._servers and "force_layout_block" not in found:
            found["mode"] = "balanced"
        return found

    def healthy(self) -> str:
        """Ask every server. Raises EngineError unhealthy for the first that doesn't answer."""
        for name in self._servers:
            server = _SERVERS[name]
            url = os.environ[server.variable].rstrip("/").removesuffix("/v1")
            try:
                httpx.get(f"{url}/health", timeout=HEALTH_SECONDS).raise_for_status()
            except httpx.HTTPError as error:
                said = f"{server.what} at {url} does not answer: {error}"
                raise EngineError(
                    FailureClass.UNHEALTHY, re.sub(r"//[^/@\s]*@", "//***@", said), context_intact=True
                ) from None  # a cause would show the address too
        return f"servers that answer: {', '.join(self._servers) or 'none asked for'}"

    @contextmanager
    def watched(self, progress: Progress) -> Iterator[None]:
        """Tell of each answer of the vision model, for as long as this is entered: a call waits for those of many pages."""
        ask, lock, answers = openai_client._generate_one, threading.Lock(), 0  # noqa: SLF001 - surya has no hook of its own

        def told(*args: Any, **named: Any) -> Any:
            nonlocal answers
            answer = ask(*args, **named)
            with lock:
                answers += 1
                progress("answers of the vision model", answers, answers + 1)
            return answer

        openai_client._generate_one = told  # noqa: SLF001
        try:
            yield
        finally:
            openai_client._generate_one = ask  # noqa: SLF001

    def memory(self) -> DeviceMemory:
        """Return nothing: the servers hold the device's memory."""
        return DeviceMemory()

    def settle(self) -> None:
        """Do nothing: the servers keep their memory."""
