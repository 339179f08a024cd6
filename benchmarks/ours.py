"""Our side of every row: how `autorec_np` is called. Thin, so that it shows what a user writes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Semaphore, Thread
from typing import Any

import numpy as np

from autorec_np import AutoRec, Ratings
from autorec_np._types import CSR, Array
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.engine.engines import Batch, TiledEngine
from autorec_np.engine.threads import Workers
from autorec_np.engine.tiled import Plan, Tiled, by_activity, reordered, split
from autorec_np.gradcheck.process import single_threaded_blas
from benchmarks.harness import THREADS

PENALTY = 400.0  # of the rows that compare single evaluations and epochs

# The fits of the row "fits": parameters of AutoRec, chosen like the peers' (see settings.py). A
# shorter training wants fewer hidden units, a smaller penalty and a longer warm-up. Each line: k,
# epochs, rows in a batch, rate, penalty of the encoder, that of the decoder as a part of it,
# corruption, warm-up; then the validation RMSE.
_PLAIN: dict[str, Any] = {"implicit": 0, "inputs": "ratings"}
CURVE = [
    (80, 12, 640, 8e-3, 230.0, 0.33, 0.05, 0.6),  # 0.8390
    (100, 11, 384, 8e-3, 310.0, 0.33, 0.0, 0.6),  # 0.8365
    (160, 14, 1024, 8e-3, 310.0, 0.5, 0.2, 0.6),  # 0.8342
    (200, 14, 768, 8e-3, 310.0, 0.5, 0.2, 0.6),  # 0.8319
    (250, 12, 512, 4e-3, 230.0, 0.5, 0.0, 0.6),  # 0.8306
    (300, 14, 512, 4e-3, 350.0, 0.5, 0.2, 0.5),  # 0.8291
    (300, 16, 512, 4e-3, 350.0, 0.5, 0.2, 0.5),  # 0.8282
    (400, 16, 512, 4e-3, 400.0, 0.5, 0.2, 0.5),  # 0.8271
    (500, 20, 512, 3e-3, 450.0, 0.5, 0.2, 0.45),  # 0.8262
    (500, 24, 512, 3e-3, 500.0, 0.5, 0.3, 0.45),  # 0.8259
    (500, 20, 256, 3e-3, 193.0, 1.33, 0.5, 0.3),  # 0.8254
    (500, 20, 192, 2.5e-3, 193.0, 1.33, 0.5, 0.3),  # 0.8253
]
# With the implicit decoder, the automatic penalties and batches of an eighth of the rows: k, q,
# epochs, rate, warm-up, inputs; then the validation RMSE. The last line is the default.
_IMPLICIT = [
    (150, 60, 12, 6e-3, 0.5, "ratings"),  # 0.8298
    (250, 100, 12, 6e-3, 0.5, "ratings"),  # 0.8297
    (250, 100, 14, 6e-3, 0.5, "ratings"),  # 0.8255
    (300, 100, 16, 5e-3, 0.5, "ratings"),  # 0.8231
    (300, 100, 20, 4e-3, 0.3, "planes"),  # 0.8216
    (500, 100, 20, 4e-3, 0.3, "planes"),  # 0.8198
]
# Equation (2) alone: epochs, rows in a batch, rate and penalty; then the validation RMSE.
_EQUATION_2 = [
    (10, 128, 8e-3, 200.0),  # 0.8368
    (15, 256, 6e-3, 200.0),  # 0.8326
    (20, 256, 6e-3, 250.0),  # 0.8295
    (30, 256, 4e-3, 300.0),  # 0.8282
]
FITS: dict[str, list[dict[str, Any]]] = {
    "autorec_np, equation (2)": [
        {
            **_PLAIN,
            "baseline": None,
            "corruption": 0.0,
            "max_iter": epochs,
            "batch_size": batch_size,
            "learning_rate_init": rate,
            "regularization": penalty,
        }
        for epochs, batch_size, rate, penalty in _EQUATION_2
    ],
    "autorec_np, no implicit decoder": [
        {
            "hidden_layer_sizes": (k,),
            "max_iter": epochs,
            "batch_size": batch_size,
            "learning_rate_init": rate,
            "regularization": {"encoder.weight": penalty, "decoder.weight": part * penalty},
            "corruption": corruption,
            "warm_up": warm_up,
            **_PLAIN,
        }
        for k, epochs, batch_size, rate, penalty, part, corruption, warm_up in CURVE
    ],
    "autorec_np, implicit decoder": [
        {
            "hidden_layer_sizes": (k,),
            "implicit": q,
            "max_iter": epochs,
            "learning_rate_init": rate,
            "warm_up": warm_up,
            "inputs": inputs,
        }
        for k, q, epochs, rate, warm_up, inputs in _IMPLICIT
    ],
}


def in_order(matrix: CSR) -> CSR:
    """Return the matrix with rows and columns in the order of their activity, as `fit` does."""
    return reordered(matrix, *by_activity(matrix))


def value_and_gradient(
    matrix: CSR, k: int, threads: int = THREADS, out: Array | None = None
) -> Callable[[Array], tuple[float, Array]]:
    """Return equation (2) over all rows as a function of theta; `out` takes every gradient."""
    workers = Workers(threads) if threads > 1 else None
    engine, objective = TiledEngine(workers), Objective(Network(matrix.shape[1], (k,)), PENALTY)
    tiled = Tiled.of(matrix, Plan(split(matrix), workers=workers))
    batch = Batch(tiled, tiled, 1.0, None)

    def evaluate(theta: Array) -> tuple[float, Array]:
        with single_threaded_blas():  # as `fit` does
            return engine.value_and_gradient(objective, theta, [batch], out=out)

    return evaluate


def initial_theta(n_columns: int, k: int) -> Array:
    """Return the float32 start that all contestants share."""
    return Network(n_columns, (k,)).layout.initialize(np.random.default_rng(0), np.float32)


@contextmanager
def after_each_epoch(function: Callable[[], object]) -> Iterator[None]:
    """Call a function at the log line that ``AutoRec(verbose=True)`` writes after each epoch.

    A callback would be given theta, which a fit without callbacks need not prepare.
    """

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            function()

    logger, handler = logging.getLogger("autorec_np.training.solvers"), Handler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class Epochs:
    """A fit of `AutoRec`, equation (2) by Adam, that trains one epoch at each call.

    The fit runs in a thread of its own and is held between the epochs: what is timed is an epoch of
    `fit`, and other contestants can take their turns. The first call also prepares the data.
    A context manager, whose end ends the fit.
    """

    def __init__(self, train: Ratings, k: int, batch_size: int = 512) -> None:
        self._go, self._done = Semaphore(0), Semaphore(0)
        self._ending = False
        self._error: BaseException | None = None
        self._train = train
        self._model = AutoRec(
            hidden_layer_sizes=(k,),
            implicit=0,
            inputs="ratings",
            baseline=None,
            regularization=PENALTY,
            corruption=0.0,
            batch_size=batch_size,
            learning_rate="constant",
            learning_rate_init=1e-3,
            max_iter=1000,  # more than are asked for
            n_jobs=THREADS,
            verbose=True,
            random_state=0,
        )
        self._thread = Thread(target=self._fit, daemon=True)

    def _fit(self) -> None:
        try:
            self._wait()
            with after_each_epoch(self._hold):
                self._model.fit(self._train)
        except BaseException as error:
            self._error = error  # raised in the thread that waits for this epoch
        self._done.release()

    def _hold(self) -> None:
        self._done.release()
        self._wait()

    def _wait(self) -> None:
        self._go.acquire()
        if self._ending:
            raise SystemExit("the context has ended")  # kept by _fit

    def __enter__(self) -> Epochs:
        self._thread.start()
        return self

    def __call__(self) -> None:
        self._go.release()
        self._done.acquire()
        if self._error is not None:
            raise self._error

    def __exit__(self, *exception: object) -> None:
        self._ending = True
        self._go.release()
        self._thread.join()


class Fitter:
    """`AutoRec` in the form of a peer (see `benchmarks.peers`)."""

    def prepare(self, train: Ratings) -> Ratings:
        """Nothing to prepare: `fit` takes the ratings, and all of it is timed."""
        return train

    def fit(self, data: Ratings, **settings: Any) -> AutoRec:
        """Train; `settings` are parameters of `AutoRec`."""
        return AutoRec(n_jobs=THREADS, random_state=0, **settings).fit(data)

    def predict(self, model: AutoRec, test: Ratings) -> Array:
        """Return predictions of the pairs of `test`."""
        users, items, _ = test.triples()
        return model.predict(users, items)
