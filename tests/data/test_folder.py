"""Folders of ratings: opened only as they were written, and with advice where they were not."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from autorec_np.data.entries import MANIFEST
from autorec_np.data.ratings import Ratings, as_ratings
from autorec_np.data.synthetic import make_ratings
from autorec_np.sources.store import store_ratings


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    R = make_ratings(20, 15, 100, random_state=0)
    words = [f"é{user}" for user in R.triples()[0]], *R.triples()[1:], range(100)
    return store_ratings(words, tmp_path_factory.mktemp("stored") / "ratings")


@pytest.fixture
def folder(stored, tmp_path):
    return shutil.copytree(stored.folder, tmp_path / "ratings")


def test_arrays_are_mapped_and_read_only(stored):
    arrays = [stored.timestamps, stored.order, stored.item_ids]
    for row in ("user", "item"):
        matrix = stored.oriented(row)
        arrays += [matrix.data, matrix.indices, matrix.indptr]
    for array in arrays:
        assert not array.flags.writeable
        while not isinstance(array, np.memmap):
            array = array.base
        assert array.filename.parent == stored.folder


def test_the_files_are_what_the_page_says(stored):
    """An array can be read without this package."""
    manifest = json.loads((stored.folder / MANIFEST).read_text())
    assert manifest["format"] == "autorec_np ratings"
    assert manifest["format_version"] == 1
    names = {path.name for path in stored.folder.iterdir()}
    assert names == {MANIFEST, *manifest["arrays"]}
    data = np.fromfile(stored.folder / "users.data", "<f4")
    np.testing.assert_array_equal(data, stored.matrix.data)
    text = (stored.folder / "user_ids.utf8").read_bytes()
    offsets = np.fromfile(stored.folder / "user_ids.offsets", "<i8")
    assert text[offsets[1] : offsets[2]].decode() == stored.user_ids[1]


def test_the_scale_changes_without_a_copy(stored):
    wider = as_ratings(stored, scale=(0, 9))
    assert wider.scale == (0.0, 9.0)
    assert wider.folder == stored.folder
    assert wider.matrix is stored.matrix
    assert wider.oriented("item") is stored.oriented("item")
    assert as_ratings(stored) is stored
    with pytest.raises(ValueError, match="outside the stated scale"):
        as_ratings(stored, scale=(2, 9))
    assert as_ratings(stored, missing=(stored.matrix.data[0],)).folder is None


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        Ratings.open(tmp_path / "none")
    with pytest.raises(ValueError, match=r"holds no stored ratings: it lacks manifest.json, which"):
        Ratings.open(tmp_path)
    (tmp_path / MANIFEST).write_text("{}")
    with pytest.raises(ValueError, match=r"has a manifest.json that is damaged or not of ratings"):
        Ratings.open(tmp_path)


def test_other_formats_and_versions(folder):
    path = folder / MANIFEST
    manifest = json.loads(path.read_text())
    for change in ({"format_version": 2}, {"format": "another"}):
        path.write_text(json.dumps(manifest | change))
        with pytest.raises(
            ValueError, match=r"and this version of autorec_np reads .* of version 1"
        ):
            Ratings.open(folder)
    path.write_text(json.dumps(manifest | {"n_missing": 7}))
    with pytest.raises(ValueError, match=r"has a manifest.json that was changed or damaged; store"):
        Ratings.open(folder)


def test_files_that_are_damaged(folder):
    path = folder / "users.data"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(
        ValueError, match=r"is damaged: users.data holds 399 bytes, and must hold 400"
    ):
        Ratings.open(folder)
    path.write_bytes(content[:-1] + b"\x7f")
    assert len(Ratings.open(folder)) == 100  # which does not read it
    with pytest.raises(ValueError, match=r"is damaged: users.data has other content than stored"):
        Ratings.open(folder, verify=True)
    path.unlink()
    with pytest.raises(ValueError, match=r"is damaged: users.data is missing, and must hold 400"):
        Ratings.open(folder)


def test_every_byte_is_guarded(folder):
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
        with pytest.raises(ValueError, match="damaged"):
            Ratings.open(folder, verify=True)
        path.write_bytes(content)
    assert len(Ratings.open(folder, verify=True)) == 100
