"""Opens each file named on a line of stdin with native PDFium, and answers with a line of JSON: whether a page can be loaded, and how many pages it has."""

import json
import sys

import pypdfium2
import pypdfium2.raw as pdfium

TRIED = 20  # pages, until one can be loaded

for line in sys.stdin:
    pages, opens, says = -1, False, ""
    try:
        with pypdfium2.PdfDocument(line.rstrip("\n")) as document:
            pages = len(document)
            for n in range(min(pages, TRIED)):
                if page := pdfium.FPDF_LoadPage(document.raw, n):
                    pdfium.FPDF_ClosePage(page)
                    opens = True
                    break
    except pypdfium2.PdfiumError as error:
        says = str(error)
    sys.stdout.write(json.dumps({"opens": opens, "pages": pages, "says": says}) + "\n")
    sys.stdout.flush()
