"""The estimator `AutoRec`, and checks of its parameters."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from autorec_np._text import NETWORK_ATTRIBUTES_ELSEWHERE, knows_habits
from autorec_np._types import CSR, Array, Axis, Solver
from autorec_np._validation import (
    RandomState,
    check_choice,
    check_cold,
    check_hidden_layer_sizes,
    check_integer,
    check_n_jobs,
    check_number,
    check_random_state,
    check_regularization,
)
from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.network import Network
from autorec_np.core.objective import Objective
from autorec_np.core.optimizers import SCHEDULES
from autorec_np.data.ratings import Ratings, as_ratings
from autorec_np.data.splitting import train_test_split
from autorec_np.data.values import warn_of_unsuitable
from autorec_np.engine.rows import pattern_of
from autorec_np.engine.threads import workers
from autorec_np.models.base import (
    Axes,
    Record,
    Self,
    check_fitted,
    check_not_empty,
    of_record,
    to_learn,
)
from autorec_np.models.biases import BiasBaseline, FittedBiases, GlobalMean
from autorec_np.models.newcomers import FoldIn
from autorec_np.models.scoring import (
    Baseline,
    Fitted,
    Reading,
    TrainingTask,
    network_for,
    scaled,
    start_again,
)
from autorec_np.training.checkpoint import checkpoint_at
from autorec_np.training.solvers import (
    DivergenceError,
    EpochCallback,
    EpochMonitor,
    check_callbacks,
)
from autorec_np.training.trainer import (
    ENGINES,
    SOLVERS,
    Trainer,
    automatic_batch_size,
    automatic_penalties,
    automatic_shrinkage,
    corruption_for,
    starting_theta,
    warn_of_interrupt,
)
from autorec_np.training.units import AffineMap, Mapped, canonical, map_onto_outputs

# Chosen on validation ratings: docs/decisions.md
WARM_UP = {"item": 0.3, "user": 0.1}  # of the steps, in "cosine"
ADAM_RATE = {"item": 4e-3, "user": 3e-3}


class AutoRec(FoldIn):
    """Autoencoder for rating prediction (Sedhain, Menon, Sanner and Xie, WWW 2015).

    A row r of ratings is reconstructed by h(r) = f(W g(V^T r + mu) + b), (1), and
    J = sum ||r - h(r)||^2 over the observed ratings + lambda/2 (||W||_F^2 + ||V||_F^2), (2),
    is minimized. For lists of what is chosen next see `RankingAutoRec`.

    Parameters
    ----------
    orientation : {"item", "user"}
        What a row is: "item" (I-AutoRec) is more accurate; with "user" (U-AutoRec), new users need
        no training.
    hidden_layer_sizes : sequence of int, optional
        None: (500,), for U-AutoRec (200,).
    activation, output_activation : str
        g and f: "identity", "sigmoid", "tanh", "relu", "elu" or "softplus". To the range of a
        sigmoid or tanh output, ratings are mapped from the rating scale, and back.
    regularization : "auto", float, or mapping of str to float
        lambda of (2) in units of the ratings: of every weight block, or by name ("encoder.weight",
        "hidden1.weight", ..., "decoder.weight", "implicit.weight"). "auto": by
        `training.automatic_penalties`, in canonical units (`training.units`), so that the unit of
        the ratings does not matter. With a baseline and without tied weights, a column of n
        training ratings is then believed n / (n + `shrinkage_`): `training.reliability`.
    tied : bool
        Whether W = V.
    dropout : float in [0, 1)
        Part of each hidden layer set to 0 in training.
    corruption : float in [0, 1), optional
        Part of the input ratings set to 0 in training, others divided by (1 - corruption).
        None: 0.5 for "sgd" and "adam", else 0.
    baseline : {"auto", "bias", "mean", None}
        Subtracted from the targets, not the inputs: mean + biases, the mean, or nothing. "auto":
        "bias", or None where the output activation does not take every real value.
    cold : "baseline", float, or "raise"
        For users or items without training ratings: the bias baseline, a number, or a ValueError.
    rating_scale : (low, high), optional
        Predictions are clipped to it. None: the scale of the `Ratings`, else their range.
    solver : {"adam", "sgd", "rprop", "lbfgs", "scipy-lbfgs"}
        Minibatch: "adam", "sgd". Full batch: "rprop" (the paper's), "lbfgs",
        "scipy-lbfgs" (SciPy's L-BFGS-B, in float64).
    learning_rate : {"cosine", "constant", "step", "exponential"}
        Schedule of a minibatch solver; see `optimizers.learning_rate_at`.
    learning_rate_init : float, optional
        None: 4e-3 for "adam" (3e-3 for U-AutoRec), 1e-3 (first step length) for "rprop"; for "sgd"
        0.1 / (k times the mean ratings of a column in a batch), at most 1 / lambda.
    warm_up : float in [0, 1), optional
        Part of the steps of "cosine". None: 0.3 for I-AutoRec, 0.1 for U-AutoRec.
    momentum, nesterovs_momentum : float in [0, 1), bool
        Of "sgd".
    batch_size : int, optional
        Most rows in a batch. None: an eighth of all, 64 to 512; of nearly empty rows more, until
        they have a rating to four columns.
    max_iter : int, optional
        Epochs, or iterations of a full-batch solver. None: 20 for "adam", 60 for "sgd", 200 for
        "rprop", 150 for L-BFGS.
    tol : float
        Least fall of the validation RMSE (in canonical units with regularization="auto" or planes)
        for early stopping; least relative fall of the objective of full-batch solvers.
    early_stopping : bool
        Stop when the validation RMSE stops falling, and restore the best weights.
    validation_fraction : float in (0, 1)
        Held out for early stopping where `fit` is given none; the others are copied.
    n_iter_no_change : int
        Epochs or iterations without improvement by `tol` that end it; of "scipy-lbfgs", 1.
    warm_start : bool
        Begin at the weights of the last `fit` (and `partial_fit`); needs the same columns: the
        users in orientation "item", the items in "user".
    n_jobs : int, optional
        Threads; results do not depend on them. None: the cores that this process may use.
    dtype : {"float32", "float64"}
    callbacks : iterable of callable, or of objects with ``on_epoch_end``
        Called with a `training.EpochState` after every epoch; a true result ends the training.
    verbose : bool
        Show every epoch: in the log where it shows level INFO, else as a bar on a terminal with
        tqdm (extra `progress`), or lines on stderr.
    random_state : int, Generator or None
        An int makes runs bit-identical.
    engine : {"tiled", "plain"}
        "plain" runs the lines of `core` in one thread; equal to rounding.
    implicit : "auto" or int
        q of the implicit decoder, W + [N Y, 0], (35): units of the last hidden layer that are also
        told who rated what. 0: the paper's decoder. "auto": a fifth of the units (half in
        U-AutoRec), 0 for a full-batch solver or tied weights.
    inputs : {"auto", "ratings", "planes"}
        What the network reads: ratings (the paper's), or in canonical units two planes, who is
        rated and ratings minus biases, (38). "auto": "planes", where `implicit` may be above 0.
    checkpoint : path, optional
        File that `fit` keeps its state in, to `resume` (and leaves when it ends). Copies that are
        fitted by `cross_validate`, `search`, `Blend` and the like have none.
    checkpoint_every : int, optional
        Epochs or iterations from one state to the next. None: as many as keep what it costs below
        a twentieth of the time.

    Attributes
    ----------
    theta_ : ndarray, (network_.layout.size,)
        The weights; ``network_.layout.views(theta_)`` names them. Of an implicit decoder, the
        decoder weight is W + [N Y, 0].
    codes_ : ndarray, (n_rows, k)
        Of items (orientation "item") or users.
    network_ : Network
    orientation_ : str
    regularization_ : dict of str to float
        lambda of each weight block, in rating units.
    implicit_, inputs_ : int, str
        What "auto" was.
    input_map_, output_map_ : AffineMap
        From ratings to what the network reads, and says.
    baseline_ : BiasBaseline, GlobalMean or None
    cold_baseline_ : BiasBaseline
    loss_curve_, validation_curve_ : list of float
        J, and the validation RMSE (if any), after each epoch.
    n_iter_, n_evaluations_ : int
        Epochs or iterations; evaluations of value and gradient.
    ratings_, rating_scale_, user_counts_, item_counts_
        See `base.Recommender`.
    """

    _attributes_elsewhere = NETWORK_ATTRIBUTES_ELSEWHERE

    fitted_: Fitted
    theta_: Array = of_record("theta")
    codes_: Array = of_record("codes")
    network_: Network = of_record("network")
    orientation_: str = of_record("axes.row")
    input_map_: AffineMap = of_record("input_map")
    output_map_: AffineMap = of_record("output_map")
    regularization_: dict[str, float] = of_record(lambda record: dict(record.penalties))
    implicit_: int = of_record("n_implicit")
    inputs_: str = of_record("inputs")
    shrinkage_: float = of_record("shrinkage")
    baseline_: BiasBaseline | GlobalMean | None = of_record(
        lambda record: record.baseline and record.baseline.model()
    )
    cold_baseline_: BiasBaseline = of_record(lambda record: record.cold_baseline.model())
    loss_curve_: list[float] = of_record(lambda record: list(record.course.loss_curve))
    validation_curve_: list[float] = of_record(lambda record: list(record.course.validation_curve))
    n_iter_: int = of_record("course.n_iter")
    n_evaluations_: int = of_record("course.n_evaluations")

    @knows_habits
    def __init__(
        self,
        orientation: Axis = "item",
        hidden_layer_sizes: Sequence[int] | None = None,
        activation: str = "sigmoid",
        output_activation: str = "identity",
        regularization: str | float | Mapping[str, float] = "auto",
        tied: bool = False,
        dropout: float = 0.0,
        corruption: float | None = None,
        baseline: str | None = "auto",
        cold: str | float = "baseline",
        rating_scale: tuple[float, float] | None = None,
        solver: Solver = "adam",
        learning_rate: str = "cosine",
        learning_rate_init: float | None = None,
        warm_up: float | None = None,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        batch_size: int | None = None,
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
        implicit: str | int = "auto",
        inputs: str = "auto",
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
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
        self.implicit = implicit
        self.inputs = inputs
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every

    @knows_habits
    def fit(self, ratings: Any, validation: Any = None, resume: bool = False) -> Self:
        """Train on ratings; return the model itself.

        Ctrl-C after the first epoch ends the training with a warning, and the best weights where
        validation ratings are followed, else the last. Before, it is a KeyboardInterrupt; then,
        and after any error, the model is as it was.

        Parameters
        ----------
        ratings : Ratings, sparse matrix (users x items), DataFrame or (users, items, ratings)
            See `ratings.as_ratings`.
        validation : of the same kinds, optional
            For the curve and early stopping; ids as in `ratings`.
        resume : bool
            Go on from the file `checkpoint`, if there is one, to the same bits as if nothing had
            stopped; a finished fit is only read. Ratings and parameters must be the same, but for
            n_jobs, verbose, callbacks, checkpoint_every and, where no schedule depends on it,
            max_iter. "scipy-lbfgs" does again what was done, as SciPy hands out no state.

        Raises
        ------
        ValueError, TypeError
            Parameters or ratings that cannot be used; a checkpoint that is damaged, of another
            fit, or in use by one.
        DivergenceError
            The objective or a weight is not finite; its `model` has the last good weights.

        Warns
        -----
        ConvergenceWarning
            A full-batch solver ended at `max_iter`.
        InterruptedWarning
            See above.
        CheckpointWarning
            A checkpoint could not be written; the training went on.
        UnsuitableRatingsWarning
            All ratings are equal, or 0 and 1, or counts with a long tail.
        """
        fitted, interrupted = self._train(ratings, validation, resume)
        self.fitted_ = fitted
        if interrupted:
            warn_of_interrupt(fitted.course.n_iter, fitted.course.validation_curve, stacklevel=3)
        return self

    def _train(self, ratings: Any, validation: Any, resume: bool) -> tuple[Fitted, bool]:
        check_parameters(self._settings())
        random_state = check_random_state(self.random_state)
        with checkpoint_at(self.checkpoint, self.checkpoint_every, resume) as checkpoint:
            if checkpoint is not None:
                checkpoint.begin(self.get_params(), random_state)
            task = self._prepare(ratings, validation, random_state)
            if checkpoint is not None:
                checkpoint.agree(task.facts())
            trainer = self._make_trainer(pattern_of(task.targets), task.penalties)
            cold = "baseline" if self.cold == "raise" else self.cold
            with (
                workers(check_n_jobs(self.n_jobs)) as threads,
                EpochMonitor(
                    trainer.max_iter,
                    task.validation_with(threads, cold),
                    early_stopping=self.early_stopping,
                    tol=self.tol / task.input_map.factor,
                    n_iter_no_change=self.n_iter_no_change,
                    callbacks=self.callbacks,
                    verbose=self.verbose,
                    loss_unit=task.loss_unit,
                    measure=task.measure,
                ) as monitor,
            ):
                theta = task.theta  # holds the last good weights
                try:
                    trainer.run(
                        task.objective(),
                        theta,
                        task.inputs,
                        task.targets,
                        random_state,
                        monitor,
                        threads,
                        checkpoint,
                    )
                except (KeyboardInterrupt, DivergenceError) as error:
                    if monitor.n_complete == 0:
                        raise
                    fitted = task.conclude(threads, theta, monitor, keep_best=True)
                    if isinstance(error, KeyboardInterrupt):
                        return fitted, True
                    error.model = copy.copy(self)
                    error.model.fitted_ = fitted
                    raise
                return task.conclude(threads, theta, monitor, self.early_stopping), False

    def _prepare(
        self, ratings: Any, validation: Any, random_state: np.random.Generator
    ) -> TrainingTask:
        data, by_index = to_learn(ratings, self.rating_scale)
        held_out = None if validation is None else as_ratings(validation)
        training, held_out = self._divided(data, held_out, random_state)
        axes = Axes(self.orientation)
        _, kind = resolved_implicit(self.get_params())
        mapped = self._mapped(training.matrix.data, data.scale, kind)
        units, rated = mapped.units, training.oriented(axes.row)
        biases = FittedBiases.of(training, by_index, convert=mapped.convert)
        features = data.features.get(axes.row)
        reading = Reading(rated, axes, mapped.convert, biases, self.dtype)
        inputs = reading.inputs(kind, features, AffineMap())
        network = self._network(rated, inputs.shape[1], partial(training.oriented, axes.column))
        baseline = self._baseline_of(biases)
        outputs = map_onto_outputs(self.output_activation, mapped, baseline is not None)
        targets = reading.targets(baseline, outputs)
        shrinkage = 0.0
        if isinstance(self.regularization, str):
            corruption = corruption_for(self.solver, self.corruption)
            penalties = automatic_penalties(network, rated, corruption)
            if baseline is not None and not self.tied:
                shrinkage = automatic_shrinkage(rated)
        else:
            penalties = scaled(Objective(network, self.regularization).penalties, units.factor)
        cold_baseline = biases.unmapped(units)
        output_map = units.then(outputs) if baseline is None else AffineMap(units.factor)
        validated = None
        if held_out is not None:
            user_ids, item_ids, truth = held_out.triples()
            validated = (*cold_baseline.positions(user_ids, item_ids), truth)
        every_input = inputs
        if training is not data:
            reading = Reading(
                data.oriented(axes.row), axes, AffineMap().__call__, cold_baseline, self.dtype
            )
            every_input = reading.inputs(kind, features, units)
        warn_of_unsuitable(data.matrix.data, stacklevel=5)  # where `fit` was called
        if self.warm_start and hasattr(self, "fitted_"):
            theta = start_again(self.fitted_, network, axes, data, self.dtype)
        else:
            centered, penalty = baseline is not None, penalties.get("decoder.weight", 0.0)
            theta = starting_theta(network, targets, centered, penalty, random_state, self.dtype)
        return TrainingTask(
            network=network,
            penalties=scaled(penalties, outputs.factor),
            shrinkage=shrinkage,
            input_map=units,
            loss_unit=1.0 if ACTIVATIONS[self.output_activation].bounded else output_map.factor**2,
            theta=theta,
            inputs=inputs,
            targets=targets,
            every_input=every_input,
            validation=validated,
            fitted=partial(
                Fitted,
                ratings=data,
                ids_are_indices=by_index,
                network=getattr(network, "plain", network),
                axes=axes,
                input_map=units,
                output_map=output_map,
                penalties=scaled(penalties, 1.0 / units.factor),
                baseline=self._baseline_of(cold_baseline),
                cold_baseline=cold_baseline,
                inputs=kind,
            ),
        )

    def _settings(self) -> dict[str, Any]:
        """Return all parameters of a network."""
        return self.get_params()

    def _network(self, pattern: CSR, n_inputs: int, turned: Callable[[], CSR]) -> Network:
        return network_for(
            pattern,
            n_inputs,
            resolved_widths(self._settings()),
            self.activation,
            self.output_activation,
            self.tied,
            resolved_implicit(self._settings())[0],
            self.dtype,
            turned,
        )

    def _divided(
        self, data: Ratings, held_out: Ratings | None, random_state: np.random.Generator
    ) -> tuple[Ratings, Ratings | None]:
        """Return what to train on, and what is held out for the curve."""
        training = data
        if held_out is not None:
            check_not_empty(held_out, "validation")
        elif self.early_stopping:
            training, held_out = train_test_split(data, self.validation_fraction, random_state)
        check_not_empty(training)
        return training, held_out

    def _mapped(self, values: Array, scale: tuple[float, float], kind: str) -> Mapped:
        if self.warm_start and hasattr(self, "fitted_"):
            return Mapped.by(self.fitted_.input_map, values, scale)
        if isinstance(self.regularization, str) or kind == "planes":
            return canonical(values, scale)
        return Mapped.by(AffineMap(), values, scale)

    def _baseline_of(self, biases: FittedBiases) -> Baseline | None:
        kind = self.baseline
        if kind == "auto":
            kind = "bias" if ACTIVATIONS[self.output_activation].covers_the_line else None
        if kind == "mean":
            return biases.mean_alone()
        return biases if kind == "bias" else None

    def _make_trainer(self, targets: CSR, penalties: Mapping[str, float]) -> Trainer:
        defaults, rate = SOLVERS[self.solver], self.learning_rate_init
        max_iter = self._settings()["max_iter"]
        n_rows, n_columns = targets.shape
        batch_size = self.batch_size or automatic_batch_size(targets)
        if rate is None:
            rate = defaults.learning_rate_init
            if self.solver == "adam":
                rate = ADAM_RATE[self.orientation]
            if self.solver == "sgd":
                per_batch = targets.nnz / n_columns * min(1.0, batch_size / n_rows)
                rate /= max(per_batch, 1.0) * resolved_widths(self._settings())[-1]
                rate = min(rate, 1.0 / max(1.0, *penalties.values()))
        return Trainer(
            solver=self.solver,
            learning_rate=self.learning_rate,
            learning_rate_init=rate,
            warm_up=WARM_UP[self.orientation] if self.warm_up is None else self.warm_up,
            momentum=self.momentum,
            nesterovs_momentum=self.nesterovs_momentum,
            batch_size=batch_size,
            max_iter=defaults.max_iter if max_iter is None else max_iter,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            dropout=self.dropout,
            corruption=corruption_for(self.solver, self.corruption),
            engine=self.engine,
        )

    def _score_pairs(self, fitted: Fitted, users: Array, items: Array) -> Array:
        return fitted.score_pairs(users, items, self.cold)

    def _score_all_items(self, fitted: Fitted, users: Array) -> Array:
        return fitted.score_all_items(users, self.cold)

    def _cold(self, fitted: Record) -> str | float:
        return self.cold

    def partial_fit(self, ratings: Any) -> Self:
        """Take in new ratings without training; return the model itself.

        New ratings of a pair replace earlier ones. Users and items with new ratings, and no others,
        get new biases, (19), rows their codes by a forward pass, columns decoder weights and biases
        by (18), for these codes. The mean stays.

        A new row (an item in orientation "item") is complete. A new column (a user) gets encoder
        weight 0: its ratings reach no code until ``model.fit(model.ratings_)`` with
        ``warm_start=True``. Before any `fit`, this is `fit`.

        Parameters
        ----------
        ratings : Ratings, sparse matrix (users x items), DataFrame or (users, items, ratings)
            The new ratings only, within `rating_scale_`.

        Raises
        ------
        ValueError, TypeError
            Tied weights; ratings or ids that cannot be used. The model stays as it was.
        """
        return self._take_in(ratings)

    def encode(self, ids: npt.ArrayLike | None = None) -> Array:
        """Return the hidden codes of items (orientation "item") or users, (m, k).

        Parameters
        ----------
        ids : array_like, (m,), optional
            None: all, in the order of ``ratings_``.

        Raises
        ------
        ValueError, IndexError
            An unknown id, or index.
        """
        fitted = check_fitted(self)
        if ids is None:
            return np.array(fitted.codes)
        return np.asarray(fitted.codes[fitted.look_up(fitted.axes.row, ids)])


# Parameters

CHOICES: dict[str, tuple[str | None, ...]] = {
    "orientation": ("item", "user"),
    "activation": tuple(ACTIVATIONS),
    "output_activation": tuple(ACTIVATIONS),
    "baseline": ("auto", "bias", "mean", None),
    "solver": tuple(SOLVERS),
    "learning_rate": tuple(SCHEDULES),
    "dtype": ("float32", "float64"),
    "engine": tuple(ENGINES),
    "inputs": ("auto", "ratings", "planes"),
}
FLAGS = ("tied", "nesterovs_momentum", "early_stopping", "warm_start", "verbose")
# name, maximum, whether 0 and the maximum are allowed
NUMBERS = (
    ("dropout", 1, (True, False)),
    ("momentum", 1, (True, False)),
    ("warm_up", 1, (True, False)),
    ("corruption", 1, (True, False)),
    ("validation_fraction", 1, (False, False)),
    ("learning_rate_init", np.inf, (False, True)),
    ("tol", np.inf, (True, True)),
)
COUNTS = ("batch_size", "n_iter_no_change", "max_iter", "checkpoint_every")
MAY_BE_NONE = {"corruption", "learning_rate_init", "warm_up", *COUNTS} - {"n_iter_no_change"}


WIDTHS = {"item": (500,), "user": (200,)}
IMPLICIT_PART = {"item": 5, "user": 2}  # one in so many units


def resolved_widths(parameters: Mapping[str, Any]) -> tuple[int, ...]:
    widths = parameters["hidden_layer_sizes"]
    return WIDTHS[parameters["orientation"]] if widths is None else tuple(widths)


def resolved_implicit(parameters: Mapping[str, Any]) -> tuple[int, str]:
    """Return `implicit` and `inputs` for "auto": docs/decisions.md."""
    [width] = resolved_widths(parameters)[-1:] or [0]
    automatic = width // IMPLICIT_PART[parameters["orientation"]], "planes"
    if parameters["tied"] or SOLVERS[parameters["solver"]].full_batch:
        automatic = 0, "ratings"
    implicit, inputs = parameters["implicit"], parameters["inputs"]
    units = automatic[0] if isinstance(implicit, str) else int(implicit)
    return units, automatic[1] if inputs == "auto" else inputs


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise ValueError or TypeError for the first parameter that cannot be used."""
    for name, allowed in CHOICES.items():
        check_choice(name, parameters[name], allowed)
    check_cold(parameters["cold"])
    check_hidden_layer_sizes(parameters["hidden_layer_sizes"])
    check_regularization(parameters["regularization"])
    for name in FLAGS:
        if not isinstance(parameters[name], (bool, np.bool_)):
            raise TypeError(f"{name} must be True or False, got {parameters[name]!r}.")
    check_callbacks(parameters["callbacks"])
    given = {k: x for k, x in parameters.items() if x is not None or k not in MAY_BE_NONE}
    for name, maximum, inclusive in NUMBERS:
        if name in given:
            check_number(name, given[name], minimum=0, maximum=maximum, inclusive=inclusive)
    for name in COUNTS:
        if name in given:
            check_integer(name, given[name], minimum=1)
    _check_implicit(parameters)
    _check_combinations(parameters)


def _check_implicit(parameters: Mapping[str, Any]) -> None:
    implicit, inputs = parameters["implicit"], parameters["inputs"]
    if isinstance(implicit, str):
        check_choice("implicit, where it is no integer,", implicit, ("auto",))
    else:
        check_integer("implicit", implicit, minimum=0)
        widths = resolved_widths(parameters)
        if widths and implicit > widths[-1]:
            raise ValueError(
                f"implicit={implicit} is more than the {widths[-1]} units of the last hidden "
                f"layer; lower implicit, or widen that layer."
            )
    wanted = [f"implicit={implicit}"] if not isinstance(implicit, str) and implicit else []
    wanted += [f"inputs={inputs!r}"] if inputs == "planes" else []
    if parameters["tied"] and wanted:
        raise ValueError(
            f"tied=True makes one weight of encoder and decoder, which {' and '.join(wanted)} "
            f"cannot share; use tied=False, or implicit=0 and inputs='ratings'."
        )


def _check_combinations(parameters: Mapping[str, Any]) -> None:
    solver, dropout, corruption = (parameters[name] for name in ("solver", "dropout", "corruption"))
    if SOLVERS[solver].full_batch and (dropout or corruption):
        raise ValueError(
            f"solver={solver!r} minimizes one fixed function, which dropout={dropout} and "
            f"corruption={corruption} change at every step; use solver='adam' or 'sgd', or set "
            f"both to 0."
        )
    baseline, output = parameters["baseline"], parameters["output_activation"]
    if baseline in ("bias", "mean") and not ACTIVATIONS[output].covers_the_line:
        raise ValueError(
            f"baseline={baseline!r} leaves residuals of both signs, which "
            f"output_activation={output!r} cannot produce; use baseline=None (or 'auto') or "
            f"output_activation='identity'."
        )
