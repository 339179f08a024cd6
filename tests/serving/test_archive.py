"""The file of a model: written whole or not at all, and nothing in it is trusted."""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import sys
import zipfile

import numpy as np
import pytest
from model_files import array_file, integer_ratings, parts_of, same, sealed, with_member

from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.serving.archive import ModelFileError
from autorec_np.serving.model_file import load_model, read_metadata, save_model


def test_the_file_is_an_aligned_uncompressed_npz_without_objects(saved):
    with np.load(saved, allow_pickle=False) as archive:
        arrays = dict(archive)
    model = load_model(saved)
    assert same(arrays["theta"], model.theta_)
    assert same(arrays["codes"], model.codes_)
    header = json.loads(arrays["header"].tobytes())
    assert (header["format"], header["format_version"]) == ("autorec_np model", 2)
    arrays_listed = {name: (one["dtype"], one["shape"]) for name, one in header["arrays"].items()}
    del arrays["header"]
    assert arrays_listed == {
        name: (array.dtype.str, [*array.shape]) for name, array in arrays.items()
    }
    assert header["versions"]["numpy"] == np.__version__
    content = saved.read_bytes()
    with zipfile.ZipFile(saved) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    for name in ("theta", "codes", "ratings.data", "users.utf8"):
        assert content.index(arrays[name].tobytes()) % 64 == 0, name


def test_the_hash_of_a_mapped_file_is_compared_on_request_only(saved, path):
    content = bytearray(saved.read_bytes())
    model = load_model(saved)
    content[content.index(model.theta_.tobytes())] ^= 1
    path.write_bytes(content)
    assert not same(load_model(path, memory_map=True).theta_, model.theta_)
    for options in ({}, {"memory_map": True, "verify": True}):
        with pytest.raises(ModelFileError, match="does not end in the SHA-256"):
            load_model(path, **options)
    with pytest.raises(ModelFileError, match="CRC-32"):  # of the archive
        load_model(path, verify=False)


def test_arrays_at_odd_places_are_copied(saved, path):
    _, arrays = parts_of(saved)
    odd = io.BytesIO()
    np.save(odd, arrays["theta"])
    content = odd.getvalue()
    start = 10 + int.from_bytes(content[8:10], "little")
    wider = content[:8] + struct.pack("<H", start - 9) + content[10:start] + b" " + content[start:]
    path.write_bytes(with_member(saved, "theta", wider))
    for memory_map in (False, True):
        theta = load_model(path, memory_map=memory_map).theta_
        assert theta.flags.aligned
        assert not theta.flags.writeable
        assert same(theta, arrays["theta"])


# Writing: whole or not at all


def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    save_model(GlobalMean().fit(integer_ratings()), path)
    before = path.read_bytes()
    for error in (OSError(28, "No space left on device"), KeyboardInterrupt()):
        calls = []

        def write_array(stream, *args, calls=calls, error=error, **kwargs):
            calls.append(stream.write(b"half"))
            if len(calls) == 3:
                raise error

        with monkeypatch.context() as patch:
            patch.setattr(np.lib.format, "write_array", write_array)
            with pytest.raises(type(error)):
                save_model(BiasBaseline().fit(integer_ratings()), path)
        assert len(calls) == 3
        assert path.read_bytes() == before
        assert os.listdir(path.parent) == [path.name]


