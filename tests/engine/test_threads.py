"""A fitted model may be asked from many threads at once, and answers the same to the last bit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from autorec_np.baselines.factors import BiasedMF
from autorec_np.data.ratings import Ratings
from autorec_np.data.synthetic import make_ratings
from autorec_np.models.autorec import AutoRec
from autorec_np.models.biases import BiasBaseline
from autorec_np.serving.explanation import explain, similar_items, similar_users
from autorec_np.serving.model_file import load_model, save_model

N_THREADS = 8
SMALL = {"hidden_layer_sizes": (16, 8), "max_iter": 2, "random_state": 0}
MODELS = {
    "item": lambda: AutoRec("item", **SMALL),
    "user": lambda: AutoRec("user", **SMALL),
    "cold number": lambda: AutoRec("user", **SMALL, cold=3.0, baseline="mean"),
    "bias": BiasBaseline,
    "factors": lambda: BiasedMF(n_factors=4, max_iter=2, random_state=0),
}


@pytest.fixture(scope="module")
def ratings():
    """String ids, whose table is made when the first thread asks."""
    R = make_ratings(n_users=200, n_items=80, n_ratings=3000, random_state=5)
    users, items, values = R.triples()
    return Ratings.from_triples(users.astype(str), items.astype(str), values, scale=R.scale)


def answers(model, seed: int) -> list[bytes]:
    """Ask for everything, in an order of its own, and return the bytes of each answer."""
    users, items = model.ratings_.user_ids, model.ratings_.item_ids
    new = {items[3]: 4.0, items[11]: 1.0, items[40]: 5.0}
    questions = [
        lambda: [model.predict(np.repeat(users, 3), np.resize(items, 3 * len(users)))],
        lambda: model.recommend(users, 7),
        lambda: model.recommend(users[::-1][:5], 3, exclude_seen=False),
        lambda: [model.cold_pairs(["nobody"], items[:1])],
    ]
    if isinstance(model, AutoRec):
        by = "users" if model.orientation_ == "item" else "items"
        questions += [
            lambda: [model.predict_new(new)],
            lambda: model.recommend_new(new, 5),
            lambda: (
                [model.encode(model.ratings_.item_ids[:2])]
                if model.orientation_ == "item"
                else [model.encode(users[:2])]
            ),
            lambda: similar_items(model, items[:9], 4),
            lambda: similar_users(model, users[:9], 4),
            lambda: explain(model, users[1], items[2], by=by),
        ]
    found: dict[int, bytes] = {}
    for place in np.random.default_rng(seed).permutation(len(questions)).tolist():
        found[place] = b"".join(
            repr(part.tolist()).encode() if part.dtype.kind == "O" else part.tobytes()
            for part in questions[place]()
        )
    return [found[place] for place in range(len(questions))]


@pytest.mark.parametrize("mapped", [False, True], ids=["fitted", "mapped"])
@pytest.mark.parametrize("name", MODELS)
def test_eight_threads_get_the_answers_of_one(name, mapped, ratings, tmp_path):
    model = MODELS[name]().fit(ratings)
    save_model(model, tmp_path / "model")
    expected = answers(load_model(tmp_path / "model"), seed=0)
    if mapped:
        model = load_model(tmp_path / "model", memory_map=True)
    barrier = Barrier(N_THREADS)

    def ask(thread: int) -> list[list[bytes]]:
        barrier.wait(timeout=60)
        return [answers(model, seed=10 * thread + repeat) for repeat in range(3)]

    with ThreadPoolExecutor(N_THREADS) as executor:
        for found in executor.map(ask, range(N_THREADS)):
            assert found == [expected] * 3


def test_threads_with_a_model_each_do_not_disturb_one_another(ratings):
    """Fitting in one thread while others predict: nothing is shared but the ratings."""

    def work(seed: int) -> bytes:
        model = AutoRec("user", **{**SMALL, "random_state": seed % 2}).fit(ratings)
        return model.predict(*ratings.triples()[:2]).tobytes()

    with ThreadPoolExecutor(N_THREADS) as executor:
        found = list(executor.map(work, range(N_THREADS)))
    assert found == [work(0), work(1)] * (N_THREADS // 2)
    assert found[0] != found[1]
