"""A language model that helps marker: named by the request, its key in a file. The service here is a stand-in for OpenAI's."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from pdfmill_runner.failures import FailureClass
from pdfmill_runner.protocol import Error
from rig import Rig, request

from .installed import PATIENCE
from .test_marker import SAMPLES, good, pages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = "c4n4ry-of-the-key"


class Service(ThreadingHTTPServer):
    """Sets every heading to the fourth level; refuses every key when told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys: list[str] = []
        self.models: list[str] = []
        self.refuses = False


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.append(self.headers["Authorization"])
        self.server.models.append(asked["model"])
        headings = re.findall(r'"id": "(/page/\d+/SectionHeader/\d+)", .*?"html": "<h\d>(.*?)</h\d>', str(asked["messages"]))
        answer = {
            "analysis": "",
            "correction_type": "corrections_needed",
            "blocks": [{"id": block, "html": f"<h4>{text}</h4>"} for block, text in headings],
        }
        body = json.dumps(
            {"error": {"message": "wrong key", "code": "invalid_api_key"}} if self.server.refuses else _completion(answer)
        )
        self.send_response(401 if self.server.refuses else 200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())


def _completion(answer: object) -> dict[str, Any]:
    message = {"role": "assistant", "content": json.dumps(answer)}
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


@pytest.fixture
def service() -> Iterator[Service]:
    server = Service()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_language_model_helps_by_its_name(service: Service, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n", encoding="utf-8")
    settings = {"openai_base_url": f"http://127.0.0.1:{service.server_port}/v1", "openai_model": "a-model"}
    mine = {"service": "openai", "settings": settings, "secrets": {"openai_api_key": str(tmp_path / "key")}}
    (tmp_path / "llm.json").write_text(json.dumps({"mine": mine}), encoding="utf-8")
    with Rig("marker", environment | {"PDFMILL_MARKER_LLM": str(tmp_path / "llm.json")}, patience=PATIENCE) as rig:
        rig.greet()
        answer, _ = rig.convert(request(SAMPLES / "report.pdf", tmp_path / "a", 1, 1, engine={"llm": "mine"}))
        assert re.search(r"^#### .*Monthly figures", pages(tmp_path / "a", good(answer))[1], re.MULTILINE)
        assert set(service.keys) == {f"Bearer {KEY}"}
        assert set(service.models) == {"a-model"}

        # Without help when nobody asks for it.
        service.keys.clear()
        answer, _ = rig.convert(request(SAMPLES / "report.pdf", tmp_path / "b", 1, 1))
        assert not re.search(r"^####", pages(tmp_path / "b", good(answer))[1], re.MULTILINE)
        assert not service.keys

        # Marker would go on without help and say nothing.
        service.refuses = True
        refused, _ = rig.convert(request(SAMPLES / "report.pdf", tmp_path / "c", 1, 1, engine={"llm": "mine"}))
        assert isinstance(refused, Error)
        assert refused.failure == FailureClass.UNHEALTHY
        assert "'mine' answered none of" in refused.message
        rig.hang_up()
        _, out, err = rig.ends()
    assert KEY not in out + err + refused.traceback + refused.message
