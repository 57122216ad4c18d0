"""The weights of marker's models: fetched to where workers read them, resumed where a fetch was cut off, verified, told of.

    python -m pdfmill_runner.marker.weights fetch|check [--deep] CHECKPOINT ...

A checkpoint is `s3://PATH` below the publisher's own server, or `hf://OWNER/NAME` on the Hugging Face hub, with `#FILE,FILE` at
its end when only some files are wanted. HF_HOME is the folder of everything, MODEL_CACHE_DIR that of the former; S3_BASE_URL
and HF_ENDPOINT say where they come from. Each line of the output is a JSON object.

The hub names each file's hash, and its cache is laid out by the hub's own library. The publisher's server has a manifest of
names only: what tells a whole file there is its length and, where it is one, the MD5 in its ETag. Hashes of what was found
whole are kept in records/, so that damage is seen later without network.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

S3, HUB = "s3://", "hf://"
CHUNK = 1 << 20
TELL_SECONDS = 0.5  # between two lines of progress
SECONDS = 30.0  # for the first byte of an answer
ROUNDS = 2  # a file that comes out wrong is fetched once more
QUOTE = '"'
MD5 = re.compile(r"[0-9a-f]{32}")
THERE, MISSING, DAMAGED = "there", "missing", "damaged"
ADVICE = (
    "fetch them with pdfmill engines install; if there is no network here, do that elsewhere and copy the folder {} from there"
)


class WeightsError(Exception):
    """Weights can't be had; the message says which, why, and what to do."""


@dataclass(frozen=True)
class File:
    """A file of a checkpoint, as its server describes it."""

    name: str
    url: str
    bytes: int | None
    hash: str = ""
    """`sha256:`, `git:` (the SHA-1 of a git blob) or `md5:` and hexadecimal digits; "" when the server tells none."""
    etag: str = ""


@dataclass(frozen=True)
class State:
    """How a checkpoint is here."""

    checkpoint: str
    status: str
    folder: str
    bytes: int = 0
    verified: bool = False
    """Each file was once found to be what its server describes. False for weights that somebody has put there."""
    detail: str = ""


@dataclass
class Record:
    """What was verified: kept beside the weights."""

    checkpoint: str
    revision: str
    folder: str
    """Relative to the folder of everything, which may be moved or copied."""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Bytes and sha256 by name."""


def home() -> Path:
    """Return the folder of everything."""
    return Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")


def _datalab() -> Path:
    return Path(os.environ.get("MODEL_CACHE_DIR") or home() / "datalab")


def _record_file(checkpoint: str) -> Path:
    return home() / "records" / (re.sub(r"[^A-Za-z0-9_.]+", "-", checkpoint) + ".json")


def _record(checkpoint: str) -> Record | None:
    try:
        return Record(**json.loads(_record_file(checkpoint).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def offline() -> bool:
    """Report whether the network must not be touched."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def check(checkpoint: str, *, deep: bool = False) -> State:
    """Look at a checkpoint without network: its files and their lengths, and, when `deep`, their hashes."""
    record = _record(checkpoint)
    if record is None:
        if (folder := _unrecorded(checkpoint)) is None:
            return State(checkpoint, MISSING, str(_place(checkpoint)), detail="nothing is there")
        names = [path for path in folder.rglob("*") if path.is_file()]
        return State(checkpoint, THERE, str(folder), sum(path.stat().st_size for path in names), detail="put there by somebody")
    folder = home() / record.folder
    absent, wrong, total = [], [], 0
    for name, known in record.files.items():
        path = folder / name
        if not path.is_file():
            absent.append(name)
        elif path.stat().st_size != known["bytes"] or (deep and _digest(path, hashlib.sha256()) != known["sha256"]):
            wrong.append(name)
        total += known["bytes"]
    if absent or wrong:
        parts = [f"{what}: {', '.join(sorted(names))}" for what, names in (("missing", absent), ("damaged", wrong)) if names]
        return State(checkpoint, DAMAGED if wrong else MISSING, str(folder), detail="; ".join(parts))
    return State(checkpoint, THERE, str(folder), total, verified=True)


