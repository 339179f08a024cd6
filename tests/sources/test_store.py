"""Stored ratings are those in memory to the bit, whole or not there, and never in the way."""

from __future__ import annotations

import gzip
import logging
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from full_disk import full_disk
from hypothesis import given, settings
from hypothesis import strategies as st
from rating_files import write

from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.models.autorec import AutoRec
from autorec_np.sources import store
from autorec_np.sources import text as streams
from autorec_np.sources.pairs import read_interactions
from autorec_np.sources.reading import read_ratings
from autorec_np.sources.store import store_ratings

RULES = ["raise", "first", "last", "mean"]
SMALL = {"hidden_layer_sizes": (3,), "max_iter": 2, "n_jobs": 1, "random_state": 0}


@pytest.fixture(autouse=True)
def without_fsync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def short_pieces(monkeypatch):
    """Read what is longer than a few lines by pieces of a line or two."""
    monkeypatch.setattr(streams, "PIECE", 40)
    monkeypatch.setattr(streams, "HEAD", 100)
    monkeypatch.setattr(streams, "LONG", 100)


def arrays_of(R):
    """Return all arrays of ratings by name."""
    found = {"timestamps": R.timestamps, "order": R.order, "users": R.user_ids, "items": R.item_ids}
    for row in ("user", "item"):
        matrix = R.oriented(row)
        assert matrix.has_canonical_format
        found |= {f"{row}.{name}": getattr(matrix, name) for name in ("data", "indices", "indptr")}
    return found | {f"features.{axis}": features for axis, features in R.features.items()}


def assert_same(A, B):
    left, right = arrays_of(A), arrays_of(B)
    assert left.keys() == right.keys()
    for name, array in left.items():
        if array is None:
            assert right[name] is None
            continue
        assert array.dtype == right[name].dtype, name
        np.testing.assert_array_equal(array, right[name], name, strict=True)
    facts = [(R.shape, R.scale, R.columns, R.n_missing) for R in (A, B)]
    assert facts[0] == facts[1]


def outcome(function, *arguments, **options):
    try:
        return function(*arguments, **options)
    except ValueError as error:
        return str(error)


ids = st.one_of(
    st.integers(-3, 30).map(str),
    st.sampled_from(["007", "a", "é", "NA", str(2**63), "9" * 30, ""]),
)
values = st.sampled_from(["1", "2.5", "0", "4.1", "nan", "1e50", "", "x"])
times = st.sampled_from(["1000000000", "1200000000", "900000000", "2004-02-01", "soon"])
files = st.one_of(
    st.lists(st.tuples(st.integers(0, 9).map(str), st.integers(0, 5).map(str), st.just("2.5"))),
    st.lists(st.tuples(ids, ids, values)),
    st.lists(st.tuples(st.integers(0, 9).map(str), ids, st.just("3.7"), times)),
    st.lists(st.tuples(ids, ids, st.just("4"), st.just("1000000000"))),
)


@settings(max_examples=60, deadline=None)
@given(
    files,
    st.sampled_from([",", "::", "\t"]),
    st.sampled_from(RULES),
    st.sampled_from([(), (2.5,), (float("nan"),)]),
    st.booleans(),
    st.sampled_from([1, 500, 3000, 2**30]),
)
def test_a_stored_file_is_the_file_read(lines, separator, duplicates, missing, header, memory):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "PIECE", 30)
        patch.setattr(streams, "HEAD", 60)
        names = ["user", "item", "rating", "time"][: len(lines[0]) if lines else 3]
        rows = [separator.join(row) for row in ([names] if header else []) + lines]
        path = write(Path(folder, "ratings.txt"), "\n".join(rows))
        options = {"duplicates": duplicates, "missing": missing, "columns": None}
        if lines:  # so that few lines decide
            options["columns"] = names if header else [*range(len(names))]
        wanted = outcome(read_ratings, path, **options)
        target = Path(folder, "stored")
        found = outcome(store_ratings, path, target, memory=memory, **options)
        if isinstance(wanted, str):
            assert found == wanted
            assert sorted(os.listdir(folder)) == ["ratings.txt"]
        else:
            assert_same(found, wanted)
            assert_same(Ratings.open(target, verify=True), wanted)
            assert sorted(os.listdir(folder)) == ["ratings.txt", "stored"]


