#!/usr/bin/env python3
"""Converts a folder of PDFs with one engine of pdfmill-runner, for score.py.

    produce.py PDFS OUT [--engine text] [--mode default|plain]

Writes OUT/NAME/page-0001.md and so on, and prints pages a second. Run it with the Python that has pdfmill-runner installed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import pypdfium2

from pdfmill_runner import registry
from pdfmill_runner.failures import EngineError
from pdfmill_runner.protocol import DEFAULT, FAILED, PLAIN, Convert, Options


def _silent(_phase: str, _done: int, _total: int) -> None:
    """Tell nobody."""


def main() -> int:
    """Run the command line; exit status 1 when a document or a page failed."""
    parser = argparse.ArgumentParser(description="Convert a folder of PDFs with one engine.")
    parser.add_argument("pdfs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--engine", default="text")
    parser.add_argument("--mode", choices=(DEFAULT, PLAIN), default=DEFAULT)
    args = parser.parse_args()
    engine = registry.find(args.engine)()
    engine.load()
    total, failed, seconds = 0, 0, 0.0
    for pdf in sorted(args.pdfs.glob("*.pdf")):
        out = args.out / pdf.stem
        out.mkdir(parents=True, exist_ok=True)
        with pypdfium2.PdfDocument(pdf) as document:
            last = len(document)
        request = Convert(pdf.stem, str(pdf.resolve()), 1, last, Options(mode=args.mode), str(out.resolve()), 3600.0)
        start = time.perf_counter()
        try:
            pages = engine.convert(request, _silent).pages
        except EngineError as error:
            sys.stderr.write(f"{pdf.name}: {error.failure.value}: {error}\n")
            failed += last
            continue
        seconds += time.perf_counter() - start
        total += len(pages)
        failed += sum(page.status == FAILED for page in pages)
    sys.stdout.write(f"{total} pages in {seconds:.2f} s, {total / max(seconds, 1e-9):.0f} pages/s, {failed} failed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
