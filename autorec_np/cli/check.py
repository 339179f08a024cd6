"""The command gradcheck: the gradient of a user's function, or the package's own."""

from __future__ import annotations

import math
import os
import runpy
import sys
import time
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from autorec_np import gradcheck, reports
from autorec_np._text import indented, table
from autorec_np.cli.console import UsageError, finish, say
from autorec_np.cli.options import BLOCK, PART, Command, Parser, add_output, add_seed, default_of

if TYPE_CHECKING:
    from autorec_np._types import Array
    from autorec_np.gradcheck import GradientReport
    from autorec_np.reports import Case


def check(args: Namespace) -> int:
    started = time.perf_counter()
    if (args.function is None) != (args.theta is None):
        raise UsageError("gradcheck needs both FILE.py:FUNCTION and --theta, or neither")
    if args.function is None:
        return _check_own_gradients(args, started)
    report = gradcheck.check_gradient(
        _load_function(args.function),
        _load_theta(args.theta),
        dict(args.block) if args.block else None,
        method=args.method,
        tolerance=args.tolerance,
        random_state=args.seed,
    )
    say(args, str(report), "")
    finish(args, started, **report.to_dict())
    return 0 if report.passed else 1


def _add_gradcheck(command: Parser) -> None:
    command.add_argument(
        "function",
        help="a function of theta that returns (value, gradient)",
        nargs="?",
        metavar="FILE.py:FUNCTION",
    )
    command.add_argument("--theta", help="the point, from numpy.save", metavar="FILE.npy")
    command.add_argument(
        "--block",
        help="a part of flat theta to judge by itself; may be repeated",
        type=BLOCK,
        action="append",
        metavar="NAME=START:STOP",
    )
    command.add_argument(
        "--method",
        help="differences or the complex step (default %(default)s)",
        choices=["central", "complex", "forward"],
        default=default_of(gradcheck.check_gradient, "method"),
    )
    command.add_argument(
        "--tolerance",
        help="accept errors up to this part of the slopes, as a solver leaves them (default none)",
        type=PART,
        default=default_of(gradcheck.check_gradient, "tolerance"),
        metavar="PART",
    )
    add_seed(command)
    add_output(command)


GRADCHECK = Command(
    usage="[FILE.py:FUNCTION --theta FILE.npy] [options]",
    summary="check hand-written gradients against numeric derivatives",
    description="""\
Without arguments the package's own: every pair of activations, one and three
hidden layers, tied and untied weights, dropout; data term and penalty apart,
at the initial point, after training and in saturation. With FILE.py:FUNCTION
yours: any function theta -> (value, gradient). Exits with 1 unless all pass.
""",
    examples=(
        "autorec-np gradcheck",
        "autorec-np gradcheck loss.py:loss --theta theta.npy --block bias=6:9",
    ),
    add_arguments=_add_gradcheck,
    run=check,
)


def _check_own_gradients(args: Namespace, started: float) -> int:
    say(args, "gradients of small networks, derived by hand, against central differences", "")
    found = {
        case: reports.check_case(case, args.seed, n_directions=1, n_coordinates=0)
        for case in reports.all_cases()
    }
    drawn = {case: report for case, report in found.items() if case.point == "drawn"}
    others = {case: report for case, report in found.items() if case not in drawn}
    failed = [case for case, report in found.items() if not reports.is_right(case, report)]
    say(
        args,
        "by hidden and output activation; one and three hidden layers, tied or not,",
        "dropout or not, with an implicit decoder and planes, at a random point:",
        "",
        _error_table(drawn, "activation", "output_activation"),
        "",
        "by point and term of the objective:",
        "",
        _error_table(others, "point", "term"),
        "",
        "Each entry is the largest relative error of a block that has a verdict.",
        f"{len(found) - len(failed)} of {len(found)} pass.",
    )
    for case in failed:
        say(args, "", str(case), indented(str(found[case])))
    finish(
        args,
        started,
        passed=not failed,
        n_cases=len(found),
        n_failed=len(failed),
        cases=[{**case._asdict(), **report.to_dict()} for case, report in found.items()],
    )
    return 1 if failed else 0


def _error_table(found: dict[Case, GradientReport], down: str, across: str) -> str:
    worst: dict[tuple[str, str], float] = {}
    for case, report in found.items():
        pair = getattr(case, down), getattr(case, across)
        errors = [b.relative_error for b in report.blocks.values() if b.verdict != "inconclusive"]
        error = max(errors, default=0.0) if reports.is_right(case, report) else math.inf
        worst[pair] = max(worst.get(pair, 0.0), error)
    rows, columns = (list(dict.fromkeys(pair[i] for pair in worst)) for i in (0, 1))
    cells = [
        [row, *(f"{worst[row, column]:.0e}".replace("inf", "FAIL") for column in columns)]
        for row in rows
    ]
    return indented(table([f"{down} \\ {across}".replace("_", " "), *columns], cells))


def _load_function(target: str) -> Any:
    path, colon, name = target.rpartition(":")
    if not colon or not path.endswith(".py"):
        raise UsageError(f"a function is named FILE.py:FUNCTION, as in model.py:loss; got {target}")
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path!r} does not exist")
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))  # as for a script
    try:
        found = runpy.run_path(path)
    except Exception as error:
        raise ValueError(f"{path} raised {type(error).__name__}: {error}") from error
    if not callable(found.get(name)):
        own = [key for key, one in found.items() if callable(one) and key[0] != "_"]
        raise ValueError(f"{path} has no function {name!r}; it has {', '.join(own) or 'none'}")
    return found[name]


def _load_theta(path: str) -> Array:
    import numpy as np  # here, so that help does without NumPy

    try:
        theta = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not an array of numbers that numpy.save wrote") from error
    if not isinstance(theta, np.ndarray):
        raise ValueError(f"{path} holds several arrays; save theta alone: numpy.save(path, theta)")
    return theta
