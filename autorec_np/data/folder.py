"""Ratings in a folder: one file of plain numbers for each array, and a manifest that comes last."""

from __future__ import annotations

import hashlib
import json
import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from autorec_np._types import Array
from autorec_np.data.columns import ColumnsRead
from autorec_np.data.entries import canonical_csr

if TYPE_CHECKING:
    from scipy import sparse

MANIFEST = "manifest.json"
FORMAT, VERSION = "autorec_np ratings", 1
_AGAIN = "store the ratings again"


class Stored(NamedTuple):
    """Where ratings are stored, and what of them differs from there."""

    folder: Path
    digest: str
    turned: sparse.csr_array[np.float32]
    changes: dict[str, Any]


class Growing:
    """The file of an array of one dimension, written from its begin to its end."""

    def __init__(self, path: Path, dtype: Any) -> None:
        self.path, self.dtype, self.length = path, np.dtype(dtype).newbyteorder("<"), 0
        self._digest = hashlib.sha256()
        path.touch(exist_ok=False)

    def append(self, array: Array) -> None:
        content = np.ascontiguousarray(array, self.dtype).view(np.uint8).data
        with open(self.path, "ab") as file:
            file.write(content)
        self._digest.update(content)
        self.length += len(array)

    def array(self) -> Array:
        return mapped(self.path, self.dtype, self.length)

    def finish(self) -> dict[str, Any]:
        with open(self.path, "r+b") as file:
            os.fsync(file.fileno())
        return {
            "dtype": self.dtype.str,
            "length": self.length,
            "sha256": self._digest.hexdigest(),
        }


def mapped(path: Path, dtype: Any, length: int) -> Array:
    if length == 0:  # which cannot be mapped
        return np.zeros(0, dtype)
    return np.asarray(np.memmap(path, dtype, "r", shape=(length,)))


def write_array(path: Path, array: Array) -> dict[str, Any]:
    growing = Growing(path, array.dtype)
    growing.append(array)
    return growing.finish()


def write_ids(folder: Path, name: str, ids: Array) -> dict[str, Any]:
    if ids.dtype.kind != "O":
        return {name: write_array(folder / name, ids)}
    encoded = [one.encode("utf-8", "surrogatepass") for one in ids]
    parts: dict[str, Array] = {
        f"{name}.utf8": np.frombuffer(b"".join(encoded), np.uint8),
        f"{name}.offsets": np.cumsum([0, *map(len, encoded)], dtype=np.int64),
    }
    return {one: write_array(folder / one, array) for one, array in parts.items()}


def write_manifest(folder: Path, arrays: dict[str, Any], **facts: Any) -> None:
    content = {"format": FORMAT, "format_version": VERSION, **facts, "arrays": arrays}
    content["sha256"] = _digest(content)
    with open(folder / MANIFEST, "x", encoding="ascii") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class Opened:
    def __init__(self, folder: str | os.PathLike[str], verify: bool = False) -> None:
        self.folder = Path(folder).absolute()
        self.manifest = self._read_manifest()
        self.arrays = self.manifest["arrays"]
        for name, stated in self.arrays.items():
            self._check(name, stated, verify)

    def _error(self, what: str) -> ValueError:
        return ValueError(f"{self.folder} {what}.")

    def _read_manifest(self) -> dict[str, Any]:
        path = self.folder / MANIFEST
        if self.folder.exists() and not path.is_file():
            raise self._error(
                f"holds no stored ratings: it lacks {MANIFEST}, which is written last. Pass a "
                f"folder that store_ratings made; read a file with read_ratings"
            )
        try:
            content: dict[str, Any] = json.loads(path.read_bytes())
            is_ours = content["format"] == FORMAT
            version, digest = content["format_version"], content.pop("sha256")
        except (ValueError, TypeError, KeyError):
            raise self._error(
                f"has a {MANIFEST} that is damaged or not of ratings; {_AGAIN}"
            ) from None
        if not is_ours or version != VERSION:
            raise self._error(
                f"holds {content['format']!r} of version {version!r}, and this version of "
                f"autorec_np reads {FORMAT!r} of version {VERSION}; update it, or {_AGAIN}"
            )
        if digest != _digest(content):
            raise self._error(f"has a {MANIFEST} that was changed or damaged; {_AGAIN}")
        self.digest = digest
        return content

    def _check(self, name: str, stated: dict[str, Any], verify: bool) -> None:
        path, size = self.folder / name, stated["length"] * np.dtype(stated["dtype"]).itemsize
        found = path.stat().st_size if path.is_file() else -1
        if found != size:
            held = f"holds {found:,} bytes" if found >= 0 else "is missing"
            raise self._error(f"is damaged: {name} {held}, and must hold {size:,}; {_AGAIN}")
        if verify:
            digest = hashlib.sha256()
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
            if digest.hexdigest() != stated["sha256"]:
                raise self._error(f"is damaged: {name} has other content than stored; {_AGAIN}")

    def array(self, name: str) -> Array:
        return mapped(self.folder / name, self.arrays[name]["dtype"], self.arrays[name]["length"])

    def ids(self, name: str) -> Array:
        if name in self.arrays:
            return self.array(name)
        text, offsets = self.array(f"{name}.utf8").tobytes(), self.array(f"{name}.offsets").tolist()
        decoded = (text[a:b].decode("utf-8", "surrogatepass") for a, b in pairwise(offsets))
        ids: Array = np.fromiter(decoded, object, len(offsets) - 1)
        return ids

    def matrix(self, axis: str, shape: tuple[int, int]) -> sparse.csr_array[np.float32]:
        data, indices, indptr = (
            self.array(f"{axis}s.{part}") for part in ("data", "indices", "indptr")
        )
        return canonical_csr(data, indices, indptr, shape)

    def fields(self) -> dict[str, Any]:
        """Return what `Ratings` takes, and their `Stored`."""
        facts, users, items = self.manifest, self.ids("user_ids"), self.ids("item_ids")
        columns, shape = facts["columns"], (len(users), len(items))
        turned = self.matrix("item", (shape[1], shape[0]))
        return {
            "matrix": self.matrix("user", shape),
            "user_ids": users,
            "item_ids": items,
            "timestamps": self.array("timestamps") if "timestamps" in self.arrays else None,
            "scale": tuple(facts["scale"]),
            "order": self.array("order"),
            "columns": columns and ColumnsRead(columns["names"], tuple(columns["left_out"])),
            "n_missing": facts["n_missing"],
            "features": {
                axis: self.array(f"features.{axis}").reshape(-1, width)
                for axis, width in facts["features"].items()
            },
            "stored": Stored(self.folder, self.digest, turned, {}),
        }
