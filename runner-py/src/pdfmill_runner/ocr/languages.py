"""Which languages the recogniser's own model reads, and which signs each of them is written in."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from pdfmill_runner.failures import EngineError, FailureClass

if TYPE_CHECKING:
    from collections.abc import Mapping

OPTION = "language"
# By ISO 639-1: those written in Latin letters that the model was trained on, and two that are not.
_LATIN = """
af az bs ca cs cy da de en es et eu fi fr ga gl hr hu id is it ku la lb lt lv mi ms mt nl no oc pl pt qu rm ro sk sl sq
sv sw tl tr uz vi
"""
_CHINESE, _JAPANESE = "zh", "ja"
KNOWN = tuple(sorted((*_LATIN.split(), _CHINESE, _JAPANESE)))
_HAN = ("CJK", "FULLWIDTH", "IDEOGRAPHIC")
_KANA = ("HIRAGANA", "KATAKANA", "HALFWIDTH", "KATAKANA-HIRAGANA")


def read(options: Mapping[str, str]) -> str | None:
    """Return the language that is asked for, None for any. Raises EngineError invalid-message for what is not known."""
    for name in options:
        if name != OPTION:
            raise EngineError(
                FailureClass.INVALID_MESSAGE, f"engine option {name!r:.80} is unknown to the ocr engine: known is {OPTION}"
            )
    language = options.get(OPTION)
    if language is not None and language not in KNOWN:
        raise EngineError(
            FailureClass.INVALID_MESSAGE,
            f"option {OPTION}: {language!r:.80} is not one that the ocr engine's model reads: {', '.join(KNOWN)}",
        )
    return language


def foreign(sign: str, language: str | None) -> bool:
    """Report whether a sign is of a script that the language is not written in."""
    if language is None or len(sign) != 1 or sign.isascii():
        return False
    script = unicodedata.name(sign, "").partition(" ")[0]
    if language == _JAPANESE:
        return False
    if language == _CHINESE:
        return script in _KANA
    return script in _HAN or script in _KANA
