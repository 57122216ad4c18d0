"""Which engines there are. Ours are found without reading any metadata, others through the entry point group."""

from __future__ import annotations

from importlib import import_module

from .engine import Engine
from .failures import EngineError, FailureClass

GROUP = "pdfmill_runner.engines"

# The same as in pyproject.toml. importlib.metadata is a quarter of the start: it is imported where it is needed.
_OURS = {
    "text": "pdfmill_runner.engines.text:TextEngine",
    "marker": "pdfmill_runner.engines.marker:MarkerEngine",
    "ocr": "pdfmill_runner.engines.ocr:OcrEngine",
    "null": "pdfmill_runner.engines.null:NullEngine",
    "sim": "pdfmill_runner.engines.sim:SimEngine",
}


def names() -> list[str]:
    """Return the names of all engines, ours first."""
    from importlib import metadata  # noqa: PLC0415

    others = {point.name for point in metadata.entry_points(group=GROUP)} - _OURS.keys()
    return [*_OURS, *sorted(others)]


def find(name: str) -> type[Engine]:
    """Return an engine's class. Raises EngineError `engine-missing` when there is none, or when it can't be imported."""
    target = _OURS.get(name) or _other(name)
    if target is None:
        raise EngineError(FailureClass.ENGINE_MISSING, f"there is no engine {name!r}; there are: {', '.join(names())}")
    module, _, attribute = target.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise EngineError(FailureClass.ENGINE_MISSING, f"engine {name!r} can't be imported from {target}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Engine)):
        raise EngineError(FailureClass.ENGINE_MISSING, f"engine {name!r}: {target} is not a subclass of Engine")
    return found


def _other(name: str) -> str | None:
    from importlib import metadata  # noqa: PLC0415

    return next((point.value for point in metadata.entry_points(group=GROUP) if point.name == name), None)


def options(engine: type[Engine]) -> set[str]:
    """Return the names of all options that an engine may be given: its own, and ours, which may be for other pages."""
    return {*engine.options, *(name for ours in _OURS for name in find(ours).options)}


def versions(engine: type[Engine]) -> tuple[dict[str, str], list[str]]:
    """Return the versions of the distributions that an engine needs, and the names of those that aren't installed."""
    found: dict[str, str] = {}
    missing: list[str] = []
    if not engine.distributions:
        return found, missing
    from importlib import metadata  # noqa: PLC0415

    for name in engine.distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    return found, missing


def describe(name: str) -> dict[str, object]:
    """Return what `--list-engines` prints about an engine."""
    try:
        engine = find(name)
    except EngineError as error:
        return {"name": name, "available": False, "reason": str(error)}
    found, missing = versions(engine)
    return {
        "name": name,
        "available": not missing,
        **({"reason": f"not installed: {', '.join(missing)}"} if missing else {}),
        "auto": engine.auto,
        "formats": list(engine.capabilities.formats),
        "versions": found,
    }
