#!/usr/bin/env python3
"""Native PDFium in a bare pool of processes: the baseline for what the validator adds. It trusts every file, and bounds nothing.

    native.py PROCESSES FOLDER     opens every *.pdf below FOLDER, looks into every page, and says what it found as a line of JSON

Run it with a Python that has pypdfium2.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pypdfium2
import pypdfium2.raw as pdfium

VISITED = 200  # objects of a page whose kind is asked for


def look(path: str) -> tuple[str, int]:
    """Open a file, and say its class and how many pages could be loaded."""
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        return ("encrypted" if "assword" in str(error) else "corrupt"), 0
    loaded = 0
    with document:
        for index in range(len(document)):
            page = pdfium.FPDF_LoadPage(document.raw, index)
            if not page:
                continue
            loaded += 1
            for n in range(min(VISITED, pdfium.FPDFPage_CountObjects(page))):
                pdfium.FPDFPageObj_GetType(pdfium.FPDFPage_GetObject(page, n))
            text = pdfium.FPDFText_LoadPage(page)
            pdfium.FPDFText_CountChars(text)
            pdfium.FPDFText_ClosePage(text)
            pdfium.FPDF_ClosePage(page)
    return ("ok" if loaded else "corrupt"), loaded


def main() -> int:
    """Run the command line."""
    files = sorted(str(path) for path in Path(sys.argv[2]).rglob("*.pdf"))
    with ProcessPoolExecutor(int(sys.argv[1])) as pool:
        found = list(pool.map(look, files, chunksize=8))
    sys.stdout.write(json.dumps({"files": len(found), "ok": sum(verdict == "ok" for verdict, _ in found), "pages": sum(n for _, n in found)}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
