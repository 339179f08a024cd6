"""Sources of every kind give the same bytes; what unpacks to too much is refused in time."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import tracemalloc
import urllib.request
import zipfile

import pandas as pd
import pytest
from advice import expression
from rating_files import assert_triples, write

from autorec_np.sources import text as opening
from autorec_np.sources.reading import read_ratings
from autorec_np.sources.text import read_source

TEXT = "userId,movieId,rating\n1,5,2.5\n1,6,3.0\n2,5,4.0\n"
WANTED = ["1", "1", "2"], ["5", "6", "5"], [2.5, 3, 4]
PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def zipped(members, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("form", ["path", "str", "file", "bytes"])
def test_packed_sources_are_unpacked(tmp_path, packer, form):
    content = PACKERS[packer](TEXT.encode())
    path = write(tmp_path / f"ratings.csv.{packer}", content)
    with open(path, "rb") as file:
        source = {"path": path, "str": str(path), "file": file, "bytes": io.BytesIO(content)}[form]
        assert_triples(read_ratings(source), *WANTED)


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_every_method_of_zip(method):
    assert_triples(read_ratings(io.BytesIO(zipped({"r.csv": TEXT}, method))), *WANTED)


def test_open_files_of_text_and_bytes(tmp_path):
    path = write(tmp_path / "ratings.csv", TEXT)
    with open(path) as text, open(path, "rb") as raw:
        for source in (text, raw, io.StringIO(TEXT), io.BytesIO(TEXT.encode())):
            assert_triples(read_ratings(source), *WANTED)
    assert_triples(read_ratings(io.StringIO("\ufeff" + TEXT)), *WANTED)
    with pytest.raises(ValueError, match=r"^the StringIO, line 2: the rating is 'x'"):
        read_ratings(io.StringIO("1,2,3\n1,3,x\n"))
    with open(write(path, "1,2,3\n1,3,x\n")) as text, pytest.raises(ValueError, match=str(path)):
        read_ratings(text)
    with pytest.raises(ValueError, match="the file holds no ratings"):
        read_ratings(io.StringIO(""))


@pytest.mark.parametrize("packed", [False, True])
def test_a_dash_is_standard_input(packed):
    content = gzip.compress(TEXT.encode()) if packed else TEXT.encode()
    code = "from autorec_np import read_ratings; print(read_ratings('-').triples()[2].tolist())"
    run = subprocess.run(
        [sys.executable, "-c", code], input=content, capture_output=True, check=True
    )
    assert run.stdout.decode().strip() == "[2.5, 3.0, 4.0]"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_read_as_a_stream(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = subprocess.Popen([sys.executable, "-c", f"open({str(pipe)!r}, 'w').write({TEXT!r})"])
    assert_triples(read_ratings(pipe), *WANTED)
    assert writer.wait(10) == 0


def test_what_is_no_source_is_an_error_whose_advice_works(tmp_path):
    frame = pd.DataFrame({"user": [1], "item": [2], "rating": [3]})
    with pytest.raises(TypeError, match=r"got DataFrame; pass data in memory to"):
        read_ratings(frame)
    with pytest.raises(ValueError, match=r"is text and no path; pass io.StringIO"):
        read_ratings(TEXT)
    address = write(tmp_path / "ratings.csv", TEXT).as_uri()
    with pytest.raises(ValueError, match="is an address and no path") as caught:
        read_ratings(address)
    advice = expression(str(caught.value), "urllib.request.urlopen(")
    with eval(advice, {"urllib": urllib}) as response:
        assert_triples(read_ratings(response), *WANTED)


# Archives


def test_what_systems_add_to_an_archive_is_left_out():
    members = {
        "data/ratings.csv": TEXT,
        "__MACOSX/data/._ratings.csv": "\0\5\26",
        "data/._ratings.csv": "\0\5\26",
        "data/.DS_Store": "\0\0\0\1",
        "Thumbs.db": "x",
    }
    R = read_ratings(io.BytesIO(zipped(members)))
    assert_triples(R, *WANTED)


def test_advice_to_choose_a_member():
    archive = io.BytesIO(zipped({"README": "hello", "ratings.csv": TEXT}))
    with pytest.raises(ValueError, match="it must hold exactly one file") as caught:
        read_ratings(archive)
    assert "'README', 'ratings.csv'" in str(caught.value)
    archive.seek(0)
    assert_triples(read_ratings(archive, member="ratings.csv"), *WANTED)


@pytest.mark.parametrize("packed", [False, True])
def test_member_is_for_zip_archives_only(packed):
    content = gzip.compress(TEXT.encode()) if packed else TEXT.encode()
    with pytest.raises(ValueError, match=r"member='x' is for zip archives only; leave it out"):
        read_ratings(io.BytesIO(content), member="x")
    with pytest.raises(ValueError, match=r"member='x' is for zip archives only; leave it out"):
        read_ratings(io.StringIO(TEXT), member="x")
    assert_triples(read_ratings(io.BytesIO(content)), *WANTED)


def test_an_encrypted_member(tmp_path):
    raw = bytearray(zipped({"ratings.csv": TEXT}, zipfile.ZIP_STORED))
    for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        raw[raw.index(magic) + offset] |= 1  # the flag of encryption
    with pytest.raises(ValueError, match=r"password required.*unpack it and pass the file"):
        read_ratings(write(tmp_path / "r.zip", bytes(raw)))


@pytest.mark.parametrize("packer", PACKERS)
def test_damaged_files_are_named(tmp_path, packer):
    packed = PACKERS[packer](TEXT.encode() * 99)
    names = {"gz": "gzip", "bz2": "bzip2", "xz": "xz"}
    for content in (packed[:-9], packed[:25] + b"\xff" * 9 + packed[34:]):
        message = f"not a complete {names[packer]} file .*; fetch it again"
        with pytest.raises(ValueError, match=message):
            read_ratings(write(tmp_path / "r", content))


# Bombs

ZEROS = 16 << 20


@pytest.fixture(scope="module")
def bombs():
    return {
        "gz": gzip.compress(bytes(ZEROS)),
        "bz2": bz2.compress(bytes(ZEROS)),
        "xz": lzma.compress(bytes(ZEROS)),
        "zip": zipped({"r.csv": bytes(ZEROS)}),
    }


@pytest.mark.parametrize("packer", ["gz", "bz2", "xz", "zip"])
def test_a_bomb_is_refused_before_it_fills_the_memory(bombs, packer, monkeypatch):
    monkeypatch.setattr(opening, "_SUSPICIOUS_BYTES", 1 << 20)
    assert len(bombs[packer]) < 20_000
    tracemalloc.start()
    with pytest.raises(ValueError, match="holds more than the 8,388,608 bytes that are accepted"):
        read_source(io.BytesIO(bombs[packer]), None, ZEROS // 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < ZEROS


@pytest.mark.parametrize("packer", ["gz", "zip"])
def test_what_packs_well_is_no_bomb(bombs, packer, monkeypatch):
    monkeypatch.setattr(opening, "_SUSPICIOUS_BYTES", 1 << 20)
    for bound in (ZEROS, None):
        _, content = read_source(io.BytesIO(bombs[packer]), None, bound)
        assert content == bytes(ZEROS)


def test_a_zip_archive_that_understates_its_size():
    raw = bytearray(zipped({"r.csv": bytes(10**6)}))
    for magic, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        place = raw.index(magic) + offset
        raw[place : place + 4] = (1000).to_bytes(4, "little")
    with pytest.raises(ValueError, match="the zip archive cannot be read"):
        read_source(io.BytesIO(bytes(raw)), None, 2000)


def test_the_bound_holds_for_streams_and_not_for_plain_files(tmp_path):
    path = write(tmp_path / "ratings.csv", TEXT)
    assert_triples(read_ratings(path, max_bytes=3), *WANTED)
    for source in (io.StringIO(TEXT), io.BytesIO(TEXT.encode())):
        with pytest.raises(ValueError, match="holds more than the 3 bytes") as caught:
            read_ratings(source, max_bytes=3)
        assert "pass a larger max_bytes=" in str(caught.value)
        source.seek(0)
        assert_triples(read_ratings(source, max_bytes=len(TEXT)), *WANTED)
        source.seek(0)
        assert_triples(read_ratings(source, max_bytes=None), *WANTED)


@pytest.mark.parametrize("bound", [0, -1])
def test_a_bound_is_at_least_one(bound):
    with pytest.raises(ValueError, match="max_bytes must be at least 1"):
        read_ratings(io.StringIO(TEXT), max_bytes=bound)


def test_the_advice_helper_finds_the_whole_call():
    assert expression("pass f(a, (b)) or g(c)", "f(") == "f(a, (b))"


@pytest.mark.parametrize("inner", ["gz", "xz", "bz2", "zip"])
@pytest.mark.parametrize("outer", ["gz", "zip"])
def test_packed_files_within_packed_files_are_named(inner, outer):
    content = TEXT.encode()
    packed = zipped({"r.csv": content}) if inner == "zip" else PACKERS[inner](content)
    whole = zipped({"r": packed}) if outer == "zip" else PACKERS[outer](packed)
    with pytest.raises(ValueError, match=r"within .* unpack it and pass the file of ratings"):
        read_ratings(io.BytesIO(whole))
    assert_triples(read_ratings(io.BytesIO(packed)), *WANTED)
