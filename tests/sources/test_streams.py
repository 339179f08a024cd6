"""Files by pieces: cut at ends of lines, decoded as the whole is."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rating_files import write

from autorec_np.sources import text as streams
from autorec_np.sources.text import Dialect, stream_of


@pytest.fixture
def pieces(tmp_path, monkeypatch):
    def cut(content, encoding="utf-8", piece=7, head=1):
        monkeypatch.setattr(streams, "PIECE", piece)
        monkeypatch.setattr(streams, "HEAD", head)
        stream = stream_of(write(tmp_path / "file", content), None, None, is_long=True)
        found = stream.decoded(encoding, Dialect())
        return None if found is None else [found, *stream()]

    return cut


def test_pieces_end_with_lines(pieces):
    assert pieces("1,2\n3,4\n5,6") == ["1,2\n", "3,4\n", "5,6"]
    assert pieces("1,2\r3,4\r5,6", piece=8) == ["1,2\r", "3,4\r", "5,6"]
    assert pieces("1,2\r\n3,4\r\n", piece=6) == ["1,2\r\n", "3,4\r\n"]
    assert pieces("123456789") == ["123456789"]
    assert pieces("1,2\n3,4\n5,6\n7", head=10) == ["1,2\n3,4\n5,6\n", "7"]
    assert pieces("") == [""]


@given(
    st.text(st.sampled_from("aé,\n\r\ufeff"), max_size=40), st.integers(1, 9), st.integers(1, 20)
)
def test_pieces_are_the_text(tmp_path_factory, text, piece, head):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "PIECE", piece)
        patch.setattr(streams, "HEAD", head)
        path = write(tmp_path_factory.mktemp("pieces") / "file", text)
        stream = stream_of(path, None, None, is_long=True)
        found = [stream.decoded("utf-8", Dialect()), *stream()]
    assert "".join(found) == text.removeprefix("\ufeff")
    assert stream.is_whole == (len(found) == 1)


def test_encodings_whose_lines_are_not_told_from_bytes_are_left_to_the_whole(pieces):
    assert pieces("é\n".encode("latin-1"), "latin-1") == ["é\n"]
    assert pieces("1\n".encode("utf-16")) is None
    assert pieces("1\n".encode("utf-16-le"), "utf-16-le") is None
    assert pieces(b"PAR1\n") is None


def test_short_and_packed_files_are_read_as_a_whole(tmp_path, monkeypatch):
    path = write(tmp_path / "file", "1\n")
    assert stream_of(path, None, None) is None
    assert stream_of(sys.stdin, None, None, is_long=True) is None
    assert stream_of(tmp_path / "none", None, None, is_long=True) is None
    monkeypatch.setattr(streams, "LONG", 1)
    assert stream_of(path, None, None) is not None
    packed = write(tmp_path / "packed", b"\x1f\x8b\x08\0\0\0\0\0\0\0\0")
    assert stream_of(packed, None, None) is None
    assert stream_of(packed, None, None, is_long=True).packed == "gzip"
