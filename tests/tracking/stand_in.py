"""A stand-in for W&B's server, on this machine: as much as a real `wandb sync` asks of it, and what it was sent."""

import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "a" * 40


class StandIn(ThreadingHTTPServer):
    """Answers on a free port.

    Attributes:
        asked: name and variables of each query, in order.
        streamed: run's id -> file name -> lines that were sent.
        uploaded: path of each file that was put, and its content.
        failing: answer every query with this status; 0 answers it.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.streamed: dict[str, dict[str, list[str]]] = {}
        self.uploaded: dict[str, bytes] = {}
        self.failing = 0

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_port}"

    def variables(self, name: str) -> list[dict[str, Any]]:
        """Those of each query of this name."""
        return [given for asked, given in self.asked if asked == name]

    def answer(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        """The data of one query."""
        found = re.search(r"(?:query|mutation)\s+(\w+)", query)
        name = found[1] if found else query
        self.asked.append((name, given))
        project = {"name": given.get("project", "p"), "id": "P", "entity": {"name": "me", "id": "E"}}
        run = {"id": "R", "name": given.get("name"), "displayName": given.get("displayName"), "project": project}
        files = [
            {"name": file, "uploadUrl": f"{self.url}/put/{file}", "uploadHeaders": []}
            for file in given.get("files") or []
        ]
        specified = [
            {
                "node": {
                    "id": f"F{number}", "name": file["name"], "displayName": file["name"], "uploadHeaders": [],
                    "uploadUrl": f"{self.url}/put/artifact/{file['name']}", "storagePath": file["name"],
                    "uploadMultipartUrls": None, "artifact": {"id": file["artifactID"]},
                }
            }
            for number, file in enumerate(given.get("input", {}).get("artifactFiles") or [])
        ]  # fmt: skip
        artifact = {
            "id": f"A{len(self.variables('CreateArtifact'))}", "state": "PENDING",
            "digest": given.get("input", {}).get("digest"),
            "artifactSequence": {"id": "S", "latestArtifact": None},
        }  # fmt: skip
        manifest = {
            "id": "M",
            "file": {"id": "MF", "name": "m", "displayName": "m", "uploadHeaders": [],
                     "uploadUrl": f"{self.url}/put/manifest"},
        }  # fmt: skip
        answers: dict[str, dict[str, Any]] = {
            "UpsertBucket": {"upsertBucket": {"bucket": run | {"config": "{}"}, "inserted": True}},
            "ServerFeaturesQuery": {"serverInfo": {"features": []}},
            "CreateArtifact": {"createArtifact": {"artifact": artifact}},
            "CreateArtifactManifest": {"createArtifactManifest": {"artifactManifest": manifest}},
            "CreateArtifactFiles": {"createArtifactFiles": {"files": {"edges": specified}}},
            "CommitArtifact": {"commitArtifact": {"artifact": {"id": "A", "digest": "d"}}},
            "UseArtifact": {"useArtifact": {"artifact": {"id": "A", "digest": "d", "description": "", "state": "x",
                                                         "createdAt": "2026-01-01", "metadata": "{}"}}},
            "CreateRunFiles": {"createRunFiles": {"runID": "R", "uploadHeaders": [], "files": files}},
            "Viewer": {"viewer": {"id": "V", "entity": "me", "username": "me", "flags": "{}",
                                  "teams": {"edges": []}}},
            "RunResumeStatus": {"model": None},
        }  # fmt: skip
        return answers.get(name, {})


class _Handler(BaseHTTPRequestHandler):
    server: StandIn
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """A query, or lines of a run's files."""
        if self.path.startswith("/sdk/otel"):  # telemetry
            self.rfile.read(int(self.headers["Content-Length"]))
            self._send({})
            return
        sent = self._sent()
        if self.path.endswith("/file_stream"):
            run = self.server.streamed.setdefault(self.path.split("/")[-2], {})
            for name, chunk in (sent.get("files") or {}).items():
                run.setdefault(name, []).extend(chunk["content"])
            self._send({})
        elif self.server.failing:
            self._send({"errors": [{"message": "not now"}]}, self.server.failing)
        else:
            self._send({"data": self.server.answer(sent.get("query", ""), sent.get("variables") or {})})

    def do_PUT(self) -> None:
        """A file."""
        self.server.uploaded[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._send({})

    def do_GET(self) -> None:
        """Anything else."""
        self._send({})

    def handle(self) -> None:
        """Requests, until the other side hangs up."""
        with suppress(ConnectionResetError):
            super().handle()

    def _sent(self) -> Any:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        return json.loads(body or b"{}")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _send(self, answer: Any, status: int = 200) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def standing_in() -> Iterator[StandIn]:
    """A server that runs for a while."""
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
