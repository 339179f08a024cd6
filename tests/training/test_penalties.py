"""The automatic penalty: counts as a rating sees them, and what follows from them."""

from __future__ import annotations

import numpy as np
import pytest
from matrices import random_csr
from scipy.sparse import csr_array

from autorec_np.core.network import Network
from autorec_np.training.trainer import (
    DECODER_FACTOR,
    ENCODER_FACTOR,
    automatic_penalties,
    automatic_shrinkage,
    reliability,
    typical_count,
)


def test_the_typical_count_is_that_of_the_row_of_a_random_rating():
    counts = np.array([1, 2, 3, 0, 4])
    rows = np.repeat(np.arange(5), counts)
    assert typical_count(counts) == pytest.approx(counts[rows].mean())
    assert typical_count(np.array([7, 7, 7])) == 7.0
    assert typical_count(np.append(counts, np.zeros(1000, int))) == typical_count(counts)


@pytest.mark.parametrize("corruption", [0.0, 0.5])
def test_every_weight_has_the_penalty_of_the_formula(corruption):
    matrix = random_csr(60, 50, 2000, seed=0)
    network = Network(50, (4, 3), tied=False)
    root = typical_count(np.diff(matrix.indptr)) * typical_count(np.bincount(matrix.indices))
    unit = root**0.25
    assert automatic_penalties(network, matrix, corruption) == pytest.approx(
        {
            "encoder.weight": ENCODER_FACTOR * (1 - corruption) ** 2 * unit,
            "hidden1.weight": DECODER_FACTOR * unit,
            "decoder.weight": DECODER_FACTOR * unit,
        }
    )


def test_both_orientations_have_the_same_penalties_and_tied_names_both():
    matrix = random_csr(60, 50, 2000, seed=1)
    by_row = automatic_penalties(Network(50, (3,), tied=True), matrix)
    by_column = automatic_penalties(Network(60, (3,), tied=True), matrix.T.tocsr())
    assert by_row == pytest.approx(by_column)
    assert set(by_row) == {"encoder.weight", "decoder.weight"}


def test_shrinkage_is_one_rating_where_rows_and_columns_have_256():
    dense = csr_array(np.ones((256, 256)))
    assert automatic_shrinkage(dense) == pytest.approx(1.0)
    sparse = random_csr(60, 50, 200, seed=0)
    counts = typical_count(np.diff(sparse.indptr)), typical_count(np.bincount(sparse.indices))
    assert automatic_shrinkage(sparse) == pytest.approx(2**16 / np.prod(counts))
    assert automatic_shrinkage(sparse) == pytest.approx(automatic_shrinkage(sparse.T.tocsr()))


def test_a_column_is_believed_by_its_ratings():
    np.testing.assert_allclose(reliability(np.array([0, 1, 3, 27]), 3.0), [0, 0.25, 0.5, 0.9])
    np.testing.assert_array_equal(reliability(np.array([0, 1, 3]), 0.0), 1.0)
