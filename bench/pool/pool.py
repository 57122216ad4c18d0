#!/usr/bin/env python3
"""A bare pool of processes around the text engine: the baseline for what pdfmill adds. It validates nothing and keeps nothing.

    pool.py --processes N      says "ready", then answers each line on stdin, a JSON list of files, with a line of JSON
    pool.py --once FILE        converts one file in this process and ends

Run it with the Python that has pdfmill-runner installed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from pdfmill_runner import registry
from pdfmill_runner.protocol import DEFAULT, Convert, Options

_engine = registry.find("text")()


def _silent(_phase: str, _done: int, _total: int) -> None:
    """Tell nobody."""


def _load(_number: int = 0) -> None:
    """Load the engine and try it once."""
    _engine.load()
    _engine.probe()


def convert(path: str) -> int:
    """Convert a file into a folder that is thrown away; return its pages, -1 when it failed."""
    import pypdfium2  # noqa: PLC0415 - loaded by the engine

    with tempfile.TemporaryDirectory() as out:
        try:
            with pypdfium2.PdfDocument(path) as document:
                last = len(document)
            return len(_engine.convert(Convert("bench", path, 1, last, Options(mode=DEFAULT), out, 3600.0), _silent).pages)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next file is not to blame
            sys.stderr.write(f"{Path(path).name}: {error}\n")
            return -1


def main() -> int:
    """Run the command line; exit status 1 when the one file failed."""
    parser = argparse.ArgumentParser(description="Convert files with the text engine in a bare pool of processes.")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--once", type=Path)
    args = parser.parse_args()
    if args.once:
        _engine.load()
        return 0 if convert(str(args.once)) > 0 else 1
    with ProcessPoolExecutor(args.processes, initializer=_load) as pool:
        list(pool.map(abs, range(args.processes * 4)))  # starts them all
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for line in sys.stdin:
            files = json.loads(line)
            start = time.perf_counter()
            pages = list(pool.map(convert, files))
            seconds = time.perf_counter() - start
            answer = {"seconds": seconds, "pages": sum(max(n, 0) for n in pages), "failed": sum(n < 0 for n in pages)}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
