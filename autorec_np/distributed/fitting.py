"""`fit_distributed`."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from autorec_np.data.ratings import Ratings
from autorec_np.distributed.columns import ColumnsEngine
from autorec_np.distributed.full_batch import Cluster, FullBatchEngine
from autorec_np.engine.engines import Engine
from autorec_np.models.autorec import AutoRec
from autorec_np.training.trainer import SOLVERS, computed_by

Model = TypeVar("Model", bound=AutoRec)


def fit_distributed(
    model: Model,
    ratings: Any,
    client: Any,
    folder: str | os.PathLike[str] | None = None,
    timeout: float = 600.0,
    **others: Any,
) -> Model:
    """Fit a model on a Dask cluster, as its own `fit` does to the last bit; return it.

    Parameters
    ----------
    model : AutoRec or RankingAutoRec
        With a full-batch solver, workers share the rows.
    ratings : path, Ratings or what `fit` takes
        A path is that of a store: `Ratings.open`.
    client : distributed.Client
    folder : path, optional
        All workers see it. The run has a folder in it, for its recipe and, of ratings in memory,
        their arrays, which it removes. None: that of stored ratings.
    timeout : float
        Seconds for one evaluation. A worker that dies is replaced meanwhile.
    **others
        What `fit` takes beside ratings.

    Raises
    ------
    TimeoutError
        The scheduler or a worker does not answer. The model is as it was.
    ImportError, ValueError, TypeError
        Dask is missing; a model that cannot be trained so; and what `fit` raises.
    """
    try:
        import dask.distributed  # noqa: F401
    except ImportError:
        raise ImportError("Dask is missing: pip install 'autorec_np[dask]'") from None
    if not isinstance(model, AutoRec):
        raise TypeError(f"AutoRec and RankingAutoRec are trained so, got {model!r}; use its fit.")
    if isinstance(ratings, (str, os.PathLike)):
        ratings = Ratings.open(ratings)
    folder = getattr(ratings, "folder", None) if folder is None else folder
    if folder is None:
        raise ValueError("ratings in memory need folder=, a path that all workers see.")
    cluster = Cluster(client, timeout)
    with TemporaryDirectory("", "run-", folder, ignore_cleanup_errors=True) as name:
        run = Path(name).resolve()

        def engine_for(engine: Engine) -> Engine:
            if SOLVERS[model.solver].full_batch:
                return FullBatchEngine(cluster, run, engine)
            return ColumnsEngine(cluster, run, engine, model.checkpoint is not None)

        try:
            with computed_by(engine_for):
                model.fit(ratings, **others)
        finally:
            cluster.forget(run)
    return model
