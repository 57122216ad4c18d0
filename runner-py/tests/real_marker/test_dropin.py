"""pdfmill in the place of marker's own command: the same files, names and Markdown; and however it cuts a document, the same.

The models are stand-ins: those of 2.x find headings and pictures, see servers2.py; to those of 1.10.x the lower half
of every page is a picture, see tiny1.py. `make build` made the pdfmill that is run.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import pdfs
from rig import REPOSITORY

from .installed import GENERATION, PATIENCE
from .test_marker import TITLES

BIN = REPOSITORY / "bin" / "pdfmill"
ADDRESSES = {
    "PDFMILL_MARKER_LAYOUT_URL": "FAST_LAYOUT_SERVER_URL",
    "PDFMILL_MARKER_OCR_ERROR_URL": "OCR_ERROR_SERVER_URL",
    "PDFMILL_MARKER_VLM_URL": "SURYA_INFERENCE_URL",
}
CLI = {
    2: "from marker.scripts.convert import convert_cli; convert_cli()",
    # 1.10.2's command for folders imports psutil, which the package doesn't require: the one for a document alone.
    1: "from marker.scripts.convert_single import convert_single_cli; convert_single_cli()",
}
# What joins ranges is the same for both generations, and starting 1.10.x takes long: there, one output of each kind.
OUTPUTS = ("markdown", "html", "json", "chunks") if GENERATION == 2 else ("markdown", "json")
CUT = {"PDFMILL_MAX_RANGE_PAGES": "1"}


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
    if GENERATION == 2:  # the stand-ins of 1.10.x would have its text for a picture
        (folder / "report.pdf").write_bytes((REPOSITORY / "samples" / "report.pdf").read_bytes())
    return folder


@pytest.fixture(scope="module")
def places(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What points marker at its models, by marker's names and by ours."""
    if GENERATION == 2:
        theirs: dict[str, str] = request.getfixturevalue("environment")
        own = ("FAST_LAYOUT_SERVER_AUTOSTART", "OCR_ERROR_SERVER_AUTOSTART", "SURYA_INFERENCE_AUTOSTART")
        off = dict.fromkeys(own, "false")
        return theirs | off | {"SURYA_INFERENCE_BACKEND": "vllm"} | {ours: theirs[name] for ours, name in ADDRESSES.items()}
    models = tmp_path_factory.mktemp("models")
    place = [sys.executable, str(Path(__file__).with_name("place.py")), str(models), "--pictures"]
    subprocess.run(place, check=True, timeout=PATIENCE)
    theirs = {"HF_HOME": str(models), "MODEL_CACHE_DIR": str(models / "datalab"), "HF_HUB_OFFLINE": "1"}
    # The models lie in a folder that nobody but the tests may read.
    return theirs | {"PDFMILL_MODELS": str(models), "PDFMILL_WORKER_USER": "none"}


def command(places: dict[str, str], papers: Path, out: Path) -> None:
    """Run marker's own command."""
    env = {**os.environ, **places, "FONT_PATH": sys.executable}
    about = [str(papers), "--workers", "1"] if GENERATION == 2 else [str(papers / "the book.pdf")]
    args = [sys.executable, "-c", CLI[GENERATION], *about, "--output_dir", str(out)]
    done = subprocess.run(args, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr


def ours(places: dict[str, str], papers: Path, out: Path, *more: str, **variables: str) -> None:
    """Run pdfmill."""
    env = {**os.environ, "PDFMILL_MARKER_GENERATION": str(GENERATION), **places, **variables}
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


@pytest.fixture(scope="module")
def converted(places: dict[str, str], papers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each output of documents that were converted whole, and cut into pages: whole-json, cut-json.

    Each is a pipeline of its own, which mostly starts: as many go side by side as there are processors.
    """
    folder = tmp_path_factory.mktemp("converted")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = [
            pool.submit(ours, places, papers, folder / f"{how}-{output}", "--output", output, **variables)
            for output in OUTPUTS
            for how, variables in {"whole": {}, "cut": CUT}.items()
        ]
    for one in running:
        one.result()
    return folder


def test_the_same_folder_as_markers_command_writes(places: dict[str, str], papers: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        other = pool.submit(command, places, papers, tmp_path / "theirs")
        ours(places, papers, tmp_path / "ours", "--layout", "marker", PDFMILL_MAX_RANGE_PAGES="2")
    other.result()
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


@pytest.mark.parametrize("output", OUTPUTS)
def test_ranges_change_nothing(converted: Path, output: str) -> None:
    whole, cut = files(converted / f"whole-{output}"), files(converted / f"cut-{output}")
    del whole["report.json"], cut["report.json"]
    assert sorted(whole) == sorted(cut)
    for name in whole:
        assert whole[name] == cut[name], name
    text = next(data for name, data in whole.items() if name.startswith("the book.") and not name.endswith(".jpg")).decode()
    assert f"{TITLES[4]} 4" in text
    if output in ("markdown", "html"):  # the others hold pictures themselves
        pictures = [name for name in whole if name.startswith("the book_images/")]
        assert len(pictures) == 5
        assert all(Path(name).name in text for name in pictures)
    if output in ("markdown", "html"):
        (target,) = set(re.findall(r"\]\(#([^)]+)\)" if output == "markdown" else r'href="#([^"]+)"', text))
        assert f'id="{target}"' in text
    if output == "markdown" and GENERATION == 2:
        assert set(re.findall(rf"(?m)^(#+) .*(?:{'|'.join(TITLES)})", text)) == {"#", "##"}
    if output == "json":
        pages = json.loads(text)["children"]
        assert [page["id"] for page in pages] == [f"/page/{n}/Page/{page['id'].split('/')[-1]}" for n, page in enumerate(pages)]
        if GENERATION == 1:
            return  # whose stand-in finds no headings
        # The last page's own heading is one of the smaller ones, below the larger one of the page before.
        assert sorted(pages[4]["section_hierarchy"].values()) == ["/page/3/SectionHeader/0", "/page/4/SectionHeader/0"]


def test_debug_output_is_there(places: dict[str, str], papers: Path, tmp_path: Path) -> None:
    ours(places, papers, tmp_path / "out", "--engine-options", "debug=yes", PDFMILL_MAX_RANGE_PAGES="2")
    found = files(tmp_path / "out")
    for n in range(5):
        for name in (f"pdf_page_{n}.png", f"layout_page_{n}.png", f"blocks_page_{n}.json"):
            assert found[f"the book_debug/{name}"]
