#!/usr/bin/env python3
"""Converts a folder of PDFs with liteparse alone, as its documentation shows it, for score.py.

    alone.py PDFS OUT

Writes OUT/NAME.md. OCR is off, which it is not by default: it would download language data.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from liteparse import LiteParse


def main() -> int:
    """Run the command line; exit status 1 when a document failed."""
    parser = argparse.ArgumentParser(description="Convert a folder of PDFs with liteparse alone.")
    parser.add_argument("pdfs", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for pdf in sorted(args.pdfs.glob("*.pdf")):
        try:
            result = LiteParse(ocr_enabled=False, quiet=True, output_format="markdown").parse(str(pdf))
        except Exception as error:  # noqa: BLE001 - whatever it is, the next file is not to blame
            sys.stderr.write(f"{pdf.name}: {error}\n")
            failed += 1
            continue
        text = "\n\n".join(page.markdown or "" for page in result.pages)
        (args.out / f"{pdf.stem}.md").write_text(text, encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
