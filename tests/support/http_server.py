"""A scripted HTTP server on loopback, and a guard against connections to anywhere else.

Each path has a script: a list of steps, one for each request, the last of which repeats. A step is
a function of the handler; the functions below make the usual ones.
"""

from __future__ import annotations

import contextlib
import http.server
import ipaddress
import re
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

Step = Callable[["_Handler"], None]


def allow_loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every connection and look-up of this process fail that is not to the machine itself."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family != getattr(socket, "AF_UNIX", None):
            assert ipaddress.ip_address(address[0]).is_loopback, f"a test connects to {address}"
        connect(self, address)

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        assert host in ("127.0.0.1", "localhost"), f"a test looks up {host}"
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)
    monkeypatch.setenv("NO_PROXY", "*")


class ScriptedServer:
    """Serves ``script[path]``, each step once and the last one again and again.

    `requests` lists what was asked: the path and the headers, in the order of arrival.
    """

    def __init__(self) -> None:
        self.script: dict[str, list[Step]] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.scripted = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def ranges(self) -> list[str | None]:
        """The Range header of each request, None where there was none."""
        return [headers.get("Range") for _, headers in self.requests]

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def scripted(self) -> ScriptedServer:
        return self.server.scripted  # type: ignore[attr-defined, no-any-return]

    def do_GET(self) -> None:
        self.close_connection = True
        scripted = self.scripted
        with scripted.lock:
            scripted.requests.append((self.path, dict(self.headers)))
            steps = scripted.script[self.path]
            step = steps.pop(0) if len(steps) > 1 else steps[0]
        # The client may give up, which is what several tests want of it.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            step(self)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def send_error(self, *args: Any, **kwargs: Any) -> None:
        # A TLS greeting is no HTTP request; closing the connection is answer enough.
        self.close_connection = True
        self.wfile.write(b"not TLS\r\n")

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Connection", "close")
        self.end_headers()


def status(code: int) -> Step:
    """Answer with a bare status."""
    return lambda handler: handler.head(code, Content_Length=0)


def redirect(location: str) -> Step:
    return lambda handler: handler.head(302, Location=location, Content_Length=0)


def body(
    content: bytes,
    *,
    stop_after: int | None = None,
    stall_after: int | None = None,
    declared: int | None = None,
    etag: str | None = None,
    ranges: bool = True,
    wrong_range: str | None = None,
    chunk: int | None = None,
    pause: float = 0.0,
) -> Step:
    """Answer with `content`, or with the rest of it where a range is asked for.

    It closes the connection after `stop_after` bytes, falls silent after `stall_after`, claims
    `declared` bytes, ignores the range without `ranges`, states `wrong_range` instead of the true
    one, or sends `chunk` bytes at a time with pauses of `pause` seconds.
    """

    def step(handler: _Handler) -> None:
        asked = re.fullmatch("bytes=([0-9]+)-", handler.headers.get("Range", ""))
        if_range = handler.headers.get("If-Range")
        start = 0
        if asked and ranges and if_range in (None, etag):
            start = int(asked[1])
        headers: dict[str, object] = {} if etag is None else {"ETag": etag}
        if start >= len(content) and start:
            handler.head(416, Content_Length=0, Content_Range=f"bytes */{len(content)}")
            return
        if start:
            headers["Content_Range"] = (
                wrong_range or f"bytes {start}-{len(content) - 1}/{len(content)}"
            )
        headers["Content_Length"] = len(content) - start if declared is None else declared
        handler.head(206 if start else 200, **headers)
        end = len(content)
        for stop in (stop_after, stall_after):
            if stop is not None:
                end = min(end, start + stop)
        size = chunk or len(content)
        for position in range(start, end, size):
            handler.wfile.write(content[position : min(position + size, end)])
            handler.scripted.stopping.wait(pause)
        if stall_after is not None:
            handler.scripted.stopping.wait(10.0)

    return step
