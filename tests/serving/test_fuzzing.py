"""Damaged and made-up files: `read_ratings` and `load_model` work, or raise what they document.

Nothing else, no hang, and no memory beyond that of the file. Each test reads 2,000 files; set
AUTOREC_NP_FUZZ to another number, and AUTOREC_NP_FUZZ_SEED for other files than the usual ones.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import os
import struct
import sys
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from autorec_np.baselines.factors import LLORMA, BiasedMF
from autorec_np.baselines.lists import EASE, ItemKNN, Popularity
from autorec_np.baselines.rbm import RatingRBM
from autorec_np.data.ratings import Ratings
from autorec_np.models.autorec import AutoRec
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.models.blend import Blend
from autorec_np.models.ranking_autorec import RankingAutoRec
from autorec_np.serving.archive import ModelFileError, write_archive
from autorec_np.serving.model_file import load_model, save_model
from autorec_np.sources.reading import read_ratings
from autorec_np.sources.text import OnlyPairs

N_FILES = int(os.environ.get("AUTOREC_NP_FUZZ", "2000"))
SEED = int(os.environ.get("AUTOREC_NP_FUZZ_SEED", "0"))
MEMORY = 200 << 20  # what the process may grow by: these files have some kB


def fuzzing(test):
    """Run a test on N_FILES files, each in a minute at most, and watch the memory."""
    quick = settings(
        max_examples=N_FILES,
        deadline=timedelta(seconds=60),
        database=None,
        derandomize=False,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    return seed(SEED)(quick(test))


@pytest.fixture(scope="module", autouse=True)
def bounded_memory():
    resource = pytest.importorskip("resource", reason="needs a POSIX system")
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (after - before) * unit < MEMORY + 20_000 * N_FILES  # hypothesis keeps what it has drawn


# One draw of bytes for each file, since draws are what is slow; all choices come from it

N_BYTES = 64
KINDS = ["flip", "cut", "repeat", "insert", "truncate", "splice", "overwrite"]


def numbers_of(drawn: bytes) -> Iterator[int]:
    """Yield numbers of 16 bits."""
    return iter(struct.unpack(f"<{N_BYTES // 2}H", drawn))


def operations_of(numbers: Iterator[int]) -> list[tuple[str, int, int, int]]:
    """Return one to three mutations: kind, place in 2^-16 of the length, size from 1, token."""
    return [
        (KINDS[next(numbers) % len(KINDS)], next(numbers), next(numbers) % 64 + 1, next(numbers))
        for _ in range(next(numbers) % 3 + 1)
    ]


def mutated(content: bytes, operations, tokens, other: bytes, anchors=()) -> bytes:
    """Return changed content; where there are anchors, every other change is next to one."""
    changed = bytearray(content)
    for number, (kind, place, size, token) in enumerate(operations):
        start = place * len(changed) >> 16
        if anchors and number % 2:
            start = min(anchors[place % len(anchors)] + size - 8, len(changed))
        start = max(start, 0)
        stop = min(start + size, len(changed))
        if kind == "flip" and start < len(changed):
            changed[start] ^= 1 << token % 8
        elif kind == "cut":
            del changed[start:stop]
        elif kind == "repeat":
            changed[start:start] = changed[start:stop]
        elif kind == "insert":
            changed[start:start] = tokens[token % len(tokens)]
        elif kind == "truncate" and token % 4 == 0:  # or hardly anything else would be seen
            del changed[start:]
        elif kind == "splice":
            there = place * len(other) >> 16
            changed[start:stop] = other[there : there + 8 * size]
        elif kind == "overwrite":
            changed[start:stop] = tokens[token % len(tokens)]
    return bytes(changed)


# Ratings

ROWS = [(1, 10, 4.5, 978300760), (2, 11, 3, 978300761), (1, 12, 0, 978300762), (30, 10, 5, 1)]
TEXTS = [
    "userId,movieId,rating,timestamp\n" + "".join(f"{u},{i},{r},{t}\n" for u, i, r, t in ROWS),
    "".join(f"{u}\t{i}\t{r}\t{t}\n" for u, i, r, t in ROWS),
    "".join(f"{u}::{i}::{r}::{t}\r\n" for u, i, r, t in ROWS),
    "".join(f"{u} {i}  {r}\n" for u, i, r, _ in ROWS),
    "".join(f"u{u};ü{i};{r}\n" for u, i, r, _ in ROWS),
    'user|item|rating\n"a ""b""|c"|x|1\n\n"a\nb"|"y"|2.5\r\n" "|007|1e0\n',
    "\ufeffrating,item,user\n" + "".join(f"{r},NA,{u}{i}\n" for u, i, r, _ in ROWS),
]
TOKENS = [
    *(b'"', b'""', b'"\n', b"\n", b"\r", b"\r\n", b"::", b"\t", b",", b";", b"|", b"  ", b"\0"),
    *(b"nan", b"inf", b"-0", b"1e999", b"1_000", b"+5", b".", b"-", b"0x1f", b"0" * 30, b"9" * 30),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3", b"\xe2\x80\xa8", b"\x85", b"\x1a", b"\x0c", b"\x1c"),
    *("١٢".encode(), "٫".encode(), b"userId,movieId,rating\n", b"rating", b"9" * 5000, b"\n" * 20),
    *(b"1,10,4.5,978300760\n", b"-9223372036854775808", b"9223372036854775808", b"a" * 140_000),
]
OPTIONS = {
    "sep": [",", "\t", "::", ";", "|", "whitespace", " ", "1", "ab"],
    "header": [True, False],
    "columns": [(0, 1, 2), (2, 1, 0), (0, 1, 2, 3), (0, 1, 9), ("user", "item", "rating")],
    "scale": [(0, 5), (1, 5), (-1e30, 1e30)],
    "duplicates": ["first", "last", "mean"],
    "encoding": ["latin-1", "utf-16", "utf-8-sig", "ascii", "cp1252"],
}


def options_of(numbers: Iterator[int]):
    """Return a value for one in five of the options."""
    options = {
        name: values[number // 5 % len(values)]
        for (name, values), number in zip(OPTIONS.items(), numbers, strict=False)
        if number % 5 == 0
    }
    if "user" in options.get("columns", ()):
        options["header"] = True  # names without a header contradict each other
    return options


def packed(content: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(content, compresslevel=1, mtime=0)
    if suffix == ".zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("ratings.csv", content)
        return buffer.getvalue()
    return content


def check_ratings(R: Ratings) -> None:
    users, items, values = R.triples()
    assert 0 < len(R) == len(values) == R.matrix.nnz
    assert R.matrix.has_canonical_format
    assert np.isfinite(values).all()
    assert np.float32(R.scale[0]) <= values.min() <= values.max() <= np.float32(R.scale[1])
    for ids, seen in ((R.user_ids, users), (R.item_ids, items)):
        assert ids.dtype in (np.int64, object)
        assert (ids[1:] > ids[:-1]).all()
        assert set(seen.tolist()) == set(ids.tolist())
        assert "" not in ids.tolist()
        assert not any("\0" in str(one) for one in ids)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzzing")


@fuzzing
@given(drawn=st.binary(min_size=N_BYTES, max_size=N_BYTES))
def test_read_ratings(folder, drawn):
    numbers = numbers_of(drawn)
    place, inside = next(numbers) % len(TEXTS), next(numbers) % 2
    suffix = (".csv", ".csv", ".csv", ".gz", ".zip")[next(numbers) % 5]
    operations, options = operations_of(numbers), options_of(numbers)
    content = TEXTS[place].encode(options.get("encoding", "utf-8"), "replace")
    other = TEXTS[place - 1].encode()
    if drawn[0] < 16:
        content = drawn[-drawn[1] % N_BYTES :]
    if inside or suffix == ".csv":
        content = packed(mutated(content, operations, TOKENS, other), suffix)
    else:
        content = mutated(packed(content, suffix), operations, TOKENS, packed(other, suffix))
    path = folder / f"ratings{suffix}"
    path.write_bytes(content)
    try:
        R = read_ratings(path, **options)
    except ValueError as error:
        if type(error) not in (ValueError, OnlyPairs) or str(path) not in str(error):
            raise AssertionError("a message must name the file") from error
    else:
        check_ratings(R)


# Model files


def sealed(content: bytes) -> bytes:
    """Return a file's content with the hash that it should state."""
    content = content[:-71] + b"sha256:" if len(content) > 71 else content
    return content + hashlib.sha256(content).hexdigest().encode()


