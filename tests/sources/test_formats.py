"""Files that are no lines of ratings are read, or named with what reads them."""

from __future__ import annotations

import io
import json
import pickle
import re
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest
from rating_files import assert_triples, write
from scipy import sparse

from autorec_np.data.ratings import Ratings, as_ratings
from autorec_np.sources.reading import read_ratings

FRAME = pd.DataFrame({"reviewerID": [1, 1, 2], "asin": [5, 6, 5], "overall": [2.5, 3.0, 4.0]})
WANTED = ["1", "1", "2"], ["5", "6", "5"], [2.5, 3, 4]


def refused(path, what):
    with pytest.raises(ValueError, match=re.escape(f"{path}: this is {what}")) as caught:
        read_ratings(path)
    return str(caught.value)


# Read


@pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated")
def test_parquet_is_read_where_pandas_has_an_engine(tmp_path, monkeypatch):
    path = tmp_path / "ratings.parquet"
    try:
        FRAME.to_parquet(path)
    except ImportError:
        pytest.skip("pandas has no engine for Parquet")
    R = read_ratings(path, scale=(1, 5))
    assert_triples(R, *WANTED)
    assert R.scale == (1, 5)
    assert R.columns.names["item"] == "asin"
    R = read_ratings(path, columns=("asin", "reviewerID", "overall"), missing=3)
    assert R.user_ids.tolist() == [5]
    with pytest.raises(ValueError, match=f"{path}: .*no columns are 'x'"):
        read_ratings(path, columns=("x", "asin", "overall"))
    with pytest.raises(ValueError, match=f"{path}: the Parquet file cannot be read"):
        read_ratings(write(path, b"PAR1" + bytes(20) + b"PAR1"))
    FRAME.to_parquet(path)

    def fail(*_, **__):
        raise ImportError("no engine")

    monkeypatch.setattr(pd, "read_parquet", fail)
    with pytest.raises(ValueError, match="which pandas reads with pyarrow or fastparquet; install"):
        read_ratings(path)


@pytest.mark.parametrize("field", ["real", "integer"])
def test_matrix_market_is_read(tmp_path, field):
    text = (
        f"%%MatrixMarket matrix coordinate {field} general\n% made up\n%\n\n3 2 4\n"
        "1 1 5\n1 2 3\n2 1 4\n3 2 1\n"
    )
    R = read_ratings(write(tmp_path / "ratings.mtx", text))
    assert_triples(R, ["1", "1", "2", "3"], ["1", "2", "1", "2"], [5, 3, 4, 1])
    short = text.removesuffix("3 2 1\n")
    with pytest.raises(ValueError, match="the header counts 4 entries, but there are 3; fetch"):
        read_ratings(write(tmp_path / "ratings.mtx", short))
    for entry, odd in [
        ("4 1 1", "3 rows, from 1, but an entry is in 4"),
        ("3 0 1", "2 columns, from 1, but an entry is in 0"),
        ("3 3 1", "2 columns, from 1, but an entry is in 3"),
        ("a 2 1", "3 rows, from 1, but an entry is in 'a'"),
    ]:
        with pytest.raises(ValueError, match=f"the header counts {odd}"):
            read_ratings(write(tmp_path / "ratings.mtx", text.replace("3 2 1\n", f"{entry}\n")))
    wrong = text.replace("3 2 1\n", "3 2 x\n")
    with pytest.raises(ValueError, match="line 9: the rating is 'x'"):
        read_ratings(write(tmp_path / "ratings.mtx", wrong))
    with pytest.raises(ValueError, match="does not say how many rows, columns and entries"):
        read_ratings(write(tmp_path / "ratings.mtx", text.splitlines()[0] + "\n1 1\n"))


def test_what_scipy_writes_comes_back(tmp_path):
    from scipy.io import mmwrite

    path = tmp_path / "ratings.mtx"
    mmwrite(path, sparse.coo_array(([5.0, 0.5], ([0, 2], [1, 0])), shape=(3, 2)))
    assert_triples(read_ratings(path), ["1", "3"], ["2", "1"], [5, 0.5])


@pytest.mark.parametrize(
    "header", ["coordinate pattern general", "array real general", "coordinate real symmetric"]
)
def test_other_matrix_market_files_are_refused(tmp_path, header):
    path = write(tmp_path / "r.mtx", f"%%MatrixMarket matrix {header}\n2 2 1\n1 1\n")
    assert "read it with scipy.io.mmread" in refused(path, "a Matrix Market file of the kind")


BLOCKS = "1:\n101,3,2004-02-01\n102,5,2004-02-02\n\n2:\n101,4,2004-03-01\n"


