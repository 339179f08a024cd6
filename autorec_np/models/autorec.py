"""The estimator `AutoRec`."""

from __future__ import annotations

import copy
import numbers
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from autorec_np._types import CSR, Array
from autorec_np._validation import (
    RandomState,
    check_choice,
    check_integer,
    check_n_jobs,
    check_number,
    check_random_state,
)
from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.kernels import with_data
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.core.optimizers import SCHEDULES
from autorec_np.data.metrics import rmse
from autorec_np.data.ratings import Ratings, as_ratings
from autorec_np.data.splitting import train_test_split
from autorec_np.engine.threads import Workers, encode, workers
from autorec_np.models.base import check_not_empty
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.models.newcomers import FoldIn
from autorec_np.models.scoring import OutputMap, Scorer
from autorec_np.training.monitor import EpochCallback, EpochMonitor, is_callback
from autorec_np.training.penalties import automatic_penalties
from autorec_np.training.solvers import DivergenceError
from autorec_np.training.trainer import (
    ENGINES,
    SOLVERS,
    InterruptedWarning,
    Trainer,
    corruption_for,
)

if TYPE_CHECKING:
    from typing_extensions import Self

# Part of the steps in which "cosine" climbs: chosen on validation ratings of ML-1M (docs/design.md)
WARM_UP = {"item": 0.3, "user": 0.1}


