"""Lists by the objective over all cells: what the network minimizes, and new columns."""

from __future__ import annotations

import numpy as np
import pytest
import reference

from autorec_np.core.kernels import with_data
from autorec_np.data.synthetic import make_ratings
from autorec_np.models.ranking_autorec import RankingAutoRec

RATINGS = make_ratings(n_users=30, n_items=20, n_ratings=240, random_state=0)
SETTINGS = {
    "hidden_layer_sizes": (3,),
    "regularization": 2.0,
    "unobserved_weight": 0.3,
    "unobserved_target": 0.1,
    "max_iter": 5,
    "dtype": "float64",
    "random_state": 0,
}


@pytest.mark.parametrize("orientation", ["item", "user"])
@pytest.mark.parametrize("values", ["binary", "counts", "ratings"])
@pytest.mark.parametrize("implicit", [0, 2])
def test_a_new_column_is_the_minimum_over_all_rows(orientation, values, implicit):
    """(75), from the normal equations of all cells, one after the other."""
    model = RankingAutoRec(
        **SETTINGS, orientation=orientation, values=values, implicit=implicit
    ).fit(RATINGS)
    fitted = model.fitted_
    rows = RATINGS.matrix if orientation == "item" else RATINGS.matrix.T.tocsr()
    few = rows[np.arange(4)]  # columns of the network, as rows
    told = fitted.told(few)
    shares = fitted.implicit and fitted.implicit.shares_of(told)
    weights, biases = fitted.fit_columns(few, few.data, shares)
    counts = values == "counts"
    t = fitted.input_map(told.data) if values == "ratings" else np.ones(told.nnz)
    wanted, weighs = reference.every_cell(
        with_data(told, t), 0.3, 0.1, told.data if counts else None
    )
    for column in range(4):
        share = np.zeros(4)
        if implicit:
            share[:2] = shares[column]
        normal, right = np.diag([1.0, 1.0, 1.0, 0.0]), share * [1.0, 1.0, 1.0, 0.0]  # lambda / 2
        for row, code in enumerate(fitted.codes):
            z = np.append(code, 1.0)
            normal += weighs[column, row] * np.outer(z, z)
            right += weighs[column, row] * wanted[column, row] * z
        expected = np.linalg.solve(normal, right)
        np.testing.assert_allclose(weights[column], expected[:3], rtol=1e-9)
        assert biases[column] == pytest.approx(expected[3], rel=1e-9)


def test_a_column_without_interactions_has_the_target_everywhere():
    model = RankingAutoRec(**SETTINGS).fit(RATINGS)
    nothing = RATINGS.matrix[[0]] * 0
    nothing.eliminate_zeros()
    weights, biases = model.fitted_.fit_columns(nothing, nothing.data, None)
    assert not weights.any()
    assert biases.tolist() == [0.1]
