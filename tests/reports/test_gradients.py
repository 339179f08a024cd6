"""The matrix of the package's own gradient checks: what it covers, and whom it blames."""

import numpy as np
import pytest
from scipy import sparse

from autorec_np.core.activations import ACTIVATIONS
from autorec_np.core.implicit import ImplicitNetwork
from autorec_np.core.objective import Objective
from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.models.autorec import AutoRec
from autorec_np.reports import html as gradient_cases
from autorec_np.reports.html import (
    POINTS,
    TERMS,
    Case,
    all_cases,
    check_case,
    check_model_gradient,
    is_right,
)


def test_the_matrix_has_every_network_and_every_term_at_every_point():
    cases = list(all_cases())
    assert len(set(cases)) == len(cases)
    networks = {case[:5] for case in cases if case.point == "drawn"}
    assert len(networks) == 2 * len(ACTIVATIONS) ** 2 * 2 * 2
    others = {(case.activation, case.term, case.point) for case in cases if case.point != "drawn"}
    assert others == {(a, t, p) for a in ACTIVATIONS for t in TERMS for p in POINTS}
    told = {(case.activation, case[0], case.planes) for case in cases if case.implicit}
    assert told == {
        (a, sizes, planes)
        for a in ACTIVATIONS
        for sizes in ((4,), (4, 3, 4))
        for planes in (False, True)
    }


@pytest.mark.parametrize("planes", [False, True])
def test_a_case_of_the_implicit_decoder_checks_y(planes):
    report = check_case(Case((4, 3), "tanh", implicit=2, planes=planes, dropout=0.3))
    assert report.passed
    assert "implicit.weight" in report.blocks


def test_y_without_its_derivative_is_blamed(monkeypatch):
    monkeypatch.setattr(ImplicitNetwork, "expand_transpose", lambda _, gradient: gradient)
    case = Case(implicit=2)
    report = check_case(case)
    assert not is_right(case, report)
    assert report.blocks["implicit.weight"].verdict == "fail"
    assert report.blocks["decoder.weight"].verdict == "pass"


@pytest.mark.parametrize("point", ["drawn", *POINTS])
@pytest.mark.parametrize("term", TERMS)
def test_a_case_is_right(term, point):
    case = Case((3, 2), "tanh", dropout=0.3, term=term, point=point)
    report = check_case(case, n_directions=2, n_coordinates=2)
    assert is_right(case, report), report
    if point != "saturated":
        assert report.passed


def test_the_points_are_what_they_are_called(monkeypatch):
    monkeypatch.setattr(gradient_cases, "check_gradient", lambda fun, theta, *_, **__: (fun, theta))
    points = {point: check_case(Case(point=point)) for point in ["drawn", *POINTS]}
    (fun, initial), trained = points["initial"], points["trained"][1]
    weights = initial[:28]
    assert 0 < np.abs(weights).max() < 0.05
    assert not initial[28:32].any()
    assert fun(trained)[0] < 0.5 * fun(initial)[0]
    assert np.std(points["drawn"][1]) == pytest.approx(0.3, rel=0.3)
    assert np.std(points["saturated"][1]) == pytest.approx(10.0, rel=0.3)


@pytest.mark.parametrize("point", ["initial", "trained"])
@pytest.mark.parametrize("wrong", ["data", "penalty"])
def test_the_term_with_the_fault_is_blamed_and_the_other_is_not(monkeypatch, wrong, point):
    right = Objective.value_and_gradient

    def faulty(self, theta, inputs, targets, fraction=1.0, masks=None):
        value, gradient = right(self, theta, inputs, targets, fraction, masks)
        penalty = np.zeros_like(theta)
        for name, factor in self.penalties.items():
            where = self.network.layout.slices[name]
            penalty[where] = fraction * factor * theta[where]
        return value, gradient + 0.01 * (penalty if wrong == "penalty" else gradient - penalty)

    monkeypatch.setattr(Objective, "value_and_gradient", faulty)
    cases = [Case(term=term, point=point) for term in TERMS]
    blamed = {case.term for case in cases if not is_right(case, check_case(case))}
    # Beside the data term the penalty is tiny at initial weights; apart it is seen all the same.
    assert wrong in blamed
    assert blamed <= {"objective", wrong}


def test_no_verdict_is_owed_in_saturation_but_a_fault_is_one_there_too(monkeypatch):
    case = Case(activation="tanh", output_activation="sigmoid", point="saturated")
    assert is_right(case, check_case(case))
    right = Objective.value_and_gradient
    monkeypatch.setattr(
        Objective,
        "value_and_gradient",
        lambda self, theta, *rest: (right(self, theta, *rest)[0], np.ones_like(theta)),
    )
    assert not is_right(case, check_case(case))


# Of a fitted model

QUICK = {"hidden_layer_sizes": (6,), "max_iter": 3, "n_jobs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def split():
    ratings = make_ratings(n_users=60, n_items=40, n_ratings=900, activity=1.0, random_state=0)
    return train_test_split(ratings, 0.3, 0)


VARIANTS = [
    {},
    {"orientation": "user"},
    {"hidden_layer_sizes": (6, 4, 6), "tied": True},
    {"output_activation": "sigmoid"},
    {"activation": "tanh", "baseline": None, "dtype": "float64"},
    {"implicit": 4},
    {"orientation": "user", "implicit": 2, "inputs": "planes", "hidden_layer_sizes": (6, 4)},
    {"inputs": "planes", "output_activation": "sigmoid"},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_the_gradient_of_a_fitted_model_passes(split, changes):
    model = AutoRec(**{**QUICK, **changes}).fit(split[0])
    report, (n_rows, n_columns, n_ratings) = check_model_gradient(model.fitted_, 8, 10)
    assert report.passed, report
    assert (n_rows, n_columns) == (8, 10)
    with_y = ["implicit.weight"] if model.implicit_ else []
    assert list(report.blocks) == list(model.network_.layout.shapes) + with_y
    assert 40 < n_ratings <= 80


@pytest.mark.parametrize("block", ["encoder.weight", "decoder.bias"])
def test_a_wrong_gradient_fails(split, monkeypatch, block):
    model = AutoRec(**QUICK).fit(split[0])
    right = Objective.value_and_gradient

    def wrong(self, *arguments):
        value, gradient = right(self, *arguments)
        gradient[self.network.layout.slices[block]] *= 1.01
        return value, gradient

    monkeypatch.setattr(Objective, "value_and_gradient", wrong)
    report, _ = check_model_gradient(model.fitted_, 8, 10)
    verdicts = {name: found.verdict for name, found in report.blocks.items()}
    assert verdicts.pop(block) == "fail"
    assert set(verdicts.values()) == {"pass"}


def test_stored_zeros_are_ratings_in_the_block():
    matrix = sparse.csr_array(np.arange(1.0, 13.0).reshape(3, 4))
    matrix.data[:5] = 0.0
    model = AutoRec(**QUICK, baseline=None).fit(matrix)
    assert check_model_gradient(model.fitted_)[1] == (4, 3, 12)


def test_a_layer_that_is_dead_and_wakes_beside_theta_has_a_verdict():
    case = Case((4, 3, 4), "relu", "identity", dropout=0.3)
    report = check_case(case, 2, n_directions=1, n_coordinates=0)
    assert report.blocks["hidden2.bias"].analytic == 0
    assert is_right(case, report), str(report)
