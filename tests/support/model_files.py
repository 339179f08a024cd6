"""Models of every kind on ratings of every kind, and their files, taken apart and put together."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile

import numpy as np
from scipy import sparse

from autorec_np.baselines.factors import LLORMA, BayesianMF, BiasedMF, SVDpp
from autorec_np.baselines.lists import EASE, ItemKNN, Popularity
from autorec_np.baselines.rbm import RatingRBM
from autorec_np.core.network import Network
from autorec_np.data.ratings import Ratings
from autorec_np.data.synthetic import make_ratings
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import Record
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.models.blend import Blend
from autorec_np.models.ranking_autorec import RankingAutoRec
from autorec_np.serving.archive import write_archive

SMALL = {"hidden_layer_sizes": (6,), "max_iter": 3, "batch_size": 16, "random_state": 0}
OF_RANKING = {**SMALL, "max_iter": 2}
SMALL |= {"implicit": 0, "inputs": "ratings"}
STRANGE_IDS = ["", "007", "7", "NA", "null", "a\0", "a\0\0", " x ", "ü", "星", "\ud800", "x" * 300]


def strange_ratings() -> Ratings:
    """String ids that other formats damage, timestamps, a stored 0, a shuffled order."""
    generator = np.random.default_rng(5)
    users = [one for one in STRANGE_IDS for _ in range(6)]
    items = [f"item {k}" for _ in STRANGE_IDS for k in generator.permutation(9)[:6]]
    shuffled = generator.permutation(len(users))
    return Ratings.from_triples(
        [users[k] for k in shuffled],
        [items[k] for k in shuffled],
        generator.integers(0, 6, len(users)),
        generator.integers(10**9, 2 * 10**9, len(users)),
        scale=(0, 5),
    )


def integer_ratings() -> Ratings:
    return make_ratings(n_users=40, n_items=30, n_ratings=500, random_state=1)


def indexed_matrix() -> sparse.csr_array:
    """With an empty row and an empty column."""
    matrix = integer_ratings().matrix
    shape = (matrix.shape[0] + 1, matrix.shape[1] + 1)
    indptr = np.append(matrix.indptr, matrix.indptr[-1])
    return sparse.csr_array((matrix.data, matrix.indices, indptr), shape=shape)


def members():
    return [("item", AutoRec(**SMALL)), ("user", AutoRec("user", **SMALL)), ("mean", GlobalMean())]


DATA = {"strings": strange_ratings, "integers": integer_ratings, "matrix": indexed_matrix}
MODELS = {
    "item": lambda: AutoRec(**SMALL),
    "user": lambda: AutoRec("user", **SMALL),
    "deep": lambda: AutoRec(**{**SMALL, "hidden_layer_sizes": [6, 4]}, activation="tanh"),
    "tied": lambda: AutoRec(**SMALL, tied=True, regularization=3),
    "sigmoid": lambda: AutoRec("user", **SMALL, output_activation="sigmoid"),
    "float64": lambda: AutoRec(**SMALL, dtype="float64", dropout=0.25, solver="sgd"),
    "mean": lambda: AutoRec(**SMALL, baseline="mean", cold=3),
    "none": lambda: AutoRec(**SMALL, baseline=None, cold=np.float32(2.7)),
    "lbfgs": lambda: AutoRec(hidden_layer_sizes=np.array([3]), solver="lbfgs", tol=0.1),
    "penalties": lambda: AutoRec(
        **SMALL, regularization={"encoder.weight": 4.0, "decoder.weight": 1}
    ),
    "early": lambda: AutoRec(**SMALL, early_stopping=True, validation_fraction=0.3),
    "early-mean": lambda: AutoRec("user", **SMALL, early_stopping=True, baseline="mean"),
    "blend": lambda: Blend(members(), random_state=1),
    "blends": lambda: Blend(
        [
            ("inner", Blend(members()[1:], validation_fraction=0.2)),
            ("early", AutoRec(**SMALL, early_stopping=True)),
            ("scaled", AutoRec(**SMALL, rating_scale=(-1, 7))),
        ],
        random_state=2,
    ),
    "bias": lambda: BiasBaseline(regularization=2),
    "global": GlobalMean,
    "als": lambda: BiasedMF(n_factors=3, max_iter=2, random_state=0),
    "sgd": lambda: BiasedMF(n_factors=3, solver="sgd", max_iter=2, random_state=0),
    "svdpp": lambda: SVDpp(n_factors=3, max_iter=2, random_state=0),
    "rbm": lambda: RatingRBM(n_hidden=3, max_iter=2, random_state=0),
    "rbm-user": lambda: RatingRBM("user", n_hidden=3, max_iter=2, n_steps=(1, 2), random_state=0),
    "local": lambda: LLORMA(n_models=3, n_factors=2, max_iter=2, random_state=0),
    "bayesian": lambda: BayesianMF(n_factors=3, max_iter=4, burn_in=2, random_state=0),
    "popularity": Popularity,
    "knn": lambda: ItemKNN(n_neighbors=3),
    "ease": lambda: EASE(regularization=2),
    "ranking": lambda: RankingAutoRec(**OF_RANKING),
    "ranking-user": lambda: RankingAutoRec(
        "user", **OF_RANKING, values="ratings", threshold=3, early_stopping=True, implicit=2
    ),
    "ranking-counts": lambda: RankingAutoRec(
        **OF_RANKING, values="counts", threshold=1, unobserved_target=0.1, dtype="float64"
    ),
}
OF_LISTS = ("popularity", "knn", "ease", "ranking", "ranking-user", "ranking-counts")


def same(one, other) -> bool:
    """Equal to the last bit, with equal types, through models, ratings and containers."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        if one.dtype.kind == "O":
            return one.tolist() == other.tolist()
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    if isinstance(one, sparse.csr_array):
        parts = ("data", "indices", "indptr", "shape", "has_canonical_format")
        return all(same(getattr(one, part), getattr(other, part)) for part in parts)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Ratings | Record):
        fields = one.__dataclass_fields__
        return all(same(getattr(one, field), getattr(other, field)) for field in fields)
    if hasattr(one, "__dict__") and not isinstance(one, Network):
        return same(vars(one), vars(other))
    return bool(one == other)


def parts_of(path) -> tuple[dict, dict]:
    with np.load(path) as archive:
        arrays = dict(archive)
    return json.loads(arrays.pop("header").tobytes()), arrays


def write_parts(path, header, arrays) -> None:
    """Write a file whose hash is right, whatever it holds."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    with open(path, "w+b") as file:
        write_archive(file, {"header": np.frombuffer(text, np.uint8), **arrays})


def sealed(content: bytes) -> bytes:
    """Return a file's content with the hash that it should state."""
    start = content[:-64]
    return start + hashlib.sha256(start).hexdigest().encode()


def array_file(array_header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = array_header.encode("latin-1")
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data


def with_member(saved, name: str, content: bytes, compression=zipfile.ZIP_STORED) -> bytes:
    """Return the saved file with a member replaced by these bytes, and a right hash."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(buffer, "w") as new:
        new.comment = old.comment
        for info in old.infolist():
            if info.filename == f"{name}.npy":
                new.writestr(info.filename, content, compression)
            else:
                new.writestr(info.filename, old.read(info))
    return sealed(buffer.getvalue())