class AutoRec(FoldIn):
    """Autoencoder for rating prediction (Sedhain, Menon, Sanner and Xie, WWW 2015).

    A row r of ratings is reconstructed by h(r) = f(W g(V^T r + mu) + b), (1), and
    J = sum ||r - h(r)||^2 over the observed ratings + lambda/2 (||W||_F^2 + ||V||_F^2), (2),
    is minimized.

    Parameters
    ----------
    orientation : {"item", "user"}
        "item" (I-AutoRec): a row is an item, its columns are the users; the more accurate.
        "user" (U-AutoRec): a row is a user; new users need no retraining.
    hidden_layer_sizes : sequence of int
    activation, output_activation : str
        g and f: "identity", "sigmoid", "tanh", "relu", "elu" or "softplus". For a sigmoid or tanh
        output, ratings are mapped from the rating scale to its range and back.
    regularization : "auto", float, or mapping of str to float
        lambda of (2) in rating units: one for every weight block, or by name ("encoder.weight",
        "hidden1.weight", ..., "decoder.weight"). "auto": from the numbers of ratings of users
        and items, and from the corruption, by `regularization.automatic_penalties`.
    tied : bool
        Whether the decoder weight is the encoder weight (W = V).
    dropout : float in [0, 1)
        Fraction of each hidden layer set to 0 in training.
    corruption : float in [0, 1), optional
        Fraction of the input ratings set to 0 in training, the others divided by
        (1 - corruption). None: 0.5 for "sgd" and "adam", 0 for a full-batch solver.
    baseline : {"auto", "bias", "mean", None}
        Subtracted from the targets (never from the inputs): mean + user and item biases, the
        mean, or nothing. "auto": "bias", or None where the output activation does not take every
        real value.
    cold : "baseline", float, or "raise"
        What to predict where the user or item has no training rating: the bias baseline, a
        number, or a ValueError.
    rating_scale : (low, high), optional
        Predictions are clipped to it. None: the scale of the `Ratings`, else their range.
    solver : {"adam", "sgd", "rprop", "lbfgs", "scipy-lbfgs"}
        Minibatch: "adam", "sgd". Full batch: "rprop" (the paper's), "lbfgs" (ours, in the training
        dtype), "scipy-lbfgs" (SciPy's L-BFGS-B, in float64).
    learning_rate : {"cosine", "constant", "step", "exponential"}
        Schedule of a minibatch solver; see `optimizers.learning_rate_at`.
    learning_rate_init : float, optional
        None: 3e-3 for "adam", 1e-3 (first step length) for "rprop"; for "sgd" 0.1 / (k times
        the mean number of ratings that a column has in a batch), at most 1 / lambda.
    warm_up : float in [0, 1), optional
        Part of the steps in which "cosine" climbs to the full rate. None: 0.3 for I-AutoRec, 0.1
        for U-AutoRec; 0.6 is good for a training of few epochs.
    momentum : float in [0, 1)
    nesterovs_momentum : bool
        Both of "sgd".
    batch_size : int
        Most rows in a batch of a minibatch solver.
    max_iter : int, optional
        Epochs, or iterations of a full-batch solver. None: 20 for "adam", 60 for "sgd", 200 for
        "rprop", 150 for L-BFGS.
    tol : float
        Early stopping: least improvement of the validation RMSE. Full-batch solvers: least
        relative fall of the objective.
    early_stopping : bool
        Whether to stop when the validation RMSE stops improving, and restore the best weights.
    validation_fraction : float in (0, 1)
        Part of the training ratings held out for early stopping where `fit` is given none.
    n_iter_no_change : int
        Epochs or iterations without improvement by `tol` that end the training ("scipy-lbfgs"
        ends at the first).
    warm_start : bool
        Whether `fit` begins at the weights of the last `fit` (and `partial_fit`); needs the same
        columns: the users in orientation "item", the items in "user". Rows may be new.
    n_jobs : int, optional
        Threads. None: the cores that this process may use. Results do not depend on it.
    dtype : {"float32", "float64"}
    callbacks : iterable of callable, or of objects with ``on_epoch_end``
        Called with a `training.EpochState` after every epoch; training stops where one returns
        something true.
    verbose : bool
        Whether to log every epoch at level INFO, which ``logging.basicConfig(level="INFO")``
        shows. Where nobody asked for such lines, a terminal shows a bar instead if tqdm is
        installed (extra `progress`).
    random_state : int, Generator or None
        An int makes runs bit-identical.
    engine : {"tiled", "plain"}
        What computes a fit. "plain" runs the lesson's own lines (`core`) in one thread, for a
        debugger; the numbers are the same to rounding.

    Attributes
    ----------
    theta_ : ndarray, (network_.layout.size,)
        The weights; ``network_.layout.views(theta_)`` names the blocks.
    codes_ : ndarray, (n_rows, k)
        The hidden code of each item (orientation "item") or user.
    network_ : Network
    orientation_ : str
        The fitted orientation, whatever the parameter is set to later.
    regularization_ : dict of str to float
        lambda of each weight block, in rating units.
    baseline_ : BiasBaseline, GlobalMean or None
    cold_baseline_ : BiasBaseline
    loss_curve_, validation_curve_ : list of float
        J, and the validation RMSE (empty without validation ratings), after each epoch.
    n_iter_ : int
        Epochs or iterations run.
    n_evaluations_ : int
        Evaluations of value and gradient.
    ratings_, rating_scale_, user_counts_, item_counts_
        See `base.Recommender`.

    Examples
    --------
    >>> from autorec_np import AutoRec, make_ratings
    >>> R = make_ratings(n_users=200, n_items=80, n_ratings=4000, random_state=0)
    >>> model = AutoRec(hidden_layer_sizes=(20,), max_iter=5, random_state=0).fit(R)
    >>> ids, scores = model.recommend(R.user_ids[:3], n=5)
    >>> ids.shape
    (3, 5)
    """

    def __init__(
        self,
        orientation: str = "item",
        hidden_layer_sizes: Sequence[int] = (500,),
        activation: str = "sigmoid",
        output_activation: str = "identity",
        regularization: str | float | Mapping[str, float] = "auto",
        tied: bool = False,
        dropout: float = 0.0,
        corruption: float | None = None,
        baseline: str | None = "auto",
        cold: str | float = "baseline",
        rating_scale: tuple[float, float] | None = None,
        solver: str = "adam",
        learning_rate: str = "cosine",
        learning_rate_init: float | None = None,
        warm_up: float | None = None,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        batch_size: int = 256,
        max_iter: int | None = None,
        tol: float = 1e-4,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        warm_start: bool = False,
        n_jobs: int | None = None,
        dtype: str = "float32",
        callbacks: Iterable[EpochCallback] = (),
        verbose: bool = False,
        random_state: RandomState = None,
        engine: str = "tiled",
    ) -> None:
        self.orientation = orientation
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.output_activation = output_activation
        self.regularization = regularization
        self.tied = tied
        self.dropout = dropout
        self.corruption = corruption
        self.baseline = baseline
        self.cold = cold
        self.rating_scale = rating_scale
        self.solver = solver
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.warm_up = warm_up
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.dtype = dtype
        self.callbacks = callbacks
        self.verbose = verbose
        self.random_state = random_state
        self.engine = engine

    # Fitting

    def fit(self, ratings: Any, validation: Any = None) -> Self:
        """Train on ratings; return the model itself.

        Ctrl-C (or "interrupt" in a notebook) after the first epoch ends the training with a
        warning, and the model is fitted: with the weights of the lowest validation RMSE where
        validation ratings are followed, else with those after the last complete epoch. Before, it
        is the usual KeyboardInterrupt; then, and after any error, the model is as it was.
        `training.interrupts_end_all` is for several trainings in a row.

        Parameters
        ----------
        ratings : Ratings, sparse matrix (users x items), DataFrame or (users, items, ratings)
            See `ratings.as_ratings`.
        validation : of the same kinds, optional
            For the validation curve and early stopping; ids as in `ratings`.

        Raises
        ------
        ValueError, TypeError
            Parameters or ratings that cannot be used.
        DivergenceError
            The objective or a weight stopped being finite. Its `model` is fitted with the last
            good weights.

        Warns
        -----
        ConvergenceWarning
            A full-batch solver ended at `max_iter`.
        InterruptedWarning
            See above.
        """
        fitted = copy.copy(self)  # so that a fit that fails leaves the last one
        interrupted = fitted._fit(ratings, validation, last=self)
        vars(self).update(vars(fitted))
        if interrupted:
            n, curve = self.n_iter_, self.validation_curve_
            best = int(np.argmin(curve)) + 1 if curve else n
            warnings.warn(
                f"Training interrupted by the user after {n} complete epochs or iterations; the "
                f"model is fitted with the weights after number {best}"
                f"{', of the lowest validation RMSE' if curve else ''}.",
                InterruptedWarning,
                stacklevel=2,
            )
        return self

    def _fit(self, ratings: Any, validation: Any, last: AutoRec) -> bool:
        """Fit; return whether Ctrl-C ended the training."""
        self._check_parameters()
        data = as_ratings(ratings, scale=self.rating_scale)
        random_state = check_random_state(self.random_state)
        training, held_out = data, None
        if validation is not None:
            held_out = as_ratings(validation)
            check_not_empty(held_out, "validation")
        elif self.early_stopping:
            training, held_out = train_test_split(data, self.validation_fraction, random_state)
        self.orientation_ = self.orientation
        inputs = self._orient(training.matrix)
        self.network_ = network = Network(
            inputs.shape[1],
            tuple(self.hidden_layer_sizes),
            self.activation,
            self.output_activation,
            self.tied,
        )
        self._remember(data, training, indexed=sparse.issparse(ratings))
        self._fit_baselines(training)
        self.output_map_ = OutputMap.onto(self.output_activation, data.scale)
        targets = self._targets(inputs)
        theta = self._initial_theta(last, targets, random_state)
        self.regularization_ = (
            automatic_penalties(network, inputs, corruption_for(self.solver, self.corruption))
            if isinstance(self.regularization, str)
            else Objective(network, self.regularization).penalties
        )
        trainer = self._make_trainer(inputs)
        every_input = inputs if training is data else self._orient(data.matrix)
        with (
            workers(check_n_jobs(self.n_jobs)) as executor,
            EpochMonitor(
                trainer.max_iter,
                self._make_validation(inputs, held_out, executor),
                early_stopping=self.early_stopping,
                tol=self.tol,
                n_iter_no_change=self.n_iter_no_change,
                callbacks=self.callbacks,
                verbose=self.verbose,
            ) as monitor,
        ):
            try:
                trainer.run(
                    Objective(network, self._mapped_regularization()),
                    theta,  # holds the last good weights from here on
                    inputs,
                    targets,
                    random_state,
                    monitor,
                    executor,
                )
            except (KeyboardInterrupt, DivergenceError) as error:
                if monitor.n_complete == 0:
                    raise
                self._conclude(theta, every_input, executor, monitor, keep_best=True)
                if isinstance(error, KeyboardInterrupt):
                    return True
                error.model = self
                raise
            self._conclude(theta, every_input, executor, monitor, self.early_stopping)
        return False

    def _conclude(
        self,
        theta: Array,
        inputs: CSR,
        executor: Workers | None,
        monitor: EpochMonitor,
        keep_best: bool,
    ) -> None:
        """Remember what a run has learned, and its curves."""
        self.theta_ = theta
        if keep_best and monitor.best_theta is not None:
            self.theta_ = monitor.best_theta
        self.codes_ = encode(self.network_, self.theta_, inputs, executor)
        self.n_iter_ = monitor.n_complete
        self.loss_curve_ = monitor.values[: self.n_iter_]
        self.validation_curve_ = monitor.curve
        self.n_evaluations_ = monitor.n_evaluations

    def _check_parameters(self) -> None:
        choices: dict[str, Iterable[str | None]] = {
            "orientation": ("item", "user"),
            "activation": ACTIVATIONS,
            "output_activation": ACTIVATIONS,
            "baseline": ("auto", "bias", "mean", None),
            "solver": SOLVERS,
            "learning_rate": SCHEDULES,
            "dtype": ("float32", "float64"),
            "engine": ENGINES,
        }
        for name, allowed in choices.items():
            check_choice(name, getattr(self, name), tuple(allowed))
        if isinstance(self.cold, str):
            check_choice("cold", self.cold, ("baseline", "raise"))
        elif not isinstance(self.cold, numbers.Real):
            raise TypeError(f"cold must be 'baseline', 'raise' or a number, got {self.cold!r}.")
        else:
            check_number("cold", self.cold)
        widths = self.hidden_layer_sizes
        if isinstance(widths, str | bytes) or not isinstance(widths, Sequence | np.ndarray):
            raise TypeError(
                f"hidden_layer_sizes must be a sequence of widths, got {widths!r}; pass (500,) for "
                f"one hidden layer."
            )
        for width in widths:
            check_integer("a width of hidden_layer_sizes", width, minimum=1)
        if isinstance(self.regularization, str):
            check_choice("regularization", self.regularization, ("auto",))
        elif isinstance(self.regularization, Mapping):
            for name, penalty in self.regularization.items():
                check_number(f"regularization of {name}", penalty, minimum=0)
        else:
            check_number("regularization", self.regularization, minimum=0)
        for name in ("tied", "nesterovs_momentum", "early_stopping", "warm_start", "verbose"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}.")
        if not (isinstance(self.callbacks, Iterable) and all(map(is_callback, self.callbacks))):
            raise TypeError(
                f"callbacks must be a sequence of callables, each taking an EpochState, or of "
                f"objects with on_epoch_end(state), got {self.callbacks!r}; pass [callback] for "
                f"one."
            )
        optional = ("corruption", "learning_rate_init", "warm_up", "max_iter")
        for name, maximum, inclusive in (
            ("dropout", 1, (True, False)),
            ("momentum", 1, (True, False)),
            ("warm_up", 1, (True, False)),
            ("corruption", 1, (True, False)),
            ("validation_fraction", 1, (False, False)),
            ("learning_rate_init", np.inf, (False, True)),
            ("tol", np.inf, (True, True)),
        ):
            value = getattr(self, name)
            if value is not None or name not in optional:
                check_number(name, value, minimum=0, maximum=maximum, inclusive=inclusive)
        for name in ("batch_size", "n_iter_no_change", "max_iter"):
            value = getattr(self, name)
            if value is not None or name not in optional:
                check_integer(name, value, minimum=1)
        if SOLVERS[self.solver].full_batch and (self.dropout or self.corruption):
            raise ValueError(
                f"solver={self.solver!r} minimizes one fixed function, which "
                f"dropout={self.dropout} and corruption={self.corruption} change at every step; "
                f"use solver='adam' or 'sgd', or set both to 0."
            )
        if (
            self.baseline in ("bias", "mean")
            and not ACTIVATIONS[self.output_activation].covers_the_line
        ):
            raise ValueError(
                f"baseline={self.baseline!r} leaves residuals of both signs, which "
                f"output_activation={self.output_activation!r} cannot produce; use baseline=None "
                f"(or 'auto') or output_activation='identity'."
            )

    def _orient(self, matrix: CSR) -> CSR:
        """Return the matrix with rows by `orientation_`, in the training dtype."""
        oriented: CSR = matrix.T.tocsr() if self.orientation_ == "item" else matrix
        return with_data(oriented, oriented.data.astype(self.dtype))

    def _rows_and_columns(self, users: Any, items: Any) -> tuple[Any, Any]:
        return (items, users) if self.orientation_ == "item" else (users, items)

    def _initial_theta(
        self, last: AutoRec, targets: CSR, random_state: np.random.Generator
    ) -> Array:
        """Return the last weights for a warm start, else random ones and the mean as output."""
        layout = self.network_.layout
        if self.warm_start and hasattr(last, "theta_"):
            if not (
                last.orientation_ == self.orientation_
                and last.network_.layout.shapes == layout.shapes
                and np.array_equal(last._column_ids(), self._column_ids())
            ):
                columns = "users" if self.orientation_ == "item" else "items"
                raise ValueError(
                    f"warm_start=True needs the orientation, {columns} and layer sizes of the last "
                    f"fit, but they differ; call partial_fit with the ratings of new {columns} "
                    f"first, or use warm_start=False to train anew."
                )
            return last.theta_.astype(self.dtype)
        theta = layout.initialize(random_state, self.dtype)
        if not ACTIVATIONS[self.output_activation].bounded:
            layout.views(theta)["decoder.bias"][...] = targets.data.mean(dtype=np.float64)
        return theta

    def _column_ids(self) -> Array:
        by_item = self.orientation_ == "item"
        return self.ratings_.user_ids if by_item else self.ratings_.item_ids

    def _fit_baselines(self, training: Ratings) -> None:
        self.cold_baseline_ = BiasBaseline().fit(training)
        kind = self.baseline
        if kind == "auto":
            kind = "bias" if ACTIVATIONS[self.output_activation].covers_the_line else None
        self.baseline_ = None
        if kind == "bias":
            self.baseline_ = self.cold_baseline_
        elif kind == "mean":
            self.baseline_ = GlobalMean().fit(training)

    def _targets(self, inputs: CSR) -> CSR:
        """Return what the network learns at each observed rating."""
        rows = np.repeat(np.arange(inputs.shape[0]), np.diff(inputs.indptr))
        users, items = self._rows_and_columns(rows, inputs.indices)  # the swap is its own inverse
        residuals = inputs.data - self._baseline_at(users, items)
        mapped = self.output_map_.factor * residuals + self.output_map_.offset
        return with_data(inputs, mapped.astype(inputs.dtype))

    def _baseline_at(self, users: Array, items: Array) -> Array | float:
        return 0.0 if self.baseline_ is None else self.baseline_._score_pairs(users, items)

    def _mapped_regularization(self) -> dict[str, float]:
        """Return lambda in output units: the map scales (2) by factor^2, (17)."""
        square = self.output_map_.factor**2
        return {name: penalty * square for name, penalty in self.regularization_.items()}

    def _make_trainer(self, inputs: CSR) -> Trainer:
        defaults = SOLVERS[self.solver]
        rate = self.learning_rate_init
        if rate is None:
            rate = defaults.learning_rate_init
            if self.solver == "sgd":
                n_rows, n_columns = inputs.shape
                per_batch = inputs.nnz / n_columns * min(1.0, self.batch_size / n_rows)
                rate /= max(per_batch, 1.0) * self.hidden_layer_sizes[-1]
                rate = min(rate, 1.0 / max(1.0, *self._mapped_regularization().values()))
        return Trainer(
            solver=self.solver,
            learning_rate=self.learning_rate,
            learning_rate_init=rate,
            warm_up=WARM_UP[self.orientation_] if self.warm_up is None else self.warm_up,
            momentum=self.momentum,
            nesterovs_momentum=self.nesterovs_momentum,
            batch_size=self.batch_size,
            max_iter=defaults.max_iter if self.max_iter is None else self.max_iter,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            dropout=self.dropout,
            corruption=corruption_for(self.solver, self.corruption),
            engine=self.engine,
        )

    def _make_validation(
        self, inputs: CSR, held_out: Ratings | None, executor: Workers | None
    ) -> Callable[[Array], float] | None:
        if held_out is None:
            return None
        user_ids, item_ids, truth = held_out.triples()
        users, items = self._positions(user_ids, item_ids)

        def validate(theta: Array) -> float:
            codes = encode(self.network_, theta, inputs, executor)
            scorer = Scorer(self.network_, theta, codes, self.output_map_)
            scores = self._scores_at(scorer, users, items)
            return rmse(truth, np.clip(scores, *self.rating_scale_))

        return validate

    # Scoring

    def _score_pairs(self, users: Array, items: Array) -> Array:
        if self.cold == "raise":
            self._refuse_cold(self._is_cold(users, items))
        return self._scores_at(self._scorer(), users, items)

    def _scorer(self) -> Scorer:
        return Scorer(self.network_, self.theta_, self.codes_, self.output_map_)

    def _scores_at(self, scorer: Scorer, users: Array, items: Array) -> Array:
        """Return unclipped scores of pairs, cold ones by `cold`."""
        scores = self._cold_scores(users, items)
        warm = np.flatnonzero(~self._is_cold(users, items))
        users, items = users[warm], items[warm]
        learned = scorer.pairs(*self._rows_and_columns(users, items))
        scores[warm] = learned + self._baseline_at(users, items)
        return scores

    def _score_all_items(self, users: Array) -> Array:
        scorer = self._scorer()
        by_item = self.orientation_ == "item"
        scores = scorer.whole_columns(users) if by_item else scorer.whole_rows(users)
        if self.baseline_ is not None:
            scores += self.baseline_._score_all_items(users)
        cold = self._is_cold(users[:, np.newaxis], np.arange(self.ratings_.n_items))
        if self.cold == "raise":  # cold items are left out: nobody asked for them
            self._refuse_cold(self.user_counts_[users] == 0)
            scores[cold] = -np.inf
        elif cold.any():
            rows, items = np.nonzero(cold)
            scores[rows, items] = self._cold_scores(users[rows], items)
        return scores

    def _cold_scores(self, users: Array, items: Array) -> Array:
        """Return what `cold` says, as if each pair were cold."""
        if isinstance(self.cold, str):  # "raise": only validation ratings come here
            return self.cold_baseline_._score_pairs(users, items)
        return np.full(len(users), float(self.cold))

    @staticmethod
    def _refuse_cold(cold: Array) -> None:
        if cold.any():
            raise ValueError(
                f"{cold.sum()} of {len(cold)} pairs are cold (their user or item has no training "
                f"rating) and cold='raise'; leave them out (model.cold_pairs tells which) or use "
                f"cold='baseline'."
            )

    def encode(self, ids: npt.ArrayLike | None = None) -> Array:
        """Return the hidden codes of items (orientation "item") or users.

        Parameters
        ----------
        ids : array_like, (m,), optional
            None: all, in the order of ``ratings_.item_ids`` or ``ratings_.user_ids``.

        Returns
        -------
        ndarray, (m, k)

        Raises
        ------
        ValueError
            An unknown id.
        IndexError
            An index out of range (models fitted on a sparse matrix).
        """
        self._check_fitted()
        if ids is None:
            return np.array(self.codes_)
        return np.asarray(self.codes_[self._look_up(self.orientation_, ids)])
