"""The two descriptors of the conversation: a reader that always listens, a writer that writes whole lines."""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

from .fields import WireError
from .protocol import MAX_LINE, Convert, Message, Probe, Shutdown, format_line, parse

if TYPE_CHECKING:
    from typing import BinaryIO

EXIT_ORPHANED = 0

Request = Convert | Probe | Shutdown


class Inbox:
    """Messages from the service, read by a thread of its own, which ends the process when the service goes away.

    The pipe's end while nothing is in hand ends the conversation in order. While a model loads or a conversion is in hand,
    nobody is left to want the result, and the other thread may be inside a library for minutes: the process ends at once.
    After a shutdown nothing is read any more: the job in hand is finished.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - its only parameter
        self._file = os.fdopen(descriptor, "rb", buffering=1 << 16)
        self._queue: SimpleQueue[Request | WireError | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._busy = True  # loading
        threading.Thread(target=self._listen, name="inbox", daemon=True).start()

    def next(self) -> Request | None:
        """Return the next message, or None at the end. Raises WireError when what came isn't the protocol."""
        with self._lock:
            self._busy = False
        item = self._queue.get()
        with self._lock:
            self._busy = item is not None
        if isinstance(item, WireError):
            raise item
        return item

    def _listen(self) -> None:
        while True:
            item = _read(self._file)
            with self._lock:
                if item is None and (self._busy or not self._queue.empty()):
                    os._exit(EXIT_ORPHANED)
            self._queue.put(item)
            if item is None or isinstance(item, (WireError, Shutdown)):
                return


def _read(file: BinaryIO) -> Request | WireError | None:
    try:
        line = file.readline(MAX_LINE + 2)
        if not line:
            return None
        if not line.endswith(b"\n"):
            return WireError(
                "the pipe ended inside a line" if len(line) <= MAX_LINE else f"a line of more than {MAX_LINE} bytes"
            )
        message = parse(line)
    except WireError as error:
        return error
    except OSError as error:
        return WireError(f"the command pipe can't be read: {error}")
    if not isinstance(message, (Convert, Probe, Shutdown)):
        return WireError(f"{type(message).__name__.lower()} is not for a runner")
    return message


class Outbox:
    """Messages to the service."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - its only parameter
        self._descriptor = descriptor

    def send(self, message: Message) -> None:
        """Write one message. Raises WireError when it breaks the protocol (nothing was written), OSError when nobody reads."""
        rest = memoryview(format_line(message))
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