def write_parts(path, header, arrays) -> None:
    """Write a file whose hash is right, whatever it holds."""
    text = json.dumps(header).encode()
    with open(path, "w+b") as file:
        write_archive(file, {"header": np.frombuffer(text, np.uint8), **arrays})


def places(found):
    """Yield the (container, key) of everything in a header."""
    for key in list(found) if isinstance(found, dict) else range(len(found)):
        yield found, key
        if isinstance(found[key], dict | list):
            yield from places(found[key])


class ModelFiles(NamedTuple):
    """(content, anchors, header, arrays) of some model files, and a path for more."""

    path: Path
    made: list[tuple[bytes, list[int], str, dict[str, np.ndarray]]]

    def __repr__(self) -> str:  # hypothesis shows the arguments of a failure
        return "ModelFiles"


@pytest.fixture(scope="module")
def models(folder):
    ids = ["", "007", "7", "ü", "\ud800", "a\0"]
    generator = np.random.default_rng(0)
    users = [one for one in ids for _ in range(4)]
    items = [k for _ in ids for k in generator.permutation(7)[:4].tolist()]
    R = Ratings.from_triples(users, items, generator.integers(0, 6, 24), range(24), scale=(0, 5))
    small = {"hidden_layer_sizes": (3, 2), "max_iter": 2, "random_state": 0}
    pair = [("item", AutoRec(**small)), ("mean", GlobalMean())]
    members = [("user", AutoRec("user", **small)), ("inner", Blend(pair))]
    path, made = folder / "model.npz", []
    for model, data, options in (
        (AutoRec(**small, early_stopping=True, validation_fraction=0.2), R, {}),
        (AutoRec("user", **small, baseline="mean"), R.matrix, {"include_ratings": False}),
        (BiasBaseline(), R, {"metadata": {"a": [1]}}),
        (Blend(members, random_state=0), R, {}),
        (BiasedMF(n_factors=2, max_iter=1, random_state=0), R, {}),
        (RatingRBM(n_hidden=2, max_iter=1, random_state=0), R, {}),
        (LLORMA(n_models=2, n_factors=2, max_iter=1, random_state=0), R, {}),
        (Popularity(3), R, {}),
        (ItemKNN(2, values="counts", threshold=1), R, {}),
        (EASE(2), R, {"include_ratings": False}),
        (RankingAutoRec(**small), R.matrix, {"include_ratings": False}),
        (RankingAutoRec("user", **small, implicit=1, threshold=2, values="counts"), R, {}),
    ):
        save_model(model.fit(data), path, **options)
        content = path.read_bytes()
        anchors = [k for k in range(len(content)) if content[k : k + 2] in (b"PK", b"\x93N", b'":')]
        with np.load(path) as archive:
            arrays = dict(archive)
        header = arrays.pop("header").tobytes().decode()
        made.append((content, anchors, header, arrays))
    return ModelFiles(path, made)


