"""What a process holds after many conversions with marker's real code: it must not grow for ever.

PDFMILL_LEAK is the number of conversions, 12 unless set; `make test-marker-long` does 200.
"""

from __future__ import annotations

import os
from pathlib import Path

from rig import Rig, request

from .test_marker import SAMPLES, good

COUNT = int(os.environ.get("PDFMILL_LEAK", "12"))
SETTLED = max(4, COUNT // 10)
"""Conversions after which caches are full."""
ALLOWED = (96 << 20) + COUNT * (1 << 19)
"""Bytes: a tenth of the growth for which a worker is replaced (2 GiB), after twice the conversions for which it is."""


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_many_conversions_leave_nothing_behind(environment: dict[str, str], tmp_path: Path) -> None:
    with Rig("marker", environment, patience=600) as rig:
        rig.greet()
        before, files = 0, 0
        for n in range(COUNT):
            good(rig.convert(request(SAMPLES / "report.pdf", tmp_path / str(n), 1, 1))[0])
            if n + 1 == SETTLED:
                before = resident(rig.process.pid)
                files = len(list(Path(f"/proc/{rig.process.pid}/fd").iterdir()))
        grown = resident(rig.process.pid) - before
        print(f"{COUNT} conversions: {before >> 20} MiB after {SETTLED}, {grown / (1 << 20):+.1f} MiB until the end")
        assert grown < ALLOWED
        assert len(list(Path(f"/proc/{rig.process.pid}/fd").iterdir())) <= files + 2
