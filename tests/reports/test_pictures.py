"""The pictures hold what the models and the reports hold."""

import sys

import numpy as np
import pytest
from changed_records import with_block

from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.evaluation.held_out import (
    calibration,
    errors_by_activity,
    errors_by_rating,
    predict_held_out,
)
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import NotFittedError
from autorec_np.models.biases import BiasBaseline
from autorec_np.reports.pictures import map_items

pytest.importorskip("matplotlib", reason="needs matplotlib")

from autorec_np.reports import pictures as plotting
from autorec_np.reports.pictures import (
    plot_activations,
    plot_calibration,
    plot_error_by_activity,
    plot_error_by_rating,
    plot_item_map,
    plot_learning_curves,
    plot_weights,
)


def lines(panel):
    return {line.get_label(): line for line in panel.get_lines()}


@pytest.fixture(scope="module")
def split():
    ratings = make_ratings(n_users=60, n_items=40, n_ratings=900, activity=1.0, random_state=0)
    train, test = train_test_split(ratings, 0.3, 0)
    return train.select(train.triples()[1] != train.item_ids[0]), test  # one item is cold


@pytest.fixture(scope="module")
def model(split):
    model = AutoRec(hidden_layer_sizes=(6,), max_iter=5, n_jobs=1, random_state=0, implicit=0)
    return model.fit(split[0], validation=split[1])


def bars(panel, index=0):
    """Return the points and the ends of the error bars of one series of a panel."""
    line, _, (ends,) = panel.containers[index]
    return *line.get_data(), np.array(ends.get_segments())[:, :, 1]


def assert_bars_are(panel, values):
    _, means, ends = bars(panel)
    assert list(means) == [value.mean for value in values]
    known = ~np.isnan([value.low for value in values])
    np.testing.assert_allclose(
        ends[known], np.array([(value.low, value.high) for value in values])[known]
    )
    assert (ends[~known, 0] == ends[~known, 1]).all()  # no interval, no bar


def test_learning_curves_are_those_of_the_model(model):
    above, below = plot_learning_curves(model).axes
    for panel, curve in ((above, model.loss_curve_), (below, model.validation_curve_)):
        x, y = panel.get_lines()[0].get_data()
        assert (list(x), list(y)) == ([1, 2, 3, 4, 5], curve)
    best = int(np.argmin(model.validation_curve_)) + 1
    (mark,) = below.get_lines()[1].get_xdata()
    assert mark == best
    assert below.get_legend().get_texts()[0].get_text().endswith(f"after {best}")


def test_without_validation_ratings_there_is_one_curve(split):
    fitted = AutoRec(hidden_layer_sizes=(3,), max_iter=1, n_jobs=1, random_state=0).fit(split[0])
    (panel,) = plot_learning_curves(fitted).axes
    assert panel.get_ylabel() == "objective J"


@pytest.mark.parametrize("kind", ["autorec", "biases"])
def test_errors_by_rating_and_activity_are_those_of_the_groups(model, split, kind):
    one = model if kind == "autorec" else BiasBaseline().fit(split[0])
    pairs = predict_held_out(one, split[1])
    groups = errors_by_rating(pairs)
    (panel,) = plot_error_by_rating(one, split[1]).axes
    assert [label.get_text() for label in panel.get_xticklabels()] == [g.label for g in groups]
    assert_bars_are(panel, [group.pairs.rmse for group in groups])
    bias = lines(panel)["mean error"].get_ydata()
    assert list(bias) == [g.predicted - g.pairs.truth.mean() for g in groups]
    panels = plot_error_by_activity(one, split[1]).axes
    for panel, axis in zip(panels, ("user", "item"), strict=True):
        groups = errors_by_activity(pairs, axis)
        assert panel.get_xlabel() == f"training ratings of the {axis}"
        assert [label.get_text() for label in panel.get_xticklabels()] == [g.label for g in groups]
        assert_bars_are(panel, [group.pairs.rmse for group in groups])


def test_calibration_sets_truth_against_prediction(model, split):
    groups = calibration(predict_held_out(model, split[1]))
    (panel,) = plot_calibration(model, split[1]).axes
    assert list(bars(panel)[0]) == [group.predicted for group in groups]
    assert_bars_are(panel, [group.pairs.mean_rating for group in groups])
    diagonal = lines(panel)["right on average"]
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())


