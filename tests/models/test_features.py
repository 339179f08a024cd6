"""Features of users and items: what the network makes of them, and rows that have nothing else."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from small_models import SMALL, R

from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import cold_row_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.evaluation.cross_validation import cross_validate, evaluate
from autorec_np.evaluation.hyperparameters import search
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import Axes
from autorec_np.models.biases import FEATURE_PENALTY as PENALTY
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.models.blend import Blend
from autorec_np.models.scoring import FEATURE_RANGE
from autorec_np.reports.html import check_model_gradient
from autorec_np.serving.explanation import explain, rating_derivatives
from autorec_np.serving.model_file import load_model, save_model

NEW = 900  # an id without ratings
KINDS = {
    "ratings": {"inputs": "ratings", "implicit": 0},
    "planes": {"inputs": "planes", "implicit": 2},
    "auto": {"regularization": "auto", "inputs": "planes"},
    "no baseline": {"baseline": None, "engine": "plain"},
    "both features": {"inputs": "planes", "others": True},
}
kinds = pytest.mark.parametrize("kind", KINDS)
orientations = pytest.mark.parametrize("orientation", ["item", "user"])
OTHER = {"item": "user", "user": "item"}


def features_of(axis, data=R, n_features=3):
    """A frame with one id more than the ratings have, in another order than theirs."""
    ids = [NEW, *(data.item_ids if axis == "item" else data.user_ids)[::-1].tolist()]
    values = np.random.default_rng(1).random((len(ids), n_features)) < 0.4
    values[0] = True, *[False] * (n_features - 1)
    return pd.DataFrame(values, ids, [f"f{j}" for j in range(n_features)])


def told(axis, features=None, data=R, others=False):
    features = features_of(axis, data) if features is None else features
    data = data.with_features(**{f"{axis}s": features})
    return told(OTHER[axis], data=data) if others else data


def fit(orientation, features=None, data=R, others=False, **changes):
    data = told(orientation, features, data, others)
    return AutoRec(orientation, **{**SMALL, **changes}).fit(data)


def pair(axis, row, columns):
    rows = [row] * len(columns)
    return (columns, rows) if axis == "item" else (rows, columns)


def columns_of(axis):
    return (R.user_ids if axis == "item" else R.item_ids)[:5]


# What is learned


@kinds
@orientations
def test_the_gradient_of_a_trained_model_is_right(kind, orientation):
    model = fit(orientation, dtype="float64", **KINDS[kind])
    network, empty = model.network_, sparse.csr_array((1, model.network_.n_columns))
    assert network.n_inputs == network.n_columns * (1 + (model.inputs_ == "planes")) + 3
    codes = [
        network.encode(model.theta_, model.fitted_.read(empty, np.empty(0), rows))
        for rows in (None, np.array([0]), np.array([-1]))
    ]
    assert len({code.tobytes() for code in codes}) == 3
    for n_columns in (10, 2):  # 2: fewer than features
        report, (_, used, _) = check_model_gradient(model.fitted_, 8, n_columns)
        assert report.passed, str(report)
        assert used == max(n_columns, 4)


@orientations
def test_features_of_columns_leave_the_network_as_it_is(orientation):
    plain = AutoRec(orientation, **SMALL).fit(R)
    others = features_of(OTHER[orientation]).drop(index=NEW)
    model = AutoRec(orientation, **SMALL).fit(told(OTHER[orientation], others))
    assert model.theta_.tobytes() == plain.theta_.tobytes()


def test_what_the_network_reads():
    model = fit("item", dtype="float64", inputs="planes", implicit=2)
    rows = np.array([2, -1])
    read = model.fitted_.read(sparse.csr_array((2, R.n_users)), np.empty(0), rows)
    features = FEATURE_RANGE * model.ratings_.features["item"][rows]
    np.testing.assert_array_equal(read.features, features)


@pytest.mark.parametrize("regularized", [5.0, 0.0])
@orientations
def test_unrated_rows_are_predicted_by_two_ridge_regressions(orientation, regularized):
    """The normal equations, as the page has them, by dense arrays."""
    frame, axes = features_of(orientation), Axes(orientation)
    data = told(orientation, frame)
    model = BiasBaseline(regularized).fit(data)
    ids = axes.rows_and_columns(data.user_ids, data.item_ids)[0]
    F = frame.reindex(ids).to_numpy(float)
    F = F - F.mean(axis=0)
    biases = BiasBaseline(regularized).fit(R).biases_
    rated = axes.orient(R.matrix).toarray().astype(float)
    rated = np.vstack([rated, np.zeros(rated.shape[1])])  # NEW is the last
    n = (rated > 0).sum(axis=1)
    own, others = axes.rows_and_columns(biases.user, biases.item)
    wide, N = np.column_stack([F, np.ones(len(F))]), np.diag(n)
    gram = wide.T @ N @ wide + PENALTY * np.eye(4)
    p = wide @ np.linalg.solve(gram, wide.T @ N @ np.append(own, 0.0))
    columns, expected = columns_of(orientation), []
    for c in range(len(columns)):
        of_column = rated[:, c] > 0
        X, t = F[of_column], (rated[:, c] - biases.mean - others[c] - p)[of_column]
        centered, mean = X - X.mean(axis=0), t.mean()
        gram = centered.T @ centered + PENALTY / 2 * np.eye(3)
        w = np.linalg.solve(gram, centered.T @ (t - mean))
        expected.append(biases.mean + others[c] + p[-1] + (F[-1] - X.mean(axis=0)) @ w + mean)
    got = model.predict(*pair(orientation, NEW, columns))
    np.testing.assert_allclose(got, np.clip(expected, *R.scale), atol=1e-5)
    nobody = model.predict(*pair(orientation, 12345, columns))  # who has no features
    np.testing.assert_allclose(nobody, biases.mean + others[:5], atol=1e-5)
    unknown = model.predict(*pair(orientation, NEW, [12345]))  # (40) alone
    np.testing.assert_allclose(unknown, np.clip(biases.mean + p[-1], *R.scale), atol=1e-5)
    network = fit(orientation, dtype="float64")
    if regularized:
        again = network.predict(*pair(orientation, NEW, columns))
        np.testing.assert_allclose(again, got, atol=1e-5)


def test_effects_worked_by_hand():
    """One user rated items of f = 1 and -1, with 5 and 1: their biases are 2 / (1 + lambda)."""
    frame = pd.DataFrame({"f": [1.0, -1, 0]}, [1, 2, 3])
    data = Ratings.from_triples([7, 7], [1, 2], [5.0, 1.0]).with_features(items=frame)
    fitted = BiasBaseline(1.0).fit(data).fitted_
    np.testing.assert_allclose(fitted.biases.item, [1, -1, 0], atol=1e-5)
    assert fitted.ratings.features["item"].ravel().tolist() == [0.5, -0.5, 0]
    a = 1 / (0.5 + PENALTY)  # (1/4 + 1/4 + penalty) a = 1/2 + 1/2
    v = (2 - a / 2) / (0.5 + PENALTY / 2)  # residuals 2 - a / 2 and its negative
    np.testing.assert_allclose(fitted.effects["item"], [[a + v, 0], [a, 0]], atol=1e-6)


def planted(axis, seed=0):
    """Ratings in which the features of a row say how each column likes it; a tenth unrated."""
    rng = np.random.default_rng(seed)
    n_rows, n_columns = 80, 60
    F = (rng.random((n_rows, 3)) < 0.5).astype(float)
    scores = (
        3 + (F @ [0.8, -0.5, 0.0])[:, np.newaxis] + (F - 0.5) @ rng.normal(0, 0.6, (3, n_columns))
    )
    scores = np.clip(scores + rng.normal(0, 0.3, scores.shape), 1, 5)
    rows, columns = np.nonzero(rng.random(scores.shape) < 0.4)
    held = rows < 8
    pairs = (columns, rows) if axis == "item" else (rows, columns)
    triples = (*pairs, scores[rows, columns])
    train, test = (Ratings.from_triples(*(x[m] for x in triples)) for m in (~held, held))
    return train, test, pd.DataFrame(F)


@kinds
@orientations
def test_an_unrated_row_is_predicted_better_than_by_the_biases(kind, orientation):
    train, test, features = planted(orientation)
    model = fit(orientation, features, train, **KINDS[kind])
    biases = -BiasBaseline().fit(train).score(test)
    assert -model.score(test) < 0.9 * biases
    users, items, _ = test.triples()
    assert model.cold_pairs(users, items).all()  # no rating: as ever
    assert model.cold_baseline_.score(test) == pytest.approx(model.score(test))
    model.set_params(cold=1.0)
    assert set(model.predict(users, items)) == {1.0}
    with pytest.raises(ValueError, match="pairs are cold"):
        model.set_params(cold="raise").predict(users, items)


def test_both_unrated_add_up():
    model = BiasBaseline().fit(told("item", others=True))
    (mean, *_), effects = model.biases_, model.fitted_.effects
    expected = mean
    for axis in ("user", "item"):
        [row] = model.fitted_.find(axis, [NEW])
        expected += np.append(model.ratings_.features[axis][row], 1) @ effects[axis][-1]
    assert model.predict([NEW], [NEW])[0] == pytest.approx(expected)


# Every door passes features on


def test_held_out_folds_and_blends_have_features(tmp_path):
    train, test, features = planted("item")
    triples = [np.append(*parts) for parts in zip(train.triples(), test.triples(), strict=True)]
    plain = Ratings.from_triples(*triples)
    data = told("item", features, plain)
    few = {**SMALL, "max_iter": 2}
    for make in (BiasBaseline, lambda: AutoRec(**few)):
        kept, held = cold_row_split(data, 0.2, "item", 0)
        with_features = evaluate(make(), kept, held)
        without = evaluate(make(), Ratings.from_triples(*kept.triples()), held)
        assert with_features.n_cold == without.n_cold == len(held)
        assert with_features.rmse < 0.9 * without.rmse
    results = [cross_validate(AutoRec(**few), R, 2, random_state=0) for R in (data, plain)]
    assert results[0].rmse.mean != results[1].rmse.mean
    blend = Blend([("i", AutoRec(**few)), ("u", AutoRec("user", **few)), ("b", BiasBaseline())])
    members = blend.fit(data).fitted_.members
    assert members["i"].network_.n_inputs % data.n_users == 3
    assert (members["u"].network_.n_inputs or 0) % data.n_items == 0
    assert all(member.ratings_.features for member in members.values())
    find = partial(search, AutoRec(**few), space={"tol": [1e-4, 1e-5]}, n_candidates=2)
    found, other = find(data), find(plain, resume=tmp_path / "plain")
    assert found.best.rmse != other.best.rmse
    with pytest.raises(ValueError, match=r"with other settings \(ratings was"):
        find(data, resume=tmp_path / "plain")


# A fitted model at work


@kinds
@orientations
def test_all_scores_are_those_of_the_pairs(kind, orientation):
    model = fit(orientation, **KINDS[kind])
    for fitted in (model.fitted_, model.cold_baseline_.fitted_):
        users, items = (np.arange(n) for n in fitted.ratings.shape)
        pairs = (x.reshape(-1) for x in np.meshgrid(users, items, indexing="ij"))
        by_pair = fitted.score_pairs(*pairs)
        every = fitted.score_all_items(users).reshape(-1)
        np.testing.assert_allclose(every, by_pair, atol=1e-5)


@orientations
def test_an_unrated_row_is_recommended(orientation):
    model = fit(orientation)
    users = pd.DataFrame({"user": [NEW if orientation == "user" else R.user_ids[0]]})
    listed = model.recommend(users, n=30, exclude_seen=False)
    assert (NEW in listed["item"].tolist()) == (orientation == "item")
    assert listed["cold"].any()
    assert np.isfinite(listed["score"]).all()


@kinds
@orientations
def test_a_file_says_the_same(kind, orientation, tmp_path):
    model = fit(orientation, **KINDS[kind])
    save_model(model, tmp_path / "m.npz")
    loaded = load_model(tmp_path / "m.npz")
    users = model.ratings_.user_ids
    for one, other in zip(loaded.recommend(users), model.recommend(users), strict=True):
        np.testing.assert_array_equal(one, other)
    for axis, features in model.ratings_.features.items():
        np.testing.assert_array_equal(loaded.ratings_.features[axis], features)
    with pytest.raises(ValueError, match="save the model with include_ratings=True"):
        save_model(model, tmp_path / "without.npz", include_ratings=False)
    assert not (tmp_path / "without.npz").exists()


@orientations
def test_first_ratings_reach_the_code_of_an_unrated_row(orientation):
    model = fit(orientation, others=True)
    columns, before = columns_of(orientation), model.fitted_
    model.partial_fit((*pair(orientation, NEW, columns), [5.0] * 5))
    fitted = model.fitted_
    position = fitted.find(orientation, [NEW])
    assert fitted.counts[orientation][position] == 5
    assert not np.array_equal(model.codes_[position], before.codes[position])
    rated = fitted.axes.orient(fitted.ratings.matrix)[[position[0]]]
    biases = fitted.cold_baseline.score_pairs(*pair(orientation, position[0], rated.indices))
    code = fitted.network.encode(fitted.theta, fitted.read(rated, biases, position))
    np.testing.assert_allclose(code, model.codes_[position], rtol=1e-5)
    model.partial_fit((*pair(orientation, 5000, columns), [1.0] * 5))
    other = OTHER[orientation]
    model.partial_fit((*pair(other, 6000, model.fitted_.ids(orientation)[:3]), [2.0] * 3))
    for axis, new in ((orientation, 5000), (other, 6000)):
        features = model.ratings_.features[axis]
        assert not features[model.fitted_.find(axis, [new])].any()
        known = model.fitted_.find(axis, before.ids(axis))
        np.testing.assert_array_equal(features[known], before.ratings.features[axis])
    assert np.isfinite(model.predict(*pair(other, 6000, [NEW, 5000]))).all()
    last = (record.weights["encoder.weight"][-3:] for record in (before, model.fitted_))
    np.testing.assert_array_equal(*last)  # the weights of features


@orientations
def test_new_ones_of_average_features(orientation):
    model = fit(orientation)
    known = columns_of(orientation)
    new = model.predict_new(dict.fromkeys(known.tolist(), 5.0), axis=orientation)
    assert new.shape == ((R.n_users if orientation == "item" else R.n_items),)
    fitted, matrix = model.fitted_, sparse.csr_array((1, model.network_.n_columns))
    assert not fitted.read(matrix, np.empty(0)).features.any()
    rows = model.fitted_.ids(orientation)[:4].tolist()
    other = OTHER[orientation]
    scores = model.predict_new(dict.fromkeys(rows, 4.0), axis=other)
    assert scores.shape == (len(model.fitted_.ids(orientation)),)
    assert np.isfinite(scores).all()


@kinds
def test_derivatives_are_those_of_a_prediction(kind):
    """By a rating, as the model would read it with the features of its row."""
    model = fit("user", dtype="float64", **KINDS[kind])
    user, item = R.user_ids[0], R.item_ids[1]
    found = rating_derivatives(model, user, item)
    fitted, scores = model.fitted_, []
    for step in (-1e-3, 1e-3):
        rated = fitted.ratings.matrix[[0]].astype(np.float64)
        rated.data[0] += step
        biases = fitted.cold_baseline.score_pairs(np.zeros(rated.nnz, int), rated.indices)
        inputs = fitted.read(rated, biases, np.array([0]))
        code = fitted.network.encode(fitted.theta, inputs)[0]
        scores.append(fitted.weights["decoder.weight"][1] @ code / fitted.output_map.factor)
    assert found[2][0] == pytest.approx((scores[1] - scores[0]) / 2e-3, rel=1e-5)
    assert np.isfinite(explain(model, user, item, by="items")[1]).all()


def test_a_clone_a_warm_start_and_early_stopping():
    model = fit("item", early_stopping=True, warm_start=True, validation_fraction=0.3)
    assert len(model.validation_curve_) == model.n_iter_
    model.fit(told("item"))
    with pytest.raises(ValueError, match=r"inputs of the last fit"):
        model.fit(R)
    assert not hasattr(clone(model), "fitted_")


def test_tied_weights_and_too_many_features_are_refused():
    with pytest.raises(ValueError, match="as many inputs as columns"):
        fit("item", tied=True)
    data = make_ratings(n_users=5, n_items=30, n_ratings=80, random_state=0)
    with pytest.raises(ValueError, match=r"got 5 features of the rows and 5 columns; leave some"):
        fit("item", features_of("item", data, 5), data)
    for engine in ("tiled", "plain"):
        features = features_of("item", data, 3).assign(constant=4.0)
        model = fit("item", features, data, engine=engine, inputs="planes")
        assert np.isfinite(model.predict(data.user_ids, [NEW] * 5)).all()


def test_a_mean_has_no_use_for_features():
    data = told("item", others=True)
    assert GlobalMean().fit(data).predict([NEW], [NEW])[0] == pytest.approx(R.matrix.data.mean())
