"""The transport against a server that misbehaves, and the unpacking against hostile archives."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import http_server
import numpy as np
import pytest
import requests
from http_server import ScriptedServer, body, redirect, status

from autorec_np import _files
from autorec_np.sources import downloading
from autorec_np.sources.downloading import DownloadError, download

CONTENT = np.random.default_rng(0).bytes(100_000)
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PIECE = 32_768  # A multiple of the size of the reads: what is short of one is lost in the break.
QUICK: dict[str, Any] = {
    "retries": 2,
    "backoff": 0.005,
    # Ample: a busy machine must not make a test fail that is not about time.
    "connect_timeout": 10.0,
    "read_timeout": 10.0,
    "total_timeout": 60.0,
}


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    http_server.allow_loopback_only(monkeypatch)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "file.zip"


def left_over(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def fails(server: ScriptedServer, target: Path, match: str, **options: Any) -> DownloadError:
    """Download and require a DownloadError that teaches, and nothing under the final name."""
    url = options.pop("url", server.base_url + "file")
    with pytest.raises(DownloadError, match=match) as caught:
        download(url, target, **{**QUICK, **options})
    message = str(caught.value)
    assert url in message
    assert f"place it at {target}" in message
    assert not target.exists()
    return caught.value


def test_the_guard_stops_connections_to_other_hosts() -> None:
    with pytest.raises(AssertionError, match="looks up example"):
        requests.get("http://example.org/", timeout=1)
    with socket.socket() as client, pytest.raises(AssertionError, match="connects to"):
        client.connect(("192.0.2.1", 80))


# --- whole and verified -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "known",
    [{}, {"size": len(CONTENT)}, {"md5": MD5}, {"sha256": SHA256.upper()}, {"max_bytes": 100_000}],
)
def test_a_file_arrives_whole(server: ScriptedServer, target: Path, known: dict[str, Any]) -> None:
    server.script["/file"] = [body(CONTENT)]
    assert download(server.base_url + "file", str(target), **QUICK, **known) == target
    assert target.read_bytes() == CONTENT
    assert left_over(target) == ["file.zip"]
    assert server.requests[0][1]["Accept-Encoding"] == "identity"


def test_an_existing_file_is_left_alone(
    server: ScriptedServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its folder may be read-only, so not even the lock is asked for.
    monkeypatch.setattr(downloading, "_exclusive", None)
    target.parent.mkdir()
    target.write_bytes(b"placed by hand")
    assert download(server.base_url + "file", target, sha256=SHA256, **QUICK) == target
    assert target.read_bytes() == b"placed by hand"
    assert server.requests == []


def test_a_body_without_length_is_taken(server: ScriptedServer, target: Path) -> None:
    def chunked(handler: Any) -> None:
        handler.head(200, Transfer_Encoding="chunked")
        handler.wfile.write(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")

    server.script["/file"] = [chunked]
    download(server.base_url + "file", target, **QUICK)
    assert target.read_bytes() == b"hello world"


@pytest.mark.parametrize("name", ["md5", "sha256"])
def test_a_wrong_hash_is_refused_and_deleted(
    server: ScriptedServer, target: Path, name: str
) -> None:
    server.script["/file"] = [body(CONTENT)]
    wrong = "0" * len({"md5": MD5, "sha256": SHA256}[name])
    fails(server, target, f"has {name} .* where {wrong} is expected", **{name: wrong})
    assert left_over(target) == []
    assert len(server.requests) == 1


def test_both_hashes_are_compared(server: ScriptedServer, target: Path) -> None:
    server.script["/file"] = [body(CONTENT)]
    fails(server, target, "has md5", md5="0" * 32, sha256=SHA256)
    fails(server, target, "has sha256", md5=MD5, sha256="0" * 64)


def test_the_check_runs_before_the_rename(server: ScriptedServer, target: Path) -> None:
    server.script["/file"] = [body(CONTENT)]
    seen = []

    def check(path: Path) -> None:
        seen.append((path.read_bytes() == CONTENT, target.exists()))
        raise ValueError("not what it should be")

    with pytest.raises(ValueError, match="not what it should be"):
        download(server.base_url + "file", target, md5=MD5, check=check, **QUICK)
    assert seen == [(True, False)]
    assert left_over(target) == []


# --- breaking off and resuming ----------------------------------------------------------------


@pytest.mark.parametrize("etag", [None, '"v1"', 'W/"weak"'])
def test_a_pinned_file_is_resumed(server: ScriptedServer, target: Path, etag: str | None) -> None:
    server.script["/file"] = [
        body(CONTENT, stop_after=PIECE, etag=etag),
        body(CONTENT, stop_after=PIECE, etag=etag),
        body(CONTENT, etag=etag),
    ]
    download(server.base_url + "file", target, sha256=SHA256, **QUICK)
    assert target.read_bytes() == CONTENT
    assert server.ranges() == [None, f"bytes={PIECE}-", f"bytes={2 * PIECE}-"]


def test_a_server_that_refuses_ranges_sends_all_again(server: ScriptedServer, target: Path) -> None:
    server.script["/file"] = [body(CONTENT, stop_after=PIECE), body(CONTENT, ranges=False)]
    download(server.base_url + "file", target, sha256=SHA256, **QUICK)
    assert target.read_bytes() == CONTENT
    assert server.ranges() == [None, f"bytes={PIECE}-"]


@pytest.mark.parametrize(
    "stated",
    ["bytes 0-99999/100000", "bytes 32767-99999/100000", "nonsense"],
)
def test_a_wrong_range_starts_over(server: ScriptedServer, target: Path, stated: str) -> None:
    server.script["/file"] = [
        body(CONTENT, stop_after=PIECE),
        body(CONTENT, wrong_range=stated),
        body(CONTENT),
    ]
    download(server.base_url + "file", target, sha256=SHA256, size=len(CONTENT), **QUICK)
    assert target.read_bytes() == CONTENT
    assert server.ranges() == [None, f"bytes={PIECE}-", None]


def test_a_partial_file_beyond_the_end_starts_over(server: ScriptedServer, target: Path) -> None:
    target.parent.mkdir()
    target.with_name("file.zip.part").write_bytes(CONTENT + b"more")
    server.script["/file"] = [body(CONTENT)]
    download(server.base_url + "file", target, sha256=SHA256, **QUICK)
    assert target.read_bytes() == CONTENT
    assert server.ranges() == ["bytes=100004-", None]  # The first was answered by HTTP 416.


def test_a_partial_file_of_an_earlier_call(server: ScriptedServer, target: Path) -> None:
    part = target.with_name("file.zip.part")
    part.parent.mkdir()
    server.script["/file"] = [body(CONTENT)]
    part.write_bytes(CONTENT[:70_000])
    download(server.base_url + "file", target, md5=MD5, **QUICK)
    assert target.read_bytes() == CONTENT

    # Complete already: nothing to ask for. Too long: nothing of it can be used.
    for content, ranges in ((CONTENT, []), (CONTENT + b"more", [None])):
        target.unlink()
        part.write_bytes(content)
        server.requests.clear()
        download(server.base_url + "file", target, md5=MD5, size=len(CONTENT), **QUICK)
        assert target.read_bytes() == CONTENT
        assert server.ranges() == ranges

    # Without a hash nothing says which version of the file these bytes belong to.
    target.unlink()
    part.write_bytes(b"x" * 70_000)
    server.requests.clear()
    download(server.base_url + "file", target, **QUICK)
    assert target.read_bytes() == CONTENT
    assert server.ranges() == [None]


def test_a_damaged_partial_file_is_found_by_the_hash(server: ScriptedServer, target: Path) -> None:
    part = target.with_name("file.zip.part")
    part.parent.mkdir()
    part.write_bytes(bytes(70_000))
    server.script["/file"] = [body(CONTENT)]
    fails(server, target, "has md5", md5=MD5)
    assert left_over(target) == []
    download(server.base_url + "file", target, md5=MD5, **QUICK)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(("pinned", "remains"), [(True, ["file.zip.part"]), (False, [])])
def test_always_breaking_off_ends_in_an_error(
    server: ScriptedServer, target: Path, pinned: bool, remains: list[str]
) -> None:
    server.script["/file"] = [body(CONTENT, stop_after=PIECE, ranges=False)]
    known: dict[str, Any] = {"md5": MD5} if pinned else {}
    fails(server, target, "[Cc]onnection bro(ken|ke off)", **known)
    assert len(server.requests) == 1 + QUICK["retries"]
    assert left_over(target) == remains


def test_progress_renews_the_retries(server: ScriptedServer, target: Path) -> None:
    server.script["/file"] = [body(CONTENT, stop_after=PIECE // 4)]
    download(server.base_url + "file", target, md5=MD5, **QUICK)
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 13


@pytest.mark.parametrize("declared", [len(CONTENT) + 1, 10**12])
def test_a_length_that_is_too_large(server: ScriptedServer, target: Path, declared: int) -> None:
    server.script["/file"] = [body(CONTENT, declared=declared, ranges=False)]
    fails(server, target, "[Cc]onnection bro(ken|ke off)", md5=MD5)
    assert len(server.requests) == 1 + QUICK["retries"]


def test_a_length_that_is_too_small(server: ScriptedServer, target: Path) -> None:
    server.script["/file"] = [body(CONTENT, declared=50_000)]
    fails(server, target, "has md5", md5=MD5)
    fails(server, target, "announces 50,000 bytes where 100,000 are expected", size=len(CONTENT))


def test_a_length_other_than_the_known_one_is_refused_at_once(
    server: ScriptedServer, target: Path
) -> None:
    server.script["/file"] = [body(CONTENT)]
    fails(server, target, "announces 100,000 bytes where 99,999 are expected", size=99_999)
    assert len(server.requests) == 1
    assert left_over(target) == []


def test_more_than_max_bytes_is_refused(server: ScriptedServer, target: Path) -> None:
    def endless(handler: Any) -> None:
        handler.head(200)
        while True:
            handler.wfile.write(CONTENT)

    announced = body(CONTENT, declared=10**12, stall_after=0)
    for step in (body(CONTENT), announced, endless):
        server.script["/file"] = [step]
        fails(server, target, "sends more than 99,999 bytes", max_bytes=99_999)
        assert left_over(target) == []


def test_a_body_without_length_that_is_too_short_is_resumed(
    server: ScriptedServer, target: Path
) -> None:
    def half(handler: Any) -> None:
        handler.head(200)
        handler.wfile.write(CONTENT[:PIECE])

    server.script["/file"] = [half, body(CONTENT)]
    download(server.base_url + "file", target, md5=MD5, size=len(CONTENT), **QUICK)
    assert target.read_bytes() == CONTENT
    assert server.ranges() == [None, f"bytes={PIECE}-"]


# --- answers other than 200 -------------------------------------------------------------------


@pytest.mark.parametrize("code", [401, 403, 404, 410, 501, 304])
def test_a_lasting_refusal_is_not_retried(server: ScriptedServer, target: Path, code: int) -> None:
    server.script["/file"] = [status(code)]
    fails(server, target, f"HTTP {code}")
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [408, 429, 500, 503])
def test_a_passing_failure_is_retried(server: ScriptedServer, target: Path, code: int) -> None:
    server.script["/file"] = [status(code), status(code), body(CONTENT)]
    download(server.base_url + "file", target, **QUICK)
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 3


def test_retries_end(server: ScriptedServer, target: Path) -> None:
    server.script["/file"] = [status(500)]
    fails(server, target, "HTTP 500", retries=1)
    assert len(server.requests) == 2
    fails(server, target, "HTTP 500", retries=0)
    assert len(server.requests) == 3


def test_the_back_off_doubles(
    server: ScriptedServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    server.script["/file"] = [status(500)]
    fails(server, target, "HTTP 500", retries=4, backoff=0.5)
    assert waits == [0.5, 1.0, 2.0, 4.0]


def test_redirects_are_followed(server: ScriptedServer, target: Path) -> None:
    server.script["/file"] = [redirect("/a/b")]
    server.script["/a/b"] = [redirect("c")]
    server.script["/a/c"] = [redirect(server.base_url + "end")]
    server.script["/end"] = [body(CONTENT)]
    download(server.base_url + "file", target, **QUICK)
    assert target.read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == ["/file", "/a/b", "/a/c", "/end"]


def test_a_redirect_loop_ends(server: ScriptedServer, target: Path) -> None:
    server.script["/file"] = [redirect("/other")]
    server.script["/other"] = [redirect("/file")]
    fails(server, target, "Exceeded 5 redirects")
    assert len(server.requests) == 6


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/file", "file:///etc/passwd", "http://[bad"])
def test_redirects_to_other_schemes_are_refused(
    server: ScriptedServer, target: Path, location: str
) -> None:
    server.script["/file"] = [redirect(location)]
    fails(server, target, "No connection adapters were found for|Invalid IPv6 URL")


def request_for(target: Path, **hashes: str) -> downloading._Request:
    deadline = time.monotonic() + 5.0
    return downloading._Request("https://127.0.0.1/file", target, None, hashes, None, deadline)


def test_the_body_of_a_redirect_is_not_read(server: ScriptedServer, target: Path) -> None:
    written = []

    def long(handler: Any) -> None:
        handler.head(302, Location="/end")
        for number in range(500):
            handler.wfile.write(CONTENT)
            written.append(number)

    server.script["/file"] = [long]
    server.script["/end"] = [body(CONTENT)]
    download(server.base_url + "file", target, **QUICK)
    assert target.read_bytes() == CONTENT
    assert len(written) < 500


def test_only_a_pinned_file_may_be_redirected_away_from_https(target: Path) -> None:
    line = downloading._ProgressLine("", False)
    response, hop = requests.Response(), requests.Response()
    response.status_code = 404
    for url, hop_url in (("http://a/x", "https://a/x"), ("https://a/x", "http://a/x")):
        response.url, hop.url, response.history = url, hop_url, [hop]
        with pytest.raises(DownloadError, match="redirects from https to"):
            downloading._receive(request_for(target), response, 0, line)
        with pytest.raises(DownloadError, match="HTTP 404"):
            downloading._receive(request_for(target, md5=MD5), response, 0, line)


# --- TLS --------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [{"md5": MD5}, {"sha256": SHA256}])
def test_a_pinned_file_falls_back_to_plain_http(
    server: ScriptedServer, target: Path, known: dict[str, Any]
) -> None:
    # The server speaks no TLS, so the greeting of an https client fails.
    server.script["/file"] = [body(CONTENT)]
    url = server.base_url.replace("http:", "https:") + "file"
    with pytest.warns(RuntimeWarning, match="falling back to plain http") as caught:
        download(url, target, **known, **QUICK)
    assert target.read_bytes() == CONTENT
    assert caught[0].filename == __file__


def test_after_a_fallback_the_hash_still_decides(server: ScriptedServer, target: Path) -> None:
    server.script["/file"] = [body(CONTENT[::-1])]
    url = server.base_url.replace("http:", "https:") + "file"
    with pytest.warns(RuntimeWarning, match="plain http"):
        fails(server, target, "has md5", url=url, md5=MD5)


def test_an_unpinned_file_never_falls_back(server: ScriptedServer, target: Path) -> None:
    server.script["/file"] = [body(CONTENT)]
    url = server.base_url.replace("http:", "https:") + "file"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fails(server, target, "TLS failed.*without a known hash", url=url, size=len(CONTENT))
    assert server.requests == []


def test_the_fallback_is_taken_once(server: ScriptedServer, target: Path) -> None:
    url = server.base_url.replace("http:", "https:") + "file"
    server.script["/file"] = [redirect(url)]
    with pytest.warns(RuntimeWarning, match="plain http"):
        fails(server, target, "TLS failed", url=url, md5=MD5)
    assert len(server.requests) == 1


def test_tls_that_breaks_in_the_body_is_a_broken_connection(
    server: ScriptedServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script["/file"] = [body(CONTENT)]
    chunks, calls = requests.Response.iter_content, []

    def break_once(response: requests.Response, size: int) -> Any:
        calls.append(size)
        if len(calls) == 1:
            raise requests.exceptions.SSLError("EOF occurred in violation of protocol")
        return chunks(response, size)

    monkeypatch.setattr(requests.Response, "iter_content", break_once)
    download(server.base_url + "file", target, **QUICK)
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 2


# --- time -------------------------------------------------------------------------------------


def test_a_stall_is_resumed(server: ScriptedServer, target: Path) -> None:
    server.script["/file"] = [body(CONTENT, stall_after=50_000), body(CONTENT)]
    download(server.base_url + "file", target, md5=MD5, **{**QUICK, "read_timeout": 0.5})
    assert target.read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_silence_from_the_start_ends_in_an_error(server: ScriptedServer, target: Path) -> None:
    server.script["/file"] = [lambda handler: handler.scripted.stopping.wait(10.0)]  # type: ignore[list-item]
    begin = time.monotonic()
    fails(server, target, "Read timed out", retries=1, read_timeout=0.5)
    assert time.monotonic() - begin < 5.0
    assert len(server.requests) == 2


def test_the_whole_transfer_has_a_time_limit(server: ScriptedServer, target: Path) -> None:
    server.script["/file"] = [body(CONTENT, chunk=8192, pause=0.2)]
    begin = time.monotonic()
    fails(server, target, "time limit for the whole transfer", md5=MD5, total_timeout=0.8)
    assert time.monotonic() - begin < 5.0
    part = target.with_name("file.zip.part").read_bytes()
    assert 0 < len(part) < len(CONTENT)
    assert CONTENT.startswith(part)


def test_the_time_limit_holds_for_attempts_too(server: ScriptedServer, target: Path) -> None:
    server.script["/file"] = [status(503)]
    fails(server, target, "time limit", retries=10**6, total_timeout=0.2)


def test_a_slow_server_is_waited_for(server: ScriptedServer, target: Path) -> None:
    server.script["/file"] = [body(CONTENT, chunk=20_000, pause=0.1)]
    download(server.base_url + "file", target, **QUICK)
    assert target.read_bytes() == CONTENT


def test_no_server_at_all(server: ScriptedServer, target: Path) -> None:
    with ScriptedServer() as gone:
        url = gone.base_url + "file"
    error = fails(server, target, "[Cc]onnection refused|Errno", url=url)
    assert "object at 0x" not in str(error)
    assert "Check the network" in str(error)


def test_an_unknown_host(
    server: ScriptedServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    url = "https://nowhere.invalid/file"
    fails(server, target, "Temporary failure in name resolution", url=url)


@pytest.mark.parametrize("url", ["no scheme", "ftp://127.0.0.1/file", "http://"])
def test_an_address_that_is_none(server: ScriptedServer, target: Path, url: str) -> None:
    fails(server, target, "Check the address", url=url)


# --- the disk ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "writing in .* failed .No space left.*Free space there"),
        (errno.EACCES, "writing in .* failed .*choose a folder that you may write"),
        (errno.EROFS, "writing in .* failed .*choose a folder that you may write"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_disk_errors_teach(
    server: ScriptedServer,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    words: str,
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    server.script["/file"] = [body(CONTENT)]
    fails(server, target, words)
    assert left_over(target) == []
    assert len(server.requests) == 1


def test_a_folder_that_cannot_be_made(server: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    fails(server, tmp_path / "file" / "x.zip", "writing in .* failed")


# --- interruptions and several processes ------------------------------------------------------


@pytest.mark.parametrize(("pinned", "remains"), [(True, ["file.zip.part"]), (False, [])])
def test_an_interrupt_leaves_nothing_under_the_final_name(
    server: ScriptedServer,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    pinned: bool,
    remains: list[str],
) -> None:
    server.script["/file"] = [body(CONTENT)]

    def interrupt(line: object, count: int, total: int | None) -> None:
        if count > 40_000:
            raise KeyboardInterrupt

    known: dict[str, Any] = {"md5": MD5} if pinned else {}
    with monkeypatch.context() as patched:
        patched.setattr(downloading._ProgressLine, "update", interrupt)
        with pytest.raises(KeyboardInterrupt):
            download(server.base_url + "file", target, **known, **QUICK)
    assert left_over(target) == remains
    download(server.base_url + "file", target, **known, **QUICK)
    assert target.read_bytes() == CONTENT
    assert (server.ranges()[1] is not None) == pinned


def test_threads_at_once_fetch_once(server: ScriptedServer, target: Path) -> None:
    server.script["/file"] = [body(CONTENT, chunk=20_000, pause=0.02)]
    results: list[bytes] = []

    def fetch() -> None:
        results.append(download(server.base_url + "file", target, **QUICK).read_bytes())

    threads = [threading.Thread(target=fetch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [CONTENT] * 8
    assert len(server.requests) == 1
    assert left_over(target) == ["file.zip"]


FETCH = """
import sys
from autorec_np.sources.downloading import download
print(len(download(sys.argv[1], sys.argv[2]).read_bytes()))
"""


def start_process(server: ScriptedServer, target: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FETCH, server.base_url + "file", str(target)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for(condition: Any) -> None:
    limit = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.01)


def body_after(going_on: threading.Event) -> Any:
    def wait_then_send(handler: Any) -> None:
        going_on.wait(20.0)
        body(CONTENT)(handler)

    return wait_then_send


def test_two_processes_at_once_fetch_once(server: ScriptedServer, target: Path) -> None:
    going_on = threading.Event()
    server.script["/file"] = [body_after(going_on)]
    processes = [start_process(server, target) for _ in range(2)]
    wait_for(lambda: server.requests)
    # The server holds the first; the second has time enough to ask, if nothing kept it from it.
    time.sleep(0.3)
    going_on.set()
    assert [process.communicate()[0] for process in processes] == ["100000\n"] * 2
    assert len(server.requests) == 1
    assert left_over(target) == ["file.zip"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_process_does_not_block_the_next(server: ScriptedServer, target: Path) -> None:
    server.script["/file"] = [body(CONTENT, stall_after=50_000), body(CONTENT)]
    process = start_process(server, target)
    part = target.with_name("file.zip.part")
    wait_for(lambda: part.exists() and part.stat().st_size > 0)
    process.kill()
    process.communicate()
    assert target.with_name("file.zip.lock").exists()
    assert not target.exists()
    download(server.base_url + "file", target, md5=MD5, **QUICK)
    assert target.read_bytes() == CONTENT
    assert left_over(target) == ["file.zip"]


def test_a_lock_file_removed_by_its_holder_is_no_lock(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Between the opening of the file and its locking here, the holder finishes and removes it.
    request = request_for(target)
    target.parent.mkdir()
    try_lock = _files.try_lock
    opened = []

    def late_lock(descriptor: int) -> bool:
        opened.append(descriptor)
        if len(opened) == 1:
            request.lock.unlink()
        return try_lock(descriptor)

    monkeypatch.setattr(_files, "try_lock", late_lock)
    with downloading._exclusive(request):
        assert os.path.samestat(os.fstat(opened[-1]), request.lock.stat())
    assert len(opened) == 2
    assert left_over(target) == []


def test_waiting_for_another_process_has_a_limit(server: ScriptedServer, target: Path) -> None:
    going_on = threading.Event()
    server.script["/file"] = [body_after(going_on)]
    url = server.base_url + "file"
    holder = threading.Thread(target=download, args=(url, target), kwargs=QUICK)
    holder.start()
    wait_for(lambda: server.requests)
    fails(server, target, r"another process has held .*file\.zip\.lock", total_timeout=0.1)
    going_on.set()
    holder.join()
    assert target.read_bytes() == CONTENT


# --- telling ----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_that_asked(
    server: ScriptedServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.script["/file"] = [body(CONTENT)]
    url = server.base_url + "file"
    terminal = Terminal()
    with monkeypatch.context() as patched, caplog.at_level(logging.INFO):
        patched.setattr(sys, "stderr", terminal)
        download(url, tmp_path / "silent", **QUICK)
        assert terminal.getvalue() == ""
        download(url, tmp_path / "asked", progress=True, **QUICK)
    lines = terminal.getvalue()
    assert lines.startswith("\rasked ")
    assert "100 %  0.1 of 0.1 MB" in lines
    assert lines.endswith("\n")
    assert f"downloading {url} to {tmp_path / 'asked'}" in caplog.messages
    download(url, tmp_path / "no terminal", progress=True, **QUICK)
    assert capfd.readouterr() == ("", "")


def test_no_terminal_line_without_bytes(
    server: ScriptedServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script["/file"] = [status(404)]
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    fails(server, target, "HTTP 404", progress=True)
    assert terminal.getvalue() == ""