def test_trained_pairs_are_not_drawn_as_held_out(model, split):
    for plot in (plot_error_by_rating, plot_error_by_activity, plot_calibration):
        with pytest.raises(ValueError, match="also training pairs"):
            plot(model, split[0])


def test_histograms_hold_every_weight_and_every_code(model):
    panels = plot_weights(model).axes
    shapes = model.network_.layout.shapes
    assert len(panels) == len(shapes)
    for panel, (name, shape) in zip(panels, shapes.items(), strict=True):
        assert panel.get_title().startswith(name)
        assert panel.patches[0].get_data().values.sum() == np.prod(shape)
    codes, spread = (panel.patches[0].get_data() for panel in plot_activations(model).axes)
    rated = model.codes_[model.item_counts_ > 0]
    assert codes.values.sum() == rated.size < model.codes_.size
    assert (codes.edges[0], codes.edges[-1]) == (rated.min(), rated.max())
    assert spread.values.sum() == 6
    assert spread.edges[-1] == pytest.approx(rated.std(axis=0).max(), rel=1e-6)


def test_the_item_map_shows_every_item_once_and_titles_as_they_are(model):
    found = map_items(model.fitted_, 20)
    first = model.ratings_.item_ids[found.positions[0]]
    (panel,) = plot_item_map(model, {first: "$x_1$ & <b>\n2"}, n_items=20).axes
    drawn = np.concatenate([series.get_offsets() for series in panel.collections])
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, found.coordinates))
    texts = panel.texts
    assert texts[0].get_text() == "$x_1$ & <b> 2"
    assert not texts[0].get_parse_math()
    assert {text.get_text() for text in texts[1:]} <= set(map(str, model.ratings_.item_ids))


def test_items_are_marked_by_the_third_of_their_mean_rating(model):
    found = map_items(model.fitted_, 30)
    (panel,) = plot_item_map(model, n_items=30).axes
    matrix = model.ratings_.matrix[:, found.positions]
    means = np.asarray(matrix.sum(axis=0)) / np.diff(matrix.tocsc().indptr)
    by_place = {tuple(place): mean for place, mean in zip(found.coordinates, means, strict=True)}
    low, middle, high = (
        [by_place[tuple(place)] for place in series.get_offsets()] for series in panel.collections
    )
    assert max(low) <= min(middle) <= max(middle) <= min(high)
    assert len(low) == len(middle) == len(high) == 10


def test_labels_do_not_overlap(model):
    figure = plot_item_map(model, dict.fromkeys(range(40), "A title of average width"))
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) > 3
    for i, box in enumerate(boxes):
        assert box.count_overlaps(boxes[:i]) == 0


@pytest.mark.parametrize(
    "plot", [plot_learning_curves, plot_weights, plot_activations, plot_item_map]
)
def test_a_model_that_is_not_fitted_is_refused(plot):
    with pytest.raises(NotFittedError, match="call fit"):
        plot(AutoRec())


def test_without_matplotlib_the_error_says_what_to_install(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'autorec_np\[plot\]'"):
        plot_weights(model)


@pytest.mark.parametrize("name", plotting.__all__)
def test_every_picture_has_labels_on_its_axes(model, split, name):
    plot = getattr(plotting, name)
    figure = plot(model, split[1]) if "test" in plot.__annotations__ else plot(model)
    assert all(panel.get_ylabel() for panel in figure.axes)
    assert figure.axes[-1].get_xlabel() or figure.axes[-1].get_title()


@pytest.mark.parametrize("value", [0.0, 5.0, -1e17, 3e38])
@pytest.mark.parametrize("spread", [0.0, 1e-7])
def test_a_block_of_almost_equal_weights_has_a_histogram(model, value, spread):
    n = model.network_.n_columns
    block = np.float32(value) * (1 - np.float32(spread) * (np.arange(n) % 2))
    figure = plot_weights(with_block(model, "decoder.bias", block))
    (patch,) = figure.axes[-1].patches
    assert patch.get_data().values.sum() == n
