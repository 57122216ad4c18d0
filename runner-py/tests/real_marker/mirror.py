"""STAND-IN for the two servers that weights come from: the Hugging Face hub, and the publisher's own.

    python mirror.py --dir FOLDER

answers their wire formats for FOLDER/hub/OWNER/NAME/FILE and FOLDER/s3/PATH/FILE on a free port, and writes FOLDER/mirror.json:
the variables that point the libraries here. It ends when stdin does. Files in FOLDER make it misbehave, each once:

cut        the number of bytes after which the next answer with a file's content breaks off
stall      … after which it waits, until the file `stall` is gone
corrupt    the name of a file, of which one bit is wrong in the next answer

FOLDER/requests.log has a line for each request: method, path, Range.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = 1 << 12
"""Bytes from which the hub keeps a file in its large file storage."""
COMMIT = "c0ffee" + "0" * 34


def _git(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _described(name: str, data: bytes) -> dict[str, Any]:
    one: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": _git(data)}
    if len(data) >= LARGE:
        one["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return one


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder = Path()
    log_lock = threading.Lock()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        with self.log_lock, (self.folder / "requests.log").open("a", encoding="utf-8") as log:
            log.write(f"{self.command} /{path} {self.headers.get('Range', '-')}\n")
        parts = path.split("/")
        if parts[0] == "s3":
            self._file(self.folder / path, hub=False)
        elif parts[:2] == ["api", "models"]:
            self._api(parts[2:4], parts[4:])
        elif "resolve" in parts:
            self._file(self.folder / "hub" / "/".join(parts[:2]) / "/".join(parts[4:]), hub=True)
        else:
            self._json(404, {"error": "not found"})

    def _api(self, repo: list[str], rest: list[str]) -> None:
        folder = self.folder / "hub" / "/".join(repo)
        if not folder.is_dir():
            self._json(404, {"error": "Repository not found"})
            return
        files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
        described = [_described(name, data) for name, data in files.items()]
        if rest[:1] == ["tree"]:
            tree = []
            for one in described:
                entry = {"type": "file", "path": one["rfilename"], "size": one["size"], "oid": one["blobId"]}
                if lfs := one.get("lfs"):
                    entry["lfs"] = {"oid": lfs["sha256"], "size": lfs["size"], "pointerSize": 130}
                tree.append(entry)
            self._json(200, tree)
            return
        self._json(
            200, {"_id": "0", "id": "/".join(repo), "modelId": "/".join(repo), "sha": COMMIT, "siblings": described, "tags": []}
        )

    def _json(self, code: int, value: object) -> None:
        self._head(code, data := json.dumps(value).encode(), {"Content-Type": "application/json"})
        if self.command == "GET":
            self.wfile.write(data)

    def _head(self, code: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()

    def _file(self, path: Path, *, hub: bool) -> None:
        if path.name == "manifest.json" and path.parent.is_dir():
            names = sorted(p.name for p in path.parent.iterdir())
            self._json(200, {"files": names})
            return
        if not path.is_file():
            self._json(404, {"error": "not found"})
            return
        data = path.read_bytes()
        headers = {"ETag": f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"', "Accept-Ranges": "bytes"}
        if hub:
            one = _described(path.name, data)
            etag = one["lfs"]["sha256"] if "lfs" in one else one["blobId"]
            headers |= {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(data))} if "lfs" in one else {}
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        if self.headers.get("Range"):
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if self.command == "GET" and self._once("corrupt", path.name):
            data = data[:-1] + bytes([data[-1] ^ 1])
        self._head(206 if self.headers.get("Range") else 200, data[start:], headers)
        if self.command == "GET":
            self._send(data[start:])

    def _send(self, data: bytes) -> None:
        if len(data) >= LARGE and (count := self._once("cut")):
            self.wfile.write(data[: int(count)])
            self.close_connection = True
            return
        stall = self.folder / "stall"
        if len(data) >= LARGE and stall.exists():
            count = stall.read_text(encoding="ascii")
            self.wfile.write(data[: int(count)])
            self.wfile.flush()
            (self.folder / "stalled").touch()
            while stall.exists():
                time.sleep(0.02)
            self.close_connection = True
            return
        self.wfile.write(data)

    def _once(self, fault: str, name: str = "") -> str:
        file = self.folder / fault
        with self.log_lock:
            if not file.exists() or (name and file.read_text(encoding="utf-8").strip() != name):
                return ""
            text = file.read_text(encoding="utf-8")
            file.unlink()
        return text


def start(folder: Path) -> dict[str, str]:
    """Start the server in this process; return the variables that point the libraries at it."""
    handler = type("_Mirror", (_Handler,), {"folder": folder})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    return {"HF_ENDPOINT": url, "S3_BASE_URL": f"{url}/s3"}


def main() -> None:
    """Serve until the end of stdin."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    folder = parser.parse_args().dir
    partial = folder / "mirror.json.partial"
    partial.write_text(json.dumps(start(folder)), encoding="utf-8")
    partial.rename(folder / "mirror.json")
    sys.stdin.read()


if __name__ == "__main__":
    main()
