"""The parts of the marker engine that need no marker: what it is asked, what it is made of."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from pdfmill_runner.failures import EngineError, FailureClass
from pdfmill_runner.marker import culprit, llm, options, paged, pictures
from pdfmill_runner.text.images import ImageFolder

if TYPE_CHECKING:
    from io import BytesIO
    from pathlib import Path

NONCE = "5e9a"


def test_options_are_translated() -> None:
    asked = options.read({"disable-ocr": "yes", "keep-headers": "no", "quality": "fast", "llm": "mine"}, 2)
    assert asked.config == {
        "disable_ocr": True,
        "keep_pageheader_in_output": False,
        "keep_pagefooter_in_output": False,
        "mode": "fast",
    }
    assert asked.llm == "mine"
    assert options.read({"layout-batch": "12"}, 1).config == {"layout_batch_size": 12}
    assert options.read({}, 1).fidelity == 0.75
    assert options.read({"fidelity": "0.9"}, 1).fidelity == 0.9


@pytest.mark.parametrize(
    ("asked", "generation", "says"),
    [
        ({"colour": "red"}, 2, "'colour'"),
        ({"quality": "fast"}, 1, "only marker 2.x"),
        ({"layout-batch": "4"}, 2, "only marker 1.x"),
        ({"layout-batch": "0"}, 1, "from 1 to"),
        ({"disable-ocr": "perhaps"}, 1, "yes or no"),
        ({"fidelity": "75"}, 2, "from 0 to 1"),
    ],
)
def test_options_are_refused_by_name(asked: dict[str, str], generation: int, says: str) -> None:
    with pytest.raises(EngineError, match=says) as refused:
        options.read(asked, generation)
    assert refused.value.failure == FailureClass.INVALID_MESSAGE


def test_markdown_is_cut_at_its_own_separator_only() -> None:
    evil = "text {3}" + "-" * 48 + "\n\nmore {1}0000"
    text = f"\n\n{{0}}{NONCE}\n\n{evil}\n\n{{4}}{NONCE}\n\nlast\n"
    assert paged.markdown(SimpleNamespace(markdown=text), NONCE) == {1: f"{evil}\n", 5: "last\n"}
    assert paged.markdown(SimpleNamespace(markdown=f"\n\n{{0}}{NONCE}\n\n{{1}}{NONCE}\n\n"), NONCE) == {1: "", 2: ""}


def test_chunks_keep_the_size_of_their_page() -> None:
    block = SimpleNamespace(id="/page/4/Text/3", model_dump_json=lambda: json.dumps({"id": "/page/4/Text/3", "page": 3}))
    rendered = SimpleNamespace(blocks=[block], page_info={4: {"bbox": [0, 0, 1, 2]}, 5: {"bbox": [0, 0, 3, 4]}})
    assert {page: json.loads(text) for page, text in paged.chunks(rendered, NONCE).items()} == {
        5: {"blocks": [{"id": "/page/4/Text/3", "page": 4}], "page_info": {"bbox": [0, 0, 1, 2]}},
        6: {"blocks": [], "page_info": {"bbox": [0, 0, 3, 4]}},
    }


def test_images_get_the_names_that_were_written() -> None:
    text = "a ![](_page_0_Figure_1.jpeg) b ![x](_page_0_Figure_2.jpeg) c <img src='_page_0_Figure_2.jpeg'> d"
    given = dict.fromkeys(["_page_0_Figure_1.jpeg", "_page_0_Figure_2.jpeg"])
    linked = pictures.link(text, {"_page_0_Figure_1.jpeg": "images/page-0001-01.jpg"}, given)
    assert linked == "a ![](images/page-0001-01.jpg) b  c  d"


def test_images_are_named_after_what_marker_calls_them(tmp_path: Path) -> None:
    class Picture:
        width, height = 60, 60

        def convert(self, _mode: str) -> Picture:
            return self

        def save(self, out: BytesIO, *_: str, **__: int) -> None:
            out.write(b"jpeg")

    folder = ImageFolder(str(tmp_path))
    assert pictures.write({"_page_6_Figure_5.jpeg": Picture(), "strange.png": Picture()}, folder) == {
        "_page_6_Figure_5.jpeg": "images/page-0007-Figure-5.jpg"
    }


def raised(source: str, **names: object) -> BaseException:
    """Run code as if it were marker's and return what it raises."""
    try:
        exec(compile(source, "marker/processors/x.py", "exec"), {"__name__": "marker.processors.x", **names})  # noqa: S102
    except Exception as error:  # noqa: BLE001
        return error
    raise AssertionError("nothing was raised")


def test_the_page_in_hand_is_found() -> None:
    page = SimpleNamespace(page_id=6)
    source = "def work(page):\n    return None.input_ids\nfor page in pages:\n    work(page)"
    assert culprit.page_of(raised(source, pages=[page])) == 7
    assert culprit.page_of(raised("raise ValueError")) is None


def test_the_page_of_a_model_call_is_found() -> None:
    pages = [SimpleNamespace(page_id=n) for n in (4, 5, 6)]

    def fail() -> None:
        raise culprit.CallError(1, 3) from IndexError("boom")

    error = raised("def layout(pages):\n    fail()\nlayout(given)", given=pages, fail=fail)
    assert culprit.page_of(error) == 6
    assert isinstance(culprit.cause_of(error), IndexError)


def test_services_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "key"
    key.write_text("s3cret\n", encoding="utf-8")
    entry = {"service": "openai", "settings": {"openai_model": "m"}, "secrets": {"openai_api_key": str(key)}}
    (tmp_path / "llm.json").write_text(json.dumps({"mine": entry, "odd": {"service": "x"}}), encoding="utf-8")
    monkeypatch.setenv("PDFMILL_MARKER_LLM", str(tmp_path / "llm.json"))
    found = llm.find("mine")
    assert found.settings == {"openai_model": "m", "openai_api_key": "s3cret"}
    assert "s3cret" not in repr(found)
    with pytest.raises(EngineError, match="mine, odd") as unknown:
        llm.find("other")
    assert unknown.value.failure == FailureClass.INVALID_MESSAGE
    with pytest.raises(EngineError, match="one of gemini"):
        llm.find("odd")
    key.unlink()
    with pytest.raises(EngineError, match="a secret"):
        llm.find("mine")
