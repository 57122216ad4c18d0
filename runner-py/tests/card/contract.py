"""The contract of `pdfmill_runner.device.Device`, held against a real GPU or a simulated one.

    PDFMILL_GPUSIM=torch|SOCKET python -m card.contract [CHECK...]

in the folder of the tests prints JSON: what each check found, for comparison; the exit status is 1 when one of them failed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from card.driver import NVML, Broker

if TYPE_CHECKING:
    from types import TracebackType

    from card.driver import Reading

MIB, GIB = 1 << 20, 1 << 30
PATIENCE = 60.0  # seconds, for any one answer
TORCH = os.environ["PDFMILL_GPUSIM"] == "torch"
STORE = 5 if TORCH else 1  # processes that are started before they are needed
QUIET = 0.5 if TORCH else 0.1  # seconds without a change, after which nothing is expected
Facts = dict[str, Any]


class Child:
    """A process that may use the device. It is one of those that were started before: PyTorch takes seconds to import."""

    _ready: ClassVar[list[subprocess.Popen[bytes]]] = []

    def __init__(self, *, expandable: bool = False, blocking: bool = False) -> None:
        if expandable:
            self._process = self._start(expandable=True)
        else:
            self.prepare()
            self._process = self._ready.pop(0)
        self._env = {"CUDA_LAUNCH_BLOCKING": "1"} if blocking else {}
        self.pid = self._process.pid

    @classmethod
    def prepare(cls) -> None:
        """Have some in store."""
        while len(cls._ready) < STORE:
            cls._ready.append(cls._start(expandable=False))

    @classmethod
    def dismiss(cls) -> None:
        """End those that nobody took."""
        for process in cls._ready:
            process.kill()
            process.wait()

    @staticmethod
    def _start(*, expandable: bool) -> subprocess.Popen[bytes]:
        conf = f"expandable_segments:{expandable}"
        return subprocess.Popen(
            [sys.executable, "-m", "card.child"],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTORCH_CUDA_ALLOC_CONF": conf, "PYTORCH_ALLOC_CONF": conf},
        )

    def attach(self) -> Child:
        """Become a process on the device."""
        self.do("attach", env=self._env)
        return self

    def ended(self) -> bool:
        """Say whether it is gone, and reap it."""
        return self._process.poll() is not None

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.end()

    def tell(self, op: str, **arguments: object) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
        self._process.stdin.flush()

    def ask(self, op: str, **arguments: object) -> Facts:
        """Return the whole answer, an error as well."""
        assert self._process.stdout
        self.tell(op, **arguments)
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            raise TimeoutError(f"no answer to {op} within {PATIENCE} s")
        line = self._process.stdout.readline()
        assert line, f"the process ended at {op}"
        answer: Facts = json.loads(line)
        return answer

    def do(self, op: str, **arguments: object) -> Any:  # noqa: ANN401 - JSON
        """Return the value; an error fails the check."""
        answer = self.ask(op, **arguments)
        assert "value" in answer, f"{op}: {answer}"
        return answer["value"]

    def kill(self, how: signal.Signals) -> None:
        self._process.send_signal(how)

    def end(self) -> None:
        """Leave in order; by force when that takes too long."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class Lab:
    """A device and the processes of one check."""

    def __init__(self) -> None:
        self.driver = NVML() if TORCH else Broker(os.environ["PDFMILL_GPUSIM"])
        self._stack = ExitStack()

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read(self) -> Reading:
        return self.driver.read()

    def settled(self) -> Reading:
        """Return a reading when nothing is on its way in or out any more."""
        last, since = self.read(), time.monotonic()
        while time.monotonic() - since < QUIET:
            time.sleep(0.02)
            if (now := self.read()).used != last.used:
                last, since = now, time.monotonic()
        return last

    def child(self, *, expandable: bool = False, blocking: bool = False) -> Child:
        return self._stack.enter_context(Child(expandable=expandable, blocking=blocking)).attach()

    def raw(self) -> Child:
        """Return a process that has not attached yet."""
        return self._stack.enter_context(Child())

    def held(self, child: Child, before: Reading) -> int:
        """Return what a process holds; where the driver doesn't say, what has come since a reading."""
        now = self.read()
        return now.used - before.used if now.processes is None else now.processes.get(child.pid, 0)

    def leave(self, size: int) -> Child:
        """Have a process take everything but so much."""
        child = self.child()
        for step in (4 * GIB, GIB, 64 * MIB, 16 * MIB):
            while self.read().free - step >= size:
                if "value" not in child.ask("alloc", size=step):
                    break
        return child


