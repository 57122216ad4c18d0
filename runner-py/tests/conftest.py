from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rig import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FAKE = """
import gc, os, subprocess, sys, time
from pathlib import Path
from pdfmill_runner.engine import Conversion, Engine
from pdfmill_runner.protocol import Page

class FakeEngine(Engine):
    name = "fake"
    def load(self):
        self.made = [[]]
        if os.environ.get("FAKE") == "slow load": time.sleep(3600)
        if os.environ.get("FAKE") == "load": raise RuntimeError("CUDA error: no device")
    def convert(self, request, progress):
        what = os.environ.get("FAKE")
        if what == "chatty":
            print("to stdout", flush=True); print("to stderr", file=sys.stderr, flush=True)
            os.write(1, b"raw stdout\\n"); subprocess.run(["sh", "-c", "echo child >&1; echo x >&3; echo x >&4"], check=False)
        if what == "hang":
            progress("hang", 0, 1); time.sleep(3600)
        if what == "assert": raise RuntimeError("CUDA error: device-side assert triggered")
        if what == "short": return Conversion([])
        if what == "no file": return Conversion([Page(1, file="page-0001.md")])
        if what == "eager":
            for i in range(10_000): progress("eager", i, 10_000)
        Path(request.out_dir, "page-0001.md").write_text("fake")
        return Conversion([Page(1, file="page-0001.md", chars=4)])
    def probe(self):
        if os.environ.get("FAKE") == "sick": raise RuntimeError("no answer from the device")
        if os.environ.get("FAKE") == "count": return str(sum(one is self.made for one in gc.get_objects()))
        return "fine"
"""


@pytest.fixture(scope="session")
def runner() -> Iterator[Rig]:
    """A `text` runner that many tests share, as many documents do."""
    with Rig() as rig:
        rig.greet()
        yield rig


@pytest.fixture(scope="session")
def fake_engine(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder for PYTHONPATH with a distribution that adds the engine `fake`, as a third party would."""
    folder: Path = tmp_path_factory.mktemp("third-party")
    (folder / "fake_engine.py").write_text(FAKE, encoding="utf-8")
    info = folder / "fake_engine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-engine\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[pdfmill_runner.engines]\nfake = fake_engine:FakeEngine\n", encoding="utf-8")
    return str(folder)
