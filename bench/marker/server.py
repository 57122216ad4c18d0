#!/usr/bin/env python3
"""Runs marker's own `marker_server` with the settings of the other two: it has no option for them.

    server.py SITE CONVERSIONS --port N

SITE is a folder with what marker_server imports and marker does not install: fastapi, uvicorn, python-multipart. CONVERSIONS is
a file that gets a line for each conversion that begins: the document's path.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(sys.argv.pop(1))  # last: marker's own packages come first
CONVERSIONS = Path(sys.argv.pop(1))

from marker.config.parser import ConfigParser  # noqa: E402 - after the path
from marker.converters.pdf import PdfConverter  # noqa: E402
from marker.scripts.server import server_cli  # noqa: E402

SETTINGS = {"force_layout_block": "Text", "disable_ocr": True, "disable_tqdm": True}

_generate = ConfigParser.generate_config_dict


def _with_settings(parser: ConfigParser) -> dict[str, object]:
    return _generate(parser) | SETTINGS


ConfigParser.generate_config_dict = _with_settings

_convert = PdfConverter.__call__


def _counted(converter: PdfConverter, path: str) -> object:
    with CONVERSIONS.open("a", encoding="utf-8") as file:
        file.write(f"{path}\n")
    return _convert(converter, path)


PdfConverter.__call__ = _counted

if __name__ == "__main__":
    server_cli()