def context(lab: Lab) -> Facts:
    """A process costs memory that its allocator doesn't know of."""
    found: Facts = {}
    for name in ("first", "second"):
        before, began = lab.settled(), time.monotonic()
        child = lab.child()
        seconds = time.monotonic() - began
        driver, stats = lab.held(child, before), child.do("stats")
        found[name] = {"bytes": driver - stats["reserved"], "reserved": stats["reserved"], "attach_seconds": seconds}
        assert driver > stats["reserved"]
    found["driver_tells_processes"] = lab.read().processes is not None
    return found


def cache(lab: Lab) -> Facts:
    """What is freed stays taken until the cache is emptied; the driver sees it."""
    child, before = lab.child(), lab.read()
    start = lab.held(child, before)
    handle = child.do("alloc", size=2 * GIB)
    taken = lab.held(child, before) - start
    child.do("free", handle=handle)
    kept, stats = lab.held(child, before) - start, child.do("stats")
    child.do("empty_cache")
    after, emptied = lab.held(child, before) - start, child.do("stats")
    assert taken >= 2 * GIB
    assert kept == taken
    assert stats["reserved"] - stats["allocated"] >= 2 * GIB
    assert after < 64 * MIB
    return {"taken": taken, "kept": kept, "after_empty_cache": after, "stats": stats, "emptied": emptied}


def peak(lab: Lab) -> Facts:
    """Peaks are kept until they are reset."""
    child = lab.child()
    child.do("reset_peak")
    child.do("free", handle=child.do("alloc", size=GIB))
    high = child.do("stats")
    child.do("empty_cache")
    child.do("reset_peak")
    low = child.do("stats")
    assert high["peak_allocated"] >= GIB
    assert high["peak_reserved"] >= GIB
    assert low["peak_reserved"] < GIB
    return {"high": high, "low": low}


def out_of_memory(lab: Lab) -> Facts:
    """Running out at the device's true limit is an oom that leaves the process usable."""
    child = lab.child()
    lab.leave(2 * GIB)
    absurd, real = child.ask("alloc", size=1 << 50), child.ask("alloc", size=3 * GIB)
    for answer in (absurd, real):
        assert answer.get("type", "").endswith("OutOfMemoryError"), answer
        assert answer["class"] == "oom"
        assert answer["intact"]
    child.do("empty_cache")
    child.do("kernel")
    child.do("alloc", size=GIB)
    return {"absurd": absurd, "real": real, "usable_afterwards": True}


def no_room_for_a_context(lab: Lab) -> Facts:
    """A process that doesn't even get its context fails as out of memory."""
    holder = lab.leave(128 * MIB)
    late = lab.raw()
    answer = late.ask("attach")
    assert answer.get("class") == "oom", answer
    holder.do("kernel")
    return {"answer": answer, "free": lab.read().free}


def device_assert(lab: Lab) -> Facts:
    """An assert makes a process useless and harms no other."""
    sibling, child = lab.child(), lab.child()
    small = child.do("alloc", size=32 * MIB)
    child.do("free", handle=small)
    kept = child.do("alloc", size=MIB)
    broke = child.ask("kernel", fault="assert")
    assert broke.get("class") == "device-assert", broke
    assert not broke["intact"]
    kernel, fresh = child.ask("kernel"), child.ask("alloc", size=2 * GIB)
    for answer in (kernel, fresh):
        assert answer.get("class") == "device-assert", answer
    child.do("alloc", size=16 * MIB)  # from the cache
    child.do("free", handle=kept)
    child.do("reset_peak")
    emptied = child.ask("empty_cache")
    assert emptied.get("class") == "device-assert", emptied
    found = {"broke": broke, "kernel": kernel, "alloc": fresh, "empty_cache": emptied, "stats": child.do("stats")}
    sibling.do("kernel")
    sibling.do("alloc", size=GIB)
    fresh_one = lab.child()
    fresh_one.do("kernel")
    return found


def launch_blocking(lab: Lab) -> Facts:
    """With CUDA_LAUNCH_BLOCKING=1 the trace names the line that did it."""
    found = {}
    for blocking in (False, True):
        answer = lab.child(blocking=blocking).ask("kernel", fault="assert")
        assert answer.get("class") == "device-assert", answer
        found["blocking" if blocking else "usual"] = answer
    if TORCH:
        assert "_look_outside" in found["blocking"]["frames"]
        assert "_look_outside" not in found["usual"]["frames"]
    return found


