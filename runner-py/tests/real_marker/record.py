"""Records what real failures look like, for test_recorded.py: run it in an environment of marker, with its generation's name.

    python record.py GENERATION > ../tracebacks/marker-GENERATION.json

Each failure is real: raised by the code of marker, surya, torch, transformers, PDFium or the system, not written by hand.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from pdfmill_runner.failures import evidence

if TYPE_CHECKING:
    from collections.abc import Callable

CORPUS = Path(os.environ.get("PDFMILL_CORPUS", ""))


def empty_stack() -> None:
    import torch  # noqa: PLC0415

    torch.stack([])


def embedding_out_of_range() -> None:
    import torch  # noqa: PLC0415

    torch.nn.Embedding(4, 4)(torch.tensor([7]))


def tensor_too_large() -> None:
    import torch  # noqa: PLC0415

    torch.zeros(1 << 45)


def python_out_of_memory() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (now + (64 << 20), hard))
    try:
        bytearray(1 << 30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def no_cuda() -> None:
    import torch  # noqa: PLC0415

    torch.zeros(1, device="cuda")


def pdfium_corrupt() -> None:
    import pypdfium2  # noqa: PLC0415

    pypdfium2.PdfDocument(b"%PDF-1.7\nnothing")


def pdfium_password() -> None:
    import pypdfium2  # noqa: PLC0415

    pypdfium2.PdfDocument(CORPUS / "derived-aes256-user.pdf")


def convert(data: bytes, **config: Any) -> None:
    from marker.converters.pdf import PdfConverter  # noqa: PLC0415

    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        file.write(data)
        file.flush()
        base = {"force_layout_block": "Text", "disable_ocr": True, "disable_tqdm": True, "pdftext_workers": 1}
        names = (
            "layout_model",
            "fast_layout_model",
            "recognition_model",
            "ocr_error_model",
            "table_rec_model",
            "detection_model",
            "inference_manager",
        )
        PdfConverter(config=base | config, artifact_dict=dict.fromkeys(names))(file.name)


def page_beyond_the_end() -> None:
    import pdfs  # noqa: PLC0415

    convert(pdfs.document(pdfs.text("one page")), page_range=[7])


def missing_model() -> None:
    """Marker asks a model that is None: what a model that failed to load looks like later."""
    import pdfs  # noqa: PLC0415

    convert(pdfs.document(pdfs.text("one page")), force_layout_block=None)


def weights_not_there() -> None:
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    snapshot_download("datalab-to/surya_layout2", local_files_only=True)


def config_not_there() -> None:
    from transformers import AutoConfig  # noqa: PLC0415

    AutoConfig.from_pretrained("/nonexistent/checkpoint")


def server_is_gone() -> None:
    import httpx  # noqa: PLC0415

    httpx.post("http://127.0.0.1:9/v1/infer", json={})


def model_server_is_gone() -> None:
    from openai import OpenAI  # noqa: PLC0415

    OpenAI(api_key="none", base_url="http://127.0.0.1:9/v1", max_retries=0).chat.completions.create(model="m", messages=[])


def no_running_server() -> None:
    from PIL import Image  # noqa: PLC0415
    from surya.fast_layout import FastLayoutPredictor  # noqa: PLC0415

    FastLayoutPredictor()([Image.new("RGB", (10, 10))])


def disk_full() -> None:
    Path("/dev/full").write_text("x" * 100_000, encoding="ascii")


BOTH: dict[Callable[[], None], str] = {
    empty_stack: "model-bug",
    embedding_out_of_range: "model-bug",
    tensor_too_large: "host-oom",
    python_out_of_memory: "host-oom",
    no_cuda: "engine-error",
    pdfium_corrupt: "pdf-corrupt",
    pdfium_password: "pdf-encrypted",
    page_beyond_the_end: "model-bug",
    missing_model: "model-bug",
    weights_not_there: "engine-missing",
    config_not_there: "engine-error",
    disk_full: "store-unavailable",
}
ONLY_2: dict[Callable[[], None], str] = {
    server_is_gone: "unhealthy",
    model_server_is_gone: "unhealthy",
    no_running_server: "unhealthy",
}


def main() -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["FONT_PATH"] = __file__
    os.environ["FAST_LAYOUT_SERVER_AUTOSTART"] = "false"
    os.environ["HOME"] = tempfile.mkdtemp()
    wanted = BOTH | (ONLY_2 if sys.argv[1] == "2" else {})
    out = []
    for fail, expected in wanted.items():
        try:
            fail()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is recorded
            found = asdict(evidence(error))
            trace = (
                "".join(traceback.format_exception(error))
                .replace(sys.prefix, "VENV")
                .replace(str(Path(__file__).parents[2]), "RUNNER")
            )
            out.append({"name": fail.__name__, "class": expected, "evidence": found, "traceback": trace.splitlines()})
        else:
            sys.exit(f"{fail.__name__} did not fail")
    print(json.dumps(out, indent=1).replace(sys.base_prefix, "PYTHON"))


if __name__ == "__main__":
    main()
