"""The flat vector and its named views."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorec_np.core.parameters import ParameterLayout

SHAPES = {
    "encoder.weight": (5, 4),
    "encoder.bias": (4,),
    "hidden1.weight": (4, 3),
    "hidden1.bias": (3,),
    "decoder.weight": (5, 3),
    "decoder.bias": (5,),
}


def test_blocks_lie_in_order_without_overlap_and_cover_the_vector():
    layout = ParameterLayout(SHAPES)
    assert layout.size == 20 + 4 + 12 + 3 + 15 + 5
    assert list(layout.slices) == list(SHAPES)
    ends = [0]
    for name, where in layout.slices.items():
        assert where.start == ends[-1]
        assert where.stop - where.start == np.prod(SHAPES[name])
        ends.append(where.stop)
    assert ends[-1] == layout.size


@given(shapes=st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=3), max_size=6))
def test_the_vector_is_the_concatenation_of_its_views(shapes):
    layout = ParameterLayout({f"block{i}": tuple(shape) for i, shape in enumerate(shapes)})
    theta = np.arange(layout.size, dtype=float)
    views = layout.views(theta)
    assert [view.shape for view in views.values()] == [tuple(shape) for shape in shapes]
    np.testing.assert_array_equal(np.concatenate([[], *(v.ravel() for v in views.values())]), theta)


def test_writing_to_a_view_writes_theta():
    layout = ParameterLayout(SHAPES)
    theta = np.zeros(layout.size)
    layout.views(theta)["hidden1.weight"][1, 2] = 7.0
    where = layout.slices["hidden1.weight"]
    assert theta[where][1 * 3 + 2] == 7.0  # row-major
    assert np.count_nonzero(theta) == 1


def test_an_alias_is_the_very_same_memory_and_takes_no_place():
    shapes = {"encoder.weight": (5, 4), "encoder.bias": (4,), "decoder.bias": (5,)}
    layout = ParameterLayout(shapes, {"decoder.weight": "encoder.weight"})
    theta = np.zeros(layout.size)
    views = layout.views(theta)
    assert layout.size == 20 + 4 + 5
    assert "decoder.weight" not in layout.slices
    assert list(views) == [*shapes, "decoder.weight"]
    views["decoder.weight"] += 1.0
    views["encoder.weight"] += 1.0
    np.testing.assert_array_equal(views["encoder.weight"], 2.0)
    np.testing.assert_array_equal(theta[layout.slices["encoder.weight"]], 2.0)


@pytest.mark.parametrize("shape", [(58,), (60,), (59, 1), (0,)])
def test_a_vector_of_the_wrong_shape_is_refused_with_both_shapes(shape):
    layout = ParameterLayout(SHAPES)
    with pytest.raises(ValueError, match=r"length 59, got an array of shape \(") as caught:
        layout.views(np.zeros(shape))
    assert str(shape) in str(caught.value)


def test_initial_weights_have_the_stated_spread_and_biases_are_zero():
    shapes = {
        "encoder.weight": (400, 100),
        "encoder.bias": (100,),
        "hidden1.weight": (100, 300),
        "hidden1.bias": (300,),
        "decoder.weight": (200, 300),
        "decoder.bias": (200,),
    }
    layout = ParameterLayout(shapes)
    views = layout.views(layout.initialize(np.random.default_rng(0)))
    spread = {
        "encoder.weight": 0.01,
        "hidden1.weight": np.sqrt(2 / (100 + 300)),
        "decoder.weight": 0.01,
    }
    for name, view in views.items():
        if name.endswith(".bias"):
            np.testing.assert_array_equal(view, 0.0)
            continue
        n = view.size
        # five standard errors of the estimated deviation and mean
        assert abs(view.std() / spread[name] - 1) < 5 / np.sqrt(2 * n)
        assert abs(view.mean()) < 5 * spread[name] / np.sqrt(n)


def test_tied_weights_are_drawn_once():
    shapes = {"encoder.weight": (5, 4), "encoder.bias": (4,), "decoder.bias": (5,)}
    tied = ParameterLayout(shapes, {"decoder.weight": "encoder.weight"})
    untied = ParameterLayout(shapes)
    np.testing.assert_array_equal(
        tied.initialize(np.random.default_rng(3)), untied.initialize(np.random.default_rng(3))
    )


def test_initialization_is_repeatable_and_float32_is_the_rounded_float64():
    layout = ParameterLayout(SHAPES)
    double = layout.initialize(np.random.default_rng(1))
    single = layout.initialize(np.random.default_rng(1), np.float32)
    assert double.dtype == np.float64
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, double.astype(np.float32))
    assert not np.array_equal(double, layout.initialize(np.random.default_rng(2)))


def test_repr_names_every_block():
    text = repr(ParameterLayout(SHAPES))
    assert text.startswith("ParameterLayout(59 parameters; encoder.weight: (5, 4), ")
    assert all(f"{name}: {shape}" in text for name, shape in SHAPES.items())