def check_model(path, *, refused_for_certain: bool = False, **options) -> None:
    """Load a file; what loads must be able to answer."""
    try:
        model = load_model(path, **options)
    except ModelFileError as error:
        if str(path) not in str(error):
            raise AssertionError("a message must name the file") from error
        return
    assert not refused_for_certain
    # Changed weights under a right hash are a model like any other, and may overflow.
    with np.errstate(all="ignore"):
        users, items = model.ratings_.user_ids, model.ratings_.item_ids
        try:
            model.predict(users[:2], items[:2])
            model.recommend(users, 2)
            model.ratings_.triples()
        except ValueError as error:
            if not any(known in str(error) for known in ("cold='raise'", "include_ratings=False")):
                raise


LOADING = [{}, {}, {"verify": False}, {"memory_map": True}, {"memory_map": True, "verify": True}]
VALUES = [None, True, False, 0, -1, 1, 2**31, 2**70, 10**400, 1e308, 0.5, -0.0, "", "auto", "item"]
VALUES += ["raise", [], [1], [[1]], [2**40] * 3, {}, {"tuple": [1, 2]}, {"tuple": 5}]
VALUES += [{"mapping": {"a": 1}}, "x" * 5000, [0] * 2000, "\ud800", {"": None}]
BINARY_TOKENS = [b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"\x93NUMPY", b"|O8"]
BINARY_TOKENS += [
    b"\0" * 4,
    b"\xff" * 4,
    b"\xff" * 8,
    b"\0\0\0\x80",
    b"\x01",
    b"sha256:",
    b"9" * 18,
]
BINARY_TOKENS += [b"'descr'", b"{", b'"', b"[" * 2000, b"\x7f\xc0", b"codes.npy", b"theta.npy"]


