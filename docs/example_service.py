"""A recommendation service in one file: the standard library and autorec_np.

    python docs/example_service.py model.npz --port 8000 --workers 2

    GET  /recommend?user=1&n=10                 the best items that a known user has not rated
    POST /recommend?n=10  {"50": 5, "172": 4}   those of a visitor, told by ratings of items
    GET  /predict?user=1&item=50                the rating that is expected
    GET  /similar?item=50&n=10                  similar items
    GET  /because?user=1&item=50&n=3            the ratings that contribute most to a score
    GET  /health                                which model is served

Every worker maps the model into its memory, so that all of them share it, and looks once a second
whether the file has been replaced. docs/service.md says why each thing is done as it is.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from autorec_np import AutoRec, ModelFileError, explain, load_model, save_model, similar_items

LOOK_SECONDS = 1.0


class CurrentModel:
    """The model of a file, loaded anew where the file has been replaced."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._loading = threading.Lock()
        self._looked_at = -LOOK_SECONDS
        self._identity: tuple[int, int, int] | None = None
        self._model = AutoRec()
        self.get()

    def get(self) -> AutoRec:
        """Return the model; take it once for each request, so that an answer is of one model."""
        is_due = time.monotonic() - self._looked_at >= LOOK_SECONDS
        if is_due and self._loading.acquire(blocking=self._identity is None):
            try:  # the other requests go on with the model that is there
                self._load_if_replaced()
            finally:
                self._loading.release()
        return self._model

    def _load_if_replaced(self) -> None:
        self._looked_at = time.monotonic()
        try:
            found = self.path.stat()
            identity = (found.st_ino, found.st_mtime_ns, found.st_size)
            if identity != self._identity:
                self._model = load_model(self.path, AutoRec, memory_map=True)
                self._identity = identity
        except (OSError, ModelFileError) as error:
            if self._identity is None:
                raise
            print(f"the last model is served on: {error}", file=sys.stderr, flush=True)


def replace_model(new: str | Path, path: str | Path) -> None:
    """Put a model file in the place of one that is served: by rename, never by copy.

    A copy onto `path` would change what others have mapped, or kill them with SIGBUS. A rename
    leaves them the old file until they let it go.
    """
    load_model(new)  # compares its hash, before anybody serves it
    beside = Path(path).with_name(f".{Path(path).name}.new")  # a rename stays on one file system
    shutil.copyfile(new, beside)
    os.replace(beside, path)


def nightly(path: str | Path, ratings: Any) -> None:
    """Take the ratings of a day into the served model; a day without ratings changes nothing."""
    model = load_model(path, AutoRec)
    model.partial_fit(ratings)
    save_model(model, path)  # writes beside the file and renames


def ranked(ids: Iterable[Any], scores: Iterable[float]) -> list[dict[str, Any]]:
    """Return what JSON can hold: places without an item have the id None and the score -inf."""
    pairs = zip(ids, scores, strict=True)
    return [{"item": item, "score": float(score)} for item, score in pairs if item is not None]


def as_id(text: str, known: Any) -> Any:
    """Return an id of the kind that the model has."""
    return int(text) if known.dtype.kind == "i" else text


def recommend(model: AutoRec, query: dict[str, str], body: Any) -> dict[str, Any]:
    """Answer a known user by the model's ratings, and a visitor by those that are sent."""
    n, R = int(query.get("n", 10)), model.ratings_
    if "user" in query:
        user = as_id(query["user"], R.user_ids)
        if R.user_positions([user])[0] >= 0:
            ids, scores = model.recommend([user], n)
            return {"items": ranked(ids[0], scores[0]), "popular": False, "unknown": 0}
    rated = {as_id(item, R.item_ids): float(value) for item, value in (body or {}).items()}
    answer = model.recommend_new(rated, n, unknown="ignore")
    return {
        "items": ranked(*answer),
        "popular": bool(answer.popular),
        "unknown": answer.n_unknown,
    }


def predict(model: AutoRec, query: dict[str, str], body: Any) -> dict[str, Any]:
    user = as_id(query["user"], model.ratings_.user_ids)
    item = as_id(query["item"], model.ratings_.item_ids)
    return {"rating": float(model.predict([user], [item])[0])}


def similar(model: AutoRec, query: dict[str, str], body: Any) -> dict[str, Any]:
    item = as_id(query["item"], model.ratings_.item_ids)
    ids, cosines = similar_items(model, [item], int(query.get("n", 10)))
    return {"items": ranked(ids[0], cosines[0])}


def because(model: AutoRec, query: dict[str, str], body: Any) -> dict[str, Any]:
    user = as_id(query["user"], model.ratings_.user_ids)
    item = as_id(query["item"], model.ratings_.item_ids)
    return {"items": ranked(*explain(model, user, item, int(query.get("n", 3))))}


def health(model: AutoRec, query: dict[str, str], body: Any) -> dict[str, Any]:
    return {"model": repr(model), "ratings": len(model.ratings_), "process": os.getpid()}


ROUTES = {
    "/recommend": recommend,
    "/predict": predict,
    "/similar": similar,
    "/because": because,
    "/health": health,
}


class Handler(BaseHTTPRequestHandler):
    """One connection; the server has the model."""

    protocol_version = "HTTP/1.1"  # a connection is kept for further requests
    disable_nagle_algorithm = True  # an answer is sent at once, not when the last is acknowledged
    server: Server

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        asked = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(asked.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            if asked.path not in ROUTES:
                raise LookupError(f"{asked.path} is none of {', '.join(ROUTES)}")
            content = json.loads(body) if body else None
            answer = ROUTES[asked.path](self.server.current.get(), query, content)
            self.send(200, answer)
        except KeyError as error:
            self.send(400, {"error": f"the request lacks {error}"})
        except LookupError as error:
            self.send(404, {"error": str(error)})
        except (ValueError, TypeError, AttributeError) as error:  # what the client sent is wrong
            self.send(400, {"error": str(error)})

    def send(self, status: int, answer: dict[str, Any]) -> None:
        content = json.dumps(answer, allow_nan=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Write no line for each request."""


class Server(ThreadingHTTPServer):
    """One worker, with a thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], path: str | Path) -> None:
        super().__init__(address, Handler)
        self.path = path

    def work(self) -> None:
        """Load the model and answer."""
        self.current = CurrentModel(self.path)
        self.serve_forever()


def main(arguments: list[str] | None = None) -> None:
    """Listen, and start the workers, which share the socket."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0: any that is free")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # which ends the other workers too
    with Server((options.host, options.port), options.model) as server:
        fork = multiprocessing.get_context("fork")  # before a model or a thread is there
        for _ in range(options.workers - 1):
            fork.Process(target=server.work, daemon=True).start()
        print(f"serving {options.model} at http://{options.host}:{server.server_port}", flush=True)
        server.work()


if __name__ == "__main__":
    main()
