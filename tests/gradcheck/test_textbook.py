"""The checker on textbook functions: agreement with other tools, and planted faults."""

import numpy as np
import pytest
from scipy import optimize
from textbook_functions import FACTORIES

from autorec_np.gradcheck import check_gradient, complex_step, taylor_test

CASES = [factory(np.random.default_rng(i)) for i, factory in enumerate(FACTORIES)]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@every_case
def test_right_gradients_pass(case):
    assert check_gradient(case, case.theta, case.blocks).passed
    assert check_gradient(case, case.theta, case.blocks, method="forward").passed
    assert taylor_test(case, case.theta, case.blocks).passed
    if case.analytic:
        assert check_gradient(
            case, case.theta, case.blocks, method="complex", value=case.value
        ).passed
        exact = complex_step(case.value, case.theta)
        scale = np.max(np.abs(exact))
        np.testing.assert_allclose(case.gradient(case.theta), exact, rtol=0, atol=4e-15 * scale)


@every_case
def test_agreement_with_autograd(case):
    autograd = pytest.importorskip("autograd", reason="needs the package autograd")
    gradient = autograd.grad(lambda theta: case.value(theta, autograd.numpy))(case.theta)
    scale = np.max(np.abs(gradient))
    np.testing.assert_allclose(case.gradient(case.theta), gradient, rtol=0, atol=1e-14 * scale)


@every_case
def test_agreement_with_scipy_differentiate(case):
    differentiate = pytest.importorskip("scipy.differentiate", reason="needs SciPy 1.15")
    result = differentiate.jacobian(
        lambda points: np.apply_along_axis(case.value, 0, points), case.theta, initial_step=1e-2
    )
    gradient = case.gradient(case.theta)
    scale = np.max(np.abs(gradient))
    np.testing.assert_allclose(result.df, gradient, rtol=0, atol=1e-8 * scale)


@every_case
def test_agreement_with_scipy_optimize(case):
    error = optimize.check_grad(case.value, case.gradient, case.theta)
    assert error < 1e-5 * (1 + np.linalg.norm(case.gradient(case.theta)))


def planted(case, block, size, kind):
    """The case with a relative error of `size` in one block of its gradient."""
    where = case.blocks[block]

    def faulty(theta):
        value, gradient = case(theta)
        part = gradient[where].copy()
        if kind == "factor":
            part *= 1 + size
        elif kind == "coordinate":
            part[np.argmax(np.abs(part))] *= 1 + size
        else:
            noise = np.random.default_rng(0).normal(size=part.shape)
            part += size * noise * np.sqrt(np.mean(part**2))
        gradient = gradient.copy()
        gradient[where] = part
        return value, gradient

    return faulty


@every_case
@pytest.mark.parametrize("kind", ["factor", "coordinate", "random"])
def test_planted_errors_are_caught_down_to_1e_6_in_their_block_alone(case, kind):
    for block in case.blocks:
        for size in (1e-1, 1e-3, 1e-5, 1e-6):
            faulty = planted(case, block, size, kind)
            report = check_gradient(faulty, case.theta, case.blocks, value=case.value)
            failed = [name for name, found in report.blocks.items() if found.verdict == "fail"]
            assert failed == [block], f"error {size} in {block}\n{report}"
            assert all(f.verdict == "pass" for n, f in report.blocks.items() if n != block)


@every_case
def test_the_taylor_slope_shows_an_error_of_one_percent(case):
    for block in case.blocks:
        report = taylor_test(planted(case, block, 1e-2, "factor"), case.theta, case.blocks)
        failed = [name for name, found in report.blocks.items() if found.verdict == "fail"]
        assert failed == [block]
        assert report.blocks[block].slopes[1] < 1.3
