"""A Docker engine for tests that need none: it answers on loopback, and only lists, stops and removes containers."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Containers = dict[str, dict[str, Any]]


def container(hostname: str, *, running: bool = True, started_by: str = "", attempt: str = "") -> dict[str, Any]:
    """A stage if it has an attempt, else a service."""
    variables = ["PATH=/bin", *([f"SIGHTLINE_WORKER={started_by}"] if started_by else [])]
    labels = {"sightline.try": f"training/run/{attempt}/-1/1/"} if attempt else {}
    return {"Hostname": hostname, "Env": variables, "Labels": labels, "Running": running}


@contextmanager
def engine_of(containers: Containers) -> Iterator[str]:
    """Serve these containers, by their ids, until the block ends; what is removed is removed from them."""
    engine = Engine(containers)
    threading.Thread(target=engine.serve_forever, daemon=True).start()
    yield f"tcp://127.0.0.1:{engine.server_port}"
    engine.shutdown()
    engine.server_close()


class Engine(ThreadingHTTPServer):
    """Stands in for a Docker engine that holds `containers`, by their ids."""

    def __init__(self, containers: dict[str, dict[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.containers = containers

    def listed(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        """The answer to a request for containers."""
        wanted = json.loads(query["filters"][0])["label"] if "filters" in query else []
        return [
            {"Id": name, "Labels": one["Labels"]}
            for name, one in self.containers.items()
            if (one["Running"] or "1" in query["all"]) and all(carries(one["Labels"], label) for label in wanted)
        ]


def carries(labels: dict[str, str], label: str) -> bool:
    """Whether a filter, NAME or NAME=VALUE, lets a container with these labels through."""
    return label in labels or label in {f"{name}={value}" for name, value in labels.items()}


class Answer(BaseHTTPRequestHandler):
    """One request to the engine."""

    def do_GET(self) -> None:
        assert isinstance(self.server, Engine)
        address = urlsplit(self.path)
        parts = address.path.strip("/").split("/")
        if parts[-1] == "version":
            self.say({"ApiVersion": "1.44"})
        elif parts[-2:] == ["containers", "json"]:
            self.say(self.server.listed(parse_qs(address.query)))
        else:
            self.say({"Config": self.server.containers[parts[2]]})

    def do_POST(self) -> None:
        self.say(None, 204)

    def do_DELETE(self) -> None:
        assert isinstance(self.server, Engine)
        del self.server.containers[urlsplit(self.path).path.split("/")[3]]
        self.say(None, 204)

    def say(self, what: object, status: int = 200) -> None:
        body = json.dumps(what).encode() if what is not None else b""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
