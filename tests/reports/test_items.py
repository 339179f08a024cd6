"""The map of the items is that of their codes, or of their decoder weights."""

from __future__ import annotations

import numpy as np
import pytest

from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.models.autorec import AutoRec
from autorec_np.reports.pictures import map_items

QUICK = {"hidden_layer_sizes": (6,), "max_iter": 3, "n_jobs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def split():
    ratings = make_ratings(n_users=60, n_items=40, n_ratings=900, activity=1.0, random_state=0)
    return train_test_split(ratings, 0.3, 0)


@pytest.mark.parametrize("orientation", ["item", "user"])
def test_the_map_is_the_principal_components_of_the_codes(split, orientation):
    model = AutoRec(orientation, **QUICK).fit(split[0])
    found = map_items(model.fitted_, n_items=15)
    assert (np.diff(model.item_counts_[found.positions]) <= 0).all()
    assert model.item_counts_[found.positions[-1]] >= np.sort(model.item_counts_)[-15]
    vectors = model.codes_
    if orientation == "user":
        vectors = model.network_.layout.views(model.theta_)["decoder.weight"]
    chosen = vectors[found.positions].astype(float)
    variances, directions = np.linalg.eigh(np.cov(chosen.T))
    for k in range(2):
        along = (chosen - chosen.mean(axis=0)) @ directions[:, -1 - k]
        coordinates = found.coordinates[:, k]
        sign = np.sign(along @ coordinates)
        np.testing.assert_allclose(coordinates, sign * along, rtol=1e-6, atol=1e-9)
        assert found.shares[k] == pytest.approx(variances[-1 - k] / variances.sum(), rel=1e-6)
        assert coordinates[np.abs(coordinates).argmax()] > 0


def test_a_network_of_one_unit_has_a_map_on_a_line(split):
    model = AutoRec(**{**QUICK, "hidden_layer_sizes": (1,)}).fit(split[0])
    found = map_items(model.fitted_)
    assert found.shares == (pytest.approx(1.0), 0.0)
    assert not found.coordinates[:, 1].any()
