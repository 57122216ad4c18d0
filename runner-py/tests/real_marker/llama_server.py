"""STAND-IN for llama.cpp's server: takes the arguments that surya gives it, looks for its files, answers as servers2 does."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from real_marker.servers2 import start


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    for name in ("--model", "--mmproj", "--host", "--alias"):
        parser.add_argument(*(("-m", name) if name == "--model" else (name,)), required=True)
    for name in ("--port", "--parallel", "--ctx-size"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("-ngl", type=int)
    parser.add_argument("--jinja", action="store_true")
    parser.add_argument("--faults", type=Path, required=True, help="not llama.cpp's: the folder of servers2.py's faults")
    args = parser.parse_args()
    for file in (args.model, args.mmproj):
        assert Path(file).stat().st_size > 0
    while (args.faults / "vlm.slow").exists():  # real ones load for minutes
        time.sleep(0.02)
    start("vlm", args.alias, args.faults, args.port)
    threading.Event().wait()


if __name__ == "__main__":
    main()
