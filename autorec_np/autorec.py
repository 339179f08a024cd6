"""The estimator `AutoRec`: orientation, baseline, solver, fit, predict, recommend."""

from __future__ import annotations

import copy
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from autorec_np._validation import (
    RandomState,
    check_choice,
    check_integer,
    check_n_jobs,
    check_number,
    check_random_state,
)
from autorec_np.activations import ACTIVATIONS
from autorec_np.base import Recommender, check_not_empty
from autorec_np.baselines import BiasBaseline, GlobalMean
from autorec_np.kernels import CSR, Array, with_data
from autorec_np.metrics import rmse
from autorec_np.network import Network
from autorec_np.objective import Objective
from autorec_np.ranking import top_n
from autorec_np.ratings import Ratings, as_ratings, check_ids
from autorec_np.regularization import automatic_penalties
from autorec_np.schedules import SCHEDULES
from autorec_np.scoring import OutputMap, Scorer
from autorec_np.splitting import train_test_split
from autorec_np.training import SOLVERS, EpochMonitor, EpochState, Trainer

if TYPE_CHECKING:
    from typing_extensions import Self


class AutoRec(Recommender):
    """Autoencoder for rating prediction (Sedhain, Menon, Sanner and Xie, WWW 2015).

    A row r of ratings (of an item, or of a user) is reconstructed by
    h(r) = f(W g(V^T r + mu) + b), and J = sum ||r - h(r)||^2 over the observed ratings
    + lambda/2 (||W||_F^2 + ||V||_F^2) is minimized: equations (1) and (2).

    Parameters
    ----------
    orientation : {"item", "user"}
        "item" (I-AutoRec): a row is an item, its columns are the users; the more accurate.
        "user" (U-AutoRec): a row is a user; new users need no retraining.
    hidden_layer_sizes : sequence of int
        Width of every hidden layer.
    activation, output_activation : str
        g and f: "identity", "sigmoid", "tanh", "relu", "elu" or "softplus". For a sigmoid or tanh
        output, ratings are mapped from the rating scale to its range and back.
    regularization : "auto", float, or mapping of str to float
        lambda of (2) in rating units: one for every weight block, or one for each name
        ("encoder.weight", "hidden1.weight", ..., "decoder.weight"). "auto": from the numbers of
        ratings of users and items, by `regularization.automatic_penalties`.
    tied : bool
        Whether the decoder weight is the encoder weight (W = V).
    dropout : float in [0, 1)
        Fraction of each hidden layer set to 0 in training.
    corruption : float in [0, 1), optional
        Fraction of the input ratings set to 0 in training, the others divided by
        (1 - corruption). None: 0.1 for "sgd" and "adam", 0 for a full-batch solver.
    baseline : {"auto", "bias", "mean", None}
        What is subtracted from the targets (never from the inputs): mean + user and item biases,
        the mean, or nothing. "auto": "bias", or None where the output activation does not take
        every real value.
    cold : "baseline", float, or "raise"
        The prediction where the user or the item has no training rating: that of the bias
        baseline, a number, or a ValueError.
    rating_scale : (low, high), optional
        Predictions are clipped to it. None: the scale of the `Ratings`, else their range.
    solver : {"adam", "sgd", "rprop", "lbfgs", "scipy-lbfgs"}
        Minibatch solvers: "adam", "sgd". Full batch: "rprop" (the paper's), "lbfgs" (our own, in
        the training dtype), "scipy-lbfgs" (SciPy's L-BFGS-B, in float64).
    learning_rate : {"cosine", "constant", "step", "exponential"}
        Schedule of a minibatch solver; see `schedules.learning_rate_at`.
    learning_rate_init : float, optional
        None: 3e-3 for "adam", 1e-3 (first step length) for "rprop"; for "sgd" 0.1 / (k times
        the mean number of ratings that a column has in a batch).
    momentum : float in [0, 1)
        Of "sgd".
    nesterovs_momentum : bool
        Of "sgd".
    batch_size : int
        Rows in a batch of a minibatch solver, at most.
    max_iter : int, optional
        Epochs, or iterations of a full-batch solver. None: 40 for "adam", 60 for "sgd", 200 for
        "rprop", 150 for L-BFGS.
    tol : float
        Early stopping: least improvement of the validation RMSE. Full-batch solvers: least
        relative fall of the objective.
    early_stopping : bool
        Whether to stop when the validation RMSE stops improving, and to restore the best weights.
    validation_fraction : float in (0, 1)
        Part of the training ratings held out for early stopping where `fit` is given none.
    n_iter_no_change : int
        Epochs or iterations without improvement by `tol` that end the training. ("scipy-lbfgs"
        has a test of its own: it ends at the first iteration without.)
    warm_start : bool
        Whether `fit` begins at the weights of the last `fit`; needs the same users and items.
    n_jobs : int, optional
        Threads. None: the cores that this process may use. Results do not depend on it.
    dtype : {"float32", "float64"}
    callbacks : iterable of callable
        Each is called with a `training.EpochState` after every epoch; training stops where one
        returns True.
    verbose : bool
        Whether to log every epoch at level INFO (``logging.basicConfig(level="INFO")`` shows it).
    random_state : int, Generator or None
        An int makes runs bit-identical.

    Attributes
    ----------
    theta_ : ndarray, (network_.layout.size,)
        The weights as one vector; ``network_.layout.views(theta_)`` names its blocks.
    codes_ : ndarray, (n_rows, k)
        The hidden code of each item (orientation "item") or user.
    network_ : Network
    orientation_ : str
        The orientation that was fitted; changing the parameter later does not change it.
    regularization_ : dict of str to float
        lambda of each weight block, in rating units.
    baseline_ : BiasBaseline, GlobalMean or None
    cold_baseline_ : BiasBaseline
    loss_curve_ : list of float
        J after each epoch.
    validation_curve_ : list of float
        Validation RMSE after each epoch; empty without validation ratings.
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

    theta_: Array
    codes_: Array

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
        callbacks: Iterable[Callable[[EpochState], Any]] = (),
        verbose: bool = False,
        random_state: RandomState = None,
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

    # Fitting

    def fit(self, ratings: Any, validation: Any = None) -> Self:
        """Train on ratings.

        Parameters
        ----------
        ratings : Ratings, sparse matrix (users x items), DataFrame or (users, items, ratings)
            See `ratings.as_ratings`.
        validation : of the same kinds, optional
            Ratings for the validation curve and early stopping; ids as in `ratings`.

        Returns
        -------
        AutoRec
            The model itself.

        Raises
        ------
        ValueError, TypeError
            For parameters or ratings that cannot be used.
        DivergenceError
            If the objective stops being finite.

        Warns
        -----
        ConvergenceWarning
            If a full-batch solver ends at `max_iter`.
        """
        fitted = copy.copy(self)  # so that a fit that fails leaves the last one
        fitted._fit(ratings, validation)
        vars(self).update(vars(fitted))
        return self

    def _fit(self, ratings: Any, validation: Any) -> None:
        self._check_parameters()
        data = as_ratings(ratings, scale=self.rating_scale)
        random_state = check_random_state(self.random_state)
        training, held_out = self._hold_out(data, validation, random_state)
        last_orientation = getattr(self, "orientation_", self.orientation)
        self.orientation_ = self.orientation
        inputs = self._orient(training.matrix)
        network = Network(
            inputs.shape[1],
            tuple(self.hidden_layer_sizes),
            self.activation,
            self.output_activation,
            self.tied,
        )
        started_from = self._last_theta(network, data, last_orientation)
        self._remember(data, training, indexed=sparse.issparse(ratings))
        self.network_ = network
        self._fit_baselines(training)
        self.output_map_ = OutputMap.onto(self.output_activation, data.scale)
        targets = self._targets(inputs)
        theta = (
            self._initial_theta(network, targets, random_state)
            if started_from is None
            else started_from
        )
        self.regularization_ = self._resolve_regularization(network, inputs)
        trainer = self._make_trainer(inputs)
        n_jobs = check_n_jobs(self.n_jobs)
        with ThreadPoolExecutor(n_jobs) if n_jobs > 1 else nullcontext() as executor:
            threaded = replace(network, executor=executor)
            monitor = EpochMonitor(
                trainer.max_iter,
                self._make_validation(threaded, inputs, held_out),
                early_stopping=self.early_stopping,
                tol=self.tol,
                n_iter_no_change=self.n_iter_no_change,
                callbacks=self.callbacks,
                verbose=self.verbose,
            )
            result = trainer.run(
                Objective(threaded, self._mapped_regularization()),
                theta,
                inputs,
                targets,
                random_state,
                monitor,
            )
            self.theta_ = result.theta if monitor.best_theta is None else monitor.best_theta
            every_input = inputs if training is data else self._orient(data.matrix)
            self.codes_ = threaded.encode(self.theta_, every_input)
        self.loss_curve_ = result.values
        self.validation_curve_ = monitor.curve
        self.n_iter_ = len(result.values)
        self.n_evaluations_ = result.n_evaluations

    def _check_parameters(self) -> None:
        check_choice("orientation", self.orientation, ("item", "user"))
        check_choice("activation", self.activation, tuple(ACTIVATIONS))
        check_choice("output_activation", self.output_activation, tuple(ACTIVATIONS))
        check_choice("baseline", self.baseline, ("auto", "bias", "mean", None))
        check_choice("solver", self.solver, tuple(SOLVERS))
        check_choice("learning_rate", self.learning_rate, tuple(SCHEDULES))
        check_choice("dtype", self.dtype, ("float32", "float64"))
        if isinstance(self.cold, str):
            check_choice("cold", self.cold, ("baseline", "raise"))
        elif isinstance(self.cold, bool) or not isinstance(self.cold, numbers.Real):
            raise TypeError(f"cold must be 'baseline', 'raise' or a number, got {self.cold!r}.")
        else:
            check_number("cold", self.cold)
        self._check_layers()
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
        if not (isinstance(self.callbacks, Iterable) and all(map(callable, self.callbacks))):
            raise TypeError(
                f"callbacks must be a sequence of callables, each taking an EpochState, got "
                f"{self.callbacks!r}; pass [callback] for one."
            )
        fractions = ("dropout", "momentum", *(["corruption"] if self.corruption else []))
        for name in fractions:
            check_number(name, getattr(self, name), minimum=0, maximum=1, inclusive=(True, False))
        check_number("tol", self.tol, minimum=0)
        check_number(
            "validation_fraction",
            self.validation_fraction,
            minimum=0,
            maximum=1,
            inclusive=(False, False),
        )
        check_integer("batch_size", self.batch_size, minimum=1)
        check_integer("n_iter_no_change", self.n_iter_no_change, minimum=1)
        if self.max_iter is not None:
            check_integer("max_iter", self.max_iter, minimum=1)
        if self.learning_rate_init is not None:
            check_number(
                "learning_rate_init", self.learning_rate_init, minimum=0, inclusive=(False, True)
            )
        if SOLVERS[self.solver].full_batch and (self.dropout or self.corruption):
            raise ValueError(
                f"solver={self.solver!r} minimizes one fixed function of all ratings, got "
                f"dropout={self.dropout} and corruption={self.corruption}, which change it at "
                f"every step; use solver='adam' or 'sgd', or set both to 0."
            )
        if self.baseline in ("bias", "mean") and not self._output_covers_the_line():
            raise ValueError(
                f"baseline={self.baseline!r} leaves residuals of both signs, which "
                f"output_activation={self.output_activation!r} cannot produce; use baseline=None "
                f"(or 'auto'), or output_activation='identity'."
            )

    def _check_layers(self) -> None:
        sizes = self.hidden_layer_sizes
        if isinstance(sizes, (str, bytes)) or not isinstance(sizes, Sequence | np.ndarray):
            raise TypeError(
                f"hidden_layer_sizes must be a sequence of widths, got {sizes!r}; pass (500,) for "
                f"one hidden layer."
            )
        for width in sizes:
            check_integer("a width of hidden_layer_sizes", width, minimum=1)

    def _output_covers_the_line(self) -> bool:
        return ACTIVATIONS[self.output_activation].covers_the_line

    def _hold_out(
        self, data: Ratings, validation: Any, random_state: np.random.Generator
    ) -> tuple[Ratings, Ratings | None]:
        """Return the ratings to train on and those to validate on."""
        if validation is not None:
            held_out = as_ratings(validation)
            check_not_empty(held_out, "validation")
            return data, held_out
        if not self.early_stopping:
            return data, None
        return train_test_split(data, self.validation_fraction, random_state)

    def _orient(self, matrix: CSR) -> CSR:
        """Return the matrix with a row for each item, or user, in the training dtype."""
        oriented = matrix.T.tocsr() if self.orientation_ == "item" else matrix
        return with_data(oriented, oriented.data.astype(self.dtype))

    def _rows_and_columns(self, users: Array, items: Array) -> tuple[Array, Array]:
        return (items, users) if self.orientation_ == "item" else (users, items)

    def _last_theta(self, network: Network, data: Ratings, last_orientation: str) -> Array | None:
        """Return a copy of the weights of the last fit for a warm start, else None."""
        if not (self.warm_start and hasattr(self, "theta_")):
            return None
        same_ids = np.array_equal(data.user_ids, self.ratings_.user_ids) and np.array_equal(
            data.item_ids, self.ratings_.item_ids
        )
        same_network = (
            last_orientation == self.orientation_
            and network.layout.shapes == self.network_.layout.shapes
        )
        if not (same_ids and same_network):
            raise ValueError(
                "warm_start=True needs the orientation, users, items and layer sizes of the last "
                "fit, but they differ; use warm_start=False to train anew."
            )
        return self.theta_.astype(self.dtype)

    def _initial_theta(
        self, network: Network, targets: CSR, random_state: np.random.Generator
    ) -> Array:
        """Return random weights; an output bias without bounds starts at the mean target."""
        theta = network.layout.initialize(random_state, self.dtype)
        if not ACTIVATIONS[self.output_activation].bounded:
            mean = targets.data.mean(dtype=np.float64)
            network.layout.views(theta)["decoder.bias"][...] = mean
        return theta

    def _fit_baselines(self, training: Ratings) -> None:
        self.cold_baseline_ = BiasBaseline().fit(training)
        kind = self.baseline
        if kind == "auto":
            kind = "bias" if self._output_covers_the_line() else None
        self.baseline_: Recommender | None = None
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

    def _resolve_regularization(self, network: Network, inputs: CSR) -> dict[str, float]:
        if isinstance(self.regularization, str):
            return automatic_penalties(network, inputs)
        return Objective(network, self.regularization).penalties

    def _mapped_regularization(self) -> dict[str, float]:
        """Return lambda in the units of the output: the map scales (2) by factor^2, (17)."""
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
        return Trainer(
            solver=self.solver,
            learning_rate=self.learning_rate,
            learning_rate_init=rate,
            momentum=self.momentum,
            nesterovs_momentum=self.nesterovs_momentum,
            batch_size=self.batch_size,
            max_iter=defaults.max_iter if self.max_iter is None else self.max_iter,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            dropout=self.dropout,
            corruption=defaults.corruption if self.corruption is None else self.corruption,
        )

    def _make_validation(
        self, network: Network, inputs: CSR, held_out: Ratings | None
    ) -> Callable[[Array], float] | None:
        if held_out is None:
            return None
        user_ids, item_ids, truth = held_out.triples()
        users, items = self._positions(user_ids, item_ids)

        def validate(theta: Array) -> float:
            scorer = Scorer(network, theta, network.encode(theta, inputs), self.output_map_)
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
        """Return unclipped scores of pairs, the cold ones by the rule of `cold`."""
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
        """Return what `cold` says for each pair (its caller replaces those that are not cold)."""
        if isinstance(self.cold, str):  # "raise": only validation ratings come here
            return self.cold_baseline_._score_pairs(users, items)
        return np.full(len(users), float(self.cold))

    @staticmethod
    def _refuse_cold(cold: Array) -> None:
        if cold.any():
            raise ValueError(
                f"{int(cold.sum())} of {len(cold)} pairs are cold (their user or item has no "
                f"training rating) and cold='raise'; leave them out (model.cold_pairs tells "
                f"which) or use cold='baseline'."
            )

    def encode(self, ids: npt.ArrayLike | None = None) -> Array:
        """Return the hidden codes of items (orientation "item") or users ("user").

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
            An id that the model does not know.
        IndexError
            An index out of range (models fitted on a sparse matrix).
        """
        self._check_fitted()
        if ids is None:
            return np.array(self.codes_)
        look_up = (
            self.ratings_.item_positions
            if self.orientation_ == "item"
            else self.ratings_.user_positions
        )
        positions = look_up(ids)
        if self._indexed:
            self._check_indices(self.orientation_, ids, positions, len(self.codes_))
        self._check_known(self.orientation_, ids, positions)
        return np.asarray(self.codes_[positions])

    # A user who was not in training

    def predict_new(
        self, ratings: Mapping[Any, float] | tuple[Any, Any], items: npt.ArrayLike | None = None
    ) -> Array:
        """Predict for a user who was not in training, from this user's ratings.

        In orientation "user" by one forward pass; in orientation "item", where a user is a
        column, by the exact minimizer of (2) over this column's decoder weights and bias with
        the codes frozen (see `foldin.fit_column`). The bias in (2) is not penalized, so with
        fewer than about ten ratings orientation "item" follows them too closely: there the bias
        baseline is the better guess.

        Parameters
        ----------
        ratings : mapping of item id to rating, or (item ids, ratings)
            At least one; items that the model knows.
        items : array_like, (n,), optional
            Item ids to predict for. None: all, in the order of ``ratings_.item_ids``.

        Returns
        -------
        ndarray of float64, (n,)
            Clipped to `rating_scale_`.

        Raises
        ------
        ValueError
            No ratings, an unknown or repeated item, a rating that is not finite or outside the
            rating scale.
        """
        new_user = self._new_user(ratings)
        asked = np.arange(self.ratings_.n_items) if items is None else self._known_items(items)
        if self.cold == "raise":
            self._refuse_cold(self.item_counts_[asked] == 0)
        return np.asarray(np.clip(self._score_new(*new_user)[asked], *self.rating_scale_))

    def recommend_new(
        self,
        ratings: Mapping[Any, float] | tuple[Any, Any],
        n: int = 10,
        exclude_seen: bool = True,
    ) -> tuple[Array, Array]:
        """Recommend to a user who was not in training, from this user's ratings.

        `ratings` as in :meth:`predict_new`; `n`, `exclude_seen` and the order as in
        :meth:`recommend`.

        Returns
        -------
        ids : ndarray of object, (n,)
        scores : ndarray of float64, (n,)
        """
        n = check_integer("n", n, minimum=1)
        positions, values = self._new_user(ratings)
        scores = self._score_new(positions, values)
        if exclude_seen:
            scores[positions] = -np.inf
        ids, best_scores = self._with_ids(*top_n(scores[np.newaxis], n), n)
        return ids[0], best_scores[0]

    def _new_user(self, ratings: Mapping[Any, float] | tuple[Any, Any]) -> tuple[Array, Array]:
        """Return item positions and ratings of a new user, checked."""
        self._check_fitted()
        if isinstance(ratings, Mapping):
            ratings = list(ratings.keys()), list(ratings.values())
        if not (isinstance(ratings, tuple) and len(ratings) == 2):
            raise TypeError(
                f"the ratings of a new user must be a mapping {{item id: rating}} or a pair "
                f"(item ids, ratings), got {type(ratings).__name__}."
            )
        ids = check_ids(ratings[0], "item ids")
        low, high = self.rating_scale_
        triples = as_ratings(
            (np.zeros(len(ids), np.int64), ids, ratings[1]),
            scale=(low, high) if low < high else None,
        ).triples()
        return self._known_items(triples[1]), triples[2].astype(np.float64)

    def _known_items(self, items: npt.ArrayLike) -> Array:
        positions = self.ratings_.item_positions(items)
        if self._indexed:
            self._check_indices("item", items, positions, self.ratings_.n_items)
        unknown = np.flatnonzero(positions < 0)
        if len(unknown):
            raise ValueError(
                f"{len(unknown)} of {len(positions)} item ids are not in the training ratings, for "
                f"example {np.asarray(items, dtype=object)[unknown[0]]!r}; leave them out."
            )
        return positions

    def _score_new(self, items: Array, values: Array) -> Array:
        """Return unclipped scores (n_items,) for a new user."""
        biases = self.cold_baseline_.biases_
        bias_scores = biases.mean + biases.item + self._new_user_bias(items, values)
        if self.baseline_ is None:
            base = np.zeros(self.ratings_.n_items)
        elif isinstance(self.baseline_, BiasBaseline):
            base = bias_scores
        else:
            base = np.full(self.ratings_.n_items, biases.mean)
        if self.orientation_ == "user":
            learned = self._scorer().new_row(items, values)
        else:
            learned = self._scorer().new_column(
                items, values - base[items], self._decoder_penalty()
            )
        cold = self.item_counts_ == 0
        scores = learned + base
        if self.cold == "raise":
            scores[cold] = -np.inf
        else:
            scores[cold] = bias_scores[cold] if self.cold == "baseline" else self.cold
        return scores

    def _new_user_bias(self, items: Array, values: Array) -> float:
        """Return the bias of a new user: the minimizer in `baselines.fit_biases`."""
        biases = self.cold_baseline_.biases_
        residuals = values - biases.mean - biases.item[items]
        return float(residuals.sum() / (len(items) + self.cold_baseline_.regularization))

    def _decoder_penalty(self) -> float:
        """Return lambda of the decoder weight; tied weights carry both penalties."""
        block = self.network_.layout.aliases.get("decoder.weight", "decoder.weight")
        return Objective(self.network_, self.regularization_).penalties.get(block, 0.0)
