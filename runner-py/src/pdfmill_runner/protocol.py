"""The messages of runner protocol 1: frozen values, read strictly, written as one JSON object a line.

`contract/README.md` is the specification; its vectors are read by the tests of both sides.
"""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from .failures import FailureClass
from .fields import Fields, WireError

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = 1
MAX_LINE = 1 << 20  # bytes, without the line end
MAX_PAGE = 1_000_000

OUTPUTS = ("markdown", "json", "html", "chunks")
DEFAULT, PLAIN = "default", "plain"
OK, FAILED = "ok", "failed"
NO_TEXT, TRUNCATED, DEGRADED, LOSSY = "no-text", "truncated", "degraded", "lossy"
WARNINGS = (NO_TEXT, TRUNCATED, DEGRADED, LOSSY)


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do."""

    formats: tuple[str, ...] = ("markdown",)
    page_ranges: bool = True
    shared_server: bool = False


@dataclass(frozen=True)
class Hello:
    """The first word of a runner."""

    engine: str
    versions: dict[str, str]
    device: str
    capabilities: Capabilities
    pid: int
    protocol: int = VERSION

    @staticmethod
    def read(f: Fields) -> Hello:
        """Read the message."""
        if (protocol := f.integer("protocol")) != VERSION:
            raise WireError(f"protocol version {protocol}, this side speaks {VERSION}")
        c = f.nested("capabilities")
        return Hello(
            f.text("engine", empty=False),
            f.mapping("versions"),
            f.text("device", empty=False),
            Capabilities(c.texts("formats"), c.flag("page_ranges"), c.flag("shared_server")),
            f.integer("pid", 1),
            protocol,
        )


@dataclass(frozen=True)
class Memory:
    """What a runner holds after loading, in bytes."""

    device_allocated: int = 0
    device_reserved: int = 0
    host_rss: int = 0


@dataclass(frozen=True)
class Ready:
    """The models are loaded; `models` names the checkpoint of each, where the engine has any."""

    load_seconds: float
    memory: Memory
    models: dict[str, str] | None = None

    @staticmethod
    def read(f: Fields) -> Ready:
        """Read the message."""
        m = f.nested("memory")
        return Ready(
            f.number("load_seconds"),
            Memory(m.integer("device_allocated"), m.integer("device_reserved"), m.integer("host_rss")),
            f.mapping("models") if f.has("models") else None,
        )


@dataclass(frozen=True)
class Options:
    """Options of a conversion. `engine` holds, by name, those that only some engines know; an engine refuses unknown ones."""

    output: str = "markdown"
    images: bool = True
    force_ocr: bool = False
    mode: str = DEFAULT
    engine: dict[str, str] | None = None


@dataclass(frozen=True)
class Convert:
    """Asks for the pages `first` to `last` (1-based, inclusive) of the PDF at `path`, into the empty folder `out_dir`."""

    id: str
    path: str
    first: int
    last: int
    options: Options
    out_dir: str
    deadline_seconds: float
    batch_scale: float = 1.0
    passwords: tuple[str, ...] | None = field(default=None, repr=False)  # tried in order, after none; never to be printed

    @staticmethod
    def read(f: Fields) -> Convert:
        """Read the message."""
        o = f.nested("options")
        m = Convert(
            f.text("id", empty=False),
            _absolute(f, "path"),
            f.integer("first", 1, MAX_PAGE),
            f.integer("last", 1, MAX_PAGE),
            Options(
                o.choice("output", OUTPUTS),
                o.flag("images"),
                o.flag("force_ocr"),
                o.choice("mode", (DEFAULT, PLAIN)),
                o.mapping("engine") if o.has("engine") else None,
            ),
            _absolute(f, "out_dir"),
            f.number("deadline_seconds", positive=True),
            f.number("batch_scale", positive=True),
            f.texts("passwords") if f.has("passwords") else None,
        )
        if m.last < m.first:
            raise WireError(f"convert: pages {m.first}-{m.last} are not a range")
        return m


@dataclass(frozen=True)
class Progress:
    """A conversion is alive: `done` of `total` pages of its `phase`."""

    id: str
    phase: str
    done: int
    total: int

    @staticmethod
    def read(f: Fields) -> Progress:
        """Read the message."""
        return Progress(f.text("id", empty=False), f.text("phase"), f.integer("done"), f.integer("total"))


@dataclass(frozen=True)
class Page:
    """The outcome of one page. An ok one has `file`; a failed one has `failure` (`class` on the wire) and `message` instead.

    `fidelity` is the share of the words of the page's text layer that came out, None where there is nothing to compare with.
    `engine` names who made the page when it was not the engine that was asked. `about` is a file of what is known of an ok one
    beside its text (see the README of the contract).
    """

    page: int
    status: str = OK
    file: str | None = None
    chars: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    failure: FailureClass | None = field(default=None, metadata={"name": "class"})
    message: str | None = None
    fidelity: float | None = None
    engine: str | None = None
    about: str | None = None

    @staticmethod
    def read(f: Fields) -> Page:
        """Read one page of a result."""
        number, status = f.integer("page", 1, MAX_PAGE), f.choice("status", (OK, FAILED))
        if unknown := set(warnings := f.texts("warnings")) - set(WARNINGS):
            raise WireError(f"page {number}: unknown warning {min(unknown)!r}")
        page = Page(
            number,
            status,
            chars=f.integer("chars"),
            seconds=f.number("seconds"),
            warnings=warnings,
            fidelity=_share(f, "fidelity") if f.has("fidelity") else None,
            engine=f.text("engine", empty=False) if f.has("engine") else None,
        )
        if status == OK:
            if f.has("class"):
                raise WireError(f"page {number}: ok, but of a class")
            return replace(page, file=_relative(f), about=_relative(f, "about") if f.has("about") else None)
        if f.has("file") or f.has("about"):
            raise WireError(f"page {number}: failed, but with a file")
        return replace(page, failure=_class(f), message=f.text("message", empty=False))


@dataclass(frozen=True)
class Image:
    """A picture cut from a page; `file` is relative to the conversion's folder."""

    page: int
    file: str
    media_type: str
    bytes: int

    @staticmethod
    def read(f: Fields) -> Image:
        """Read one image of a result."""
        return Image(f.integer("page", 1, MAX_PAGE), _relative(f), f.text("media_type", empty=False), f.integer("bytes"))