FORMS = {
    "header": "userId,movieId,rating,timestamp\n{}",
    "mark": "\ufeffuserId,movieId,rating\n{}",
    "quoted header": '"userId","movieId","rating"\n{}',
    "one quoted field": "{}\n7,8,5\n",
    "carriage returns": "{}",
    "blank lines": "\n\n{}\n\n\n",
    "comments": '# ratings\n{}\n# that is all, "really"\n',
    "spaces": "{}",
    "whitespace": "{}",
    "blocks": "1:\n{}",
}


def text_of(form):
    rng = np.random.default_rng(0)
    pairs = rng.permutation(60 * 40)[:300]
    rows = [
        (f"{k // 40}", f"{k % 40}", f"{v / 2:g}")
        for k, v in zip(pairs, rng.integers(1, 11, 300), strict=True)
    ]
    if form == "header":
        rows = [(*row, f"{10**9 + k}") for k, row in enumerate(rows)]
    if form == "one quoted field":
        rows[250] = ("a,b", *rows[250][1:])
        return "".join(
            ",".join(f'"{one}"' if "," in one else one for one in row) + "\n" for row in rows
        )
    if form == "blocks":
        lines = []
        for item in range(1, 61):
            lines += [
                f"{item}:",
                *(
                    f"{user},{rating},2004-02-01"
                    for user, _, rating in rows[5 * item - 5 : 5 * item]
                ),
            ]
        return "\n".join(dict.fromkeys(lines))
    joined = "\n".join(
        {"spaces": ", ", "whitespace": " \t "}.get(form, ",").join(row) for row in rows
    )
    return joined.replace("\n", "\r") if form == "carriage returns" else FORMS[form].format(joined)


@pytest.mark.parametrize("form", FORMS)
def test_pieces_are_understood_as_the_whole(form, tmp_path, short_pieces, monkeypatch):
    path = write(tmp_path / "ratings.txt", text_of(form))
    options = {"comment": "#"} if form == "comments" else {}
    by_pieces = read_ratings(path, **options, duplicates="last")
    stored = store_ratings(path, tmp_path / "stored", memory=2000, **options, duplicates="last")
    monkeypatch.setattr(streams, "LONG", 10**9)
    whole = read_ratings(path, **options, duplicates="last")
    assert len(whole) > 200
    assert_same(by_pieces, whole)
    assert_same(stored, whole)


@pytest.mark.parametrize("packer", ["gz", "zip"])
def test_packed_files_are_unpacked_by_pieces(packer, tmp_path, short_pieces):
    text, path = text_of("header"), tmp_path / f"ratings.{packer}"
    if packer == "gz":
        write(path, gzip.compress(text.encode()))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("ratings.csv", text)
    assert_same(store_ratings(path, tmp_path / "stored", memory=2000), read_ratings(path))
    broken = write(tmp_path / "broken", path.read_bytes()[:-40])
    wanted = outcome(read_ratings, broken)
    assert "fetch it again" in wanted
    assert outcome(store_ratings, broken, tmp_path / "other") == wanted
    with pytest.raises(ValueError, match="holds more than the 1,000 bytes that are accepted"):
        store_ratings(path, tmp_path / "other", max_bytes=1000)


