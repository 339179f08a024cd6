"""`recommend_all`: the lists of `recommend`, whoever works them out, whole or not at all."""

from __future__ import annotations

import csv
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse
from small_models import SMALL
from small_tasks import Backwards

from autorec_np import recommend_all
from autorec_np.baselines.factors import BiasedMF
from autorec_np.baselines.lists import EASE, ItemKNN, Popularity
from autorec_np.data.synthetic import make_ratings
from autorec_np.models import base
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import NotFittedError
from autorec_np.models.biases import BiasBaseline
from autorec_np.models.blend import Blend
from autorec_np.models.ranking_autorec import RankingAutoRec
from autorec_np.serving import every_user
from autorec_np.serving.archive import ModelFileError
from autorec_np.serving.model_file import load_model, save_model

R = make_ratings(60, 30, 700, random_state=0)
RANKING = {name: value for name, value in SMALL.items() if name != "inputs"}
NAMED = (
    [f"user {number}" for number in R.triples()[0]],
    [f"ítem,{number}\n" for number in R.triples()[1]],
    R.triples()[2],
)
FEW = sparse.csr_array(([5.0, 1.0, 3.0], ([0, 0, 2], [1, 3, 3])), shape=(5, 4))  # mostly cold
MODELS = {
    "item": lambda: AutoRec("item", **SMALL).fit(R),
    "user": lambda: AutoRec("user", **SMALL).fit(R),
    "named": lambda: AutoRec("item", **SMALL).fit(NAMED),
    "cold": lambda: BiasBaseline().fit(FEW),
    "ranking": lambda: RankingAutoRec(**RANKING).fit(R),
    "blend": lambda: Blend(
        [("bias", BiasBaseline()), ("item", AutoRec("item", **SMALL))], random_state=0
    ).fit(R),
    "popularity": lambda: Popularity().fit(R),
    "knn": lambda: ItemKNN().fit(R),
    "ease": lambda: EASE().fit(R),
    "factors": lambda: BiasedMF(3, random_state=0).fit(R),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]()


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model.npz"
    save_model(model, path)
    return path


@pytest.fixture(scope="module")
def one():
    return MODELS["item"]()


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture(scope="module")
def threads():
    with ThreadPoolExecutor(3) as pool:
        yield pool


@pytest.fixture(params=["serial", "threads", "processes", "backwards"])
def executor(request):
    if request.param == "serial":
        return None
    if request.param == "backwards":
        return Backwards()
    return request.getfixturevalue(request.param)


def together(blocks):
    blocks = [*blocks]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def check_equal(blocks, model, users=None, n=10, **options):
    """Compare with the frame of `recommend`, to the bit."""
    users = model.ratings_.user_ids if users is None else users
    expected = model.recommend(pd.Series(users), n, **options)
    found = together(blocks)
    assert [*found] == [*expected] == list(every_user.COLUMNS)
    for name, column in found.items():
        wanted = expected[name].to_numpy()
        assert column.dtype == wanted.dtype
        np.testing.assert_array_equal(column, wanted)


def small_blocks(monkeypatch, n_users=7, model=None):
    n_items = 30 if model is None else model.ratings_.n_items
    monkeypatch.setattr(base, "SCORES_PER_CHUNK", n_users * n_items)


def test_any_executor_gives_the_lists_of_recommend(model, executor, monkeypatch):
    small_blocks(monkeypatch, model=model)
    check_equal(recommend_all(model, n=4, executor=executor), model, n=4)


def test_a_saved_model_gives_the_same_lists(model, path, executor, monkeypatch):
    small_blocks(monkeypatch, model=model)
    check_equal(recommend_all(path, n=4, executor=executor), model, n=4)
    check_equal(recommend_all(str(path), n=4, executor=executor), model, n=4)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    users=st.lists(st.sampled_from(R.user_ids.tolist()), unique=True, min_size=1),
    n=st.integers(1, 40),
    per_block=st.integers(1, 70),
    exclude_seen=st.booleans(),
    ahead=st.integers(1, 5),
    kind=st.sampled_from(["serial", "threads", "processes", "backwards"]),
)
def test_no_list_depends_on_blocks_and_executors(
    one, threads, processes, users, n, per_block, exclude_seen, ahead, kind
):
    pools = {"serial": None, "threads": threads, "processes": processes, "backwards": Backwards()}
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch, per_block)
        patch.setattr(every_user, "MOST_AHEAD", ahead)
        found = recommend_all(one, users, n, pools[kind], exclude_seen=exclude_seen)
        check_equal(found, one, users, n, exclude_seen=exclude_seen)