@dataclass(frozen=True)
class Peak:
    """The most memory a conversion used, in bytes."""

    peak_device: int = 0
    peak_host: int = 0

    @staticmethod
    def read(f: Fields) -> Peak:
        """Read the memory of a result or an error."""
        return Peak(f.integer("peak_device"), f.integer("peak_host"))


@dataclass(frozen=True)
class Result:
    """Ends a conversion: one Page for each page of the range, in order.

    `debug` are files that an engine was asked to leave for people to look at, each of a page.
    """

    id: str
    pages: tuple[Page, ...]
    images: tuple[Image, ...]
    seconds: float
    memory: Peak
    debug: tuple[Image, ...] | None = None

    @staticmethod
    def read(f: Fields) -> Result:
        """Read the message."""
        return Result(
            f.text("id", empty=False),
            tuple(map(Page.read, f.items("pages"))),
            tuple(map(Image.read, f.items("images"))),
            f.number("seconds"),
            Peak.read(f.nested("memory")),
            tuple(map(Image.read, f.items("debug"))) if f.has("debug") else None,
        )


@dataclass(frozen=True)
class Error:
    """Ends a conversion (or, before ready, the loading) that failed as a whole."""

    id: str
    failure: FailureClass = field(metadata={"name": "class"})
    message: str
    traceback: str
    page: int | None
    context_intact: bool
    memory: Peak

    @staticmethod
    def read(f: Fields) -> Error:
        """Read the message."""
        page = None if f.null("page") else f.integer("page", 1, MAX_PAGE)
        return Error(
            f.text("id", empty=False),
            _class(f),
            f.text("message"),
            f.text("traceback"),
            page,
            f.flag("context_intact"),
            Peak.read(f.nested("memory")),
        )


