"""A hub on this machine: the calls that an upload of small files makes, and what it was sent."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hub:
    """`made` are the repositories asked for, `files` the content that was committed, `cards` those it was to check."""

    url: str = ""
    made: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    cards: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    refuse: bool = False


@contextmanager
def local_hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hub.tokens.add(self.headers.get("Authorization"))
            if hub.refuse:
                return self._answer({"error": "You may not do that."}, 403)
            if self.path == "/api/repos/create":
                hub.made.append(json.loads(body))
                return self._answer({"url": f"{hub.url}/datasets/me/data"})
            if self.path == "/api/validate-yaml":
                hub.cards.append(json.loads(body)["content"])
                return self._answer({"errors": [], "warnings": []})
            if "/preupload/" in self.path:
                sent = [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                        for one in json.loads(body)["files"]]  # fmt: skip
                return self._answer({"files": sent})
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return self._answer({"commitUrl": f"{hub.url}/datasets/me/data/commit/{'0' * 40}", "commitOid": "0" * 40})

        def do_GET(self) -> None:
            self._answer({"id": "me/data", "sha": "0" * 40, "siblings": []})

        def _answer(self, value: Any, status: int = 200) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