def test_users_come_as_asked(one):
    asked = [*R.user_ids[[4, 2, 4]]]
    for users in (asked, np.array(asked), pd.Series(asked), pd.DataFrame({"user": asked})):
        [block] = recommend_all(one, users, 2)
        assert block["user"].tolist() == [user for user in asked for _ in range(2)]
        assert block["rank"].tolist() == [1, 2] * 3
    assert [*recommend_all(one, [])] == []


def test_what_recommend_refuses_is_refused_before_anything_is_done(one, tmp_path):
    target = tmp_path / "lists.csv"
    for users in (["nobody"], [10**9]):
        with pytest.raises((ValueError, TypeError)) as expected:
            one.recommend(users)
        with pytest.raises(type(expected.value)) as error:
            recommend_all(one, users, path=target)
        assert str(error.value) == str(expected.value)
    with pytest.raises(ValueError, match="n must be at least 1"):
        recommend_all(one, n=0)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        recommend_all(AutoRec())
    with pytest.raises(TypeError, match="got its class"):
        recommend_all(AutoRec)
    with pytest.raises(ValueError, match=r"path must end in .csv or .parquet, got '.*lists.txt'"):
        recommend_all(one, path=tmp_path / "lists.txt")
    with pytest.raises(FileNotFoundError):
        recommend_all(one, path=tmp_path / "none" / "lists.csv")
    with pytest.raises(FileNotFoundError):
        recommend_all(tmp_path / "none.npz")
    assert [*tmp_path.iterdir()] == []


def test_a_model_that_is_fitted_meanwhile_changes_nothing():
    model = MODELS["item"]()
    before = together(recommend_all(model))
    blocks = recommend_all(model)
    model.fit(make_ratings(60, 30, 500, random_state=5))
    after = together(blocks)
    for name, column in before.items():
        np.testing.assert_array_equal(after[name], column)


# The file


@pytest.mark.parametrize("kind", ["named", "cold", "item"])
def test_a_csv_file_reads_back_to_the_bit(kind, tmp_path, executor, monkeypatch):
    model, target = MODELS[kind](), tmp_path / "lists.csv"
    small_blocks(monkeypatch, model=model)
    n_rows = recommend_all(model, n=3, executor=executor, path=target)
    with target.open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    expected = model.recommend(pd.Series(model.ratings_.user_ids), 3).astype({"cold": int})
    assert n_rows == len(rows) == len(expected)
    assert header == [*expected]
    columns = zip(*(expected[name].tolist() for name in expected), strict=True)
    assert rows == [[str(value) for value in row] for row in columns]
    scores = [float(row[3]) for row in rows]
    np.testing.assert_array_equal(scores, expected["score"].to_numpy())
    assert [one.name for one in tmp_path.iterdir()] == ["lists.csv"]


