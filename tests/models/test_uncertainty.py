"""Intervals hold the part of new ratings that they say, of every model and in every group.

Coverage is a random figure: that of n new ratings after a calibration on m scatters with a variance
of about p (1 - p) (1 / n + 1 / m). Everything here is seeded.
"""

from __future__ import annotations

import copy
import logging
import threading

import numpy as np
import pandas as pd
import pytest
from advice import follow
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.models import base, frames
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import NotFittedError, copy_unfitted
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.models.blend import Blend
from autorec_np.models.frames import Calibration, calibrated_on
from autorec_np.serving.model_file import load_model, save_model
from autorec_np.training.trainer import ConvergenceWarning

LEVELS = (0.5, 0.8, 0.95)
SCALE = (1.0, 5.0)
R = make_ratings(n_users=300, n_items=200, n_ratings=14_000, activity=0.8, random_state=0)
TRAIN, TEST = train_test_split(R, 0.25, random_state=0)
USERS, ITEMS, TRUTH = TEST.triples()
SMALL = {"hidden_layer_sizes": (6,), "max_iter": 4, "n_jobs": 1, "random_state": 0}
OVERFITTED = {
    "hidden_layer_sizes": (40,),
    "regularization": 0.5,
    "corruption": 0.0,
    "max_iter": 60,
    "n_jobs": 1,
    "random_state": 0,
}
MODELS = {
    "item": AutoRec(**SMALL),
    "user": AutoRec("user", **SMALL),
    "biases": BiasBaseline(),
    "mean": GlobalMean(),
    "blend": Blend([("item", AutoRec(**SMALL)), ("biases", BiasBaseline())], random_state=0),
}
models = pytest.mark.parametrize("name", MODELS)


def fitted(name, ratings=TRAIN):
    return copy_unfitted(MODELS[name]).fit(ratings)


def held(model, level, users=USERS, items=ITEMS, truth=TRUTH):
    """Which ratings the intervals hold."""
    _, low, high = model.predict(users, items, interval=level)
    return (low <= truth) & (truth <= high)


def errors_of(level, n, m):
    """Three standard errors of the coverage of n ratings after a calibration on m."""
    return 3 * np.sqrt(level * (1 - level) * (1 / n + 1 / m))


def drawn(n, seed, rounding=1.0):
    """Ratings, scores and counts of n pairs; errors are wider where there are fewer ratings."""
    rng = np.random.default_rng(seed)
    user_counts, item_counts = rng.geometric(0.02, (2, n)) - 1
    scores = rng.normal(3.8, 0.9, n)
    noise = rng.standard_t(5, n) * (0.5 + 2 / np.sqrt(1 + user_counts + item_counts))
    truth = np.clip(np.round((scores + noise) / rounding) * rounding, *SCALE)
    return truth, scores, user_counts, item_counts


# The rule