def require(what: str, checkpoint: str) -> Path:
    """Return the folder of a checkpoint. Raises WeightsError that says what is missing and how to bring it."""
    state = check(checkpoint)
    if state.status == THERE:
        return Path(state.folder)
    raise WeightsError(
        f"the weights of {what} ({checkpoint}) are {state.status} in {state.folder} ({state.detail}); " + ADVICE.format(home())
    )


def _place(checkpoint: str) -> Path:
    if checkpoint.startswith(S3):
        return _datalab() / checkpoint.removeprefix(S3)
    return home() / "hub" / f"models--{_repo(checkpoint)[0].replace('/', '--')}"


def _unrecorded(checkpoint: str) -> Path | None:
    """Return the folder of weights that were not fetched by this module, if all of its files are there."""
    place = _place(checkpoint)
    try:
        if checkpoint.startswith(S3):
            names = json.loads((place / "manifest.json").read_text(encoding="utf-8"))["files"]
            folder = place
        else:
            folder = place / "snapshots" / (place / "refs" / "main").read_text(encoding="ascii").strip()
            names = _repo(checkpoint)[1] or [""]
        return folder if all((folder / name).exists() for name in names) else None
    except (OSError, ValueError, KeyError):
        return None


def _repo(checkpoint: str) -> tuple[str, list[str]]:
    repo, _, files = checkpoint.removeprefix(HUB).partition("#")
    return repo, [name for name in files.split(",") if name]


def _digest(path: Path, digest: Any) -> str:
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return str(digest.hexdigest())


def _matches(path: Path, file: File) -> bool:
    size = path.stat().st_size
    if file.bytes is not None and size != file.bytes:
        return False
    kind, _, want = file.hash.partition(":")
    if kind == "git":
        return _digest(path, hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)) == want
    if kind in ("sha256", "md5"):
        return _digest(path, hashlib.new(kind, usedforsecurity=False)) == want
    return True


