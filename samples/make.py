#!/usr/bin/env python3
"""Makes the sample PDFs of this folder.

    python make.py [--font /path/to/DejaVuSans.ttf]

Needs fpdf2 and Pillow, and a DejaVu font for the letter. The PDFs are committed; run this only to change them.
"""

from __future__ import annotations

import argparse
import io
from datetime import datetime, timezone
from pathlib import Path

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from PIL import Image, ImageDraw, ImageFilter

HERE = Path(__file__).parent
MADE = datetime(2026, 1, 1, tzinfo=timezone.utc)  # fixed, so that the same program makes the same bytes

FLOW = [
    ("Station", "January", "February", "March"),
    ("North mill", "1,204", "1,318", "1,277"),
    ("South mill", "998", "1,041", "1,102"),
    ("Old weir", "412", "388", "455"),
]
PARAGRAPH = (
    "The three mills of the valley were measured every morning at six. The figures are litres a second, "
    "averaged over the month; a day without a reading was left out and not counted as zero. "
)


def new() -> FPDF:
    """Return an empty document in A4."""
    pdf = FPDF()
    pdf.set_creation_date(MADE)
    pdf.set_title("pdfmill sample")
    pdf.set_margin(20)
    return pdf


def heading(pdf: FPDF, text: str, size: int) -> None:
    """Write a heading."""
    pdf.set_font("helvetica", "B", size)
    pdf.cell(0, size * 0.6, text, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.ln(2)


def body(pdf: FPDF, text: str) -> None:
    """Write a paragraph."""
    pdf.set_font("helvetica", "", 11)
    pdf.multi_cell(0, 5.5, text, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.ln(3)


def chart() -> io.BytesIO:
    """Draw the bars of the report."""
    image = Image.new("RGB", (480, 240), "white")
    draw = ImageDraw.Draw(image)
    for i, row in enumerate(FLOW[1:]):
        for j, value in enumerate(row[1:]):
            left = 40 + i * 145 + j * 35
            height = int(value.replace(",", "")) // 7
            draw.rectangle((left, 220 - height, left + 28, 220), fill=("#30638e", "#edae49", "#d1495b")[j])
    draw.line((30, 220, 470, 220), fill="black", width=2)
    out = io.BytesIO()
    image.save(out, "PNG")
    out.seek(0)
    return out


def report() -> FPDF:
    """Two pages with headings, a table, a list and an image."""
    pdf = new()
    pdf.add_page()
    heading(pdf, "Water flow in the first quarter", 22)
    body(pdf, PARAGRAPH * 2)
    heading(pdf, "Monthly figures", 15)
    pdf.set_font("helvetica", "", 11)
    with pdf.table(width=150, align="L") as table:
        for line in FLOW:
            row = table.row()
            for item in line:
                row.cell(item)
    pdf.ln(5)
    heading(pdf, "What changed", 15)
    for item in (
        "The north mill got a new wheel in February.",
        "The old weir was cleaned twice.",
        "No reading was lost.",
    ):
        body(pdf, f"- {item}")
    pdf.add_page()
    heading(pdf, "The same as a picture", 15)
    pdf.image(chart(), w=150)
    pdf.ln(5)
    body(pdf, PARAGRAPH)
    heading(pdf, "Conclusion", 15)
    body(pdf, "The valley had enough water for all three mills.")
    return pdf


def letter(font: Path) -> FPDF:
    """One page in many scripts."""
    pdf = new()
    pdf.add_font("letter", "", font)
    pdf.add_page()
    pdf.set_font("letter", "", 20)
    pdf.cell(0, 12, "Grüße aus Łódź", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.set_font("letter", "", 11)
    for line in (
        "Liebe Zoë, der naïve Müller fährt über Århus nach Čáslav — für 45 € und ½ Stunde Pause.",
        "Αγαπητή φίλη, ο μύλος γυρίζει όταν φυσά ο άνεμος.",
        "Дорогой друг, мельница работает, пока течёт вода.",
        "Sevgili dostum, değirmen ırmağın kıyısındadır.",
        "Ça va? Où est le moulin “d'été”? — Là-bas, près de l'île.",
    ):
        pdf.multi_cell(0, 6, line, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        pdf.ln(6)
    return pdf


def scan() -> FPDF:
    """One page that is only a picture, as a scanner makes it: no text layer."""
    image = Image.new("L", (620, 877), 246)
    draw = ImageDraw.Draw(image)
    for i, line in enumerate(
        [
            "RECEIPT No. 4711",
            "",
            "3 sacks of flour     42.00",
            "1 sack of bran        9.50",
            "",
            "Total                51.50",
        ]
    ):
        draw.text((70, 90 + i * 34), line, fill=40, font_size=24)
    image = image.rotate(0.8, fillcolor=246).filter(ImageFilter.GaussianBlur(0.7))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=45)
    out.seek(0)
    pdf = new()
    pdf.add_page()
    pdf.image(out, x=0, y=0, w=pdf.w, h=pdf.h)
    return pdf


def mixed() -> FPDF:
    """Three pages: text, nothing, text. A blank page is no failure."""
    pdf = new()
    for title, text in (
        ("Before the blank page", PARAGRAPH),
        ("", ""),
        (
            "After the blank page",
            "Somebody left a sheet empty between two full ones, as the ends of chapters do in books.",
        ),
    ):
        pdf.add_page()
        if title:
            heading(pdf, title, 18)
            body(pdf, text)
    return pdf


def main() -> None:
    """Write the samples beside this file."""
    parser = argparse.ArgumentParser(description="Make the sample PDFs.")
    parser.add_argument("--font", type=Path, default=Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"))
    font = parser.parse_args().font
    for name, pdf in {"report": report(), "letter": letter(font), "scan": scan(), "blank-page": mixed()}.items():
        pdf.output(str(HERE / f"{name}.pdf"))


if __name__ == "__main__":
    main()
