"""Marker's debug output: its pictures of the blocks that it found, and the blocks themselves, page by page and bounded."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdfmill_runner.protocol import Image

if TYPE_CHECKING:
    from collections.abc import Collection

log = logging.getLogger(__name__)

MAX_FILE = 16 << 20
"""Bytes of one file."""
MAX_BYTES = 128 << 20
"""Of all files of a conversion; what is more is left out."""

_NAMES = {"pdf_page_": "image/png", "layout_page_": "image/png"}


class Debug:
    """The debug folder of one conversion: `debug/pdf_page_6.png`, `layout_page_6.png` and `blocks_page_6.json` of page 7."""

    def __init__(self, out_dir: str) -> None:
        self._folder = Path(out_dir, "debug")
        self._raw = Path(out_dir, ".debug")

    def config(self) -> dict[str, Any]:
        """Return what makes marker write it."""
        from marker.settings import settings  # noqa: PLC0415

        shutil.rmtree(self._raw, ignore_errors=True)  # of a try before
        font = Path(str(settings.FONT_PATH))
        if font.suffix != ".ttf":  # labels are drawn: Pillow brings a font
            settings.FONT_PATH = str(_font())
        return {
            "debug_pdf_images": True,
            "debug_layout_images": True,
            "debug_json": True,
            "debug_data_folder": str(self._raw),
        }

    def take(self, pages: Collection[int]) -> list[Image]:
        """Sort what marker wrote by pages (1-based) and return it, within the bounds."""
        found: list[tuple[int, str, str, bytes]] = []
        for path in sorted(self._raw.rglob("*")):
            if path.name == "blocks.json":
                found += [
                    (page["page_id"] + 1, f"blocks_page_{page['page_id']}.json", "application/json", json.dumps(page).encode())
                    for page in json.loads(path.read_text(encoding="utf-8"))
                ]
            for begin, kind in _NAMES.items():
                if path.name.startswith(begin):
                    number = int(path.stem.removeprefix(begin)) + 1
                    found.append((number, path.name, kind, path.read_bytes()))
        shutil.rmtree(self._raw, ignore_errors=True)
        files, total = [], 0
        for number, name, kind, data in sorted(found):
            if number not in pages:
                continue
            if len(data) > MAX_FILE or total + len(data) > MAX_BYTES:
                log.warning("debug output %s of %d bytes is left out: too much", name, len(data))
                continue
            total += len(data)
            self._folder.mkdir(exist_ok=True)
            (self._folder / name).write_bytes(data)
            files.append(Image(number, f"debug/{name}", kind, len(data)))
        return files


def _font() -> Path:
    from PIL import ImageFont  # noqa: PLC0415

    file = Path(tempfile.gettempdir(), "pdfmill-labels.ttf")
    font = ImageFont.load_default(10)
    file.write_bytes(font.font_bytes if isinstance(font, ImageFont.FreeTypeFont) else b"")
    return file