class Fetch:
    """Fetches one checkpoint."""

    def __init__(self, checkpoint: str, tell: Callable[..., None]) -> None:
        self._checkpoint = checkpoint
        self._tell = tell
        self._done = self._total = 0
        self._next = 0.0

    def run(self) -> State:
        """Fetch what is missing or damaged. Raises WeightsError."""
        try:
            source = _Hub(self._checkpoint) if self._checkpoint.startswith(HUB) else _Publisher(self._checkpoint)
            files = source.files()
            self._total = sum(file.bytes or 0 for file in files)
            self._tell("plan", checkpoint=self._checkpoint, files=len(files), total=self._total)
            self._room(files, source)
            for file in files:
                self._file(file, source.path(file))
            folder = source.finish()
        except WeightsError:
            raise
        except Exception as error:
            raise WeightsError(
                f"{self._checkpoint} can't be fetched: {_reason(error)}; what is here is kept: try again"
            ) from error
        record = Record(self._checkpoint, source.revision, os.path.relpath(folder, home()))
        for file in files:
            path = folder / file.name
            record.files[file.name] = {"bytes": path.stat().st_size, "sha256": _digest(path, hashlib.sha256())}
        target = _record_file(self._checkpoint)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")
        partial.replace(target)
        return check(self._checkpoint)

    def _room(self, files: list[File], source: _Hub | _Publisher) -> None:
        needed = sum(file.bytes or 0 for file in files if not source.path(file).exists())
        free = shutil.disk_usage(home()).free
        if needed > free:
            raise WeightsError(
                f"{self._checkpoint} needs {needed / 1e9:.2f} GB and {home()} has {free / 1e9:.2f} GB free: "
                "make room, or give another --cache"
            )

    def _file(self, file: File, target: Path) -> None:
        """Have one file whole at its place: what is there already stays if it is what its server describes."""
        before = self._done
        known = (_record(self._checkpoint) or Record("", "", "")).files.get(file.name, {})
        if target.exists():
            same = not known or known["sha256"] == _digest(target, hashlib.sha256())
            if same and _matches(target, file):
                self._advance(target.stat().st_size)
                return
            self._tell("refetch", checkpoint=self._checkpoint, file=file.name, reason="it is not what the server describes")
            target.unlink()
        partial = target.with_name(target.name + ".partial")
        target.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(ROUNDS):
            self._done = before
            self._download(file, partial)
            if _matches(partial, file):
                partial.replace(target)
                return
            self._tell("refetch", checkpoint=self._checkpoint, file=file.name, reason="it came out damaged")
            partial.unlink()
        raise WeightsError(
            f"{file.name} of {self._checkpoint} came out damaged {ROUNDS} times: {file.url} does not give what it describes "
            f"({file.bytes} bytes, {file.hash or 'no hash'}); is there a proxy on the way?"
        )

    def _download(self, file: File, partial: Path) -> None:
        """Bring a file to its end, going on wherever it was cut off, as long as that brings more of it."""
        tag = partial.with_name(partial.name + ".etag")
        with contextlib.suppress(OSError):
            if tag.read_text(encoding="utf-8") != file.etag:
                partial.unlink()  # of another version of the file
        tag.write_text(file.etag, encoding="utf-8")
        before = self._done
        while True:
            have = partial.stat().st_size if partial.exists() else 0
            if file.bytes is not None and have > file.bytes:
                partial.unlink()
                have = 0
            if have:
                self._tell("resume", checkpoint=self._checkpoint, file=file.name, at=have)
            self._done = before
            self._advance(have)
            try:
                self._some(file, partial, have)
            except Exception:
                if partial.stat().st_size <= have:
                    raise
            else:
                break
        tag.unlink(missing_ok=True)

    def _some(self, file: File, partial: Path, have: int) -> None:
        from huggingface_hub import constants  # noqa: PLC0415
        from huggingface_hub.file_download import http_get  # noqa: PLC0415

        constants.DOWNLOAD_CHUNK_SIZE = CHUNK  # of what a cut costs; ten times that otherwise
        with partial.open("ab") as out:
            counted: Any = _Counted(out, self._advance)
            http_get(file.url, counted, resume_size=have, headers=_headers(file.url), expected_size=file.bytes)

    def _advance(self, count: int) -> None:
        self._done += count
        if time.monotonic() >= self._next or self._done == self._total:
            self._next = time.monotonic() + TELL_SECONDS
            self._tell("progress", checkpoint=self._checkpoint, done=self._done, total=self._total)


class _Counted:
    """A file that tells what is written to it: the hub's library has a bar of its own, and a different one in each version."""

    def __init__(self, file: BinaryIO, tell: Callable[[int], None]) -> None:
        self._file = file
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        self._tell(len(data))
        return self._file.write(data)


class _Publisher:
    """A checkpoint on the publisher's own server: a folder whose manifest.json lists the other files, and is written last."""

    revision = ""

    def __init__(self, checkpoint: str) -> None:
        base = os.environ.get("S3_BASE_URL") or "https://models.datalab.to"
        self._path = checkpoint.removeprefix(S3)
        self._url = f"{base.rstrip('/')}/{self._path}"
        self._folder = _datalab() / self._path
        self._manifest = b""

    def files(self) -> list[File]:
        import requests  # noqa: PLC0415

        answer = requests.get(f"{self._url}/manifest.json", timeout=SECONDS)
        answer.raise_for_status()
        self._manifest = answer.content
        names = json.loads(self._manifest)["files"]
        out = []
        with requests.Session() as session:
            for name in names:
                if name == "manifest.json":
                    continue
                if Path(name).is_absolute() or ".." in Path(name).parts:
                    raise WeightsError(f"{self._url}/manifest.json names {name!r:.80}, which lies outside its folder")
                head = session.head(
                    f"{self._url}/{name}", timeout=SECONDS, allow_redirects=True, headers={"Accept-Encoding": "identity"}
                )
                head.raise_for_status()
                etag = head.headers.get("ETag", "")
                digest = etag.strip('"')
                length = head.headers.get("Content-Length")
                out.append(
                    File(
                        name,
                        f"{self._url}/{name}",
                        int(length) if length else None,
                        f"md5:{digest}" if MD5.fullmatch(digest) else "",
                        etag,
                    )
                )
        return out

    def path(self, file: File) -> Path:
        return self._folder / file.name

    def finish(self) -> Path:
        (self._folder / "manifest.json").write_bytes(self._manifest)
        return self._folder