@dataclass(frozen=True)
class Probe:
    """Asks for a real operation on the device."""

    id: str

    @staticmethod
    def read(f: Fields) -> Probe:
        """Read the message."""
        return Probe(f.text("id", empty=False))


@dataclass(frozen=True)
class Probed:
    """Answers a Probe."""

    id: str
    ok: bool
    detail: str

    @staticmethod
    def read(f: Fields) -> Probed:
        """Read the message."""
        return Probed(f.text("id", empty=False), f.flag("ok"), f.text("detail"))


@dataclass(frozen=True)
class Shutdown:
    """Asks a runner to exit with status 0."""

    @staticmethod
    def read(f: Fields) -> Shutdown:  # noqa: ARG004 - it has no fields
        """Read the message."""
        return Shutdown()


Message = Hello | Ready | Convert | Progress | Result | Error | Probe | Probed | Shutdown

_READERS: dict[str, Callable[[Fields], Message]] = {
    "hello": Hello.read,
    "ready": Ready.read,
    "convert": Convert.read,
    "progress": Progress.read,
    "result": Result.read,
    "error": Error.read,
    "probe": Probe.read,
    "probed": Probed.read,
    "shutdown": Shutdown.read,
}


def parse(line: bytes) -> Message:
    """Return the message of one line, with or without its line end. Raises WireError."""
    line = line.removesuffix(b"\n")
    if len(line) > MAX_LINE:
        raise WireError(f"a line of more than {MAX_LINE} bytes")
    try:
        value = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {error} (the line begins {line[:80]!r})") from error
    if not isinstance(value, dict):
        raise WireError(f"not an object (the line begins {line[:80]!r})")
    kind = value.get("type")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise WireError(f"unknown type {kind!r:.80}" if "type" in value else "no type")
    return reader(Fields(value, str(kind)))


def format_line(message: Message) -> bytes:
    """Return a message as one line with its line end. Raises WireError when the other side would refuse it."""
    kind = type(message).__name__.lower()
    try:
        text = json.dumps({"type": kind, **_plain(message)}, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise WireError(f"{kind} can't be written: {error}") from error
    line = text.encode("ascii")
    parse(line)
    return line + b"\n"


def _plain(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass of this module
    """Return a message as JSON objects. A field that is None is left out, except an error's page, which is null."""
    out: dict[str, Any] = {}
    for f in fields(value):
        item = getattr(value, f.name)
        if item is None and not (isinstance(value, Error) and f.name == "page"):
            continue
        if isinstance(item, FailureClass):
            item = item.value
        elif is_dataclass(item):
            item = _plain(item)
        elif isinstance(item, tuple):
            item = [_plain(entry) if is_dataclass(entry) else entry for entry in item]
        out[f.metadata.get("name", f.name)] = item
    return out


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _class(f: Fields) -> FailureClass:
    return FailureClass(f.choice("class", tuple(c.value for c in FailureClass)))


def _share(f: Fields, name: str) -> float:
    if (value := f.number(name)) > 1:
        raise WireError(f"{name} {value:g} is not a share, which is at most 1")
    return value


def _absolute(f: Fields, name: str) -> str:
    path = f.text(name)
    if not path.startswith("/") or "\0" in path:
        raise WireError(f"{name} {path!r:.80} is not an absolute path")
    return path


def _relative(f: Fields, name: str = "file") -> str:
    path = f.text(name, empty=False)
    if posixpath.isabs(path) or "\0" in path or posixpath.normpath(path).split("/")[0] == "..":
        raise WireError(f"{name} {path!r:.80} is not below out_dir")
    return path
