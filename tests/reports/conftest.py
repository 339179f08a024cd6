"""One report for all tests of the page: it takes seconds to draw."""

from __future__ import annotations

import pytest
from pages import NASTY, Page

from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.models.autorec import AutoRec
from autorec_np.reports import html as html_room
from autorec_np.reports.pictures import html_report


@pytest.fixture(scope="package")
def split():
    ratings = make_ratings(n_users=60, n_items=40, n_ratings=900, activity=1.0, random_state=0)
    users, items, values = ratings.triples()
    words = Ratings.from_triples(
        [f"<u{user}>&" for user in users], [f"i{item:02}" for item in items], values, scale=(1, 5)
    )
    return train_test_split(words, 0.3, 0)


@pytest.fixture(scope="package")
def model(split):
    model = AutoRec(hidden_layer_sizes=(6,), max_iter=4, n_jobs=1, random_state=0)
    return model.fit(split[0], validation=split[1])


@pytest.fixture(scope="package")
def titles():
    return {f"i{k:02}": f"{NASTY[k % len(NASTY)]} {k}" for k in range(40)}


@pytest.fixture(scope="package")
def html(model, split, titles):
    return html_report(model, split[1], titles=titles, name="a <b> & c")


@pytest.fixture(scope="package")
def page(html):
    return Page(html)


@pytest.fixture
def no_drawing(monkeypatch):
    """Leave the slow half of a report out: what is drawn is not what is tested."""
    monkeypatch.setattr(html_room, "svg", lambda figure, key, alt: "<svg></svg>")
