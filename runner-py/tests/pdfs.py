"""Small PDFs, written by hand so that each can be wrong in one way."""

from __future__ import annotations

import zlib


def build(objects: dict[int, bytes]) -> bytes:
    """Return a PDF of these objects; 1 is the catalog."""
    out = b"%PDF-1.7\n"
    offsets: dict[int, int] = {}
    for number, body in sorted(objects.items()):
        offsets[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start, size = len(out), max(objects) + 1
    out += b"xref\n0 %d\n" % size
    for number in range(size):
        out += b"%010d 00000 n \n" % offsets[number] if number in offsets else b"0000000000 65535 f \n"
    return out + b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (size, start)


def stream(data: bytes, extra: bytes = b"") -> bytes:
    """Return a compressed stream object."""
    packed = zlib.compress(data)
    return b"<</Length %d/Filter/FlateDecode%s>>stream\n%s\nendstream" % (len(packed), extra, packed)


def text(*lines: str, size: int = 12) -> bytes:
    """Return the content of a page that says some lines."""
    shown = b"".join(b"(%s) Tj 0 -20 Td " % line.encode("latin-1") for line in lines)
    return b"BT /F1 %d Tf 72 700 Td %s ET" % (size, shown)


def image(width: int, height: int) -> bytes:
    """Return a grey image object with some texture."""
    data = bytes((x * y) % 251 for y in range(height) for x in range(width))
    return stream(
        data, b"/Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceGray/BitsPerComponent 8" % (width, height)
    )


def document(*pages: bytes | None, catalog: bytes = b"", extra: dict[int, bytes] | None = None) -> bytes:
    """Return a PDF with a page for each content stream; None makes one that can't be loaded. `extra`: numbers from 1000."""
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R%s>>" % catalog,
        3: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        **(extra or {}),
    }
    xobjects = b"".join(b"/X%d %d 0 R" % (n, n) for n in extra or {})
    kids = []
    for i, content in enumerate(pages):
        kids.append(b"%d 0 R" % (10 + 2 * i))
        if content is not None:
            objects[10 + 2 * i] = (
                b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents %d 0 R"
                b"/Resources<</Font<</F1 3 0 R>>/XObject<<%s>>>>>>" % (11 + 2 * i, xobjects)
            )
            objects[11 + 2 * i] = stream(content)
    objects[2] = b"<</Type/Pages/Kids[%s]/Count %d>>" % (b" ".join(kids), len(pages))
    return build(objects)
