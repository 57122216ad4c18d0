"""STAND-IN weights for the servers of marker 2.x: surya's real classes, randomly initialised, saved as real checkpoints are.

    python tiny2.py FOLDER

writes FOLDER/layout (of the real size: there is only one; its model of the reading order is tiny) and FOLDER/ocr-error
(tiny). The layout model is bent so that it finds text everywhere; where exactly, and in what order, is noise. The OCR error
model calls a text bad when the word BAD is in it. surya's own servers load them and really run their forward passes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

BAD = "mojibake"
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *"abcdefghijklmnopqrstuvwxyz",
    *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
    BAD,
]
LABELS = ["Caption", "Footnote", "Page-Footer", "Page-Header", "Picture", "Section-Header", "Table", "Text"]
RESOLUTION = 448


def write(folder: Path) -> None:
    """Write the checkpoints; a folder that is complete is left as it is."""
    if (folder / "complete").is_file():
        return
    import torch  # noqa: PLC0415 - of the environment this runs in

    torch.manual_seed(1)
    for name, make in (("layout", layout), ("ocr-error", ocr_error)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        make(folder / name)
    (folder / "complete").touch()


def layout(folder: Path) -> None:
    """Write the layout model, and the model of the reading order, which surya has in the same place."""
    from types import SimpleNamespace  # noqa: PLC0415

    import torch  # noqa: PLC0415
    from surya.common.rfdetr.models import build_model  # noqa: PLC0415
    from surya.common.rfdetr.predictor import LARGE_ARGS  # noqa: PLC0415

    size = {"resolution": RESOLUTION, "positional_encoding_size": RESOLUTION // 16}
    model: Any = build_model(SimpleNamespace(**{**LARGE_ARGS, **size, "device": "cpu", "pretrain_weights": "some"}))
    model.reinitialize_detection_head(len(LABELS) + 1)
    state = model.state_dict()
    for name, value in state.items():
        if "class_embed" in name:
            value.zero_()
            if name.endswith("bias"):
                value.fill_(-10)
                value[LABELS.index("Text")] = 3
    torch.save({"model": state}, folder / "rfdetr_layout.pth")
    categories = [{"id": i, "name": name} for i, name in enumerate(LABELS)]
    config = {"arch": "rf-detr-large", "categories": categories, **size}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    _order(folder / "order")


def _order(folder: Path) -> None:
    import torch  # noqa: PLC0415
    from surya.common.order.order_ar import ReadingOrderAR  # noqa: PLC0415

    folder.mkdir(exist_ok=True)
    # What the layout model hands to it: so many numbers for each of its patches.
    size: dict[str, Any] = {"d": 16, "layers": 1, "feat_dim": 256, "feat_hw": RESOLUTION // 16}
    torch.save({**size, "res": RESOLUTION, "model": ReadingOrderAR(**size).state_dict()}, folder / "order_ar.pt")


def ocr_error(folder: Path) -> None:
    """Write the OCR error model."""
    from transformers import DistilBertConfig, DistilBertForSequenceClassification, DistilBertTokenizer  # noqa: PLC0415

    (folder / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    DistilBertTokenizer(str(folder / "vocab.txt"), model_max_length=512).save_pretrained(folder)
    config = DistilBertConfig(
        vocab_size=len(WORDS), max_position_embeddings=512, n_layers=1, n_heads=2, dim=32, hidden_dim=32, num_labels=2
    )
    model: Any = DistilBertForSequenceClassification(config)
    _say_bad_when_it_is_there(model, WORDS.index(BAD))
    model.save_pretrained(folder)


def _say_bad_when_it_is_there(model: Any, word: int) -> None:
    """Bend the weights: all is zero but the word, which the first token's attention brings to the classifier."""
    for parameter in model.parameters():
        parameter.data.zero_()
    embeddings, (layer,) = model.distilbert.embeddings, model.distilbert.transformer.layer
    for norm in (embeddings.LayerNorm, layer.sa_layer_norm, layer.output_layer_norm):
        norm.weight.data.fill_(1)
    embeddings.word_embeddings.weight.data[word, 0] = 1
    for linear in (layer.attention.v_lin, layer.attention.out_lin, model.pre_classifier):
        linear.weight.data.copy_(linear.weight.data.new_ones(linear.weight.shape[0]).diag())
    model.classifier.weight.data[1, 0] = 10
    model.classifier.bias.data[0] = 10


if __name__ == "__main__":
    write(Path(sys.argv[1]))
