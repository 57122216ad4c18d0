"""The marker engine with marker's real code; `make test-marker` runs these in an environment of each generation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rig import Rig

from . import tiny1
from .installed import GENERATION, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

collect_ignore = ["test_resident.py"] if GENERATION == 2 else ["test_servers.py", "test_llm.py"]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The stand-in servers of 2.x; the folder holds servers.json, and takes files like `vlm.fail`."""
    folder = tmp_path_factory.mktemp("servers")
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("servers2.py")), "--dir", str(folder)], stdin=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while not (folder / "servers.json").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield folder
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What points the installed generation at its stand-ins."""
    common = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HOME": str(tmp_path_factory.mktemp("home"))}
    if GENERATION == 1:
        folder = Path(os.environ.get("PDFMILL_TINY", "")) if os.environ.get("PDFMILL_TINY") else tmp_path_factory.mktemp("tiny")
        # In a process of its own: these tests' own must not read surya's settings before the variables are set.
        subprocess.run([sys.executable, str(Path(__file__).with_name("tiny1.py")), str(folder)], check=True, timeout=PATIENCE)
        return common | tiny1.environment(folder)
    servers: Path = request.getfixturevalue("servers")
    variables: dict[str, str] = json.loads((servers / "servers.json").read_text(encoding="utf-8"))
    return {**common, **variables}


@pytest.fixture
def brittle(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment in which the engine `brittle` exists."""
    info = tmp_path / "brittle-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brittle\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[pdfmill_runner.engines]\nbrittle = brittle:BrittleEngine\n", encoding="utf-8")
    (tmp_path / "brittle.py").write_text(Path(__file__).with_name("brittle.py").read_text(encoding="utf-8"), encoding="utf-8")
    path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    return {**environment, "PYTHONPATH": path, "SABOTAGE": str(tmp_path / "sabotage")}


@pytest.fixture(scope="session")
def marker(environment: dict[str, str]) -> Iterator[Rig]:
    """A `marker` runner that many tests share, as many documents do."""
    with Rig("marker", environment, patience=PATIENCE) as rig:
        rig.greet()
        yield rig
