"""Every recorded failure of marker and what it stands on has its class. tests/real_marker/record.py made the records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pdfmill_runner.failures import Evidence, class_of

RECORDS = [
    (f"{file.stem}-{record['name']}", record)
    for file in sorted(Path(__file__).with_name("tracebacks").glob("*.json"))
    for record in json.loads(file.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("record", [record for _, record in RECORDS], ids=[name for name, _ in RECORDS])
def test_a_recorded_failure_has_its_class(record: dict[str, Any]) -> None:
    found = record["evidence"]
    seen = Evidence(tuple(found["types"]), found["message"], found["raised_in"], found["errno"])
    assert class_of(seen).value == record["class"], record["traceback"]


def test_there_are_records_of_both_generations() -> None:
    assert {name.split("-")[1] for name, _ in RECORDS} == {"1", "2"}
