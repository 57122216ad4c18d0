from __future__ import annotations

import pytest

from pdfmill_runner.fidelity import MIN_WORDS, fidelity, prose, usable, without_running

PROSE = "\n".join(f"Line {n} speaks of water and of the mills along the river valley." for n in range(12))


def test_what_is_all_there_is_one() -> None:
    assert fidelity(PROSE, PROSE) == 1.0


def test_what_is_lost_is_missed() -> None:
    half = "\n".join(
        f"Sentence number {i} mentions {word}ing alone."
        for i, word in enumerate(["alpha", "beta", "gamma", "delta", "epsilon", "zeta"])
    )
    kept = "\n".join(half.splitlines()[:3])
    share = fidelity(half, kept)
    assert share is not None
    assert 0.3 < share < 0.8


@pytest.mark.parametrize(
    ("layer", "result"),
    [
        ("the conver-\nsion of " + PROSE, "the conversion of " + PROSE),
        ("ﬁne ﬂow " + PROSE, "fine flow " + PROSE),
        (PROSE, PROSE.replace("river valley", "rivervalley")),
        (PROSE, f"# **{PROSE}**"),
        ("A_B is 5 $ here " + PROSE, r"A\_B is 5 \$ here " + PROSE),
        ("see the page " + PROSE, "see [the page](#page-3-1) " + PROSE),
    ],
    ids=["hyphen", "ligature", "glued", "marked up", "escaped", "link"],
)
def test_another_spelling_is_not_a_loss(layer: str, result: str) -> None:
    assert fidelity(layer, result) == 1.0


def test_numbers_count_by_themselves() -> None:
    layer = PROSE + "\n" + " ".join(str(n) for n in range(1000, 1050))
    words_only = fidelity(layer, PROSE)
    assert words_only is not None
    assert words_only < 0.3


@pytest.mark.parametrize(
    "layer",
    ["", "too few words to say anything", "\ufffd" * 200 + PROSE[:300], "\ue000\ue001" * 300 + PROSE],
    ids=["empty", "few", "replaced", "private"],
)
def test_a_layer_that_says_nothing(layer: str) -> None:
    assert not usable(layer)
    assert fidelity(layer, "anything") is None


def test_signs_of_east_asia_are_words() -> None:
    layer = "日本語の文書はここにあります。水車は川のそばに立っている。"
    assert usable(layer)
    assert fidelity(layer, layer) == 1.0
    assert len(layer) > MIN_WORDS


def test_what_runs_through_the_pages_is_no_loss() -> None:
    pages = {n: f"The Journal {n}\n{PROSE.replace('mills', 'mills' + 'x' * n)}\n12\n13\nPage {n} of 9" for n in range(1, 7)}
    cut = without_running(pages)
    assert "Journal" not in cut[3]
    assert "Page" not in cut[3]
    assert "millsxxx" in cut[3]
    assert without_running({1: pages[1]}) == {1: pages[1]}


def test_prose_is_what_a_reader_reads() -> None:
    assert prose("![x](images/a.png) <b>bold</b> [a](http://b) &amp; c").split() == ["bold", "a", "&", "c"]