def test_blocks_are_read(tmp_path):
    R = read_ratings(write(tmp_path / "blocks.txt", BLOCKS))
    assert_triples(R, ["101", "102", "101"], ["1", "1", "2"], [3, 5, 4])
    assert R.timestamps[R.order].tolist() == [1075593600, 1075680000, 1078099200]
    undated = re.sub(r",2004-\d\d-\d\d", "", BLOCKS)
    R = read_ratings(io.StringIO(undated.replace("\n", "\r\n")))
    assert_triples(R, ["101", "102", "101"], ["1", "1", "2"], [3, 5, 4])
    assert R.timestamps is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BLOCKS.replace("101,4,", "101,x,"), "line 6: the rating is 'x'"),
        (BLOCKS.replace("102,5,", "101,5,"), "line 3: user 101 rates item 1 again, first rated on"),
        ("1:\n101\n102\n", "line 2: found 2 fields, ['1', '101']: no rating"),
        ("1:\n101,2004-02-01\n", "line 2: the rating is '2004-02-01'"),
    ],
)
def test_errors_in_blocks_name_the_line(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read_ratings(io.StringIO(text))


# Refused, with advice that works


def test_json_lines(tmp_path):
    path = tmp_path / "reviews.json"
    FRAME.to_json(path, orient="records", lines=True)
    assert "pandas.read_json(path, lines=True)" in refused(path, "JSON lines")
    assert_triples(as_ratings(pd.read_json(path, lines=True)), *WANTED)


@pytest.mark.parametrize("indent", [None, 2])
def test_json(tmp_path, indent):
    path = write(tmp_path / "r.json", json.dumps(FRAME.to_dict("records"), indent=indent))
    assert "pandas.read_json(path)" in refused(path, "JSON, not")
    assert_triples(as_ratings(pd.read_json(path)), *WANTED)


def test_spreadsheets(tmp_path):
    for members in (
        ["[Content_Types].xml", "xl/worksheets/sheet1.xml"],
        ["mimetype", "content.xml"],
    ):
        path = tmp_path / "sheet.xlsx"
        with zipfile.ZipFile(path, "w") as archive:
            for name in members:
                archive.writestr(name, "<x/>")
        assert "pandas.read_excel" in refused(path, "a spreadsheet")


def test_advice_on_spreadsheets(tmp_path):
    pytest.importorskip("openpyxl")
    path = tmp_path / "sheet.xlsx"
    FRAME.to_excel(path, index=False)
    refused(path, "a spreadsheet")
    assert_triples(as_ratings(pd.read_excel(path)), *WANTED)


def test_sparse_matrices_and_arrays_of_numpy(tmp_path):
    matrix = sparse.csr_array(np.array([[5.0, 0, 1], [0, 4, 0]]))
    path = tmp_path / "ratings.npz"
    sparse.save_npz(path, matrix)
    assert "scipy.sparse.load_npz" in refused(path, "a SciPy sparse matrix")
    assert len(as_ratings(sparse.load_npz(path))) == 3
    np.savez(path, users=[1], items=[2])
    assert "numpy.load" in refused(path, "NumPy arrays")
    holes = np.where(np.eye(5) == 0, np.nan, 3.0)
    np.save(tmp_path / "ratings.npy", holes)
    assert "numpy.load" in refused(tmp_path / "ratings.npy", "a NumPy array")
    assert len(as_ratings(np.load(tmp_path / "ratings.npy"))) == 5


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pickles(tmp_path, protocol):
    path = write(tmp_path / "ratings.pkl", pickle.dumps(FRAME, protocol))
    assert "pandas.read_pickle" in refused(path, "a pickle")
    assert_triples(as_ratings(pd.read_pickle(path)), *WANTED)


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_tar_archives(tmp_path, suffix):
    FRAME.to_csv(tmp_path / "ratings.csv", index=False)
    path = tmp_path / f"ratings.{suffix}"
    with tarfile.open(path, f"w:{suffix[4:]}") as archive:
        archive.add(tmp_path / "ratings.csv", "ratings.csv")
    assert "pandas.read_csv" in refused(path, "a tar archive")
    assert_triples(as_ratings(pd.read_csv(path)), *WANTED)


def test_libfm(tmp_path):
    path = write(tmp_path / "ratings.libfm", "5 0:1 3:1\n3 0:1 4:1\n1 1:1 3:1\n")
    message = refused(path, "in the format of libFM and LIBSVM")
    datasets = pytest.importorskip("sklearn.datasets")
    assert "X, ratings = sklearn.datasets.load_svmlight_file(path)" in message
    X, ratings = datasets.load_svmlight_file(str(path))
    assert "pairs = X.indices.reshape(-1, 2)" in message
    pairs = X.indices.reshape(-1, 2)
    assert "Ratings.from_triples(pairs[:, 0], pairs[:, 1], ratings)" in message
    R = Ratings.from_triples(pairs[:, 0], pairs[:, 1], ratings)
    assert [part.tolist() for part in R.triples()] == [[0, 0, 1], [3, 4, 3], [5, 3, 1]]


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"7z\xbc\xaf\x27\x1c\0\4", "a 7-Zip archive"),
        (b"Rar!\x1a\x07\0", "a RAR archive"),
        (b"\x28\xb5\x2f\xfd\0", "a Zstandard file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel sheet"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"ARROW1\0\0", "an Arrow file"),
        (b"FEA1\0\0", "a Feather file"),
        (b"ORC\0\0", "an ORC file"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"<!DOCTYPE html>\n<html>", "a web page or XML"),
        (b'<?xml version="1.0"?>\n', "a web page or XML"),
    ],
)
def test_other_kinds_are_named(tmp_path, start, what):
    refused(write(tmp_path / "r", start + b"\n\0rest" * 9 if start[:1] != b"<" else start), what)


def test_times_of_day_are_no_libfm():
    R = read_ratings(io.StringIO("1,2,3,2004-02-01 00:00:00\n1,3,4,2004-02-01 00:00:07\n"))
    assert R.timestamps.tolist() == [1075593600, 1075593607]


@pytest.mark.parametrize("text", ["ORC,5,3\n", "FEA1,5,3\n", "BZh,5,3\n", "{x},5,3\n", "[1,5,3\n"])
def test_text_that_only_begins_like_another_kind_is_read(text):
    assert len(read_ratings(io.BytesIO(text.encode()))) == 1
