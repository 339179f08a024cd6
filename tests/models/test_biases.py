"""The baselines: under the contract, and the exact minimizer of what they say they minimize."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recommender_contract import TEST, RecommenderContract
from scipy import sparse

from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.models.biases import BiasBaseline, Biases, GlobalMean, fit_biases


class TestGlobalMean(RecommenderContract):
    model_class = GlobalMean


class TestBiasBaseline(RecommenderContract):
    model_class = BiasBaseline


class TestHeavierPenalty(RecommenderContract, regularization=50.0):
    model_class = BiasBaseline


def by_normal_equations(matrix, regularization):
    """The same biases from one dense linear system."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    design = np.zeros((matrix.nnz, sum(matrix.shape)))
    design[np.arange(matrix.nnz), rows] = 1.0
    design[np.arange(matrix.nnz), matrix.shape[0] + matrix.indices] = 1.0
    mean = matrix.data.astype(np.float64).mean()
    gram = design.T @ design + regularization * np.eye(sum(matrix.shape))
    biases = np.linalg.solve(gram, design.T @ (matrix.data.astype(np.float64) - mean))
    return mean, biases[: matrix.shape[0]], biases[matrix.shape[0] :]


@given(
    st.integers(0, 2**32),
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([0.1, 1.0, 5.0, 100.0]),
)
def test_the_biases_minimize_the_penalized_error(seed, n_users, n_items, regularization):
    rng = np.random.default_rng(seed)
    filled = rng.random((n_users, n_items)) < 0.6
    filled[0, 0] = True
    rows, columns = np.nonzero(filled)
    ratings = rng.integers(0, 6, len(rows)).astype(np.float32)  # with stored zeros
    matrix = Ratings.from_matrix(
        sparse.coo_array((ratings, (rows, columns)), shape=filled.shape)
    ).matrix
    mean, user, item = by_normal_equations(matrix, regularization)
    biases = fit_biases(matrix, regularization)
    assert biases.mean == pytest.approx(mean, rel=1e-12)
    np.testing.assert_allclose(biases.user, user, atol=2e-4)
    np.testing.assert_allclose(biases.item, item, atol=2e-4)
    assert not biases.user[~filled.any(axis=1)].any()
    assert not biases.item[~filled.any(axis=0)].any()


def test_without_a_penalty_the_residuals_of_each_user_add_up_to_zero():
    ratings = make_ratings(30, 20, 200, random_state=0)
    padded = sparse.csr_array(
        (ratings.matrix.data, ratings.matrix.indices, np.append(ratings.matrix.indptr, 200)),
        shape=(31, 20),
    )  # the last user has no ratings: 0 / 0
    biases = fit_biases(padded, 0.0)
    rows, columns, values = ratings.positions()
    residuals = values - biases.at(rows, columns)
    np.testing.assert_allclose(np.bincount(rows, residuals), 0.0, atol=1e-9)
    np.testing.assert_allclose(np.bincount(columns, residuals), 0.0, atol=1e-3)
    assert biases.user[-1] == 0.0


def test_positions_of_unknown_ids_have_no_bias():
    biases = Biases(3.0, np.array([0.5, -1.0]), np.array([0.25, 2.0]))
    known, unknown = np.array([0, 1, -1, -1]), np.array([1, -1, 0, -1])
    assert biases.at(known, unknown).tolist() == [5.5, 2.0, 3.25, 3.0]


def test_the_mean_is_exact_over_many_ratings():
    ratings = np.ones(10_000)
    ratings[0] = 1e9  # a float32 sum would lose the ones
    triples = (np.zeros(10_000, dtype=int), np.arange(10_000), ratings)
    expected = (1e9 + 9_999) / 10_000
    assert GlobalMean().fit(triples).mean_ == expected
    assert BiasBaseline().fit(triples).biases_.mean == expected


def test_a_heavy_penalty_leaves_the_mean():
    ratings = make_ratings(30, 20, 200, random_state=0)
    model = BiasBaseline(regularization=1e12).fit(ratings)
    np.testing.assert_allclose(
        model.predict(*ratings.triples()[:2]), GlobalMean().fit(ratings).mean_, atol=1e-8
    )


def test_predictions_are_mean_plus_biases():
    ratings = Ratings.from_triples([1, 1, 2], ["a", "b", "a"], [5, 3, 1], scale=(1, 5))
    model = BiasBaseline(regularization=1.0).fit(ratings)
    mean, user, item = model.biases_
    assert model.predict([1, 2], ["b", "b"]).tolist() == [
        mean + user[0] + item[1],
        mean + user[1] + item[1],
    ]
    assert model.predict([9, 1], ["b", "z"]).tolist() == [mean + item[1], mean + user[0]]


def test_neither_baseline_can_solve_the_checkerboard():
    for variant in (TestGlobalMean, TestBiasBaseline):
        assert variant.fitted().score(*TEST.triples()) < -1.9


@pytest.mark.parametrize("seed", range(3))
def test_biases_beat_the_mean_on_planted_biases(seed):
    train, test = train_test_split(
        make_ratings(200, 100, 6000, rank=0, noise=0.5, random_state=seed), 0.1, seed
    )
    biased = BiasBaseline().fit(train).score(*test.triples())
    assert biased > GlobalMean().fit(train).score(*test.triples()) + 0.2


@pytest.mark.parametrize(
    ("regularization", "error", "message"),
    [
        (-1.0, ValueError, r"regularization must be a finite number in \[0.0, inf\], got -1.0"),
        (np.nan, ValueError, "got nan"),
        ("5", TypeError, "regularization must be a number, got '5'"),
    ],
)
def test_a_wrong_penalty_is_refused(regularization, error, message):
    with pytest.raises(error, match=message):
        BiasBaseline(regularization).fit(make_ratings(5, 5, 10, random_state=0))


@pytest.mark.parametrize(("a", "b"), [(1e-6, 0.0), (0.05, 20.0), (1000.0, -4e5)])
def test_biases_follow_the_unit_of_the_ratings(a, b):
    """Sweeps that end below a change in rating units would end too early in the first of them."""
    R = make_ratings(n_users=80, n_items=60, n_ratings=1500, random_state=0)
    users, items, values = R.triples()
    expected = BiasBaseline().fit(R).predict(users, items)
    mapped = a * values.astype(np.float64) + b
    predicted = BiasBaseline().fit((users, items, mapped)).predict(users, items)
    np.testing.assert_allclose((predicted - b) / a, expected, rtol=0, atol=5e-5)
