"""The Keras program that many start from, on our core's operations, and real Keras beside it.

    python -m benchmarks.keras_program              # ten epochs on ml-latest-small, loss by loss
    python -m benchmarks.keras_program --made-up    # on ratings that need no archive
    python -m benchmarks.keras_program --ladder     # every figure of results/keras_program.md

A widely read post trains an AutoRec in Keras so: a row is an item, a column a user; a linear
encoder with l2 = 0.01 and half as many hidden units as columns; a sigmoid decoder; plain SGD at a
rate of 0.001, batches of 16 rows, ten epochs. The loss is the mean over *all* cells of (mask *
prediction - rating)^2, and what is reported is Keras's RootMeanSquaredError, over all cells too. A
tenth of the rows is held out, and the network reads there what it is then compared with.

`Program` has an argument for each of these; docs/from_the_post_to_the_paper.md changes them one by
one. Weights, batches and held-out rows are drawn by one seeded NumPy generator, Keras's too.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from autorec_np import BiasBaseline, Ratings, fetch_movielens, rmse
from autorec_np._types import CSR, Array
from autorec_np.core import ImplicitNetwork, Network, Objective, minimize_lbfgs, scaled_pattern
from autorec_np.core.kernels import with_data
from autorec_np.data import as_ratings
from autorec_np.engine.engines import SGD, Adam  # those of the core, in place

DATA = "ml-latest-small"
DTYPE = np.float32  # as Keras


@dataclass(frozen=True)
class Program:
    """The settings of one run. The defaults are the Keras program's, with all its faults.

    Parameters
    ----------
    metric : {"all cells", "masked", "rated cells"}
        Over which cells the reported RMSE is a mean. In the first two, a cell without a rating
        counts as the rating 0, beside the prediction there or ("masked") beside 0.
    hidden : {"rows", "ratings"}
        What is held out for the test: rows, which are then their own input; or ratings, which the
        network never reads.
    scaled : bool
        Whether the loss of a sigmoid output sees the rating scale mapped onto [0, 1], and
        predictions are mapped back; those of any output are clipped to the scale.
    loss : {"mean over cells", "sum over ratings"}
        Of a batch.
    activation, output_activation : str
        g and f.
    optimizer : {"sgd", "adam", "lbfgs"}
        "lbfgs" minimizes (2) over all rows at once; it reads no rate and no batches.
    learning_rate : float
    l2 : float
        l2 ||V||^2 is added to the loss of every batch.
    regularization : float, optional
        lambda of (2) for both weights, in place of `l2`.
    biases : bool
        Whether mean, user and item biases are subtracted from the targets.
    implicit : int
        Units of the implicit decoder, (35).
    epochs, batch_size : int
    seed : int
        Of held-out rows, weights and batches.
    """

    metric: str = "all cells"
    hidden: str = "rows"
    scaled: bool = False
    loss: str = "mean over cells"
    activation: str = "identity"
    output_activation: str = "sigmoid"
    optimizer: str = "sgd"
    learning_rate: float = 0.001
    l2: float = 0.01
    regularization: float | None = None
    biases: bool = False
    implicit: int = 0
    epochs: int = 10
    batch_size: int = 16
    seed: int = 0

    @property
    def maps(self) -> bool:
        """Whether ratings are mapped onto the range of the output, which has two ends."""
        return self.scaled and self.output_activation == "sigmoid"


class Draws(NamedTuple):
    """What chance decides, in the order in which it is drawn.

    Attributes
    ----------
    rows : ndarray of int
        Nine tenths of the rows: the training rows.
    held_out : ndarray of int
        The others.
    encoder, decoder : ndarray
        Weights as Keras has them, (n_columns, k) and (k, n_columns).
    orders : list of ndarray of int
        For each epoch, the order of the rows that are trained on.
    """

    rows: Array
    held_out: Array
    encoder: Array
    decoder: Array
    orders: list[Array]


def draw(program: Program, shape: tuple[int, int]) -> Draws:
    """Draw held-out rows, weights, and the order of the rows in each epoch."""
    random = np.random.default_rng(program.seed)
    n_rows, n_columns = shape
    k = n_columns // 2
    rows = random.permutation(n_rows)
    n_train = int(0.9 * n_rows)
    limit = np.sqrt(6 / (n_columns + k))  # Glorot and Bengio (2010), as Keras
    encoder = random.uniform(-limit, limit, (n_columns, k))
    decoder = random.uniform(-limit, limit, (k, n_columns))
    n_ordered = n_train if program.hidden == "rows" else n_rows
    orders = [random.permutation(n_ordered) for _ in range(program.epochs)]
    return Draws(rows[:n_train], rows[n_train:], encoder, decoder, orders)


class Task(NamedTuple):
    """What is trained on and what is tested, a row an item.

    Attributes
    ----------
    inputs : csr_array
        The ratings that are trained on.
    test_inputs : csr_array
        What the network reads before it predicts the test ratings.
    test : csr_array
        The test ratings, row by row of `test_inputs`.
    train_baseline, test_baseline : ndarray or float
        What is subtracted from the ratings of `inputs` and of `test`.
    scale : (low, high)
    """

    inputs: CSR
    test_inputs: CSR
    test: CSR
    train_baseline: Any
    test_baseline: Any
    scale: tuple[float, float]


def task_of(program: Program, train: Ratings, test: Ratings | None, draws: Draws) -> Task:
    """Hold out rows of `train`, or take the test ratings as given."""
    ratings = by_item(train)
    if program.hidden == "rows":
        held_out = ratings[draws.held_out]
        return Task(ratings[draws.rows], held_out, held_out, 0.0, 0.0, train.scale)
    if test is None:
        raise ValueError('hidden="ratings" needs test ratings; pass both parts of a split.')
    hidden = by_item(test)
    baselines: tuple[Any, Any] = (0.0, 0.0)
    if program.biases:
        model = BiasBaseline().fit(train)
        baselines = baseline_at(model, train, ratings), baseline_at(model, train, hidden)
    return Task(ratings, ratings, hidden, *baselines, train.scale)


def by_item(ratings: Ratings) -> CSR:
    """Return the ratings with a row for each item."""
    matrix: CSR = ratings.matrix.T.tocsr().astype(np.float64)
    return matrix


def baseline_at(model: BiasBaseline, ratings: Ratings, matrix: CSR) -> Array:
    """Return a model's predictions at the stored entries of a matrix with a row for each item."""
    items, users = matrix.tocoo().coords
    return model.predict(ratings.user_ids[users], ratings.item_ids[items])


