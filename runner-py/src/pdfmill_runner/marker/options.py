"""The options that only marker knows: read strictly, refused by name, translated to marker's own configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pdfmill_runner.failures import EngineError, FailureClass
from pdfmill_runner.fidelity import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_BATCH = 4_096
_SHARE = re.compile(r"[01](?:\.0{1,4})?|0\.\d{1,4}")


@dataclass(frozen=True)
class Settings:
    """What a request asks of marker: its configuration, and the name of the language model service, if one shall help.

    `debug` asks for marker's debug output; `fidelity` is the share of a page's text layer below which it is read again.
    """

    config: dict[str, Any] = field(default_factory=dict)
    llm: str | None = None
    debug: bool = False
    fidelity: float = Policy.bound


def _flag(name: str, value: str) -> bool:
    if value not in ("yes", "true", "no", "false"):
        raise _refusal(f"option {name}: {value!r:.80} is not yes or no")
    return value in ("yes", "true")


def _flags(*keys: str) -> Callable[[str, str], dict[str, Any]]:
    return lambda name, value: dict.fromkeys(keys, _flag(name, value))


def _count(key: str) -> Callable[[str, str], dict[str, Any]]:
    def read(name: str, value: str) -> dict[str, Any]:
        if not value.isdecimal() or not 1 <= int(value) <= MAX_BATCH:
            raise _refusal(f"option {name}: {value!r:.80} is not a number from 1 to {MAX_BATCH}")
        return {key: int(value)}

    return read


def _share(name: str, value: str) -> float:
    if not _SHARE.fullmatch(value):
        raise _refusal(f"option {name}: {value!r:.80} is not a share from 0 to 1")
    return float(value)


def _quality(name: str, value: str) -> dict[str, Any]:
    if value not in ("fast", "balanced"):
        raise _refusal(f"option {name}: {value!r:.80} is not fast or balanced")
    return {"mode": value}


_BOTH: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "disable-ocr": _flags("disable_ocr"),
    "strip-existing-ocr": _flags("strip_existing_ocr"),
    "disable-links": _flags("disable_links"),
    "keep-headers": _flags("keep_pageheader_in_output", "keep_pagefooter_in_output"),
    "html-tables": _flags("html_tables_in_markdown"),
}
_OF_GENERATION: dict[int, dict[str, Callable[[str, str], dict[str, Any]]]] = {
    1: {
        "layout-batch": _count("layout_batch_size"),
        "detection-batch": _count("detection_batch_size"),
        "recognition-batch": _count("recognition_batch_size"),
        "table-batch": _count("table_rec_batch_size"),
        "equation-batch": _count("equation_batch_size"),
        "ocr-error-batch": _count("ocr_error_batch_size"),
    },
    2: {"quality": _quality},
}
LLM = "llm"
DEBUG = "debug"
FIDELITY = "fidelity"
_APART = (DEBUG, FIDELITY, LLM)  # not in marker's configuration


def names(generation: int) -> list[str]:
    """Return the options that a generation of marker knows, sorted."""
    return sorted([*_BOTH, *_OF_GENERATION[generation], *_APART])


def read(options: Mapping[str, str], generation: int) -> Settings:
    """Translate options. Raises EngineError invalid-message that names an unknown option or a bad value."""
    known = _BOTH | _OF_GENERATION[generation]
    config: dict[str, Any] = {}
    for name, value in sorted(options.items()):
        if name in _APART:
            continue
        if name not in known:
            other = next((g for g, more in _OF_GENERATION.items() if name in more), None)
            why = f"only marker {other}.x knows it" if other else f"known are {', '.join(names(generation))}"
            raise _refusal(f"engine option {name!r:.80} is unknown to marker {generation}.x: {why}")
        config |= known[name](name, value)
    share = _share(FIDELITY, options.get(FIDELITY, str(Policy.bound)))
    return Settings(config, options.get(LLM), _flag(DEBUG, options.get(DEBUG, "no")), share)


def _refusal(message: str) -> EngineError:
    return EngineError(FailureClass.INVALID_MESSAGE, message)
