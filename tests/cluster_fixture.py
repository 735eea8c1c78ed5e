"""A stand-in for a cluster: as much of Kubernetes' API as tasks ask of it, about pods that run no process."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Pod = dict[str, Any]
NOW = "2026-01-01T00:00:00Z"


class Cluster:
    """Pods by name. One that runs ends well once its log is read; one that is deleted is gone after a few listings."""

    def __init__(self) -> None:
        self.pods: dict[str, Pod] = {}
        self.made: list[str] = []
        # Called before the answer: once a pod is there, with the selector once pods were looked for, before a pod ends.
        self.when_made: Callable[[], object] = lambda: None
        self.when_listed: Callable[[str], object] = lambda _: None
        self.when_read: Callable[[], object] = lambda: None
        self._listings_left: dict[str, int] = {}

    def add(self, name: str, phase: str, **labels: str) -> None:
        """A pod in a phase of its life."""
        ended = {"terminated": {"exitCode": 0, "finishedAt": NOW, "startedAt": NOW}}
        state = {"running": {"startedAt": NOW}} if phase == "Running" else ended
        status = {"name": "base", "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": state}
        self.pods[name] = {
            "metadata": {"name": name, "namespace": "sightline", "labels": labels, "creationTimestamp": NOW},
            "spec": {"containers": [{"name": "base"}]},
            "status": {"phase": phase, "startTime": NOW, "containerStatuses": [status]},
        }

    def make(self, pod: Pod) -> Pod:
        """A new one, as a client asks for it."""
        name = pod["metadata"]["name"]
        self.add(name, "Running", **pod["metadata"]["labels"])
        self.made.append(name)
        self.when_made()
        return self.pods[name]

    def read(self, name: str) -> str:
        """A pod's log, to its end."""
        self.when_read()
        self.add(name, "Succeeded", **self.pods[name]["metadata"]["labels"])
        return f"{NOW} done\n"

    def delete(self, name: str, listings: int = 3) -> Pod:
        """From now on it is being deleted, and gone when it has been listed so often."""
        self._listings_left.setdefault(name, listings)
        self.pods[name]["metadata"]["deletionTimestamp"] = NOW
        return self.pods[name]

    def listed(self, selector: str) -> list[Pod]:
        """Pods whose labels a selector fits."""
        found = [pod for pod in self.pods.values() if fits(pod["metadata"]["labels"], selector)]
        for name in {pod["metadata"]["name"] for pod in found} & set(self._listings_left):
            self._listings_left[name] -= 1
            if not self._listings_left[name]:
                del self.pods[name], self._listings_left[name]
        self.when_listed(selector)
        return found


def fits(labels: dict[str, str], selector: str) -> bool:
    """Whether labels are those of a selector: name=value, name!=value and !name, all of them."""
    for term in filter(None, selector.split(",")):
        name, equals, value = term.partition("=")
        if not equals:
            is_so = name.removeprefix("!") not in labels
        elif name.endswith("!"):
            is_so = labels.get(name.removesuffix("!")) != value
        else:
            is_so = labels.get(name) == value
        if not is_so:
            return False
    return True


@contextmanager
def running(cluster: Cluster) -> Iterator[str]:
    """The address of the cluster's API while the block lasts."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            *_, name, kind = url.path.split("/")
            if kind == "log":
                self.answer(cluster.read(name))
            elif kind in {"pods", "events"}:
                selector = parse_qs(url.query).get("labelSelector", [""])[0]
                items = cluster.listed(selector) if kind == "pods" else []
                self.answer({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items})
            else:
                self.answer(cluster.pods.get(kind))

        def do_POST(self) -> None:
            self.answer(cluster.make(self.body()))

        def do_PATCH(self) -> None:
            self.answer(cluster.pods.get(self.path.rsplit("/", 1)[1]))

        def do_DELETE(self) -> None:
            self.body()
            name = urlsplit(self.path).path.rsplit("/", 1)[1]
            self.answer(cluster.delete(name) if name in cluster.pods else None)

        def body(self) -> Pod:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found: Pod = json.loads(sent or "{}")
            return found

        def answer(self, what: Any) -> None:
            content = (what if isinstance(what, str) else json.dumps(what or {"kind": "Status"})).encode()
            self.send_response(404 if what is None else 200)
            self.send_header("Content-Type", "text/plain" if isinstance(what, str) else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