def fragmentation(lab: Lab) -> Facts:
    """Blocks freed here and there can't serve a large one, unless segments are expandable."""
    found = {}
    with lab.leave(9 * GIB):
        for expandable in (False, True):
            with Child(expandable=expandable).attach() as child:
                large = []
                for _ in range(30):  # a large block beside a small one, in what was one segment
                    child.do("free", handle=child.do("alloc", size=216 * MIB))
                    large.append(child.do("alloc", size=200 * MIB))
                    child.do("alloc", size=16 * MIB)
                full = child.do("stats")
                for handle in large:
                    child.do("free", handle=handle)
                answer = child.ask("alloc", size=5 * GIB)
                child.do("empty_cache")
                found["expandable" if expandable else "usual"] = {"full": full, "answer": answer, "stats": child.do("stats")}
    stats = found["expandable"]["stats"]
    assert 400 * MIB < stats["reserved"] - stats["allocated"] < 600 * MIB, stats  # parts of pages that are shared
    assert found["usual"]["answer"].get("class") == "oom", found["usual"]
    assert "value" in found["expandable"]["answer"], found["expandable"]
    return found


def release(lab: Lab) -> Facts:
    """Memory is back a moment after the end of a process, however it ends."""
    found: Facts = {}
    for how in ("exit", "kill", "kill_in_a_kernel"):
        before = lab.settled()
        child = lab.child()
        child.do("alloc", size=4 * GIB)
        if how == "kill_in_a_kernel":
            child.tell("spin")
            time.sleep(0.2)
        if how == "exit":
            child.end()
        began = time.monotonic()
        if how != "exit":
            child.kill(signal.SIGKILL)
        found[how] = _watch(lab, child, before, began)
    return found


def _watch(lab: Lab, child: Child, before: Reading, began: float) -> Facts:
    """Say after how many milliseconds a process was reaped, off the driver's list, and its memory free."""
    found: Facts = {"reaped_ms": None, "unlisted_ms": None, "free_ms": None}
    while time.monotonic() - began < PATIENCE:
        ended, now = child.ended(), lab.read()
        signs = {
            "reaped_ms": ended,
            "unlisted_ms": now.processes is not None and child.pid not in now.processes,
            "free_ms": now.used <= before.used + 64 * MIB,
        }
        for sign, seen in signs.items():
            if seen and found[sign] is None:
                found[sign] = (time.monotonic() - began) * 1e3
        if found["free_ms"] is not None and found["reaped_ms"] is not None:
            return found
        time.sleep(0.001)
    raise AssertionError(f"the memory never came back: {found}")


def fraction(lab: Lab) -> Facts:
    """A fraction of the device bounds a process, and reserves nothing for it (there is none in the simulation)."""
    if not TORCH:
        return {}
    child, before = lab.child(), lab.read()
    child.do("fraction", fraction=2 * GIB / before.total)
    held, answer = lab.read().used - before.used, child.ask("alloc", size=3 * GIB)
    assert answer.get("class") == "oom", answer
    child.do("alloc", size=GIB)
    return {"answer": answer, "taken_by_the_fraction": held, "driver": lab.held(child, before), "stats": child.do("stats")}


CHECKS = (
    context,
    cache,
    peak,
    out_of_memory,
    no_room_for_a_context,
    device_assert,
    launch_blocking,
    fragmentation,
    release,
    fraction,
)


def main() -> int:
    failed, found = 0, {}
    Child.prepare()
    for check in CHECKS:
        if sys.argv[1:] and check.__name__ not in sys.argv[1:]:
            continue
        began = time.monotonic()
        outcome: Facts = {}
        try:
            with Lab() as lab:
                lab.settled()  # of the check before
                outcome = {"facts": check(lab)}
        except Exception as error:  # noqa: BLE001 - the others may go well
            failed += 1
            outcome = {"failed": f"{type(error).__name__}: {error}"}
        found[check.__name__] = {**outcome, "seconds": time.monotonic() - began}
        sys.stderr.write(f"{check.__name__}: {outcome.get('failed', 'ok')} ({time.monotonic() - began:.1f} s)\n")
    Child.dismiss()
    with Lab() as lab:
        json.dump({"device": lab.driver.facts(), "checks": found}, sys.stdout, indent=1)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
