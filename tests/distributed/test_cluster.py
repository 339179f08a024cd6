"""A real cluster, of processes that are killed and frozen on purpose."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import numpy as np
import pytest

from autorec_np import AutoRec, BiasBaseline, make_ratings
from autorec_np.distributed import fit_distributed, full_batch
from autorec_np.sources.store import store_ratings
from autorec_np.training import trainer

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals freeze and kill workers")

RATINGS = make_ratings(60, 40, 900, random_state=0)
SMALL = {"hidden_layer_sizes": (5,), "random_state": 0, "n_jobs": 1}
FULL_BATCH = SMALL | {"solver": "lbfgs", "max_iter": 8, "tol": 0.0}
MINIBATCH = SMALL | {"max_iter": 4, "batch_size": 10}
N_WORKERS = 2


@pytest.fixture(autouse=True)
def _many_blocks(monkeypatch):
    monkeypatch.setattr(trainer, "ENTRIES_PER_BLOCK", 120)


@pytest.fixture(scope="module")
def cluster():
    ways = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0", "host": "127.0.0.1"}
    with distributed.LocalCluster(n_workers=N_WORKERS, silence_logs=60, **ways) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as client:
        client.wait_for_workers(N_WORKERS, timeout=60)
        yield client


def pids(client):
    return [*client.run(os.getpid).values()]


class Blow:
    """Does something, once, while the tasks of an epoch or evaluation run."""

    def __init__(self, monkeypatch, client, do, number):
        gather = client.gather
        self.left = number

        def gather_after_the_blow(*arguments, **ways):
            self.left -= 1
            if self.left == 0:
                with ThreadPoolExecutor() as pool:  # as this is the thread of the loop
                    pool.submit(do)
            return gather(*arguments, **ways)

        monkeypatch.setattr(client, "gather", gather_after_the_blow)

    def __bool__(self):
        return self.left <= 0


def kill(processes, how=signal.SIGKILL):
    for process in processes:
        os.kill(process, how)


def same(one, other):
    return np.array_equal(one.theta_, other.theta_) and one.loss_curve_ == other.loss_curve_


@pytest.fixture(scope="module")
def alone():
    with pytest.MonkeyPatch.context() as patch, trainer.short_on_purpose():
        patch.setattr(trainer, "ENTRIES_PER_BLOCK", 120)
        return AutoRec(**FULL_BATCH).fit(RATINGS)


@pytest.fixture(autouse=True)
def _short():
    with trainer.short_on_purpose():
        yield


def test_stored_ratings_are_enough(client, alone, tmp_path):
    stored = store_ratings(RATINGS, tmp_path / "store")
    for ratings in (tmp_path / "store", stored):
        shared = fit_distributed(AutoRec(**FULL_BATCH), ratings, client)
        assert same(shared, alone)
        assert not [*(tmp_path / "store").glob("run-*")]
    assert shared.ratings_.folder == tmp_path / "store"


@pytest.mark.parametrize("n_killed", [1, N_WORKERS])
def test_a_full_batch_outlives_its_workers(n_killed, client, alone, tmp_path, monkeypatch):
    hit = pids(client)[:n_killed]
    blow = Blow(monkeypatch, client, lambda: kill(hit), 5)
    shared = fit_distributed(AutoRec(**FULL_BATCH), RATINGS, client, tmp_path)
    assert blow
    assert same(shared, alone)
    assert not set(hit) & set(pids(client))


def test_minibatches_outlive_a_worker_where_they_have_a_checkpoint(client, tmp_path, monkeypatch):
    undisturbed = fit_distributed(AutoRec(**MINIBATCH), RATINGS, client, tmp_path)
    [hit, *_] = pids(client)
    blow = Blow(monkeypatch, client, lambda: kill([hit]), 4)  # the first is of the places
    model = AutoRec(**MINIBATCH, checkpoint=tmp_path / "checkpoint")
    shared = fit_distributed(model, RATINGS, client, tmp_path)
    assert blow
    assert same(shared, undisturbed)


def test_minibatches_end_with_a_worker_where_they_have_none(client, tmp_path, monkeypatch):
    [hit, *_] = pids(client)
    blow = Blow(monkeypatch, client, lambda: kill([hit]), 4)
    model = AutoRec(**MINIBATCH)
    with pytest.raises(RuntimeError, match=r"a worker was lost.*AutoRec\(checkpoint=path\)"):
        fit_distributed(model, RATINGS, client, tmp_path)
    assert blow
    assert not hasattr(model, "fitted_")


@pytest.mark.parametrize("settings", [FULL_BATCH, MINIBATCH], ids=["full batch", "minibatches"])
def test_a_frozen_worker_ends_a_run_in_time(settings, client, tmp_path, monkeypatch):
    undisturbed = fit_distributed(AutoRec(**settings), RATINGS, client, tmp_path)
    model = AutoRec(**settings, checkpoint=tmp_path / "checkpoint")
    [hit, *_] = pids(client)
    started = time.perf_counter()
    with monkeypatch.context() as patch:
        blow = Blow(patch, client, lambda: kill([hit], signal.SIGSTOP), 4)
        try:
            with pytest.raises(TimeoutError, match="did not answer within timeout=2 seconds"):
                fit_distributed(model, RATINGS, client, tmp_path, timeout=2)
        finally:
            kill([hit], signal.SIGCONT)
    assert blow
    assert time.perf_counter() - started < 15
    assert not hasattr(model, "fitted_")
    assert same(fit_distributed(model, RATINGS, client, tmp_path, resume=True), undisturbed)


@pytest.fixture
def small_cluster(tmp_path):
    """A scheduler and a worker in processes of their own; yields the file of the first, and it."""
    file, quiet = tmp_path / "scheduler.json", {"stderr": subprocess.DEVNULL}
    ways = ["--scheduler-file", str(file), "--dashboard-address", "127.0.0.1:0"]
    program = [sys.executable, "-m"]
    first = [*program, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    other = [*program, "distributed.cli.dask_worker", "--no-nanny", "--nthreads", "1"]
    with (
        subprocess.Popen([*first, *ways], **quiet) as scheduler,
        subprocess.Popen([*other, *ways], **quiet) as worker,
    ):
        try:
            yield file, scheduler
        finally:
            scheduler.kill()
            worker.kill()


def test_a_killed_scheduler_ends_a_run_in_time(small_cluster, client, alone, tmp_path, monkeypatch):
    file, scheduler = small_cluster
    model = AutoRec(**FULL_BATCH, checkpoint=tmp_path / "checkpoint")
    its_client = distributed.Client(scheduler_file=str(file), timeout=60, set_as_default=False)
    try:
        blow = Blow(monkeypatch, its_client, scheduler.kill, 3)
        with pytest.raises(TimeoutError, match=r"scheduler or a worker is dead.*resume=True"):
            fit_distributed(model, RATINGS, its_client, tmp_path, timeout=3)
    finally:
        its_client.close(timeout=1)
    assert blow
    assert same(fit_distributed(model, RATINGS, client, tmp_path, resume=True), alone)


def test_a_folder_that_workers_do_not_see(client, tmp_path, monkeypatch):
    from autorec_np.distributed import full_batch

    monkeypatch.setattr(full_batch, "write", lambda path, value: None)
    with pytest.raises(RuntimeError, match="pass folder=, one that all workers see"):
        fit_distributed(AutoRec(**FULL_BATCH), RATINGS, client, tmp_path)


def test_two_runs_at_once_share_a_folder(client, alone, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(copy_context().run, fit_distributed, model, RATINGS, client, tmp_path)
            for model in (AutoRec(**FULL_BATCH), AutoRec(**FULL_BATCH))
        ]
        models = [run.result() for run in runs]
    assert all(same(model, alone) for model in models)
    assert [*tmp_path.iterdir()] == []


def test_a_full_disk_ends_a_run_and_leaves_nothing(client, tmp_path, monkeypatch):
    def full(path, value):
        path.write_bytes(b"a part")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(full_batch, "write", full)
    model = AutoRec(**FULL_BATCH)
    with pytest.raises(OSError, match="No space left"):
        fit_distributed(model, RATINGS, client, tmp_path)
    assert not hasattr(model, "theta_")
    assert [*tmp_path.iterdir()] == []


def test_what_cannot_be_fitted_says_so(tmp_path):
    with pytest.raises(ValueError, match="need folder=, a path that all workers see"):
        fit_distributed(AutoRec(), RATINGS, None)
    with pytest.raises(TypeError, match="got BiasBaseline"):
        fit_distributed(BiasBaseline(), RATINGS, None, tmp_path)


def test_without_the_extra_the_error_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with pytest.raises(ImportError, match=r"pip install 'autorec_np\[dask\]'"):
        fit_distributed(AutoRec(), RATINGS, None, tmp_path)


def test_nothing_of_dask_is_imported_by_others():
    program = (
        "import sys, autorec_np, autorec_np.distributed.columns; autorec_np.AutoRec; "
        "print({name.partition('.')[0] for name in sys.modules} & {'dask', 'distributed'})"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "set()"
