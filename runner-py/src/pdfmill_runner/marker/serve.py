"""The servers that the clients of marker 2.x ask: started by the gpu-runner, each in a process of its own.

    python -m pdfmill_runner.marker.serve --port PORT layout|ocr_error
    python -m pdfmill_runner.marker.serve --port PORT vllm|llamacpp --program FILE --parallel N [--memory PART] -- [ARG ...]

Weights are looked for before anything is loaded; when they are not there the process says which and exits with status 78: no
start after it would fare better. The servers themselves are surya's own, or the program, in the place of this process.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdfmill_runner.marker import weights

if TYPE_CHECKING:
    from collections.abc import Sequence

MISSING = 78
"""Exit status when something is missing that no further start brings."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until the end of the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("kind", choices=("layout", "ocr_error", "vllm", "llamacpp"))
    parser.add_argument("--program")
    parser.add_argument("--parallel", type=int, default=8)
    parser.add_argument("--memory", default="0.85")
    ours, theirs = _cut(list(sys.argv[1:] if argv is None else argv))
    args = parser.parse_args(ours)
    from surya.settings import settings  # noqa: PLC0415

    try:
        if args.kind == "layout":
            _require("the layout model", settings.FAST_LAYOUT_MODEL_CHECKPOINT)
            from surya.fast_layout.server import main as serve  # noqa: PLC0415
        elif args.kind == "ocr_error":
            _require("the OCR error model", settings.OCR_ERROR_MODEL_CHECKPOINT)
            from surya.ocr_error.server import main as serve  # noqa: PLC0415
        else:
            command = (_vllm if args.kind == "vllm" else _llamacpp)(args, settings)
            os.execv(args.program, [args.program, *command, *theirs])  # noqa: S606 - the operator named it
    except weights.WeightsError as error:
        sys.stderr.write(f"{error}\n")
        return MISSING
    sys.argv = [sys.argv[0], "--host", "127.0.0.1", "--port", str(args.port)]
    serve()
    return 0


def _cut(argv: list[str]) -> tuple[list[str], list[str]]:
    at = argv.index("--") if "--" in argv else len(argv)
    return argv[:at], argv[at + 1 :]


def _require(what: str, checkpoint: str) -> Path:
    if checkpoint.startswith((weights.S3, weights.HUB)) and weights.offline():
        return weights.require(what, checkpoint)
    return Path(checkpoint)


def _vllm(args: argparse.Namespace, settings: Any) -> list[str]:
    """Return vLLM's arguments: those that surya gives it, with our share of memory and our number of requests."""
    model = str(settings.SURYA_MODEL_CHECKPOINT)
    _require("the vision language model", model if Path(model).exists() else weights.HUB + model)
    command = [
        "serve", model, "--served-model-name", model, "--host", "127.0.0.1", "--port", str(args.port),
        "--max-num-seqs", str(args.parallel), "--gpu-memory-utilization", args.memory,
        "--dtype", str(settings.VLLM_DTYPE),
        "--max-model-len", str(settings.VLLM_MAX_MODEL_LEN),
        "--enable-prefix-caching", "--mm-processor-kwargs", json.dumps({"min_pixels": 3136, "max_pixels": 6291456}),
    ]  # fmt: skip
    if settings.VLLM_ENABLE_MTP:
        tokens = settings.VLLM_MTP_TOKENS
        command += ["--speculative-config", json.dumps({"method": "mtp", "num_speculative_tokens": tokens})]
    return command


def _llamacpp(args: argparse.Namespace, settings: Any) -> list[str]:
    """Return llama-server's arguments, as surya gives them."""
    repo = settings.SURYA_GGUF_REPO
    names = [settings.SURYA_GGUF_MODEL_FILE, settings.SURYA_GGUF_MMPROJ_FILE]
    folder = weights.require("the vision language model", f"{weights.HUB}{repo}#{','.join(names)}")
    context = max(16_384, args.parallel * settings.SURYA_INFERENCE_CTX_PER_SLOT)
    return [
        "-m", str(folder / names[0]), "--mmproj", str(folder / names[1]),
        "-ngl", str(settings.LLAMA_CPP_NGL), "--host", "127.0.0.1", "--port", str(args.port),
        "--parallel", str(args.parallel), "--ctx-size", str(context),
        "--alias", str(settings.SURYA_MODEL_CHECKPOINT), "--jinja",
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