class _Hub:
    """A checkpoint on the hub. Its files go to where the hub's cache keeps them by hash; the hub's library does the rest."""

    def __init__(self, checkpoint: str) -> None:
        self._repo, self._only = _repo(checkpoint)
        self._folder = _place(checkpoint)
        self.revision = ""

    def files(self) -> list[File]:
        from huggingface_hub import HfApi, hf_hub_url  # noqa: PLC0415

        info = HfApi().model_info(self._repo, files_metadata=True, timeout=SECONDS)
        self.revision = str(info.sha)
        out = []
        for one in info.siblings or []:
            if self._only and one.rfilename not in self._only:
                continue
            # Its etag, by which the cache names it, is the hash of its content, or of the git blob.
            digest = f"sha256:{one.lfs.sha256}" if one.lfs else f"git:{one.blob_id}"
            out.append(
                File(one.rfilename, hf_hub_url(self._repo, one.rfilename, revision=self.revision), one.size, digest, digest)
            )
        if absent := set(self._only) - {file.name for file in out}:
            raise WeightsError(f"{self._repo} has no {', '.join(sorted(absent))}")
        return out

    def path(self, file: File) -> Path:
        return self._folder / "blobs" / file.hash.partition(":")[2]

    def finish(self) -> Path:
        from huggingface_hub import snapshot_download  # noqa: PLC0415

        return Path(snapshot_download(self._repo, allow_patterns=self._only or None))


def _headers(url: str) -> dict[str, str]:
    """Return the headers for a file: the user's token for the hub, for nobody else."""
    from huggingface_hub import constants  # noqa: PLC0415
    from huggingface_hub.utils import build_hf_headers  # noqa: PLC0415

    own = dict(build_hf_headers()) if url.startswith(constants.ENDPOINT) else {}
    return own | {"Accept-Encoding": "identity"}


def _reason(error: BaseException) -> str:
    """Return the innermost cause, which says what happened; the outer ones tell of retries."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:400] if text else 'no message'}"


@contextlib.contextmanager
def _alone(tell: Callable[..., None]) -> Iterator[None]:
    """Wait until no other process fetches into the same folder."""
    home().mkdir(parents=True, exist_ok=True)
    with (home() / ".fetch.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            tell("waiting", reason="another process fetches weights into the same folder")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Run the command line; return 0 when all is there."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=("fetch", "check"))
    parser.add_argument("--deep", action="store_true", help="check hashes too")
    parser.add_argument("checkpoints", nargs="+")
    args = parser.parse_args()

    def tell(event: str, **what: object) -> None:
        sys.stdout.write(json.dumps({"event": event, **what}) + "\n")
        sys.stdout.flush()

    if args.command == "check":
        states = [check(one, deep=args.deep) for one in args.checkpoints]
        for state in states:
            tell("state", **asdict(state))
        return 0 if all(state.status == THERE for state in states) else 1
    if offline():
        tell("failed", message=f"the network must not be touched (HF_HUB_OFFLINE): {ADVICE.format(home())}")
        return 1
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    # Its own transport can't go on where another process was cut off.
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
    with _alone(tell):
        for one in args.checkpoints:
            try:
                tell("state", **asdict(Fetch(one, tell).run()))
            except WeightsError as error:
                tell("failed", checkpoint=one, message=str(error))
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
