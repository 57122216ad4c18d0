"""Language model services that may help marker: known by name, their settings and secrets kept by whoever runs this machine.

PDFMILL_MARKER_LLM names a JSON file:

    {"NAME": {"service": "openai", "settings": {"openai_model": "…"}, "secrets": {"openai_api_key": "/path"}}}

A request says a name; keys never travel in requests, and are read from their files when they are needed.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdfmill_runner.failures import EngineError, FailureClass

SERVICES = {
    "gemini": "marker.services.gemini.GoogleGeminiService",
    "vertex": "marker.services.vertex.GoogleVertexService",
    "ollama": "marker.services.ollama.OllamaService",
    "claude": "marker.services.claude.ClaudeService",
    "openrouter": "marker.services.openrouter.OpenRouterService",
    "openai": "marker.services.openai.OpenAIService",
    "azure-openai": "marker.services.azure_openai.AzureOpenAIService",
}


@dataclass(frozen=True)
class Service:
    """A service, ready to be handed to marker. Its settings hold secrets: they are never logged."""

    implementation: str
    settings: dict[str, Any]

    def __repr__(self) -> str:
        return f"Service({self.implementation})"


def find(name: str) -> Service:
    """Return the service of a name.

    Raises EngineError invalid-message for a name that nobody configured, engine-missing for a bad configuration.
    """
    path = os.environ.get("PDFMILL_MARKER_LLM", "")
    known: dict[str, Any] = {}
    if path:
        try:
            known = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise EngineError(FailureClass.ENGINE_MISSING, f"PDFMILL_MARKER_LLM: {path} can't be read: {error}") from error
    entry = known.get(name)
    if not isinstance(entry, dict):
        raise EngineError(
            FailureClass.INVALID_MESSAGE,
            f"engine option llm: no service {name!r:.80} is configured; there are: {', '.join(sorted(known)) or 'none'}"
            " (PDFMILL_MARKER_LLM names the file of them)",
        )
    implementation = SERVICES.get(str(entry.get("service")))
    if implementation is None:
        raise EngineError(
            FailureClass.ENGINE_MISSING, f"PDFMILL_MARKER_LLM: {name}: service must be one of {', '.join(SERVICES)}"
        )
    try:
        secrets = {key: Path(file).read_text(encoding="utf-8").strip() for key, file in entry.get("secrets", {}).items()}
    except OSError as error:
        raise EngineError(
            FailureClass.ENGINE_MISSING, f"PDFMILL_MARKER_LLM: {name}: a secret can't be read: {error}"
        ) from error
    return Service(implementation, {**entry.get("settings", {}), **secrets})
