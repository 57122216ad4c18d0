"""Strict reading of the fields of a JSON object: present, of the right type, within bounds - or a WireError."""

from __future__ import annotations

import math
from typing import Any


class WireError(ValueError):
    """A line that isn't the protocol. It ends the conversation."""


class Fields:
    """The fields of one object of a message. `at` is its path, for error messages."""

    def __init__(self, value: object, at: str) -> None:
        if not isinstance(value, dict):
            raise WireError(f"{at} is not an object")
        self._value: dict[str, Any] = value
        self._at = at

    def _take(self, name: str) -> object:
        if name not in self._value:
            raise WireError(f"{self._at}.{name} is missing")
        value: object = self._value[name]
        return value

    def _bad(self, name: str, want: str) -> WireError:
        return WireError(f"{self._at}.{name} is {self._value[name]!r:.80}, want {want}")

    def has(self, name: str) -> bool:
        """Report whether an optional field is there."""
        return name in self._value

    def null(self, name: str) -> bool:
        """Report whether a field that must be there is null."""
        return self._take(name) is None

    def text(self, name: str, *, empty: bool = True) -> str:
        """Return a string."""
        value = self._take(name)
        if not isinstance(value, str) or not (empty or value):
            raise self._bad(name, "a string" if empty else "a string that is not empty")
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Return a string out of a closed list."""
        value = self._take(name)
        if not isinstance(value, str) or value not in choices:
            raise self._bad(name, "one of " + ", ".join(choices))
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean."""
        value = self._take(name)
        if not isinstance(value, bool):
            raise self._bad(name, "true or false")
        return value

    def integer(self, name: str, minimum: int = 0, maximum: int = 2**63 - 1) -> int:
        """Return an integer within inclusive bounds. 1.0 and true are not integers."""
        value = self._take(name)
        if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
            raise self._bad(name, f"an integer of at least {minimum}")
        return value

    def number(self, name: str, *, positive: bool = False) -> float:
        """Return a finite number that is not negative, and not zero either when `positive`."""
        value = self._take(name)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise self._bad(name, "a number")
        if not math.isfinite(value) or value < 0 or (positive and value == 0):
            raise self._bad(name, "a positive number" if positive else "a number that is not negative")
        return float(value)

    def nested(self, name: str) -> Fields:
        """Return the fields of a nested object."""
        return Fields(self._take(name), f"{self._at}.{name}")

    def items(self, name: str) -> list[Fields]:
        """Return the objects of a list."""
        return [Fields(item, f"{self._at}.{name}[{i}]") for i, item in enumerate(self._list(name))]

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings."""
        values = self._list(name)
        if not all(isinstance(value, str) for value in values):
            raise self._bad(name, "a list of strings")
        return tuple(str(value) for value in values)

    def mapping(self, name: str) -> dict[str, str]:
        """Return an object whose values are strings."""
        value = self._take(name)
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            raise self._bad(name, "an object of strings")
        return {str(k): str(v) for k, v in value.items()}

    def _list(self, name: str) -> list[object]:
        value = self._take(name)
        if not isinstance(value, list):
            raise self._bad(name, "a list")
        return value
