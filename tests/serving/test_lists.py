"""`RankingAutoRec` at work: why an item is in a list, what is similar, ONNX, scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from recommender_contract import COLD_ITEM, COLD_USER, ITEM_IDS, SEEN, TEST, TRAIN, USER_IDS

from autorec_np import (
    Blend,
    RankingAutoRec,
    explain,
    similar_items,
    similar_users,
)
from autorec_np.serving.explanation import rating_derivatives, rating_influence
from autorec_np.serving.model_file import export_onnx, load_model, save_model
from autorec_np.serving.scikit import RatingRegressor

SETTINGS = {
    "hidden_layer_sizes": (4,),
    "regularization": 1.0,
    "unobserved_weight": 0.3,
    "unobserved_target": 0.1,
    "max_iter": 40,
    "learning_rate_init": 0.03,
    "batch_size": 16,
    "dtype": "float64",
    "random_state": 0,
}
VARIANTS = [
    {},
    {"values": "counts"},
    {"values": "ratings"},
    {"threshold": 4},
    {"implicit": 2},
    {"implicit": 2, "threshold": 4, "values": "ratings"},
]


def fitted(orientation, **changes):
    return RankingAutoRec(orientation, **{**SETTINGS, **changes}).fit(TRAIN)


def other(orientation):
    return "user" if orientation == "item" else "item"


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_the_interactions_of_a_column_add_up_to_the_score(orientation, changes):
    """That of a new column with the same interactions, as trained ones are near their minimum."""
    model = fitted(orientation, **changes)
    axis = other(orientation)
    user, item = 3, 8
    ids, parts = explain(model, USER_IDS[user], ITEM_IDS[item], n=100, by=f"{orientation}s")
    column = user if axis == "user" else item
    mask = SEEN[user] if axis == "user" else SEEN[:, item]
    known = ITEM_IDS if axis == "user" else USER_IDS
    matrix = TRAIN.matrix.toarray()
    told = matrix[column] if axis == "user" else matrix[:, column]
    if changes.get("threshold"):
        mask = mask & (told >= 4)
    assert {*ids.tolist()} == {*known[mask].tolist()}
    new = model.predict_new(dict(zip(known[mask].tolist(), told[mask], strict=True)), axis=axis)
    expected = new[item if axis == "user" else user]
    assert parts.sum() + 0.1 == pytest.approx(expected, rel=1e-9)
    assert (np.diff(np.abs(parts)) <= 0).all()


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_the_derivatives_of_a_row_are_those_of_its_score(orientation, changes):
    """By central differences of what the network reads."""
    model = fitted(orientation, **changes)
    record, (user, item) = model.fitted_, (3, 8)
    ids, read, derivatives = rating_derivatives(model, USER_IDS[user], ITEM_IDS[item])
    rated = record.axes.orient(TRAIN.matrix)
    row, column = record.axes.rows_and_columns(user, item)
    inputs = record.read(rated[[row]])
    assert len(ids) == inputs.nnz == len(read)
    factor = record.input_map.factor
    np.testing.assert_allclose(record.input_map(read), inputs.data, rtol=1e-6)
    for place in range(len(ids)):
        ends = []
        for step in (1e-5, -1e-5):
            moved = inputs.copy()
            moved.data[place] += step
            ends.append(record.decoded(record.network.encode(record.theta, moved))[0, column])
        assert derivatives[place] == pytest.approx((ends[0] - ends[1]) / 2e-5 * factor, rel=1e-4)
    chosen, parts = explain(model, USER_IDS[user], ITEM_IDS[item], 100, by=f"{other(orientation)}s")
    by_id = dict(zip(chosen.tolist(), parts, strict=True))
    expected = dict(zip(ids.tolist(), inputs.data * derivatives / factor, strict=True))
    assert by_id == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("orientation", ["item", "user"])
def test_the_own_half_of_the_board_speaks_for_an_item(orientation):
    model = fitted(orientation, threshold=4)
    for by in ("items", "users"):
        ids, parts = explain(model, USER_IDS[4], ITEM_IDS[8], by=by)
        assert len(ids)
        assert (parts > 0).all()  # all are of the own half
    ids, _ = similar_items(model, ITEM_IDS[[4, 7]], 8)
    users, _ = similar_users(model, USER_IDS[[4, 7]], 8)
    for place, parity in enumerate((0, 1)):
        assert {np.searchsorted(ITEM_IDS.astype(str), one) % 2 for one in ids[place]} == {parity}
        assert {(one - 7) // 3 % 2 for one in users[place]} == {parity}


@pytest.mark.parametrize("orientation", ["item", "user"])
def test_who_chose_nothing_has_nothing_to_explain(orientation):
    model = fitted(orientation, implicit=2)
    for by in ("items", "users"):
        ids, parts = explain(model, COLD_USER, COLD_ITEM, by=by)
        assert (len(ids), len(parts)) == (0, 0)


@pytest.mark.parametrize("orientation", ["item", "user"])
def test_without_ratings_nothing_is_explained(orientation, tmp_path):
    save_model(fitted(orientation), tmp_path / "model.npz", include_ratings=False)
    loaded = load_model(tmp_path / "model.npz")
    for by in ("items", "users"):
        with pytest.raises(ValueError, match="an explanation needs the training ratings"):
            explain(loaded, USER_IDS[3], ITEM_IDS[8], by=by)
    assert similar_items(loaded, ITEM_IDS[:2], 3)[0].shape == (2, 3)


def test_influence_on_a_list_is_refused():
    with pytest.raises(TypeError, match=r"of lists, call explain\(model, user, item, by="):
        rating_influence(fitted("item"), USER_IDS[0], ITEM_IDS[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("changes", [*VARIANTS, {"hidden_layer_sizes": (5, 3)}, {"tied": True}])
def test_onnxruntime_gives_the_scores_of_the_model(orientation, changes, tmp_path):
    pytest.importorskip("onnx", reason="needs the package onnx")
    runtime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
    model = fitted(orientation, **changes)
    path = tmp_path / "model.onnx"
    export_onnx(model, path)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    expected = model.fitted_.score_all_items(np.arange(len(USER_IDS)))
    dense = TRAIN.matrix.toarray()
    for missing in (0.0, np.nan):
        feed = np.where(SEEN, dense, missing)
        feed, wanted = (feed.T, expected.T) if orientation == "item" else (feed, expected)
        (scores,) = session.run(["scores"], {"ratings": feed.astype(np.float32)})
        np.testing.assert_allclose(scores, wanted, rtol=0, atol=1e-5)


def test_who_needs_ratings_says_what_to_use():
    users, items, ratings = TEST.triples()
    X = np.column_stack([users.astype(str), items.astype(str)])
    regressor = RatingRegressor(RankingAutoRec())
    with pytest.raises(TypeError, match=r"RankingAutoRec.*evaluate_ranking"):
        regressor.fit(X, ratings)
    with pytest.raises(TypeError, match="ranks items and predicts no ratings"):
        Blend([("lists", RankingAutoRec())]).fit(TRAIN)
