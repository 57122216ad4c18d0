"""pdfmill in the place of marker's own command: the same files, names and Markdown; and however it cuts a document, the same.

The models of 2.x are stand-ins, see servers2.py. `make build` made the pdfmill that is run.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import pdfs
from rig import REPOSITORY

from .installed import PATIENCE
from .test_servers import TITLES

if TYPE_CHECKING:
    from pathlib import Path

BIN = REPOSITORY / "bin" / "pdfmill"
ADDRESSES = {
    "PDFMILL_MARKER_LAYOUT_URL": "FAST_LAYOUT_SERVER_URL",
    "PDFMILL_MARKER_OCR_ERROR_URL": "OCR_ERROR_SERVER_URL",
    "PDFMILL_MARKER_VLM_URL": "SURYA_INFERENCE_URL",
}
CLI = "from marker.scripts.convert import convert_cli; convert_cli()"


def book() -> bytes:
    """Five pages: headings of two sizes, a picture on each, the same one on two of them, a link from the first to the last.

    No line is on two pages: marker takes such a one for a running head or foot, if it has both pages in one range.
    """

    def text(page: int) -> bytes:
        lines = [" ".join(TITLES[(3 * page + n + k) % len(TITLES)] for k in range(len(TITLES))) for n in (1, 2)]
        return pdfs.text(*([""] * 4), f"{page} {lines[0]}", f"{lines[1]} {page}")

    pages = [
        pdfs.text(f"{TITLES[n]} {n}", size=40 if n % 2 else 28)
        + b"\n"
        + text(n)
        + b"\nq 250 0 0 250 72 150 cm /X%d Do Q" % (1000 + n % 3)
        for n in range(5)
    ]
    data = pdfs.document(*pages, extra={1000 + n: pdfs.image(300 + n, 300) for n in range(3)})
    link = b"/Annots[<</Type/Annot/Subtype/Link/Rect[72 600 300 630]/Dest[18 0 R/XYZ 72 700 0]>>]"
    return data.replace(b"/Type/Page/Parent", link + b"/Type/Page/Parent", 1)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("papers")
    (folder / "the book.pdf").write_bytes(book())
    (folder / "report.pdf").write_bytes((REPOSITORY / "samples" / "report.pdf").read_bytes())
    return folder


def command(environment: dict[str, str], papers: Path, out: Path, *more: str) -> None:
    """Run marker's own command."""
    env = {**os.environ, **environment, "FONT_PATH": sys.executable, "FAST_LAYOUT_SERVER_AUTOSTART": "false"}
    env |= {"OCR_ERROR_SERVER_AUTOSTART": "false", "SURYA_INFERENCE_AUTOSTART": "false", "SURYA_INFERENCE_BACKEND": "vllm"}
    args = [sys.executable, "-c", CLI, str(papers), "--output_dir", str(out), "--workers", "1", *more]
    done = subprocess.run(args, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr


def ours(environment: dict[str, str], papers: Path, out: Path, *more: str, **variables: str) -> None:
    """Run pdfmill."""
    env = {**os.environ, "PDFMILL_MARKER_GENERATION": "2", **variables}
    env |= {name: environment[theirs] for name, theirs in ADDRESSES.items()}
    args = [str(BIN), "convert", str(papers), "-o", str(out), "--engine", "marker", "--workers", "1", *more]
    done = subprocess.run(args, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def plain(markdown: bytes) -> list[str]:
    """Markdown without the levels of headings (marker clusters them otherwise) and without empty lines."""
    return [re.sub(r"^#+ ", "# ", line.strip()) for line in markdown.decode().splitlines() if line.strip()]


def shape(value: Any) -> Any:
    """The keys of a value, all the way down."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items() if key != "block_metadata"}
    return [shape(value[0])] if isinstance(value, list) and value else type(value).__name__


def test_the_same_folder_as_markers_command_writes(environment: dict[str, str], papers: Path, tmp_path: Path) -> None:
    command(environment, papers, tmp_path / "theirs")
    ours(environment, papers, tmp_path / "ours", "--layout", "marker", PDFMILL_MAX_RANGE_PAGES="2")
    theirs, mine = files(tmp_path / "theirs"), files(tmp_path / "ours")
    assert sorted(set(mine) - {"report.json"}) == sorted(theirs)
    assert sum(name.endswith(".jpeg") for name in theirs) >= 5
    for name, data in theirs.items():
        if name.endswith("_meta.json"):
            meta, known = json.loads(mine[name]), json.loads(data)
            assert known.pop("debug_data_path")  # where debug output would be
            assert shape(meta) == shape(known)
            assert meta["page_stats"] == known["page_stats"]
            assert [entry["title"] for entry in meta["table_of_contents"]] == [e["title"] for e in known["table_of_contents"]]
        elif name.endswith(".md"):
            assert plain(mine[name]) == plain(data)


@pytest.mark.parametrize("output", ["markdown", "html", "json", "chunks"])
def test_ranges_change_nothing(environment: dict[str, str], papers: Path, tmp_path: Path, output: str) -> None:
    ours(environment, papers, tmp_path / "whole", "--output", output)
    ours(environment, papers, tmp_path / "cut", "--output", output, PDFMILL_MAX_RANGE_PAGES="1")
    whole, cut = files(tmp_path / "whole"), files(tmp_path / "cut")
    del whole["report.json"], cut["report.json"]
    assert sorted(whole) == sorted(cut)
    for name in whole:
        assert whole[name] == cut[name], name
    text = next(data for name, data in whole.items() if name.startswith("the book.") and not name.endswith(".jpg")).decode()
    assert f"{TITLES[4]} 4" in text
    if output in ("markdown", "html"):
        (target,) = set(re.findall(r"\]\(#([^)]+)\)" if output == "markdown" else r'href="#([^"]+)"', text))
        assert f'id="{target}"' in text
    if output == "markdown":
        assert set(re.findall(rf"(?m)^(#+) .*(?:{'|'.join(TITLES)})", text)) == {"#", "##"}
    if output == "json":
        pages = json.loads(text)["children"]
        assert [page["id"] for page in pages] == [f"/page/{n}/Page/{page['id'].split('/')[-1]}" for n, page in enumerate(pages)]
        # The last page's own heading is one of the smaller ones, below the larger one of the page before.
        assert sorted(pages[4]["section_hierarchy"].values()) == ["/page/3/SectionHeader/0", "/page/4/SectionHeader/0"]


def test_debug_output_is_there(environment: dict[str, str], papers: Path, tmp_path: Path) -> None:
    ours(environment, papers, tmp_path / "out", "--engine-options", "debug=yes", PDFMILL_MAX_RANGE_PAGES="2")
    found = files(tmp_path / "out")
    for n in range(5):
        for name in (f"pdf_page_{n}.png", f"layout_page_{n}.png", f"blocks_page_{n}.json"):
            assert found[f"the book_debug/{name}"]
