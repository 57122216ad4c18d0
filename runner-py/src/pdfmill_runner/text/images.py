"""Writing the images of pages: bounded, named by page, the same bytes only once a conversion."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from pdfmill_runner.protocol import Image

if TYPE_CHECKING:
    from .lite import Figure

MAX_COUNT = 64  # images of one page
MAX_BYTES = 16 << 20  # bytes of all images of one page
MAX_PIXELS = 64_000_000  # pixels of all images of one page; more are not even decoded
MIN_SIDE = 24  # pixels; smaller ones are rules, bullets and dots
MIN_AREA = 2_500  # pixels

_MEDIA_TYPES = {"png": "image/png", "jpg": "image/jpeg"}


class ImageFolder:
    """The `images` folder of one conversion."""

    def __init__(self, out_dir: str) -> None:
        self._out_dir = Path(out_dir)
        self._files: dict[bytes, str] = {}
        self._count: dict[int, int] = {}
        self._bytes: dict[int, int] = {}
        self.images: list[Image] = []

    def add(self, page: int, figure: Figure, label: str = "") -> str | None:
        """Write an image and return its name relative to the conversion's folder; None when it is not worth it or too much.

        `label` is the name that somebody gave it, who wants it whatever it is; others are numbered, left out when they are
        small, and written once.
        """
        media_type = _MEDIA_TYPES.get(figure.format)
        too_small = min(figure.width, figure.height) < MIN_SIDE or figure.width * figure.height < MIN_AREA
        if media_type is None or (too_small and not label) or not figure.data:
            return None
        digest = hashlib.sha256(figure.data).digest()
        if digest in self._files and not label:
            return self._files[digest]
        count, size = self._count.get(page, 0) + 1, self._bytes.get(page, 0) + len(figure.data)
        if count > MAX_COUNT or size > MAX_BYTES:
            return None
        name = f"images/page-{page:04d}-{label or f'{count:02d}'}.{figure.format}"
        path = self._out_dir / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(figure.data)
        self._files[digest], self._count[page], self._bytes[page] = name, count, size
        self.images.append(Image(page, name, media_type, len(figure.data)))
        return name
