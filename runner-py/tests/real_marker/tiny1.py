"""STAND-IN weights for marker 1.10.x: surya's real classes, tiny and randomly initialised, saved the way real checkpoints are.

    python tiny1.py FOLDER

writes one folder for each model. What they recognise is noise, but torch really runs their forward passes, memory is really
allocated, and they are loaded by surya's own loaders. `environment` names the variables that point surya at them. To the layout
model a page is one block of text; to the other one, `pictures`, its lower half is a picture.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SYSTEM = [
    "<PAD>", "</S>", "<EOI>", "<IMAGE>", "<NOP>", "<ROT>", "<REG1>", "<REG2>", "<REG3>", "<REG4>", "<BEACON>", "<NO-MATH>",
    "<OCR-WB>", "<OCR-WOB>", "<BLOCKS-WOB>", "<LAYOUT>", "<TABLE-STRUCTURE>",
]  # fmt: skip
SPECIALS = {
    "system": SYSTEM,
    "formatting": ["<b>", "</b>", "<i>", "</i>", "<br>"],
    "math_external": ["<math>", '<math display="block">', "</math>"],
    "script": ["<SCRIPT-Latin>"],
    "layout": ["<text>", "<section-header>", "<table>", "<image>", "<list-item>", "<page-header>"],
    "reasoning": [],
    "table_structure": [],
    "reserved": [],
}  # fmt: skip
BASE = 65_536  # the first special token, after the UTF-16 units
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    *"abcdefghijklmnopqrstuvwxyz",
    *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
]
NAMES = {
    "LAYOUT_MODEL_CHECKPOINT": "foundation",
    "RECOGNITION_MODEL_CHECKPOINT": "foundation",
    "FOUNDATION_MODEL_CHECKPOINT": "foundation",
    "TABLE_REC_MODEL_CHECKPOINT": "table",
    "DETECTOR_MODEL_CHECKPOINT": "detector",
    "OCR_ERROR_MODEL_CHECKPOINT": "ocr-error",
}


def environment(folder: Path) -> dict[str, str]:
    """Return surya's variables for the stand-in weights in a folder."""
    return {variable: str(folder / name) for variable, name in NAMES.items()}


def write(folder: Path) -> None:
    """Write the checkpoints; a folder that is complete is left as it is."""
    if (folder / "complete").is_file():
        return
    import torch  # noqa: PLC0415 - of the environment this runs in

    torch.manual_seed(1)
    for name, make in {
        "foundation": _foundation,
        "table": _table,
        "detector": _detector,
        "ocr-error": _ocr_error,
        "pictures": _pictures,
    }.items():
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        make(target)
    (folder / "complete").touch()


def _foundation(folder: Path) -> None:
    _recognizer(folder, "<text>", [0, 0, 8, 8, 0, 0])  # middle, middle, all wide, all high, not slanted


def _pictures(folder: Path) -> None:
    _recognizer(folder, "<image>", [0, 1.1, 8, 0, 0, 0])  # middle, three quarters down, all wide, half as high, not slanted


def _recognizer(folder: Path, label: str, box: list[float]) -> None:
    from surya.common.surya import SuryaModel  # noqa: PLC0415
    from surya.common.surya.config import SuryaModelConfig  # noqa: PLC0415
    from surya.common.surya.processor.tokenizer import GreedyMathUTF16Tokenizer  # noqa: PLC0415

    every = [token for tokens in SPECIALS.values() for token in tokens]
    number = {token: BASE + i for i, token in enumerate(every)}
    vocabulary = BASE + len(every)
    config: Any = SuryaModelConfig(
        vocab_size=vocabulary, bos_token_id=number["<OCR-WB>"], eos_token_id=number["</S>"], pad_token_id=number["<PAD>"],
        image_token_id=number["<IMAGE>"], eoi_token_id=number["<EOI>"],
        register_token_ids=tuple(number[f"<REG{i}>"] for i in range(1, 5)),
        beacon_token_id=number["<BEACON>"], special_ocr_tokens=SPECIALS, bbox_embed_size=16, tasks={},
        num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        vision_encoder={"depth": 2, "hidden_size": 64, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 64,
                        "fullatt_block_indexes": (1,)},
        decoder={"vocab_size": vocabulary, "hidden_size": 64, "intermediate_size": 64,
                 "num_hidden_layers": 2, "num_attention_heads": 2,
                 "num_key_value_heads": 2},
    )  # fmt: skip
    model = SuryaModel(config)
    _say_once_then_stop(model, number[label], number["</S>"], box)
    model.save_pretrained(folder)
    GreedyMathUTF16Tokenizer(special_tokens_dict=SPECIALS).save_pretrained(folder)