@fuzzing
@given(drawn=st.binary(min_size=N_BYTES, max_size=N_BYTES))
def test_load_model(models, drawn):
    path, made = models
    numbers = numbers_of(drawn)
    which, value, right_hash = next(numbers) % len(made), next(numbers), next(numbers) % 4
    kind = ("bytes", "bytes", "header", "arrays", "arrays", "noise")[next(numbers) % 6]
    options, operations = LOADING[next(numbers) % len(LOADING)], operations_of(numbers)
    content, anchors, header, arrays = made[which]
    if kind == "header":
        changed = json.loads(header)
        for action, place, _, _ in operations[:2]:
            found = list(places(changed))
            container, key = found[place % len(found)]
            if action == "cut":
                del container[key]
            elif action == "repeat" and isinstance(container, dict):
                container[f"{key}s"] = container[key]
            else:
                container[key] = copy.deepcopy(VALUES[(value + place) % len(VALUES)])
        write_parts(path, changed, arrays)
    elif kind == "arrays":
        changed = dict(arrays)
        for action, place, size, token in operations[:2]:
            names = list(changed)
            name = names[place % len(names)]
            changed[name] = changed_array(changed[name], action, size, token, changed)
            if action == "cut":
                del changed[name]
        write_parts(path, json.loads(header), changed)
    else:
        damaged = b"PK\x03\x04" * (value % 2) + drawn[-value % N_BYTES :]
        if kind == "bytes":
            other = made[which - 1][0]
            damaged = mutated(content, operations, BINARY_TOKENS, other, anchors)
        if right_hash:
            damaged = sealed(damaged)
        path.write_bytes(damaged)
        verified = options.get("verify", "memory_map" not in options)
        if verified and not right_hash and damaged != content:
            check_model(path, refused_for_certain=True, **options)
            return
    check_model(path, **options)


def changed_array(array, action: str, size: int, token: int, others):
    """Return an array of another shape, dtype or content."""
    if action == "flip" and array.size:
        raw = bytearray(array.tobytes())
        raw[size * 7 % len(raw)] ^= 1 << token % 8
        return np.frombuffer(bytes(raw), array.dtype).reshape(array.shape)
    if action == "truncate":
        return array[: size % (len(array) + 1)]
    if action == "repeat":
        return np.concatenate([array, array[:size]])
    if action == "insert":
        return array[::-1] if token % 2 else np.expand_dims(array, 0)
    if action == "splice":
        return list(others.values())[token % len(others)]
    dtypes = ("<f4", "<f8", ">f8", "<i4", "<i8", "|u1", "|b1", "<c8", "<M8[s]", "<U3", "|V2", "<f2")
    with np.errstate(all="ignore"):
        return np.zeros(array.shape, dtypes[token % len(dtypes)])
