"""A process on a device that does what it is told: a request a line on standard input, an answer a line on standard output."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from pdfmill_runner.engines.sim import attach
from pdfmill_runner.failures import classify

if TYPE_CHECKING:
    from pdfmill_runner.device import Device


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    device: Device | None = None
    if os.environ["PDFMILL_GPUSIM"] == "torch":
        import torch  # noqa: F401, PLC0415 - takes seconds and touches no device: done while nobody waits
    for line in sys.stdin:
        request = json.loads(line)
        began = time.monotonic()
        try:
            if request["op"] == "attach":
                os.environ.update(request.get("env", {}))
                device = attach(os.environ["PDFMILL_GPUSIM"])
                value: Any = device.id
            else:
                assert device
                value = do(device, **request)
            answer = {"value": value}
        except Exception as error:  # noqa: BLE001 - the other side judges it
            known = classify(error)
            answer = {
                "type": type(error).__name__,
                "class": known.failure.value,
                "intact": known.context_intact,
                "message": str(error).splitlines()[0] if str(error) else "",
                "frames": [frame.name for frame in traceback.extract_tb(error.__traceback__)],
            }
        answers.write(json.dumps({**answer, "seconds": time.monotonic() - began}) + "\n")
        answers.flush()


def do(device: Device, op: str, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
    if op == "stats":
        return vars(device.stats())
    if op == "spin":
        return spin(device)
    if op == "fraction":
        import torch  # noqa: PLC0415 - only where there is one

        return torch.cuda.set_per_process_memory_fraction(**arguments)
    return getattr(device, op)(**arguments)


def spin(device: Device) -> None:
    """Launch a kernel that doesn't end for half a minute, and don't wait for it (a simulated one is waited for)."""
    if os.environ["PDFMILL_GPUSIM"] != "torch":
        return device.kernel(fault="hang")
    import torch  # noqa: PLC0415 - only where there is one

    torch.cuda._sleep(60_000_000_000)  # noqa: SLF001 - nothing public keeps a device busy for one launch
    return None


if __name__ == "__main__":
    main()