@pytest.mark.parametrize("kind", ["named", "cold", "item"])
def test_a_parquet_file_reads_back_to_the_bit(kind, tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    model, target = MODELS[kind](), tmp_path / "lists.parquet"
    small_blocks(monkeypatch, 2, model)
    n_rows = recommend_all(model, n=3, path=target)
    expected = model.recommend(pd.Series(model.ratings_.user_ids), 3)
    found = parquet.read_table(target).to_pydict()
    assert n_rows == len(expected)
    assert found == {name: expected[name].tolist() for name in expected}
    assert recommend_all(model, [], path=target) == 0
    assert parquet.read_table(target).column_names == list(every_user.COLUMNS)


def test_parquet_without_pyarrow_is_refused(one, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        recommend_all(one, path=tmp_path / "lists.parquet")


class Failing:
    """An executor whose third task fails."""

    def __init__(self, error):
        self.error, self.futures = error, []

    def submit(self, function, /, *arguments):
        future = Future()
        if len(self.futures) == 2:
            future.set_exception(self.error)
        elif len(self.futures) < 2:
            future.set_result(function(*arguments))
        self.futures.append(future)
        return future


@pytest.mark.parametrize("error", [ValueError("third"), KeyboardInterrupt()])
def test_an_error_leaves_the_file_as_it_was(one, tmp_path, monkeypatch, error):
    small_blocks(monkeypatch)
    monkeypatch.setattr(every_user, "MOST_AHEAD", 5)
    target = tmp_path / "lists.csv"
    target.write_text("before")
    failing = Failing(error)
    with pytest.raises(type(error)):
        recommend_all(one, executor=failing, path=target)
    assert target.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["lists.csv"]
    assert len(failing.futures) == 7
    assert all(future.cancelled() for future in failing.futures[3:])


class Counting:
    """An executor that says how many tasks were begun."""

    def __init__(self):
        self.n_begun = 0

    def submit(self, function, /, *arguments):
        self.n_begun += 1
        future = Future()
        future.set_result(function(*arguments))
        return future


@pytest.mark.parametrize(("most", "rows", "expected"), [(3, 10**9, 3), (64, 7 * 10 * 4, 4)])
def test_only_some_blocks_are_ahead_of_the_reader(one, monkeypatch, most, rows, expected):
    small_blocks(monkeypatch)
    monkeypatch.setattr(every_user, "MOST_AHEAD", most)
    monkeypatch.setattr(every_user, "ROWS_AHEAD", rows)
    counting = Counting()
    for number, _ in enumerate(recommend_all(one, executor=counting)):
        assert counting.n_begun == min(number + expected, 9)


# Processes


def pickled_sizes(monkeypatch, model):
    """Return the sizes of what is sent with each block."""
    small_blocks(monkeypatch)
    sizes = []

    class Sending(Counting):
        def submit(self, function, /, *arguments):
            sent = pickle.dumps((function, arguments))
            sizes.append(len(sent))
            function, arguments = pickle.loads(sent)
            return super().submit(function, *arguments)

    monkeypatch.setattr(every_user, "load_model", counted := Counted(load_model))
    check_equal(recommend_all(model, executor=Sending()), MODELS["item"]())
    return sizes, counted


class Counted:
    def __init__(self, function):
        self.function, self.calls = function, []

    def __call__(self, *arguments, **options):
        self.calls.append((arguments, options))
        return self.function(*arguments, **options)


def test_a_model_in_memory_is_written_once_and_mapped_once(one, monkeypatch):
    monkeypatch.setattr(every_user, "save_model", saved := Counted(save_model))
    sizes, loaded = pickled_sizes(monkeypatch, one)
    assert len(sizes) == 9
    assert max(sizes) < 1_000
    assert len(saved.calls) == 1
    [(_, options)] = loaded.calls
    assert options == {"memory_map": True}


def test_threads_need_no_file(one, threads, monkeypatch):
    small_blocks(monkeypatch)
    monkeypatch.setattr(every_user, "save_model", saved := Counted(save_model))
    check_equal(recommend_all(one, executor=threads), one)
    assert not saved.calls


def test_the_temporary_file_goes_with_the_iterator(one, processes, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    small_blocks(monkeypatch)
    blocks = recommend_all(one, executor=processes)
    next(blocks)
    [folder] = tmp_path.iterdir()
    assert [one.name for one in folder.iterdir()] == ["model.npz"]
    blocks.close()
    assert [*tmp_path.iterdir()] == []
    together(recommend_all(one, executor=processes))
    assert [*tmp_path.iterdir()] == []


def test_a_model_without_its_ratings_is_sent_too(one, processes, tmp_path, monkeypatch):
    small_blocks(monkeypatch)
    save_model(one, tmp_path / "model.npz", include_ratings=False)
    model = load_model(tmp_path / "model.npz")
    check_equal(recommend_all(model, executor=processes), one)


def test_a_file_that_is_replaced_meanwhile_is_refused(one, tmp_path, monkeypatch):
    small_blocks(monkeypatch)
    path = tmp_path / "model.npz"
    save_model(one, path)

    class Later(Backwards):
        def submit(self, function, /, *arguments):
            sent = pickle.dumps(arguments)
            return super().submit(lambda: function(*pickle.loads(sent)))

    blocks = recommend_all(path, executor=Later())
    save_model(AutoRec("user", **SMALL).fit(R), path)
    with pytest.raises(ModelFileError, match="was replaced meanwhile; call recommend_all again"):
        next(blocks)


SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # also of a program in the background
from autorec_np import recommend_all
from autorec_np.models import base
from autorec_np.serving import every_user
base.SCORES_PER_CHUNK = 7 * 30
lists_of = every_user.lists_of
def slow(*arguments):
    print("block", flush=True)
    time.sleep(0.3)
    return lists_of(*arguments)
every_user.lists_of = slow
recommend_all(sys.argv[1], path=sys.argv[2])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_leaves_the_file_as_it_was(one, tmp_path, number):
    save_model(one, tmp_path / "model.npz")
    target = tmp_path / "out" / "lists.csv"
    target.parent.mkdir()
    target.write_text("before")
    command = [sys.executable, "-c", SLOW, str(tmp_path / "model.npz"), str(target)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        for _ in range(3):
            assert process.stdout.readline() == "block\n"
        process.send_signal(number)
        process.stdout.read()
    assert process.returncode != 0
    assert target.read_text() == "before"
    left = {*target.parent.iterdir()} - {target}
    assert len(left) == (number == signal.SIGKILL)
    for abandoned in left:  # for as long as this it might be of a process that begins
        os.utime(abandoned, (0, 0))
    n_rows = recommend_all(one, path=target)
    assert [*target.parent.iterdir()] == [target]
    assert len(target.read_text().splitlines()) == 1 + n_rows
