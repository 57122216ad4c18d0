from __future__ import annotations

import json

import pytest

from pdfmill_runner.failures import FailureClass
from pdfmill_runner.fields import WireError
from pdfmill_runner.protocol import FAILED, MAX_LINE, Page, Peak, Probe, Probed, Progress, Result, format_line, parse
from rig import REPOSITORY

VECTORS = REPOSITORY / "contract" / "protocol"
GOOD = (VECTORS / "good.ndjson").read_bytes().splitlines(keepends=True)
BAD = [json.loads(line) for line in (VECTORS / "bad.ndjson").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("line", GOOD, ids=lambda line: json.loads(line)["type"])
def test_good_vectors_survive_a_round_trip(line: bytes) -> None:
    message = parse(line)
    assert parse(format_line(message)) == message
    known, sent = json.loads(line), json.loads(format_line(message))
    assert sent == {name: value for name, value in known.items() if name in sent}


@pytest.mark.parametrize("vector", BAD, ids=lambda vector: vector["why"])
def test_bad_vectors_are_refused(vector: dict[str, str]) -> None:
    with pytest.raises(WireError):
        parse(vector["line"].encode())


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"progress","id":"c","phase":"p","done":1.0,"total":2}',
        b'{"type":"progress","id":"c","phase":"p","done":true,"total":2}',
        b'{"type":"ready","load_seconds":NaN,"memory":{"device_allocated":0,"device_reserved":0,"host_rss":0}}',
        b'{"type":"probe","id":"\xff"}',
        b'{"type":"probe","id":"' + b"x" * MAX_LINE + b'"}',
        b'{"type":"probe","id":' + b"[" * 100_000,
        b'{"type":["probe"],"id":"p"}',
        b"",
    ],
    ids=["float", "bool", "NaN", "not UTF-8", "too long", "deep", "type is a list", "empty"],
)
def test_other_nonsense_is_refused(line: bytes) -> None:
    with pytest.raises(WireError):
        parse(line)


@pytest.mark.parametrize(
    "message",
    [
        Probe(""),
        Progress("c", "p", -1, 2),
        Probed("p", ok=True, detail="x" * MAX_LINE),
        Result("c", (Page(1, file="../escape.md"),), (), 0.0, Peak()),
        Result("c", (Page(1, file="/abs.md"),), (), 0.0, Peak()),
        Result("c", (Page(1, FAILED, failure=FailureClass.CRASH, message=""),), (), 0.0, Peak()),
        Result("c", (Page(1, file="a.md", warnings=("odd",)),), (), 0.0, Peak()),
        Result("c", (), (), float("inf"), Peak()),
    ],
)
def test_what_the_other_side_would_refuse_is_not_written(message: Probe | Progress | Probed | Result) -> None:
    with pytest.raises(WireError):
        format_line(message)


def test_a_line_end_inside_a_text_stays_inside_its_line() -> None:
    assert format_line(Probed("p", ok=False, detail="a\nb\u2028c")).count(b"\n") == 1
