"""The checker finds every planted fault, in its blocks alone, and small faults as well as gross."""

from pathlib import Path

import numpy as np
import pytest
from planted_faults import (
    ALL_CELLS,
    ALL_CELLS_DEEP,
    ALL_CELLS_TIED,
    BOTH,
    CONSISTENT,
    CURVED,
    DEEP,
    DROPOUT,
    ENGINES,
    FAULTS,
    FEATURES,
    HEADER,
    IMPLICIT,
    IN_TABLE,
    LATER,
    ONE,
    PLANES,
    STAND_IN,
    STREAMED,
    TIED,
    Fault,
    consistent_row,
    global_direction,
    named_blocks,
    patched,
    plant,
    plant_stand_in,
    row,
    scipy_check_grad,
)

from autorec_np.gradcheck import check_gradient

PAGE = Path(__file__).parents[2] / "docs" / "gradient_checking.md"
SETTINGS = {"one": ONE, "curved": CURVED, "deep": DEEP, "dropout": DROPOUT, "tied": TIED}
LATER_SETTINGS = {"implicit": IMPLICIT, "planes": PLANES, "implicit and planes": BOTH}
LATER_SETTINGS |= {"features": FEATURES, "all cells": ALL_CELLS}
LATER_SETTINGS |= {"all cells, deep": ALL_CELLS_DEEP, "all cells, tied": ALL_CELLS_TIED}
EVERY_SETTING = SETTINGS | LATER_SETTINGS
THROUGH = [(fault, engine) for fault in [*FAULTS, *LATER] for engine in fault.engines]
THROUGH += [(fault, "tiled") for fault in STREAMED]
through_every_engine = pytest.mark.parametrize(
    ("fault", "engine"), THROUGH, ids=lambda value: getattr(value, "what", value)
)


def truly_wrong(problem, smallest=1e-9):
    """The blocks whose gradient is not that of the value, by the complex step."""
    value = problem.value or (lambda theta: problem.fun(theta)[0])
    gradient = problem.fun(problem.theta)[1]
    exact = np.empty_like(gradient)
    for i in range(problem.theta.size):
        point = problem.theta.astype(complex)
        point[i] += 1e-30j
        exact[i] = value(point).imag / 1e-30
    views, right = problem.layout.views(gradient), problem.layout.views(exact)
    return {
        name
        for name in problem.layout.slices
        if np.abs(views[name] - right[name]).max() > smallest * np.abs(right[name]).max()
    }


def test_there_are_forty_faults_and_no_two_alike():
    assert len(FAULTS) >= 40
    assert len({(fault.room, fault.old, fault.new, fault.setting) for fault in FAULTS}) == len(
        FAULTS
    )
    assert len({fault.what for fault in FAULTS}) == len(FAULTS)


def test_a_patch_that_does_not_apply_is_an_error():
    with pytest.raises(ValueError, match=r"must apply once to network\.py, found 0 times"):
        patched(Fault("gone", "network", "no such line", "x", ()))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("setting", EVERY_SETTING.values(), ids=EVERY_SETTING)
def test_without_a_fault_every_block_passes(setting, engine):
    for method in ("central", "complex", "forward"):
        problem = plant(None, setting, engine)
        report = check_gradient(
            problem.fun, problem.theta, problem.layout, method=method, value=problem.value
        )
        assert report.passed, f"{method}\n{report}"
    assert not truly_wrong(problem)


def test_the_stand_in_passes_without_a_fault():
    problem = plant_stand_in(None)
    assert check_gradient(problem.fun, problem.theta, problem.layout).passed
    assert not truly_wrong(problem)


@through_every_engine
def test_a_fault_is_blamed_on_exactly_the_blocks_that_it_spoils(fault, engine):
    assert set(named_blocks(fault, engine)) == set(fault.blocks)


@through_every_engine
def test_the_blocks_said_to_be_spoiled_are(fault, engine):
    problem = plant(fault, engine=engine)
    if fault.side == "value":  # planted in what `fun` returns; `value` may be the right one
        problem.value = None
    smallest = 1e-12 if fault.method == "complex" else 1e-9
    assert truly_wrong(problem, smallest) == set(fault.blocks)


@through_every_engine
def test_a_fault_stands_in_the_value_or_in_the_gradient_never_in_both(fault, engine):
    stand_in = fault.room == STAND_IN
    right = plant_stand_in(None) if stand_in else plant(None, fault.setting, engine)
    value, gradient = right.fun(right.theta)
    faulty_value, faulty_gradient = plant(fault, engine=engine).fun(right.theta)
    assert (faulty_value != value) == (fault.side == "value")
    if fault.side == "gradient":
        assert not np.array_equal(faulty_gradient, gradient)


@pytest.mark.parametrize("fault", CONSISTENT, ids=lambda fault: fault.what)
def test_a_fault_in_both_is_left_to_the_tests_of_the_value(fault):
    right, problem = plant(None, fault.setting), plant(fault)
    assert right.fun(right.theta)[0] == pytest.approx(right.reference(), rel=1e-13)
    assert right.adds_up()
    assert check_gradient(problem.fun, problem.theta, problem.layout).passed
    assert problem.fun(problem.theta)[0] != pytest.approx(problem.reference(), rel=1e-3)
    assert problem.adds_up() == ("fraction" not in fault.what)


@pytest.mark.parametrize("start", ["drawn", "initial"])
@pytest.mark.parametrize(
    "setting", [*EVERY_SETTING.values(), None], ids=[*EVERY_SETTING, "stand-in"]
)
def test_errors_down_to_1e_6_are_caught_in_their_block_alone(setting, start):
    problem = plant_stand_in(None) if setting is None else plant(None, setting)
    theta, layout = problem.theta, problem.layout
    if start == "initial":
        theta = layout.initialize(np.random.default_rng(0), np.float64)
    for name in layout.slices:
        for size in (1e-1, 1e-3, 1e-5, 1e-6):

            def faulty(point, name=name, size=size):
                value, gradient = problem.fun(point)
                layout.views(gradient)[name][...] *= 1 + size
                return value, gradient

            report = check_gradient(
                faulty, theta, layout, value=problem.value, n_directions=2, n_coordinates=1
            )
            failed = {block for block, found in report.blocks.items() if found.verdict != "pass"}
            assert failed == {name}, f"error {size} in {name}\n{report}"


def words(line):
    """The cells of a row of the table without its figures, which differ between machines."""
    return [cell for cell in line.split(" | ") if "e-" not in cell and "e+" not in cell]


def test_the_table_of_the_page_is_what_the_faults_give():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index(HEADER[0])
    expected = [*HEADER, *map(row, IN_TABLE), *map(consistent_row, CONSISTENT)]
    found = lines[start : start + len(expected)]
    assert [words(line) for line in found] == [words(line) for line in expected]


def test_the_page_is_right_about_check_grad_on_right_gradients():
    settings = [*SETTINGS.values(), ALL_CELLS, ALL_CELLS_DEEP]
    errors = [scipy_check_grad(plant(None, setting)) for setting in settings]
    assert 9.5e-6 < min(errors) < 1.2e-5 < max(errors) < 2.3e-5
    assert all(global_direction(plant(None, setting)) < 1e-6 for setting in settings)