def _say_once_then_stop(model: Any, label: int, stop: int, place: list[float]) -> None:
    """Bend the weights so that every page has one block, with that label and in that place: noise would go on for 500 tokens.

    Nothing but the bias speaks for the first token, which is `label`; once it is read, the hidden state looks like it, and so
    does `stop`. The place is what the head of boxes says before the sigmoid.
    """
    embedding = model.embedder.token_embed.weight.data
    embedding *= 0.05
    embedding[label] = 0
    embedding[label, 0] = 2
    embedding[stop] = 3 * embedding[label]
    model.lm_head.weight.data.copy_(embedding)
    model.lm_head.bias.data.zero_()
    model.lm_head.bias.data[label] = 8
    model.lm_head.bias.data[stop] = 3
    box = model.bbox_head.out_proj
    box.weight.data.zero_()
    box.bias.data.copy_(box.bias.data.new_tensor(place))


def _table(folder: Path) -> None:
    from surya.common.donut.processor import SuryaEncoderImageProcessor  # noqa: PLC0415
    from surya.table_rec.model import config as of  # noqa: PLC0415
    from surya.table_rec.model.decoder import SuryaTableRecDecoder  # noqa: PLC0415
    from surya.table_rec.model.encoder import DonutSwinModel  # noqa: PLC0415
    from surya.table_rec.model.encoderdecoder import TableRecEncoderDecoderModel  # noqa: PLC0415

    encoder = of.DonutSwinTableRecConfig(
        embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], num_kv_heads=[1, 1, 2, 2], encoder_length=1024
    )
    decoder = of.SuryaTableRecDecoderConfig(
        num_hidden_layers=1, hidden_size=64, property_embed_size=16, box_embed_size=48, intermediate_size=64,
        encoder_hidden_size=encoder.hidden_size, num_attention_heads=2, num_key_value_heads=2,
    )  # fmt: skip
    config = of.SuryaTableRecConfig(encoder=encoder, decoder=decoder)
    model = TableRecEncoderDecoderModel(config=config, encoder=DonutSwinModel(encoder), decoder=SuryaTableRecDecoder(decoder))
    model.save_pretrained(folder)
    # transformers leaves out what is a default, surya reads it all.
    saved = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    saved |= {"encoder": encoder.to_dict(), "decoder": decoder.to_dict()}
    (folder / "config.json").write_text(json.dumps(saved), encoding="utf-8")
    SuryaEncoderImageProcessor(size={"height": 768, "width": 768}).save_pretrained(folder)


def _detector(folder: Path) -> None:
    from surya.detection.model.config import EfficientViTConfig  # noqa: PLC0415
    from surya.detection.model.encoderdecoder import EfficientViTForSemanticSegmentation  # noqa: PLC0415
    from surya.detection.processor import SegformerImageProcessor  # noqa: PLC0415

    config = EfficientViTConfig(
        num_classes=2,
        num_labels=2,
        widths=(8, 16, 32, 64, 64),
        head_dim=16,
        depths=(1, 1, 1, 1, 1),
        hidden_sizes=(8, 16, 32, 64),
        decoder_layer_hidden_size=16,
        decoder_hidden_size=32,
    )
    EfficientViTForSemanticSegmentation(config).save_pretrained(folder)
    SegformerImageProcessor(size={"height": 1200, "width": 1200}).save_pretrained(folder)


def _ocr_error(folder: Path) -> None:
    from surya.ocr_error.model.config import DistilBertConfig  # noqa: PLC0415
    from surya.ocr_error.model.encoder import DistilBertForSequenceClassification  # noqa: PLC0415
    from surya.ocr_error.tokenizer import DistilBertTokenizer  # noqa: PLC0415

    (folder / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    DistilBertTokenizer(vocab_file=str(folder / "vocab.txt"), model_max_length=512).save_pretrained(folder)
    model = DistilBertForSequenceClassification(
        DistilBertConfig(
            vocab_size=len(WORDS), max_position_embeddings=512, n_layers=1, n_heads=2, dim=32, hidden_dim=32, num_labels=2
        )
    )
    with_bias: Any = model.classifier.bias
    with_bias.data[0] += 10  # noise would call half of all texts bad; this one finds all of them good
    model.save_pretrained(folder)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
    print(json.dumps(environment(Path(sys.argv[1]))))
