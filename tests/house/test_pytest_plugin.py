import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

CODE = """
import numpy as np

def square(x):
    return float(x @ x), 2 * x

def wrong(x):
    return float(x @ x), np.array([2.0, 2.02]) * x

def test_right(gradcheck):
    report = gradcheck(square, np.ones(2), {"first": [0], "second": [1]})
    assert report.passed

def test_wrong(gradcheck):
    gradcheck(square, np.ones(2))
    gradcheck(wrong, np.ones(2), {"first": [0], "second": [1]}, n_directions=2)
"""


@pytest.fixture
def run(pytester, request):
    """Run pytest on CODE with the plugin, which an installed package brings along by itself."""
    pytester.makepyfile(CODE)
    module = "autorec_np.pytest_plugin"
    known = any(
        getattr(plugin, "__name__", "") == module
        for plugin in request.config.pluginmanager.get_plugins()
    )
    plugin = () if known else ("-p", module)
    return lambda *options: pytester.runpytest(*plugin, "-p", "no:cacheprovider", *options)


def test_the_fixture_passes_and_fails_with_the_table(run):
    result = run()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*gradcheck(wrong, np.ones(2)*",
            "E*GradientError: the gradient check did not pass for second",
            "E*block*verdict*worst coordinate*",
            "E*first*pass*",
            "E*second*fail*second[[]0[]]*2.02*",
            "*Captured gradient check*",
            "theta*pass*",
        ]
    )
    result.stdout.no_fnmatch_line("*_check.py*")  # the traceback ends at the user's line


def test_tables_of_passed_checks_are_at_hand(run):
    result = run("-rP", "-k", "right")
    result.stdout.fnmatch_lines(["*gradient check*", "first*pass*", "second*pass*"])


def test_the_fixture_explains_itself(run):
    result = run("--fixtures")
    result.stdout.fnmatch_lines(["gradcheck*", "*Check a gradient:*"])


def test_loading_the_plugin_loads_no_numpy():
    code = "import sys, autorec_np.pytest_plugin; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_fixture_takes_a_tolerance(pytester, run):
    pytester.makepyfile(
        """
        import numpy as np

        def nearly(x):
            return float(x @ x), np.array([2.0, 2.0002]) * x

        def test_strict(gradcheck):
            gradcheck(nearly, np.ones(2))

        def test_tolerant(gradcheck):
            gradcheck(nearly, np.ones(2), tolerance=1e-3)
        """
    )
    run().assert_outcomes(passed=1, failed=1)