class Trained(NamedTuple):
    """A network after an epoch, with the loss that Keras prints: the mean over the rows."""

    network: Network
    theta: Array
    loss: float


def train(program: Program, task: Task, draws: Draws) -> Iterator[Trained]:
    """Yield the network after each epoch, or after each iteration of L-BFGS."""
    inputs = targets = task.inputs
    if program.biases:
        targets = with_data(inputs, inputs.data - task.train_baseline)
    if program.maps:
        low, high = task.scale
        targets = with_data(inputs, (targets.data - low) / (high - low))
    n_rows, n_columns = inputs.shape
    network = network_of(program, inputs)
    theta = first_theta(network, draws)
    if program.regularization is None:
        objective = Objective(network, {"encoder.weight": 2 * program.l2})  # lambda / 2 = l2
    else:
        objective = Objective(network, program.regularization)
    if program.optimizer == "lbfgs":
        found = minimize_lbfgs(lambda x: objective.value_and_gradient(x, inputs, targets), theta)
        for _, iterate in zip(range(program.epochs), found, strict=False):
            yield Trained(network, iterate.theta, iterate.value)
        return
    rule = Adam(theta) if program.optimizer == "adam" else SGD(theta, 0.0, False)
    for order in draws.orders:
        total = 0.0
        for start in range(0, n_rows, program.batch_size):
            batch = order[start : start + program.batch_size]
            # where nothing is rated, mask * prediction - rating = 0
            divisor = len(batch) * n_columns if program.loss == "mean over cells" else 1
            fraction = divisor if program.regularization is None else len(batch) / n_rows
            read = inputs[batch]
            wanted = read if targets is inputs else targets[batch]
            value, gradient = objective.value_and_gradient(theta, read, wanted, fraction)
            gradient /= divisor
            rule.step(theta, gradient, program.learning_rate)
            total += value / divisor * len(batch)
        yield Trained(network, theta, total / n_rows)


