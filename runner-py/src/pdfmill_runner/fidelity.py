"""How much of a page's text layer came out: the words, and the numbers among them, that the result has too.

A converter that loses half a page says nothing. The text layer is what there is to hold the result against; it is not the truth
(running heads are left out on purpose, and some layers are garbage), so the bounds of `Policy` are calibrated, not strict.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MIN_WORDS = 20
"""Words of a text layer below which the share of one word is too much to say anything."""
MIN_NUMBERS = 8
"""Numbers below which only the words count."""
MIN_DIGITS = 3
"""Signs of a number from which on it is one of those: numbers of lines and pages, left out on purpose, are shorter."""
MAX_GARBLED = 0.1
"""Share of unreadable characters from which on a text layer is not usable."""
MIN_PART = 4
"""Letters of a word from which on it is also looked for inside of longer ones: layers and converters cut words differently."""

RUNNING_PAGES = 3

_DIGITS = re.compile(r"\d+")
_HYPHEN = re.compile(r"[\u00ad\u0002\ufffe]\s*|-\s*\n\s*")
_IMAGE = re.compile(r"!\[[^\]\n]*\]\([^)\n]*\)")
_LINK = re.compile(r"\[((?:[^\]\n\\]|\\.)*)\]\([^)\n]*\)")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|<!--.*?-->", re.DOTALL)
_WORD = re.compile(r"[^\W_]+")
_COMMON = re.compile(r"[\s!-~]+")
_SPACE = re.compile(r"\s+")
_EAST_ASIAN = re.compile(r"([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])")
_UNREADABLE = frozenset(("Cc", "Cn", "Co", "Cs"))


@dataclass(frozen=True)
class Policy:
    """What a page's fidelity leads to."""

    bound: float = 0.75
    """Below it the page is converted another way too, and the better one is kept."""
    better: float = 0.1
    """How much more the other way must give to be taken: the first one has tables and headings that words don't show."""
    bare: float = 0.5
    """Below it the text layer as it is, without any tables and headings, is the better page."""


def words(text: str) -> Counter[str]:
    """Return the words of a text in one spelling; of Chinese, Japanese and Korean, each character is one."""
    plain = unicodedata.normalize("NFKC", _HYPHEN.sub("", text)).casefold()
    found = _WORD.findall(_EAST_ASIAN.sub(r" \1 ", plain))
    return Counter(word for word in found if len(word) > 1 or word.isdigit() or _EAST_ASIAN.match(word))


def prose(markdown: str) -> str:
    """Return what a reader of Markdown or HTML reads."""
    text = html.unescape(_TAG.sub(" ", _LINK.sub(r"\1", _IMAGE.sub(" ", markdown))))
    return text.replace("\\", "")


def without_running(layers: Mapping[int, str]) -> dict[int, str]:
    """Return the text layers of neighbouring pages without the lines that run through them.

    Heads, feet and line numbers are left out on purpose by every converter: they are no loss. A line runs when it stands,
    whatever its digits, on RUNNING_PAGES pages and on a third of all.
    """
    on = Counter(line for layer in layers.values() for line in {_DIGITS.sub("#", line.strip()) for line in layer.splitlines()})
    least = max(RUNNING_PAGES, len(layers) / 3)
    running = {line for line, count in on.items() if count >= least}
    return {
        page: "\n".join(line for line in layer.splitlines() if _DIGITS.sub("#", line.strip()) not in running)
        for page, layer in layers.items()
    }


def usable(layer: str) -> bool:
    """Report whether a text layer is worth comparing with: words enough, and readable ones."""
    return _usable(layer, words(layer))


def _usable(layer: str, found: Counter[str]) -> bool:
    unreadable = sum(
        sign == "\ufffd" or (sign not in "\u0002\ufffe" and unicodedata.category(sign) in _UNREADABLE)
        for sign in _COMMON.sub("", layer)
    )
    return found.total() >= MIN_WORDS and unreadable <= MAX_GARBLED * len(_SPACE.sub("", layer))


def fidelity(layer: str, result: str) -> float | None:
    """Return the share (0 to 1) of the layer's words that the result has, or of its numbers when that is less.

    None without a usable layer.
    """
    want = words(layer)
    if not _usable(layer, want):
        return None
    text = prose(result)
    have = words(text)
    if want <= have:
        return 1.0
    glued = "".join(_WORD.findall(unicodedata.normalize("NFKC", _HYPHEN.sub("", text)).casefold()))
    found = Counter({word: _found(word, count, have, glued) for word, count in want.items()})
    numbers = {word: count for word, count in want.items() if word[0].isdigit() and len(word) >= MIN_DIGITS}
    shares = [found.total() / want.total()]
    if (total := sum(numbers.values())) >= MIN_NUMBERS:
        shares.append(sum(found[word] for word in numbers) / total)
    return min(shares)


def _found(word: str, count: int, have: Counter[str], glued: str) -> int:
    if have[word] >= count or len(word) < MIN_PART:
        return min(count, have[word])
    return min(count, max(have[word], glued.count(word)))
