import json

import numpy as np
import pytest
from gradcheck_cases import rosenbrock

from autorec_np.gradcheck import adjoint_test, check_hessian_vector

RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(5, 7))
POINT = np.array([-1.2, 1.0, 0.5, 0.3])
BLOCKS = {"front": slice(0, 2), "back": slice(2, 4)}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_transposed_matrix_is_the_adjoint(dtype):
    A = MATRIX.astype(dtype)
    report = adjoint_test(lambda x: A @ x, lambda y: A.T @ y, 7, dtype=dtype)
    assert report.passed
    assert "At is the adjoint of A" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["passed"] is True


def test_maps_between_arrays_of_any_shape():
    report = adjoint_test(
        lambda x: np.cumsum(x, axis=0)[:, 1:],
        lambda y: np.cumsum(np.pad(y, ((0, 0), (1, 0)))[::-1], axis=0)[::-1],
        (4, 3),
    )
    assert report.passed


@pytest.mark.parametrize(
    "At",
    [
        lambda y: MATRIX.T @ y * (1 + 1e-11),
        lambda y: -(MATRIX.T @ y),
        lambda y: np.roll(MATRIX.T @ y, 1),
        lambda y: MATRIX.T @ np.where(np.arange(5) == 2, 0, y),
        lambda y: np.full(7, np.nan),
    ],
    ids=["factor", "sign", "shifted", "row lost", "nan"],
)
def test_a_wrong_adjoint_is_found(At):
    report = adjoint_test(lambda x: MATRIX @ x, At, 7)
    assert not report.passed
    assert report.note


def test_a_map_that_is_not_linear_is_found():
    report = adjoint_test(lambda x: MATRIX @ x + 1, lambda y: MATRIX.T @ y, 7)
    assert "A is not linear" in report.note


def test_sums_of_a_million_terms():
    n = 200_000
    kernel = RNG.normal(size=5)

    def convolve(x):
        return np.convolve(x, kernel, mode="full")

    def correlate(y):
        return np.correlate(y, kernel, mode="valid")

    assert adjoint_test(convolve, correlate, n, n_trials=1).passed
    assert not adjoint_test(convolve, lambda y: correlate(y) * (1 + 1e-11), n, n_trials=1).passed


def test_a_wrong_shape_is_an_error():
    with pytest.raises(ValueError, match=r"At must return the shape of x, \(7,\)"):
        adjoint_test(lambda x: MATRIX @ x, lambda y: MATRIX[:, :6].T @ y, 7)


# ---------------------------------------------------------------- Hessian-vector products


def rosenbrock_hvp(x, v):
    product = np.zeros_like(x)
    product[:-1] = (1200 * x[:-1] ** 2 - 400 * x[1:] + 2) * v[:-1] - 400 * x[:-1] * v[1:]
    product[1:] += 200 * v[1:] - 400 * x[:-1] * v[:-1]
    return product


def verdicts(report):
    return {name: block.verdict for name, block in report.blocks.items()}


def test_a_right_product_passes_for_every_pair_of_blocks():
    report = check_hessian_vector(rosenbrock, rosenbrock_hvp, POINT, BLOCKS)
    assert report.passed
    pairs = {f"{a} x {b}" for a in BLOCKS for b in BLOCKS}
    assert set(report.blocks) == {*pairs, "symmetry"}
    assert report.evaluations > 0
    assert check_hessian_vector(rosenbrock, rosenbrock_hvp, POINT.astype(np.float32)).passed


@pytest.mark.parametrize("size", [1e-1, 1e-3, 1e-5])
def test_a_fault_is_blamed_on_its_pair_of_blocks(size):
    def faulty(x, v):
        product = rosenbrock_hvp(x, v)
        product[2] += size * 400 * x[1] * v[1]  # front into back
        return product

    report = check_hessian_vector(rosenbrock, faulty, POINT, BLOCKS)
    failed = [name for name, verdict in verdicts(report).items() if verdict == "fail"]
    assert failed == ["front x back", "symmetry"]
    assert "the Hessian is symmetric" in str(report)


def test_a_symmetric_fault_is_found_too():
    report = check_hessian_vector(
        rosenbrock, lambda x, v: rosenbrock_hvp(x, v) + 1e-3 * v, POINT, BLOCKS
    )
    assert verdicts(report)["symmetry"] == "pass"
    assert verdicts(report)["front x front"] == verdicts(report)["back x back"] == "fail"
    assert verdicts(report)["front x back"] == verdicts(report)["back x front"] == "pass"


def test_a_map_that_computes_in_float32_is_judged_so():
    A32 = MATRIX.astype(np.float32)

    def forward(x):
        return (A32 @ x.astype(np.float32)).astype(np.float64)

    def backward(y, factor=1.0):
        return factor * (A32.T @ y.astype(np.float32)).astype(np.float64)

    assert adjoint_test(forward, backward, 7).passed
    assert adjoint_test(forward, lambda y: backward(y, 1.001), 7).verdict == "fail"


def test_an_adjoint_that_cannot_be_judged_is_inconclusive():
    def rough(x):
        return MATRIX @ x + 1e-9 * np.sin(1e9 * (MATRIX @ x))

    report = adjoint_test(rough, lambda y: MATRIX.T @ y, 7)
    assert report.verdict == "inconclusive"
    assert not report.passed
    assert "linear only to" in str(report)
    assert report.to_dict()["verdict"] == "inconclusive"
    assert adjoint_test(rough, lambda y: 1.01 * (MATRIX.T @ y), 7).verdict == "fail"

    rng = np.random.default_rng(0)

    def dropout(x):
        return MATRIX @ (x * (rng.random(7) < 0.5))

    report = adjoint_test(dropout, lambda y: MATRIX.T @ y, 7)
    assert report.verdict == "inconclusive"
    assert "freeze" in report.note


def test_a_tolerance_holds_for_products_and_for_their_symmetry():
    def nearly(x, v):
        product = rosenbrock_hvp(x, v)
        product[2] *= 1 + 1e-8
        return product

    assert not check_hessian_vector(rosenbrock, nearly, POINT).passed
    assert check_hessian_vector(rosenbrock, nearly, POINT, tolerance=1e-6).passed