FAULTS = {
    "1,3\n": "found 2 fields",
    "1,3,x\n": "the rating is 'x'",
    ",3,1\n": "the user id is empty",
    "1,3,\xff\n": "the byte 0xff is not valid utf-8",
    "1,3,\0\n": "a NUL character",
    "1,1,9\n": "again, first rated on line 201",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_where_they_are_in_the_whole_file(fault, tmp_path, short_pieces, monkeypatch):
    lines = [f"{user},{item},3\n" for user in range(300, 400) for item in range(3)]
    lines[200] = "1,1,3\n"
    path = write(tmp_path / "ratings.csv", "".join([*lines, fault, *lines[5:6]]).encode("latin-1"))
    by_pieces = outcome(read_ratings, path)
    monkeypatch.setattr(streams, "LONG", 10**9)
    whole = outcome(read_ratings, path)
    assert f"{path}, line 301: " in whole
    assert FAULTS[fault] in whole
    assert by_pieces == whole
    for memory in (1, 3000, 2**30):
        assert outcome(store_ratings, path, tmp_path / "stored", memory=memory) == whole
    assert os.listdir(tmp_path) == ["ratings.csv"]


def test_the_first_repeat_of_all_is_named(tmp_path):
    """Its user is in the last bucket."""
    path = write(tmp_path / "ratings.csv", "9,1,1\n8,1,2\n9,1,3\n1,1,1\n1,1,2\n8,1,5\n")
    for memory in (1, 2**30):
        found = outcome(store_ratings, path, tmp_path / "stored", memory=memory)
        assert found == outcome(read_ratings, path)
        assert "line 3: user 9 rates item 1 again, first rated on line 1; 3 of 6" in found


def test_several_files_are_one_after_the_other(tmp_path):
    texts = (
        "user,item,rating\n1,a,2\n2,a,3\n",
        "user,item,rating\n1,b,4\n",
        "rating,user,item\n5,0,a\n",
    )
    paths = [write(tmp_path / f"{k}.csv", text) for k, text in enumerate(texts)]
    joined = write(tmp_path / "joined.csv", texts[0] + "1,b,4\n0,a,5\n")
    assert_same(store_ratings(paths, tmp_path / "stored"), read_ratings(joined))
    write(paths[1], texts[1] + "3,b,1\n2,a,1\n")
    message = (
        rf"{paths[1]}, line 4: user 2 rates item 'a' again, first rated on line 3 of {paths[0]}"
    )
    with pytest.raises(ValueError, match=message):
        store_ratings(paths, tmp_path / "other", memory=1)
    write(paths[1], "who,item,rating\n1,b,4\n")
    with pytest.raises(ValueError, match=r"1.csv: its columns are user = 'who'.*pass columns="):
        store_ratings(paths, tmp_path / "other", columns=[0, 1, 2], header=True)


def test_times_that_one_file_lacks_are_not_read(tmp_path, caplog):
    first = write(tmp_path / "1.csv", "".join(f"1,{k},3,{10**9 + k}\n" for k in range(300)))
    bad = write(
        tmp_path / "2.csv", "".join(f"2,{k},3,{10**9 + k}\n" for k in range(300)) + "2,300,3,soon\n"
    )
    with caplog.at_level(logging.INFO):
        R = store_ratings([first, bad], tmp_path / "stored")
    assert R.timestamps is None
    assert "not all timestamps are times" in caplog.text
    assert len(R) == 601


@pytest.mark.parametrize("memory", [1, 4000, 2**30])
def test_what_is_in_memory_is_stored(memory, tmp_path):
    R = make_ratings(40, 30, 400, random_state=0)
    features = pd.DataFrame({"age": np.arange(40.0)}, R.user_ids)
    for k, source in enumerate([R, R.with_features(features), R.filter(2, 14)]):
        stored = store_ratings(source, tmp_path / f"{k}", memory=memory)
        assert_same(stored, source)
        assert_same(store_ratings(stored, tmp_path / f"{k} again", memory=memory), source)
    stored = store_ratings(R.to_frame(), tmp_path / "frame", memory=memory)
    assert stored.columns is not None
    assert_same(stored.relabeled(columns=None), R.relabeled(scale=stored.scale))
    words = (
        [f"{k}\0{k % 3}" for k in range(30)],
        ["\ud800", *"é" * 29],
        np.arange(30.0),
        np.arange(30),
    )
    stored = store_ratings(words, tmp_path / "words", memory=memory)
    assert_same(stored, Ratings.from_triples(*words))


@pytest.mark.parametrize("memory", [500, 2**30])
def test_parquet_is_stored(memory, tmp_path):
    """By parts where pyarrow reads it; the ids are of the kind that the file says."""
    frame = make_ratings(40, 30, 400, random_state=0).to_frame()
    frame = frame.assign(item=frame["item"].astype(str), when=10**9 + np.arange(400), left=1)
    frame["rating"] = frame["rating"].astype(np.float32)
    paths = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    try:
        frame.to_parquet(tmp_path / "all.parquet")
    except ImportError:
        pytest.skip("pandas has no engine for Parquet")
    for path, part in zip(paths, (frame[:150], frame[150:]), strict=True):
        part.to_parquet(path)
    wanted = read_ratings(tmp_path / "all.parquet", missing=(2,))
    assert wanted.item_ids.dtype == object
    for source in (tmp_path / "all.parquet", paths):
        stored = store_ratings(source, tmp_path / "s", memory=memory, missing=(2,), overwrite=True)
        assert_same(stored, wanted)
    with pytest.raises(ValueError, match=r"all.parquet: the rating at index \d+ is 5, outside the"):
        store_ratings(tmp_path / "all.parquet", tmp_path / "other", memory=memory, scale=(1, 4))
    frame[:2].assign(user=1, item="1").to_parquet(paths[1])
    with pytest.raises(ValueError, match=r"1.parquet: the ratings at index 150 and index 151 are"):
        store_ratings(paths, tmp_path / "other", memory=memory)


def test_interactions_are_stored(tmp_path):
    path = write(tmp_path / "pairs.csv", "user,item\n1,2\n1,2\n2,1\n")
    R = read_interactions(path)
    assert_same(store_ratings(R, tmp_path / "stored"), R)


def test_a_fit_is_the_same_to_the_bit(tmp_path):
    R = make_ratings(40, 30, 400, random_state=0)
    stored = store_ratings(R, tmp_path / "stored")
    for orientation in ("user", "item"):
        model = AutoRec(**SMALL, orientation=orientation)
        wanted = model.fit(R).theta_.copy()
        np.testing.assert_array_equal(model.fit(stored).theta_, wanted)
    parts = zip(
        train_test_split(R, random_state=0), train_test_split(stored, random_state=0), strict=True
    )
    for wanted, found in parts:
        assert_same(found, wanted)
        assert found.folder is None


# Whole or not there


@pytest.fixture
def path(tmp_path):
    lines = [
        f"{user},{item},{1 + (user * item) % 5}\n" for user in range(400) for item in range(50)
    ]
    return write(tmp_path / "ratings.csv", "".join(lines))


def test_what_is_there_is_not_overwritten_silently(path, tmp_path):
    target = tmp_path / "stored"
    R = store_ratings(path, target)
    with pytest.raises(FileExistsError, match="holds stored ratings; name another folder, or pass"):
        store_ratings(path, target)
    one = write(tmp_path / "one.csv", "1,1,1\n2,1,2\n")
    assert len(store_ratings(one, target, overwrite=True)) == 2
    assert R.matrix.data[:3].tolist() == [1, 1, 1]  # still mapped
    other = tmp_path / "other"
    other.mkdir()
    assert len(store_ratings(one, other)) == 2  # an empty folder is free
    (tmp_path / "mine").mkdir()
    write(tmp_path / "mine" / "letter.txt", "Dear")
    for kept in (tmp_path / "mine", path):
        with pytest.raises(FileExistsError, match="holds no stored ratings; name another folder"):
            store_ratings(one, kept, overwrite=True)
    with pytest.raises(FileNotFoundError, match="no such folder; create it first"):
        store_ratings(one, tmp_path / "none" / "stored")


def test_a_failed_overwrite_leaves_what_was_there(path, tmp_path):
    target = tmp_path / "stored"
    wanted = store_ratings(path, target)
    bad = write(tmp_path / "bad.csv", "1,1,1\n1,1,2\n")
    with pytest.raises(ValueError, match="again"):
        store_ratings(bad, target, overwrite=True)
    assert_same(Ratings.open(target, verify=True), wanted)


@pytest.mark.parametrize("n_bytes", [0, 5_000, 60_000, 100_000, 159_999])
def test_a_full_disk_leaves_nothing(n_bytes, path, tmp_path):
    with full_disk(n_bytes), pytest.raises(OSError, match="File too large"):
        store_ratings(path, tmp_path / "stored", memory=100_000)
    assert os.listdir(tmp_path) == ["ratings.csv"]


def test_an_interrupt_leaves_nothing(path, tmp_path):
    def interrupt(share, seconds):
        if share > 0.7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store_ratings(path, tmp_path / "stored", memory=100_000, callback=interrupt)
    assert os.listdir(tmp_path) == ["ratings.csv"]


def test_progress_only_grows(path, tmp_path):
    shares = []
    store_ratings(
        path, tmp_path / "stored", memory=100_000, callback=lambda *one: shares.append(one)
    )
    assert shares == sorted(shares)
    assert len(shares) > 10
    assert 0 < shares[0][0] < 0.7
    assert shares[-1][0] == 1.0


STORE = """
import os, sys
from autorec_np.sources.store import store_ratings
os.fsync = lambda descriptor: None
def show(share, seconds):
    print(flush=True)
store_ratings(sys.argv[1], sys.argv[2], memory=200_000, overwrite=True, callback=show)
"""


def storing(path, target):
    command = [sys.executable, "-c", STORE, path, target]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
@pytest.mark.parametrize("sent", ["SIGKILL", "SIGTERM"])
def test_a_killed_process_leaves_all_or_nothing(sent, path, tmp_path):
    target, wanted = tmp_path / "stored", read_ratings(path)
    rng = np.random.default_rng(0)
    for moment in rng.integers(0, 12, 3).tolist():
        with storing(path, target) as process:
            for _ in range(moment + 1):
                process.stdout.readline()
            time.sleep(rng.uniform(0, 0.01))
            process.send_signal(getattr(signal, sent))
            process.communicate()
        if target.exists():
            assert_same(Ratings.open(target, verify=True), wanted)
        if sent == "SIGTERM":
            assert set(os.listdir(tmp_path)) <= {"ratings.csv", "stored"}
    assert_same(store_ratings(path, target, overwrite=True), wanted)
    assert sorted(os.listdir(tmp_path)) == ["ratings.csv", "stored"]


@pytest.mark.skipif(sys.platform == "win32", reason="stops a process")
def test_of_two_at_once_one_wins_and_the_other_says_so(path, tmp_path):
    target = tmp_path / "stored"
    with storing(path, target) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        message = f"the store {target} is in use by process {process.pid} on .*; wait for its end"
        with pytest.raises(ValueError, match=message):
            store_ratings(path, target)
        process.send_signal(signal.SIGCONT)
        assert process.communicate()[1] == b""
    assert_same(Ratings.open(target, verify=True), read_ratings(path))
    assert sorted(os.listdir(tmp_path)) == ["ratings.csv", "stored"]


def test_memory_is_bounded(path, tmp_path, monkeypatch):
    """No bucket and no block has more ratings than the memory allows, but for those of one user."""
    sizes = []
    sort_entries = store.sort_entries

    def sort(rows, *rest):
        sizes.append(len(rows))
        return sort_entries(rows, *rest)

    monkeypatch.setattr(store, "sort_entries", sort)
    store_ratings(path, tmp_path / "stored", memory=1000 * store.BYTES_PER_RATING)
    assert sizes == [1000] * 20


# Opening is tested in data/test_folder.py; a pickle names the folder


def test_a_pickle_names_the_folder(path, tmp_path):
    R = store_ratings(path, tmp_path / "stored")
    content = pickle.dumps(R.relabeled(scale=(0.0, 9.0)))
    assert len(content) < 1000
    found = pickle.loads(content)
    assert found.folder == R.folder == tmp_path / "stored"
    assert_same(found, R.relabeled(scale=(0.0, 9.0)))
    assert R.select([0, 1]).folder is None
    store_ratings(write(tmp_path / "one.csv", "1,1,1\n"), tmp_path / "stored", overwrite=True)
    with pytest.raises(ValueError, match="holds other ratings than when they were pickled"):
        pickle.loads(content)