def network_of(program: Program, inputs: CSR) -> Network:
    """Return the network, with half as many hidden units as columns."""
    n_columns = inputs.shape[1]
    shape = n_columns, (n_columns // 2,), program.activation, program.output_activation
    if not program.implicit:
        return Network(*shape)
    return ImplicitNetwork(*shape, rated=scaled_pattern(inputs), n_implicit=program.implicit)


def first_theta(network: Network, draws: Draws) -> Array:
    """Return the weights that were drawn, with biases of 0."""
    theta = np.zeros(network.layout.size, DTYPE)
    views = network.layout.views(theta)
    views["encoder.weight"][...] = draws.encoder
    views["decoder.weight"][...] = draws.decoder.T
    return theta


class Score(NamedTuple):
    """What a program reports, and its RMSE over the test ratings."""

    reported: float
    true: float


def score(program: Program, task: Task, trained: Trained) -> Score:
    """Return what the program reports of the test ratings beside what is true."""
    predictions = predict(program, task, trained, task.test) + task.test_baseline
    if program.scaled:
        predictions = np.clip(predictions, *task.scale)
    true = rmse(task.test.data, predictions)
    if program.metric == "rated cells":
        return Score(true, true)
    squares = np.sum((task.test.data - predictions) ** 2)
    if program.metric == "all cells":
        everywhere = sparse.csr_array(np.ones(task.test.shape))
        squares += np.sum(predict(program, task, trained, everywhere) ** 2)
        squares -= np.sum(predictions**2)
    return Score(float(np.sqrt(squares / np.prod(task.test.shape))), true)


def predict(program: Program, task: Task, trained: Trained, pattern: CSR) -> Array:
    """Return the network's outputs in rating units at the stored entries of a pattern."""
    outputs = trained.network.forward(trained.theta, task.test_inputs, pattern).outputs
    if program.maps:
        low, high = task.scale
        outputs = low + (high - low) * outputs
    return outputs


# Real Keras


class Trajectory(NamedTuple):
    """The loss of each epoch, and what is reported of the held-out rows at the end."""

    losses: list[float]
    reported: float


def ours(program: Program, ratings: Ratings) -> Trajectory:
    """Run the program on our core's operations."""
    draws = draw(program, by_item(ratings).shape)
    task = task_of(program, ratings, None, draws)
    epochs = list(train(program, task, draws))
    return Trajectory([epoch.loss for epoch in epochs], score(program, task, epochs[-1]).reported)


def in_keras(program: Program, ratings: Ratings) -> Trajectory:
    """Run the program in real Keras, with the same weights and batches.

    Of the program's arguments, Keras has rate, l2, epochs, batch size and seed here; the faults
    stay in.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    dense = by_item(ratings).toarray().astype("float32")
    draws = draw(program, dense.shape)
    n_columns = dense.shape[1]
    encoder = keras.layers.Dense(
        n_columns // 2, kernel_regularizer=keras.regularizers.L2(program.l2)
    )
    decoder = keras.layers.Dense(n_columns, activation="sigmoid")
    model = keras.Sequential([keras.Input((n_columns,)), encoder, decoder])
    encoder.set_weights([draws.encoder, np.zeros(n_columns // 2)])
    decoder.set_weights([draws.decoder, np.zeros(n_columns)])

    def masked_mean(rating: Any, prediction: Any) -> Any:
        mask = keras.ops.cast(keras.ops.not_equal(rating, 0), prediction.dtype)
        return keras.ops.mean(keras.ops.square(mask * prediction - rating), axis=-1)

    model.compile(
        optimizer=keras.optimizers.SGD(program.learning_rate),
        loss=masked_mean,
        metrics=[keras.metrics.RootMeanSquaredError(name="reported")],
    )
    trained, held_out = dense[draws.rows], dense[draws.held_out]
    losses = []
    for order in draws.orders:
        rows, size = trained[order], program.batch_size
        history = model.fit(rows, rows, batch_size=size, epochs=1, shuffle=False, verbose=0)
        losses += history.history["loss"]
    found = model.evaluate(held_out, held_out, verbose=0, return_dict=True)
    return Trajectory(losses, found["reported"])


def versions() -> str:
    """Return the versions of Keras and of what it runs on."""
    import keras

    backend = sys.modules[keras.backend.backend()]
    return f"Keras {keras.__version__}, {backend.__name__} {backend.__version__}"


def made_up() -> Ratings:
    """Return ratings of 80 items by 60 users: a fifth of the cells, from 1 to 5."""
    random = np.random.default_rng(0)
    items, users = np.nonzero(random.random((80, 60)) < 0.2)
    return as_ratings((users, items, random.integers(1, 6, len(items)).astype(float)))


MADE_UP = Program(learning_rate=0.5)  # with few batches, 0.001 would hardly move


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the losses of ten epochs, Keras's beside ours; or climb the ladder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--made-up", action="store_true", help="on ratings that need no archive")
    parser.add_argument(
        "--ladder",
        nargs="*",
        metavar="WORD",
        help="repair the program step by step: the steps whose name has a word, without words all",
    )
    chosen = parser.parse_args(arguments)
    if chosen.ladder is not None:
        from benchmarks import ladder

        ladder.climb(chosen.ladder)
        return
    program = MADE_UP if chosen.made_up else Program()
    ratings = made_up() if chosen.made_up else fetch_movielens(DATA).ratings
    with_keras = find_spec("keras") is not None
    here, there = ours(program, ratings), in_keras(program, ratings) if with_keras else None
    print(versions() if there else "Keras is not installed: pip install keras tensorflow-cpu")
    print("epoch  ours                Keras               relative difference")
    for epoch, loss in enumerate(here.losses, 1):
        print(f"{epoch:5}  {loss:<18.9f}", end="")
        if there:
            other = there.losses[epoch - 1]
            print(f"  {other:<18.9f}  {abs(loss / other - 1):.1e}", end="")
        print()
    print(f"reported {here.reported:.6f}" + (f", Keras {there.reported:.6f}" if there else ""))


if __name__ == "__main__":
    main()