def test_the_bytes_are_on_the_disk_before_the_name_is(path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (order.append("fsync"), fsync(file)))
    monkeypatch.setattr(os, "replace", lambda *names: (order.append("replace"), replace(*names)))
    save_model(BiasBaseline().fit(([1, 2], [3, 4], [5.0, 1.0])), path)
    assert order == ["fsync", "replace"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and links")
def test_permissions_follow_the_umask_and_links_stay_links(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    before = os.umask(0o027)
    try:
        save_model(GlobalMean().fit(integer_ratings()), link)
    finally:
        os.umask(before)
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert isinstance(load_model(link), GlobalMean)


# Reading: every unusable file gives a ModelFileError that says why


HUGE = "9" * 18
PLAIN = "{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}\n"
MEMBER_CASES = {
    "objects": (array_file(PLAIN.format("'|O'", False, "(3,)"), b"cos\nsystem\n"), r"'\|O'"),
    "absurd size": (array_file(PLAIN.format("'<f4'", False, f"({HUGE},)")), "shape"),
    "absurd product": (array_file(PLAIN.format("'<f4'", False, f"({HUGE}, {HUGE})")), "shape"),
    "number of 5,000 digits": (array_file(PLAIN.format("'<f4'", False, "(" + "9" * 5000)), "plain"),
    "negative": (array_file(PLAIN.format("'<f4'", False, "(-1,)")), "not a plain array"),
    "Fortran": (array_file(PLAIN.format("'<f4'", True, "(3,)"), bytes(12)), "not a plain array"),
    "structured": (array_file(PLAIN.format("[('a', '<f4')]", False, "(1,)")), "not a plain"),
    "code": (array_file("__import__('os').abort()\n"), "not a plain array"),
    "unclosed": (array_file("{'descr': '<f4', 'shape': (3,\n"), "not a plain array"),
    "format 3": (array_file("{}", version=b"\x03\x00"), "not a plain array"),
    "cut in its header": (array_file(PLAIN.format("'<f4'", False, "(3,)"))[:30], "not a plain"),
    "cut in its magic": (b"\x93NUM", "not a plain array"),
    "nothing": (b"", "not a plain array"),
}


@pytest.mark.parametrize("case", MEMBER_CASES)
def test_members_that_are_no_plain_array(case, saved, path):
    content, message = MEMBER_CASES[case]
    path.write_bytes(with_member(saved, "theta", content))
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


def test_a_size_that_its_bytes_do_not_hold_takes_no_memory(saved, path):
    model = load_model(saved)
    header = PLAIN.format("'<f4'", False, f"({model.theta_.size},)")
    for data in (b"", bytes(4 * model.theta_.size - 4), bytes(4 * model.theta_.size + 4)):
        path.write_bytes(with_member(saved, "theta", array_file(header, data)))
        with pytest.raises(
            ModelFileError, match=r"'theta' is not a plain array .*: in [\d,]+ bytes it states"
        ):
            load_model(path)


def test_a_member_that_states_more_than_the_file_holds_is_not_read(saved, path):
    content = bytearray(
        with_member(saved, "theta", array_file(PLAIN.format("'<f4'", False, "(3,)")))
    )
    at = content.rindex(b"theta.npy") - 46  # the entry of the directory, before its name
    assert content[at : at + 4] == b"PK\x01\x02"
    content[at + 20 : at + 28] = 2 * (2**31 - 1).to_bytes(4, "little")  # both sizes
    path.write_bytes(sealed(bytes(content)))
    with pytest.raises(ModelFileError, match="'theta' is compressed, or larger than the file"):
        load_model(path)


def test_compressed_and_doubled_members(saved, path):
    with np.load(saved) as archive:
        theta = archive["theta"]
    buffer = io.BytesIO()
    np.save(buffer, theta)
    path.write_bytes(with_member(saved, "theta", buffer.getvalue(), zipfile.ZIP_DEFLATED))
    with pytest.raises(ModelFileError, match="'theta' is compressed, or larger than the file"):
        load_model(path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(buffer, "w") as new:
        new.comment = old.comment
        last = old.infolist()[-1]
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
        with pytest.warns(UserWarning, match="Duplicate name"):
            new.writestr(last.filename, old.read(last))
    path.write_bytes(sealed(buffer.getvalue()))
    with pytest.raises(ModelFileError, match="two members of the name"):
        load_model(path)


FOREIGN_CASES = {
    "empty": (b"", "begins with b'', so it is not a file that"),
    "text": (b"user,item,rating\n1,2,3\n", "begins with b'user', so it is not a file that"),
    "pickle": (b"\x80\x04\x95\x00", "so it is not a file that autorec_np.save_model wrote"),
    "zip start": (b"PK\x03\x04", "it does not end in the SHA-256 of its content"),
    "hash alone": (sealed(b"PK\x03\x04sha256:" + bytes(64)), "File is not a zip file"),
}


@pytest.mark.parametrize("case", FOREIGN_CASES)
def test_foreign_files(case, path):
    content, message = FOREIGN_CASES[case]
    path.write_bytes(content)
    for read in (load_model, read_metadata):
        with pytest.raises(ModelFileError, match=message):
            read(path)


def test_an_npz_of_numpy_is_foreign(path):
    np.savez(path, theta=np.zeros(3))
    with pytest.raises(ModelFileError, match=r"save_model did not write it; copy it again, or"):
        load_model(path)


def test_what_cannot_be_opened_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "missing.npz")
    with pytest.raises(OSError, match=r".+") as caught:
        load_model(tmp_path)
    assert not isinstance(caught.value, ModelFileError)


def test_every_cut_and_every_damaged_region_is_found(saved, path):
    content = saved.read_bytes()
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(ModelFileError):
            load_model(path)
    for place in range(0, len(content), 101):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ModelFileError):
            load_model(path)
