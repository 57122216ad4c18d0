"""The images that marker cuts out: written under names that no other page or range uses, and linked by them.

A name says what marker's own did: `_page_6_Figure_5.jpeg` becomes `page-0007-Figure-5.jpg`.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from pdfmill_runner.text.lite import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pdfmill_runner.text.images import ImageFolder

_NAME = re.compile(r"_page_(\d+)_([A-Za-z]+)_(\d+)\.")
QUALITY = 90  # of JPEG


def write(images: Mapping[str, Any], folder: ImageFolder) -> dict[str, str]:
    """Write images, within the folder's bounds; return their names by the names that marker gave them."""
    names: dict[str, str] = {}
    for name, image in images.items():
        if found := _NAME.match(name):
            page = int(found[1]) + 1
            data = io.BytesIO()
            image.convert("RGB").save(data, "JPEG", quality=QUALITY)
            figure = Figure(page, name, image.width, image.height, "jpg", data.getvalue())
            written = folder.add(page, figure, label=f"{found[2]}-{found[3]}")
            if written is not None:
                names[name] = written
    return names


def link(text: str, names: Mapping[str, str], given: Mapping[str, Any]) -> str:
    """Return the text of a page with the images' new names; a link to an image that was not written vanishes."""
    for name in given:
        if name not in text:
            continue
        if name in names:
            text = text.replace(name, names[name])
        else:
            quoted = re.escape(name)
            text = re.sub(rf"!\[[^\]\n]*\]\({quoted}\)|<img[^<>]*{quoted}[^<>]*>", "", text)
    return text
