"""What an engine is: a class with a name that loads, converts page ranges and proves that it is alive.

An engine is used by one thread, one conversion at a time, in a process of its own. Its module must import nothing heavy:
load() does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from .protocol import Capabilities, Convert, Image, Page

if TYPE_CHECKING:
    from collections.abc import Sequence


class Progress(Protocol):
    """Tells the service that the conversion is alive. Calling it often is fine: what comes too fast is dropped."""

    def __call__(self, phase: str, done: int, total: int, /) -> None:
        """Say that `done` of `total` pages of a phase are done."""


@dataclass(frozen=True)
class Conversion:
    """What a conversion gives: one Page for each page of the range, in order, and the images that were cut out.

    `debug` are files for people to look at, where an option asks for them.
    """

    pages: Sequence[Page]
    images: Sequence[Image] = ()
    debug: Sequence[Image] = ()


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes of device memory: held by tensors, held by the allocator, and the most since the last reset."""

    allocated: int = 0
    reserved: int = 0
    peak: int = 0


class Engine(ABC):
    """One way to convert. Subclasses override what they need; `name` is what the service asks for."""

    name: ClassVar[str]
    distributions: ClassVar[tuple[str, ...]] = ()
    """Distributions that must be installed; their versions are reported."""
    capabilities: ClassVar[Capabilities] = Capabilities()
    options: ClassVar[tuple[str, ...]] = ()
    """Names of its own options. It is given those of other engines too, and leaves them alone or refuses them."""
    auto: ClassVar[bool] = True
    """False keeps the engine out of every automatic choice: it runs only when asked for by name."""

    @property
    def device(self) -> str:
        """Where it computes: "cpu", "cuda:0" and so on."""
        return "cpu"

    @abstractmethod
    def load(self) -> None:
        """Import what is heavy and load models. Called once, before anything else that works."""

    @abstractmethod
    def convert(self, request: Convert, progress: Progress) -> Conversion:
        """Convert a range, writing files below `request.out_dir`.

        A page that can't be converted is a failed Page, not an exception; an exception fails the whole range. Raise
        EngineError where the class of the failure is known.
        """

    @abstractmethod
    def probe(self) -> str:
        """Do a real operation on the device, synchronised, and say what it was. Raises when it fails."""

    def models(self) -> dict[str, str]:
        """Return the checkpoint of each model that is loaded, by its role."""
        return {}

    def device_memory(self) -> DeviceMemory:
        """Return the figures of the device's allocator."""
        return DeviceMemory()

    def settle(self) -> None:  # noqa: B027 - most engines have nothing to do
        """Give back memory after a conversion and begin a new peak. Garbage was collected before."""
