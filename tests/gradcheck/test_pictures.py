"""The pictures of checks hold what the reports hold."""

import sys

import numpy as np
import pytest
from gradcheck_cases import BLOCKS

from autorec_np.gradcheck import check_gradient, plot_error_curves, plot_taylor, taylor_test

pytest.importorskip("matplotlib", reason="needs matplotlib")


def quartic(x):
    return float(np.sum(x**4)), 4 * x**3


def faulty(x):
    return float(np.sum(x**4)), 4 * x**3 * np.array([1.0, 1.0, 1.01, 1.0])


POINT = np.array([1.0, -2.0, 0.5, 3.0])


def lines(panel):
    return {line.get_label(): line for line in panel.get_lines()}


def test_error_curves_show_errors_budgets_and_the_chosen_step():
    report = check_gradient(faulty, POINT, BLOCKS, full_sweep=True)
    front, back = plot_error_curves(report).axes
    assert (front.get_title(), back.get_title()) == ("front: pass", "back: fail")
    for panel, name in ((front, "front"), (back, "back")):
        block, drawn = report.blocks[name], lines(panel)
        np.testing.assert_array_equal(drawn["error budget"].get_xdata(), block.curve["step"])
        np.testing.assert_array_equal(drawn["error budget"].get_ydata(), block.curve["budget"])
        error = np.array(block.curve["error"])
        np.testing.assert_array_equal(drawn["error"].get_ydata(), error[error > 0])
        assert set(drawn["chosen step"].get_xdata()) == {block.step}


@pytest.mark.parametrize(
    ("label", "slope"), [("rounding, slope -1", -1), ("truncation, slope 2", 2)]
)
def test_reference_slopes_are_what_they_say_and_touch_the_curve(label, slope):
    report = check_gradient(quartic, POINT, full_sweep=True)
    (panel,) = plot_error_curves(report).axes
    x, y = lines(panel)[label].get_data()
    np.testing.assert_allclose(np.diff(np.log(y)) / np.diff(np.log(x)), slope)
    end = 0 if slope < 0 else -1
    error = lines(panel)["error"].get_data()
    assert (x[end], y[end]) == pytest.approx((error[0][end], error[1][end]), rel=1e-9, abs=0)


def test_a_plateau_has_no_reference_slopes():
    report = check_gradient(lambda x: (float(x @ x), 2.1 * x), POINT, full_sweep=True)
    (panel,) = plot_error_curves(report).axes
    assert "truncation, slope 2" not in lines(panel)


def test_taylor_remainders_stand_with_their_slopes():
    report = taylor_test(faulty, POINT, BLOCKS, hvp=lambda x, v: 12 * x**2 * v)
    front, back = plot_taylor(report).axes
    for panel, name in ((front, "front"), (back, "back")):
        block = report.blocks[name]
        assert panel.get_title() == f"{name}: {block.verdict}"
        for order, slope in block.slopes.items():
            drawn = lines(panel)[f"order {order}: slope {slope:.2f}, wanted {order + 1}"]
            remainder = np.array(block.remainders[order])
            np.testing.assert_array_equal(drawn.get_ydata(), remainder[remainder > 0])
        (rounding,) = panel.patches
        assert rounding.get_extents().transformed(panel.transData.inverted()).y1 == pytest.approx(
            block.noise_floor, rel=1e-9, abs=0
        )


def test_an_exact_order_is_called_exact():
    (panel,) = plot_taylor(taylor_test(lambda x: (float(x.sum()), np.ones_like(x)), POINT)).axes
    assert any(label.startswith("order 1: exact") for label in lines(panel))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7])
def test_there_is_a_panel_for_every_block(n):
    theta = np.arange(1.0, n + 1)
    report = taylor_test(quartic, theta, {f"b{i}": [i] for i in range(n)})
    figure = plot_taylor(report)
    assert [axes.get_title() for axes in figure.axes if axes.axison] == [
        f"b{i}: pass" for i in range(n)
    ]


def test_reports_without_curves_are_refused():
    random = iter(range(100))
    report = check_gradient(lambda x: (float(next(random)), x), POINT)
    with pytest.raises(ValueError, match="full_sweep=True"):
        plot_error_curves(report)
    undecided = taylor_test(lambda x: (float(next(random)), x), POINT)
    with pytest.raises(ValueError, match="two evaluations"):
        plot_taylor(undecided)


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        plot_taylor(taylor_test(quartic, POINT))
