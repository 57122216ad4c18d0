"""`python -m pdfmill_runner --engine NAME`: run one engine, or list the engines there are."""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

from . import __version__, registry
from .failures import EngineError
from .fields import WireError

if TYPE_CHECKING:
    from .engine import Engine

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_PROTOCOL = 0, 1, 2, 3


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status: 0 in order, 1 the engine can't load, 2 usage, 3 broken protocol."""
    args = _arguments(argv)
    if args.list_engines:
        sys.stdout.write(json.dumps({"engines": [registry.describe(name) for name in registry.names()]}, indent=2) + "\n")
        return EXIT_OK
    if not args.engine:
        return _usage("which engine?", "give --engine NAME; --list-engines shows the names")
    try:
        engine = registry.find(args.engine)()
    except EngineError as error:
        return _usage(str(error), "--list-engines shows which can run here and what the others lack")
    for flag, descriptor in (("--read-fd", args.read_fd), ("--write-fd", args.write_fd)):
        try:
            os.fstat(descriptor)
        except OSError:
            return _usage(
                f"descriptor {descriptor} is not open",
                f"the gpu-runner service starts this program with two pipes; by hand, give {flag} an open descriptor",
            )
    return _converse(engine, args.read_fd, args.write_fd)


def run() -> None:
    """Run the command line and exit without waiting for the thread that listens."""
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="pdfmill-runner", description="Runs one engine of pdfmill, spoken to over two pipes.")
    parser.add_argument("--engine", metavar="NAME", help="the engine to run")
    parser.add_argument("--list-engines", action="store_true", help="print the engines and what they lack, as JSON")
    parser.add_argument("--read-fd", type=int, default=3, metavar="N", help="descriptor to read messages from (default 3)")
    parser.add_argument("--write-fd", type=int, default=4, metavar="N", help="descriptor to write messages to (default 4)")
    parser.add_argument("--version", action="version", version=__version__)
    return parser.parse_args(argv)


def _converse(engine: Engine, read_fd: int, write_fd: int) -> int:
    # Imported here: a usage error needs none of it.
    from .pipes import Inbox, Outbox  # noqa: PLC0415
    from .runner import Runner  # noqa: PLC0415

    faulthandler.enable()  # a crash inside a library leaves its Python stack in the log
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which then says shutdown
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    try:
        return EXIT_OK if Runner(engine, Inbox(read_fd), Outbox(write_fd)).run() else EXIT_FAILED
    except WireError as error:
        sys.stderr.write(f"pdfmill-runner: the conversation broke: {error}\n")
        return EXIT_PROTOCOL
    except BrokenPipeError:
        sys.stderr.write("pdfmill-runner: nobody reads the answers any more\n")
        return EXIT_PROTOCOL


def _usage(problem: str, hint: str) -> int:
    sys.stderr.write(f"pdfmill-runner: {problem}\nhint: {hint}\n")
    return EXIT_USAGE


if __name__ == "__main__":
    run()
