"""The typed seam around rapidocr: the picture of a page in, its lines out. The models lie in the package; nothing is fetched.

Imports onnxruntime and OpenCV (some seconds): imported when the engine loads.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from rapidocr import RapidOCR
from rapidocr.ch_ppocr_rec import TextRecInput

from .languages import foreign
from .layout import Line

if TYPE_CHECKING:
    from collections.abc import Callable

# The longest side, in pixels, of what the detector looks at: larger pictures took three times as long, for the same lines.
DETECT_SIDE = 1280
# Width by height of what is recognised at once: longer lines lose letters, so they are cut between words.
LONGEST = 12.0
DOUBTFUL = 0.75
"""Confidence of a page below which it is also read upside down: rapidocr's model for the direction of lines errs too often."""
AT_ONCE = 24  # pieces of lines, between two signs of life
_INK = 60  # levels of grey below the paper from which on a pixel is ink


@dataclass(frozen=True)
class _Piece:
    text: str
    score: float


class Reader:
    """The models, loaded."""

    def __init__(self) -> None:
        """Load them: a second."""
        threads = os.environ.get("OMP_NUM_THREADS", "")
        self._library: Any = RapidOCR(
            params={
                "Global.log_level": "error",
                "Det.limit_type": "max",
                "Det.limit_side_len": DETECT_SIDE,
                "EngineConfig.onnxruntime.intra_op_num_threads": int(threads) if threads.isdecimal() else -1,
            }
        )
        self._detect = self._library._load_det_model()  # noqa: SLF001 - its own call recognises lines whole
        self._recognise = self._library._load_rec_model()  # noqa: SLF001
        self._decode = self._recognise.postprocess_op
        self._language: str | None = None

    def lines(self, picture: Any, language: str | None, alive: Callable[[], None]) -> list[Line]:
        """Return the lines of a picture (height, width, BGR), in no order. Positions are pixels, of the page turned upright."""
        self._speak(language)
        picture = np.ascontiguousarray(picture)
        boxes = self._boxes(picture)
        if sum(_is_tall(box) for box in boxes) * 2 > len(boxes):  # it lies on its side
            picture = np.ascontiguousarray(np.rot90(picture))
            boxes = self._boxes(picture)
        alive()
        lines = self._read(picture, boxes, alive)
        if lines and _confidence(lines) < DOUBTFUL:  # it may stand on its head
            turned = np.ascontiguousarray(np.rot90(picture, 2))
            lines = max(lines, self._read(turned, self._boxes(turned), alive), key=_confidence)
        return lines

    def _read(self, picture: Any, boxes: list[Any], alive: Callable[[], None]) -> list[Line]:
        if not boxes:
            return []
        cut = [_pieces(crop) for crop in self._library.crop_text_regions(picture, boxes)]
        texts = iter(self._pieces([piece for pieces in cut for piece in pieces], alive))
        lines = []
        for box, pieces in zip(boxes, cut, strict=True):
            words = [piece for piece in (next(texts) for _ in pieces) if piece.text.strip()]
            letters = sum(len(piece.text) for piece in words)
            if letters:
                (left, top), (right, bottom) = box.min(axis=0).tolist(), box.max(axis=0).tolist()
                score = sum(piece.score * len(piece.text) for piece in words) / letters
                lines.append(Line(left, top, right, bottom, " ".join(piece.text.strip() for piece in words), score))
        return lines

    def _pieces(self, pictures: list[Any], alive: Callable[[], None]) -> list[_Piece]:
        texts: list[_Piece] = []
        for start in range(0, len(pictures), AT_ONCE):
            found = self._recognise(TextRecInput(img=pictures[start : start + AT_ONCE]))
            texts += map(_Piece, found.txts, found.scores)
            alive()
        return texts

    def _boxes(self, picture: Any) -> list[Any]:
        found = self._detect(picture).boxes
        return [] if found is None else list(found)

    def _speak(self, language: str | None) -> None:
        """Let the model answer in the signs of a language only."""
        if language == self._language:
            return
        barred = [i for i, sign in enumerate(self._decode.character) if foreign(sign, language)]
        self._recognise.postprocess_op = _Only(self._decode, barred) if barred else self._decode
        self._language = language


class _Only:
    """Decodes as if some signs did not exist."""

    def __init__(self, decode: Any, barred: list[int]) -> None:
        self._decode, self._barred = decode, barred

    def __call__(self, answers: Any, *args: Any, **named: Any) -> Any:
        answers[:, :, self._barred] = 0.0
        return self._decode(answers, *args, **named)


def _confidence(lines: list[Line]) -> float:
    letters = sum(len(line.text) for line in lines)
    return sum(line.score * len(line.text) for line in lines) / max(letters, 1)


def _is_tall(box: Any) -> bool:
    width, height = np.ptp(box, axis=0)
    return bool(height > 1.5 * width)


def _pieces(crop: Any) -> list[Any]:
    """Cut the picture of a line that is too long for the model, each time at the widest blank near where it should be."""
    height, width = crop.shape[:2]
    count = math.ceil(width / height / LONGEST)
    if count < 2:  # noqa: PLR2004
        return [crop]
    grey = crop.astype(np.int16).min(axis=2)
    blank = ~(grey < np.percentile(grey, 90) - _INK).any(axis=0)
    cuts, step = [0], width / count
    for i in range(1, count):
        low, high = int(max(cuts[-1] + height, step * (i - 0.45))), int(min(width - height, step * (i + 0.45)))
        middle = _widest(blank, low, high)
        if middle is not None:
            cuts.append(middle)
    cuts.append(width)
    return [crop[:, start:end] for start, end in pairwise(cuts)]


def _widest(blank: Any, low: int, high: int) -> int | None:
    """Return the middle of the longest run of blank columns between two, None when there is none."""
    best, run, middle = 0, 0, None
    for x in range(low, high):
        run = run + 1 if blank[x] else 0
        if run > best:
            best, middle = run, x - run // 2
    return middle
