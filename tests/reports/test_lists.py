"""The report on a model of lists: lists in place of errors, of ratings and of clicks."""

from __future__ import annotations

import numpy as np
import pytest
from pages import Page

from autorec_np.baselines.lists import Popularity
from autorec_np.evaluation.held_out import evaluate_ranking
from autorec_np.models.ranking_autorec import RankingAutoRec
from autorec_np.reports.html import check_model_gradient
from autorec_np.reports.pictures import html_report, plot_error_by_rating, plot_learning_curves
from autorec_np.training.trainer import short_on_purpose

SETTINGS = {"hidden_layer_sizes": (6,), "max_iter": 4, "n_jobs": 1, "random_state": 0}
SETTINGS |= {"regularization": 30.0, "unobserved_weight": 0.5}
VARIANTS = [
    {},
    {"values": "counts", "implicit": 2},
    {"values": "ratings", "threshold": 3},
    {"dtype": "float64", "unobserved_target": 0.2},
]


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_the_gradient_is_that_over_all_cells(orientation, changes, split):
    model = RankingAutoRec(orientation, **SETTINGS, **changes).fit(split[0])
    report, (n_rows, n_columns, n_ratings) = check_model_gradient(model.fitted_)
    assert {block.verdict for block in report.blocks.values()} == {"pass"}
    told = model.fitted_.axes.orient(model.fitted_.told(split[0].matrix))
    assert (n_rows, n_columns) == (20, 40)
    assert 0 < n_ratings <= told.nnz


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_it_vanishes_at_the_minimum(changes, split):
    """Of all rows and columns it is the gradient that the training brought to 0."""
    settings = {**SETTINGS, **changes, "dtype": "float64", "max_iter": 500}
    with short_on_purpose():
        model = RankingAutoRec("user", **settings, solver="lbfgs", tol=1e-12).fit(split[0])
    report, shape = check_model_gradient(model.fitted_, 60, 40)
    assert shape[:2] == (60, 40)
    assert all(abs(block.analytic) < 1e-2 for block in report.blocks.values())


def test_lists_stand_in_place_of_errors(split, no_drawing):
    train, test = split
    model = RankingAutoRec(**SETTINGS, threshold=3).fit(train, validation=test)
    html = html_report(model, test)
    page = Page(html)
    headings = page.text("h2")
    assert headings[:3] == ["The model", "Lists of held-out users", "Training"]
    assert "Where the errors are" not in headings
    assert page.text("h1") == ["RankingAutoRec report"]
    measured = evaluate_ranking(model, test)
    assert f"{measured.ndcg:.4f} ±" in html
    assert "Popularity" in html
    assert "weight w0 = 0.5, target t0 = 0" in html
    assert f"{len(model.fitted_.training):,}" in html
    assert "Scores rank items and are no ratings." in html
    assert "RMSE" not in html.replace("validation RMSE, of lists", "")


def test_popularity_is_measured_by_the_threshold_of_the_model(split, no_drawing):
    train, test = split
    model = RankingAutoRec(**SETTINGS, values="counts").fit(train)
    html = html_report(model, test)
    for one in (model, Popularity().fit(train)):
        expected = evaluate_ranking(one, test, threshold=1).ndcg
        assert f'{type(one).__name__}</th><td class="number">{expected:.4f} ±' in html


def test_clicks_have_a_report_too(split, no_drawing):
    users, items, _ = split[0].triples()
    model = RankingAutoRec("user", **SETTINGS).fit((users, items))
    users, items, _ = split[1].triples()
    html = html_report(model, (users, items))
    assert f"{len(split[0]):,} interactions, " in html
    assert f"{len(users):,} items that were held out are to be found" in html
    without = Page(html_report(model))
    assert without.text("h2")[-1] == "Left out"


def test_a_report_of_ratings_says_what_its_lists_are(html):
    assert "For lists of what people choose next, train a RankingAutoRec." in html


def test_the_curve_of_lists_is_named(split):
    model = RankingAutoRec(**SETTINGS).fit(split[0], validation=split[1])
    panels = plot_learning_curves(model).axes
    assert [panel.get_ylabel() for panel in panels] == ["objective J", "1 - NDCG@10"]
    np.testing.assert_array_equal(panels[1].lines[0].get_ydata(), model.validation_curve_)
    with pytest.raises(TypeError, match="ranks items and predicts no ratings"):
        plot_error_by_rating(model, split[1])
