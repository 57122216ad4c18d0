"""The conversation: hello, ready, then one request at a time until the service says shutdown or goes away."""

from __future__ import annotations

import gc
import logging
import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__, memory, registry
from .failures import EngineError, FailureClass, classify
from .protocol import FAILED, Convert, Error, Hello, Memory, Peak, Probe, Probed, Progress, Ready, Result, Shutdown
from .unlock import unlocked

if TYPE_CHECKING:
    from .engine import Conversion, Engine
    from .pipes import Inbox, Outbox

LOAD_ID = "load"  # names the loading in an error that comes instead of ready
PROGRESS_SECONDS = 0.2  # progress that follows faster is dropped
MAX_MESSAGE = 4_096  # characters of an error's message
MAX_TRACEBACK = 65_536  # characters of a traceback; its end is kept

log = logging.getLogger(__name__)


class Runner:
    """One engine at the end of two pipes."""

    def __init__(self, engine: Engine, inbox: Inbox, outbox: Outbox) -> None:
        self._engine = engine
        self._inbox = inbox
        self._outbox = outbox

    def run(self) -> bool:
        """Hold the conversation to its end; return False when the engine could not be loaded.

        Raises WireError when the service broke the protocol, OSError when it no longer reads.
        """
        if not self._open():
            return False
        while True:
            match self._inbox.next():
                case None | Shutdown():
                    return True
                case Convert() as request:
                    self._convert(request)
                case Probe() as request:
                    self._outbox.send(self._probe(request))

    def _open(self) -> bool:
        engine = self._engine
        found, missing = registry.versions(type(engine))
        versions = {"pdfmill-runner": __version__, **found, "python": ".".join(map(str, sys.version_info[:3]))}
        self._outbox.send(Hello(engine.name, versions, engine.device, engine.capabilities, os.getpid()))
        start = time.monotonic()
        try:
            if missing:
                raise EngineError(
                    FailureClass.ENGINE_MISSING, f"engine {engine.name!r} needs {', '.join(missing)}: not installed"
                )
            engine.load()
            gc.collect()
            gc.freeze()  # what loading made stays: the collection after each range need not go through it (5 ms with text)
        except Exception as error:  # noqa: BLE001 - every failure is reported in the protocol's own words
            self._outbox.send(self._error(LOAD_ID, error))
            return False
        device = engine.device_memory()
        held = Memory(device.allocated, device.reserved, memory.resident())
        self._outbox.send(Ready(time.monotonic() - start, held, engine.models() or None))
        return True

    def _convert(self, request: Convert) -> None:
        start = time.monotonic()
        memory.mark()
        try:
            self._check(request)
            with unlocked(request) as open_request:
                done = self._engine.convert(open_request, _Throttle(self._outbox, request.id))
            _check_pages(request, done)
            answer: Result | Error = Result(
                request.id,
                tuple(done.pages),
                tuple(done.images),
                time.monotonic() - start,
                self._peak(),
                tuple(done.debug) or None,
            )
            self._outbox.send(answer)
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 - a library's exception ends its conversion, not the conversation
            self._outbox.send(self._error(request.id, error))
        gc.collect()
        self._engine.settle()
        memory.release()

    def _check(self, request: Convert) -> None:
        formats = self._engine.capabilities.formats
        if request.options.output not in formats:
            raise EngineError(
                FailureClass.INVALID_MESSAGE,
                f"engine {self._engine.name!r} can't write {request.options.output}; it writes {', '.join(formats)}",
            )
        known = registry.options(type(self._engine)) if request.options.engine else set()
        for name in request.options.engine or ():
            if name not in known:
                raise EngineError(
                    FailureClass.INVALID_MESSAGE,
                    f"engine option {name!r:.80} is unknown to every engine; there are: {', '.join(sorted(known))}",
                )
        if not Path(request.out_dir).is_dir():
            raise EngineError(FailureClass.UNHEALTHY, f"the folder for results is missing: {request.out_dir}")
        if not Path(request.path).is_file():
            raise EngineError(FailureClass.UNHEALTHY, f"the document is not where the request says: {request.path}")

    def _probe(self, request: Probe) -> Probed:
        try:
            return Probed(request.id, ok=True, detail=self._engine.probe())
        except Exception as error:  # noqa: BLE001 - whatever it is, the answer is no
            return Probed(request.id, ok=False, detail=str(classify(error))[:MAX_MESSAGE])

    def _error(self, request_id: str, error: Exception) -> Error:
        known = classify(error)
        trace = "".join(traceback.format_exception(error))
        log.error("%s failed as %s: %s", request_id, known.failure.value, trace.rstrip())
        return Error(
            request_id,
            known.failure,
            str(known)[:MAX_MESSAGE],
            trace[-MAX_TRACEBACK:],
            known.page,
            known.context_intact,
            self._peak(),
        )

    def _peak(self) -> Peak:
        return Peak(self._engine.device_memory().peak, memory.peak())


class _Throttle:
    """Sends progress, at most every PROGRESS_SECONDS, but always the begin and the end of a phase."""

    def __init__(self, outbox: Outbox, request_id: str) -> None:
        self._outbox = outbox
        self._id = request_id
        self._phase = ""
        self._next = 0.0

    def __call__(self, phase: str, done: int, total: int) -> None:
        now = time.monotonic()
        if phase == self._phase and done < total and now < self._next:
            return
        self._phase, self._next = phase, now + PROGRESS_SECONDS
        self._outbox.send(Progress(self._id, phase, done, total))


def _check_pages(request: Convert, done: Conversion) -> None:
    """Hold an engine to its word, so that a wrong one is found here and not in a published document."""
    want = list(range(request.first, request.last + 1))
    if (got := [page.page for page in done.pages]) != want:
        raise EngineError(FailureClass.ENGINE_ERROR, f"the engine gave pages {got!r:.200} for {request.first}-{request.last}")
    folder = Path(request.out_dir)
    for page in done.pages:
        if page.status != FAILED and not (page.file and (folder / page.file).is_file()):
            raise EngineError(FailureClass.ENGINE_ERROR, f"the engine wrote no file for page {page.page}", page=page.page)