@pytest.mark.parametrize("level", [0.1, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("n", [19, 20, 99, 100])
def test_the_rank_holds_a_new_figure_with_the_probability_of_the_level(level, n):
    figures = np.random.default_rng(0).random((20_000, n + 1))
    figures[:, :-1].sort(axis=1)
    part = np.mean(figures[:, -1] <= figures[:, frames.rank(level, n) - 1])
    slack = 3 * np.sqrt(level * (1 - level) / 20_000)
    assert level - slack < part < level + 1 / (n + 1) + slack


def test_the_rank_has_no_rounding_error():
    for n in range(1, 400):
        for percent in range(1, 100):
            assert frames.rank(percent / 100, n) == max(1, -(-(n + 1) * percent // 100))


@pytest.mark.parametrize("rounding", [1.0, 0.5, 1e-9])
@pytest.mark.parametrize("level", LEVELS)
def test_coverage_of_exchangeable_ratings_in_every_group(level, rounding):
    calibration = calibrated_on(*drawn(6000, 0, rounding), SCALE)
    truth, *pairs = drawn(6000, 1, rounding)
    low, high = calibration.interval(level, *pairs, SCALE)
    is_in = (low <= truth) & (truth <= high)
    assert abs(is_in.mean() - level) < errors_of(level, 6000, 6000)
    for group, n_calibrated in enumerate(np.diff(calibration.starts)):
        some = frames.groups(*pairs[1:]) == group
        assert some.sum() > 50
        assert abs(is_in[some].mean() - level) < errors_of(level, some.sum(), n_calibrated)


@pytest.mark.parametrize("level", LEVELS)
def test_scores_beyond_the_scale_hold_no_more(level):
    """Half of all predictions are clipped to 5, where an interval ends at 5."""
    truth, scores, *counts = drawn(6000, 2)
    shifted = scores + 1.0
    truth = np.clip(truth + 1.0, *SCALE)
    assert np.mean(shifted > 5) > 0.4
    calibration = calibrated_on(truth[:3000], shifted[:3000], *(c[:3000] for c in counts), SCALE)
    low, high = calibration.interval(level, shifted[3000:], *(c[3000:] for c in counts), SCALE)
    is_in = (low <= truth[3000:]) & (truth[3000:] <= high)
    everywhere_at_the_top = np.mean(truth[3000:] == 5)
    slack = errors_of(level, 3000, 3000)
    assert level - slack < is_in.mean() < max(level, everywhere_at_the_top) + slack


def test_wider_where_ratings_are_few():
    calibration = calibrated_on(*drawn(6000, 0), SCALE)
    scores, counts = np.full(3, 3.0), np.array([2, 30, 200])
    low, high = calibration.interval(0.8, scores, counts, counts, SCALE)
    assert (np.diff(high - low) < 0).all()


@given(
    sizes=st.lists(st.integers(0, 130), min_size=4, max_size=4).filter(sum),
    levels=st.lists(st.floats(1e-3, 0.999), min_size=2, max_size=6),
    seed=st.integers(0, 9),
)
def test_a_higher_level_holds_the_lower_one(sizes, levels, seed):
    rng = np.random.default_rng(seed)
    parts = [np.sort(rng.exponential(size=n)) for n in sizes]
    calibration = Calibration(
        rng.normal(0, 0.1, 6), np.concatenate(parts), np.cumsum([0, *sizes], dtype=np.int64)
    )
    n = sum(sizes)
    possible = sorted(level for level in levels if frames.rank(level, n) <= n)
    _, *pairs = drawn(100, seed)
    before = np.clip(pairs[0], *SCALE), np.clip(pairs[0], *SCALE)
    for level in possible:
        low, high = calibration.interval(level, *pairs, SCALE)
        assert (low <= before[0]).all()
        assert (before[1] <= high).all()
        assert ((low >= 1) & (high <= 5)).all()
        before = low, high


def test_a_group_with_few_ratings_has_the_widest_of_the_others():
    parts = [np.full(n, value) for n, value in ((49, 9.0), (50, 1.0), (60, 3.0), (400, 2.0))]
    starts = np.cumsum([0, *map(len, parts)])
    calibration = Calibration(np.zeros(6), np.concatenate(parts), starts)
    assert calibration.quantiles(0.5).tolist() == [3.0, 1.0, 3.0, 2.0]
    # 50 ratings tell nothing of the last hundredth, and 60 neither
    assert calibration.quantiles(0.99).tolist() == [9.0, 9.0, 9.0, 2.0]


def test_groups_that_all_have_few_ratings_share_the_quantile_of_all():
    parts = np.arange(1.0, 81.0).reshape(20, 4).T  # 20 errors in each of four groups
    calibration = Calibration(np.zeros(6), parts.reshape(-1), np.arange(0, 81, 20))
    assert calibration.quantiles(0.5).tolist() == [41.0] * 4  # the 41st of 80


# Models


@models
@pytest.mark.parametrize("level", LEVELS)
def test_coverage_of_every_model(name, level):
    is_in = held(fitted(name), level)
    # the mean says the same of all pairs, so that whole values of ratings are in or out
    most = 1.0 if name == "mean" else level + 0.02 + errors_of(level, len(TEST), len(TRAIN) / 10)
    assert level - errors_of(level, len(TEST), len(TRAIN) / 10) < is_in.mean() < most


@pytest.mark.parametrize("level", LEVELS)
def test_coverage_where_the_model_is_given_held_out_ratings(level):
    given_part, rest = train_test_split(TEST, 0.5, random_state=0)
    model = AutoRec(**OVERFITTED).fit(TRAIN).calibrate(given_part)
    is_in = held(model, level, *rest.triples())
    assert abs(is_in.mean() - level) < errors_of(level, len(rest), len(given_part))


def test_errors_of_training_ratings_would_promise_too_much(monkeypatch):
    """The planted fault: the ratings that calibrate are those of the fit."""
    model = AutoRec(**OVERFITTED).fit(TRAIN)
    slack = errors_of(0.8, len(TEST), len(TRAIN) / 10)
    assert abs(held(copy.copy(model), 0.8).mean() - 0.8) < 0.02 + slack
    divide = base.train_test_split

    def leaking(ratings, *options):
        rest, _ = divide(ratings, *options)
        return rest, rest

    monkeypatch.setattr(base, "train_test_split", leaking)
    assert held(model, 0.8).mean() < 0.8 - 3 * slack


@models
def test_the_prediction_is_the_same_to_the_bit_and_inside(name):
    model = fitted(name)
    before = model.predict(USERS, ITEMS)
    for level in (1e-6, 0.3, 0.8):
        prediction, low, high = model.predict(USERS, ITEMS, interval=level)
        assert {one.dtype for one in (prediction, low, high)} == {np.dtype(np.float64)}
        np.testing.assert_array_equal(prediction, before)
        assert (low <= prediction).all()
        assert (prediction <= high).all()
        assert low.min() >= 1
        assert high.max() <= 5
    np.testing.assert_array_equal(model.predict(USERS, ITEMS), before)


@models
def test_reruns_are_bit_identical(name):
    first, second = (fitted(name).predict(USERS, ITEMS, interval=0.8) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    explicitly = fitted(name).calibrate().predict(USERS, ITEMS, interval=0.8)
    np.testing.assert_array_equal(first, explicitly)


def test_a_generator_is_not_moved():
    model = AutoRec(**{**SMALL, "random_state": np.random.default_rng(3)}).fit(TRAIN)
    before = model.random_state.bit_generator.state
    model.calibrate()
    assert model.random_state.bit_generator.state == before


def test_frames_and_ratings_are_answered_in_kind():
    model = fitted("biases")
    expected = model.predict(USERS, ITEMS, interval=0.8)
    np.testing.assert_array_equal(model.predict(TEST, interval=0.8), expected)
    index = [f"row {n}" for n in range(len(USERS))]
    frame = pd.DataFrame({"user": USERS, "item": ITEMS}, index=index)
    answers = model.predict(frame, interval=0.8)
    assert [one.name for one in answers] == ["prediction", "low", "high"]
    for answer, values in zip(answers, expected, strict=True):
        assert answer.index.tolist() == index
        np.testing.assert_array_equal(answer, values)
    matrix = sparse.csr_array(TRAIN.matrix)
    by_index = BiasBaseline().fit(matrix).predict([0, 1], [2, 3], interval=0.8)
    assert [len(values) for values in by_index] == [2, 2, 2]


@models
def test_cold_pairs_get_intervals(name):
    model = fitted(name)
    prediction, low, high = model.predict([-5, R.user_ids[0]], [R.item_ids[0], -5], interval=0.8)
    assert (low < prediction).all()
    assert (prediction < high).all()


def test_cold_pairs_are_a_group_of_their_own():
    newcomers = make_ratings(n_users=400, n_items=200, n_ratings=6000, random_state=1)
    users, items, truth = newcomers.triples()
    first, second = (users + 10_000 < 10_000 + 200, users >= 200)
    model = fitted("biases").calibrate((users[first] + 10_000, items[first], truth[first]))
    assert np.diff(model.fitted_.calibration.starts)[1:].sum() == 0
    is_in = held(model, 0.8, users[second] + 10_000, items[second], truth[second])
    assert abs(is_in.mean() - 0.8) < 0.02 + errors_of(0.8, second.sum(), first.sum())


def test_a_model_that_refuses_cold_pairs_is_calibrated_on_the_others():
    scarce = TRAIN.select(np.arange(0, len(TRAIN), 20))
    model = AutoRec(**SMALL, cold="raise").fit(scarce).calibrate()
    starts = model.fitted_.calibration.starts
    assert starts[1] == 0 < starts[-1]
    assert BiasBaseline().fit(scarce).calibrate().fitted_.calibration.starts[1] > 0


# What it costs, and how long it lasts


def count_fits(monkeypatch):
    fits, fit = [], BiasBaseline.fit
    lock = threading.Lock()

    def counting(self, ratings, validation=None):
        with lock:
            fits.append(ratings)
        return fit(self, ratings, validation)

    monkeypatch.setattr(BiasBaseline, "fit", counting)
    return fits


def test_one_more_fit_that_is_logged_and_no_more(monkeypatch, caplog):
    model = fitted("biases")
    fits = count_fits(monkeypatch)
    model.predict(USERS, ITEMS)
    assert fits == []
    with caplog.at_level(logging.INFO, "autorec_np"):
        for level in LEVELS:
            model.predict(USERS, ITEMS, interval=level)
    (rest,) = fits
    assert len(rest) == len(TRAIN) - int(np.ceil(0.1 * len(TRAIN)))
    assert [record.message for record in caplog.records] == [
        "BiasBaseline: one more fit, to calibrate its intervals"
    ]
    model.calibrate()
    assert len(fits) == 2
    model.calibrate(TEST).predict(USERS, ITEMS, interval=0.8)
    assert len(fits) == 2


def test_counts_of_the_copy_stand_for_those_of_all_ratings(monkeypatch):
    seen = []

    def spy(truth, scores, *counts_and_scale):
        seen.append(counts_and_scale[:2])
        return calibrated_on(truth, scores, *counts_and_scale)

    monkeypatch.setattr(base, "calibrated_on", spy)
    model = fitted("biases").calibrate()
    [(of_users, of_items)] = seen
    rest, held_out = train_test_split(TRAIN, 0.1, 0)
    copied = fitted("biases", rest)
    users, items = copied.fitted_.positions(*held_out.triples()[:2])
    more = len(TRAIN) / len(rest)
    np.testing.assert_allclose(of_users, more * copied.fitted_.counts["user"][users], rtol=1e-12)
    np.testing.assert_allclose(of_items, more * copied.fitted_.counts["item"][items], rtol=1e-12)
    assert model.fitted_.calibration is not None


def test_threads_share_one_calibration(monkeypatch):
    expected = fitted("biases").predict(USERS, ITEMS, interval=0.8)
    model = fitted("biases")
    fits, answers, together = count_fits(monkeypatch), [], threading.Barrier(8)

    def ask():
        together.wait()
        answers.append(model.predict(USERS, ITEMS, interval=0.8))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fits) == 1
    assert len(answers) == 8
    for answer in answers:
        np.testing.assert_array_equal(answer, expected)


def test_fit_drops_it_and_partial_fit_keeps_it():
    model = fitted("item").calibrate()
    calibration = model.fitted_.calibration
    model.partial_fit((USERS[:5], ITEMS[:5], TRUTH[:5]))
    assert model.fitted_.calibration is calibration
    model.fit(TRAIN)
    assert model.fitted_.calibration is None


def test_a_fit_in_the_middle_is_not_undone(monkeypatch):
    model, other = fitted("biases"), fitted("biases", R)
    learn = base.calibrated_on

    def fitted_meanwhile(*arguments):
        model.fitted_ = other.fitted_
        return learn(*arguments)

    expected = fitted("biases").predict(USERS, ITEMS, interval=0.8)
    monkeypatch.setattr(base, "calibrated_on", fitted_meanwhile)
    np.testing.assert_array_equal(model.predict(USERS, ITEMS, interval=0.8), expected)
    assert model.fitted_ is other.fitted_


def test_an_error_leaves_the_model_as_it_was():
    model = fitted("biases")
    record = model.fitted_
    with pytest.raises(ValueError, match="training pairs"):
        model.calibrate(TRAIN)
    assert model.fitted_ is record


@pytest.mark.parametrize("around", [lambda model: model, lambda model: Blend([("a", model)])])
def test_the_other_fit_calls_and_shows_nothing(around, capsys):
    epochs = []
    model = around(AutoRec(**SMALL, callbacks=[epochs.append], verbose=True)).fit(TRAIN)
    n_epochs, _ = len(epochs), capsys.readouterr()
    model.calibrate()
    assert len(epochs) == n_epochs >= 4
    assert capsys.readouterr() == ("", "")


def test_an_interrupt_of_the_other_fit_is_one(monkeypatch):
    """Ctrl-C after an epoch leaves a fit with what it has; here that would be half a model."""
    model = AutoRec(**SMALL).fit(TRAIN)

    def interrupted(self, *arguments):
        fitted, _ = train(self, *arguments)
        return fitted, True

    train = AutoRec._train
    monkeypatch.setattr(AutoRec, "_train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.predict(USERS, ITEMS, interval=0.8)
    assert model.fitted_.calibration is None


def test_the_limit_of_iterations_is_no_news():
    with pytest.warns(ConvergenceWarning):
        model = AutoRec(**SMALL, solver="lbfgs").fit(TRAIN)
    model.calibrate()


# Errors


@pytest.mark.parametrize("interval", [0, 1, 0.0, 1.0, -0.1, 1.5, 80, np.nan, np.inf])
def test_an_interval_is_a_part(interval):
    model = fitted("biases")
    with pytest.raises(ValueError, match=r"interval must be a finite number in \(0, 1\), got"):
        model.predict(USERS, ITEMS, interval=interval)
    assert model.fitted_.calibration is None
    with pytest.raises(ValueError, match=r"pass interval=0\.8") as caught:
        model.predict(USERS, ITEMS, interval=interval)
    assert "For 80 %" in str(caught.value)


@pytest.mark.parametrize("interval", ["0.8", True, (0.1, 0.9)])
def test_an_interval_is_a_number(interval):
    with pytest.raises(TypeError, match="interval must be a number, got"):
        fitted("biases").predict(USERS, ITEMS, interval=interval)


def test_before_fit():
    for call in (lambda m: m.predict([1], [1], interval=0.8), lambda m: m.calibrate()):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            call(BiasBaseline())


def test_too_few_held_out_ratings_say_how_many_it_takes():
    model = fitted("biases").calibrate((USERS[:18], ITEMS[:18], TRUTH[:18]))
    with pytest.raises(ValueError, match=r"interval=0\.95 needs 19 held-out ratings.*on 18;"):
        model.predict(USERS, ITEMS, interval=0.95)
    model.predict(USERS, ITEMS, interval=0.9)
    model.calibrate((USERS[:19], ITEMS[:19], TRUTH[:19])).predict(USERS, ITEMS, interval=0.95)


def test_ratings_that_were_trained_on_are_refused():
    users, items, truth = R.triples()
    with pytest.raises(ValueError, match="also training pairs, where errors are smaller"):
        fitted("biases").calibrate((users, items, truth))


def test_other_ratings_that_cannot_be_used():
    model = fitted("biases")
    with pytest.raises(ValueError, match=r"is 9, outside the scale \[1, 5\]"):
        model.calibrate((USERS[:2], ITEMS[:2], [3.0, 9.0]))
    with pytest.raises(ValueError, match="holds no ratings"):
        model.calibrate(TEST.select(np.zeros(len(TEST), bool)))
    refusing = AutoRec(**SMALL, cold="raise").fit(TRAIN)
    for model in (refusing, Blend([("a", refusing)]).fit(TRAIN)):
        with pytest.raises(ValueError, match="none of the held-out ratings"):
            model.calibrate(([-1], ITEMS[:1], [3.0]))


def test_a_model_without_its_ratings_says_what_to_do(tmp_path):
    save_model(fitted("biases"), tmp_path / "model.npz", include_ratings=False)
    model = load_model(tmp_path / "model.npz")
    for call in (lambda: model.predict(USERS, ITEMS, interval=0.8), model.calibrate):
        with pytest.raises(ValueError, match="saved without its own") as caught:
            call()
    follow(caught.value, "calibrate(", calibrate=model.calibrate, ratings=TEST)
    expected = fitted("biases").calibrate(TEST).predict(USERS, ITEMS, interval=0.8)
    np.testing.assert_array_equal(model.predict(USERS, ITEMS, interval=0.8), expected)


def test_a_perfect_model_has_intervals_of_no_width():
    users, items = np.divmod(np.arange(400), 20)
    ratings = Ratings.from_triples(users, items, np.full(400, 3.0), scale=(1, 5))
    _, low, high = BiasBaseline().fit(ratings).predict(users, items, interval=0.8)
    np.testing.assert_allclose(low, 3.0)
    np.testing.assert_allclose(high, 3.0)
