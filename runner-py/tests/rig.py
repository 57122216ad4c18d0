"""The real runner process over real descriptors 3 and 4."""

from __future__ import annotations

import fcntl
import os
import queue
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pdfmill_runner.protocol import Convert, Error, Hello, Message, Options, Progress, Ready, Result, format_line, parse

if TYPE_CHECKING:
    from types import TracebackType

SECONDS = 60  # for anything that must happen
REPOSITORY = Path(__file__).parents[2]
M = TypeVar("M", bound=Message)

_LAUNCH = """
import os, sys
os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4)
os.execv(sys.executable, [sys.executable, "-m", "pdfmill_runner", *sys.argv[3:]])
"""


class Rig:
    """A runner process."""

    def __init__(self, engine: str = "text", env: dict[str, str] | None = None, patience: float = SECONDS) -> None:
        self._patience = patience
        # Files, not pipes: nobody reads them before the end, and a library may print more than a pipe holds.
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed at the exit
        child_in, self._commands = _pipe()
        answers, child_out = _pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, str(child_in), str(child_out), "--engine", engine],
            pass_fds=(child_in, child_out),
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            env={**os.environ, **(env or {})},
        )
        os.close(child_in)
        os.close(child_out)
        self._answers: queue.Queue[bytes] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(os.fdopen(answers, "rb"),))
        self._reader.start()
        self._open = True

    def _read(self, file: object) -> None:
        with file as lines:  # type: ignore[attr-defined]
            for line in lines:
                self._answers.put(line)
        self._answers.put(b"")

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.hang_up()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        self._out.close()
        self._err.close()

    def send(self, message: Message) -> None:
        self.send_raw(format_line(message))

    def send_raw(self, line: bytes) -> None:
        os.write(self._commands, line)

    def hang_up(self) -> None:
        if self._open:
            os.close(self._commands)
            self._open = False

    def next(self) -> Message:
        line = self._answers.get(timeout=self._patience)
        assert line, "the runner closed its pipe"
        return parse(line)

    def expect(self, kind: type[M]) -> M:
        message = self.next()
        assert isinstance(message, kind), message
        return message

    def greet(self) -> Hello:
        hello = self.expect(Hello)
        self.expect(Ready)
        return hello

    def convert(self, request: Convert) -> tuple[Result | Error, list[Progress]]:
        """Send a request and return its end and the progress before it."""
        self.send(request)
        progress = []
        while isinstance(message := self.next(), Progress):
            progress.append(message)
        assert isinstance(message, (Result, Error)), message
        assert message.id == request.id
        return message, progress

    def ends(self) -> tuple[int, str, str]:
        """Wait for the exit; return status, stdout and stderr."""
        status = self.process.wait(timeout=self._patience)
        self._out.seek(0)
        self._err.seek(0)
        return status, self._out.read().decode(), self._err.read().decode()


def request(path: Path, out: Path, first: int = 1, last: int = 1, **options: object) -> Convert:
    """Return a request for pages of a file, its id the file's name."""
    out.mkdir(parents=True, exist_ok=True)
    return Convert(path.name, str(path.resolve()), first, last, Options(**options), str(out.resolve()), 60.0)  # type: ignore[arg-type]


def _pipe() -> tuple[int, int]:
    """Return a pipe above descriptor 10, so that no end is in the way of 3 and 4."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]
