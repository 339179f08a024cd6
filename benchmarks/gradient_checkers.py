"""Compare gradient checkers on the same hand-written gradients, right ones and wrong ones.

python -m benchmarks.gradient_checkers

Each tool gets one function and its gradient and uses its own defaults. PyTorch, JAX and
numdifftools take part where they are installed (pip install torch jax numdifftools); this project
has no need of them. Tools that have no verdict of their own get the rule that stands in `TOOLS`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import optimize

from autorec_np.gradcheck import check_gradient

Array = npt.NDArray[Any]


class Case(NamedTuple):
    """A function, its gradient as written by hand, a point, and whether the gradient is right."""

    name: str
    value: Callable[[Array], float]
    gradient: Callable[[Array], Array]
    theta: Array
    right: bool


class Counted:
    """The value and the gradient of a case, with a count of the values asked for."""

    def __init__(self, case: Case) -> None:
        self.case, self.values = case, 0

    def value(self, x: Array) -> float:
        self.values += 1
        return float(self.case.value(np.asarray(x, dtype=float)))

    def gradient(self, x: Array) -> Array:
        return np.asarray(self.case.gradient(np.asarray(x, dtype=float)), dtype=float)

    def both(self, x: Array) -> tuple[float, Array]:
        return self.value(x), self.gradient(x)


# Tools: each returns "pass", "fail" or "inconclusive"


def autorec_np_verdict(fun: Counted, theta: Array) -> str:
    return str(check_gradient(fun.both, theta).blocks["theta"].verdict)


def torch_verdict(fun: Counted, theta: Array) -> str:
    import torch

    class Wrapped(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return torch.tensor(fun.value(x.detach().numpy()), dtype=torch.float64)

        @staticmethod
        def backward(ctx: Any, upstream: Any) -> Any:
            (x,) = ctx.saved_tensors
            return upstream * torch.from_numpy(fun.gradient(x.detach().numpy()))

    x = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    passed = torch.autograd.gradcheck(Wrapped.apply, (x,), raise_exception=False)
    return "pass" if passed else "fail"


def jax_verdict(fun: Counted, theta: Array) -> str:
    import jax
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)
    scalar = jax.ShapeDtypeStruct((), np.float64)
    vector = jax.ShapeDtypeStruct(theta.shape, np.float64)

    @jax.custom_vjp
    def wrapped(x: Any) -> Any:
        return jax.pure_callback(lambda p: np.float64(fun.value(p)), scalar, x)

    def forward(x: Any) -> Any:
        return wrapped(x), x

    def backward(x: Any, upstream: Any) -> Any:
        return (upstream * jax.pure_callback(lambda p: fun.gradient(p), vector, x),)

    wrapped.defvjp(forward, backward)
    try:
        check_grads(wrapped, (theta,), order=1, modes=["rev"])
    except AssertionError:
        return "fail"
    return "pass"


def scipy_verdict(fun: Counted, theta: Array) -> str:
    error = optimize.check_grad(fun.value, fun.gradient, theta)
    return (
        "pass" if error <= 1e-5 * max(1.0, float(np.linalg.norm(fun.gradient(theta)))) else "fail"
    )


def numdifftools_verdict(fun: Counted, theta: Array) -> str:
    import numdifftools

    found = numdifftools.Gradient(fun.value, full_output=True)(theta)
    analytic = fun.gradient(theta)
    difference = np.abs(np.ravel(found.estimate) - analytic)
    allowed = np.maximum(np.ravel(found.error_estimate), 1e-7 * np.max(np.abs(analytic)))
    return "pass" if bool((difference <= allowed).all()) else "fail"


TOOLS: dict[str, tuple[Callable[[Counted, Array], str], str]] = {
    "autorec_np": (autorec_np_verdict, "`check_gradient`"),
    "PyTorch": (torch_verdict, "`torch.autograd.gradcheck`"),
    "JAX": (jax_verdict, "`jax.test_util.check_grads`, reverse mode, float64"),
    "SciPy": (scipy_verdict, "`check_grad` at most 1e-5 max(1, norm of the gradient)"),
    "numdifftools": (
        numdifftools_verdict,
        "`Gradient` within its error estimate, or 1e-7 of the largest entry",
    ),
}


# Cases


def off(gradient: Callable[[Array], Array], index: Any, factor: float) -> Callable[[Array], Array]:
    """Return the gradient with some entries off by a factor."""

    def faulty(x: Array) -> Array:
        wrong = np.array(gradient(x), dtype=float)
        wrong[index] *= factor
        return wrong

    return faulty


def rosenbrock(x: Array) -> float:
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def d_rosenbrock(x: Array) -> Array:
    gradient = np.zeros_like(x)
    gradient[:-1] = -400 * x[:-1] * (x[1:] - x[:-1] ** 2) - 2 * (1 - x[:-1])
    gradient[1:] += 200 * (x[1:] - x[:-1] ** 2)
    return gradient


def logistic(rng: np.random.Generator) -> tuple[Any, Any]:
    X, y = rng.normal(size=(40, 4)), rng.integers(0, 2, 40)

    def value(w: Array) -> float:
        z = X @ w
        return float(np.sum(np.logaddexp(0, z) - y * z) + 0.05 * w @ w)

    def gradient(w: Array) -> Array:
        return np.asarray(X.T @ (1 / (1 + np.exp(-X @ w)) - y) + 0.1 * w)

    return value, gradient


def relu_network(rng: np.random.Generator) -> tuple[Any, Any]:
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)

    def split(t: Array) -> tuple[Array, Array, Array]:
        return t[:12].reshape(3, 4), t[12:16], t[16:20]

    def value(t: Array) -> float:
        W, b, v = split(t)
        return float(np.sum((np.maximum(X @ W + b, 0) @ v - y) ** 2) / 2)

    def gradient(t: Array) -> Array:
        W, b, v = split(t)
        Z = X @ W + b
        H = np.maximum(Z, 0)
        residual = H @ v - y
        d_Z = np.outer(residual, v) * (Z > 0)
        return np.concatenate([(X.T @ d_Z).ravel(), d_Z.sum(axis=0), H.T @ residual])

    return value, gradient


def student(data: Array) -> tuple[Any, Any]:
    def value(t: Array) -> float:
        return float(np.sum(2.5 * np.log1p((data - t[0]) ** 2 / 4)))

    def gradient(t: Array) -> Array:
        z = data - t[0]
        return np.array([-np.sum(5 * z / 4 / (1 + z * z / 4))])

    return value, gradient


def all_cases() -> Iterator[Case]:
    """Yield every right gradient, and those with a fault."""
    rng = np.random.default_rng(0)
    x4 = np.array([-1.2, 1.0, 0.5, 2.0])
    yield Case("Rosenbrock", rosenbrock, d_rosenbrock, x4, True)
    yield Case(
        "Rosenbrock, one entry off by 1e-3", rosenbrock, off(d_rosenbrock, 1, 1.001), x4, False
    )
    yield Case(
        "Rosenbrock, one entry off by 1e-6", rosenbrock, off(d_rosenbrock, 1, 1 + 1e-6), x4, False
    )
    yield Case("Rosenbrock at its minimum", rosenbrock, d_rosenbrock, np.ones(4), True)
    yield Case(
        "Rosenbrock at its minimum, 1e-5 added", rosenbrock,
        lambda x: d_rosenbrock(x) + 1e-5, np.ones(4), False,
    )  # fmt: skip
    value, gradient = logistic(rng)
    w = rng.normal(size=4)
    yield Case("logistic loss", value, gradient, w, True)
    yield Case(
        "logistic loss, penalty without its factor 2", value,
        lambda w: gradient(w) - 0.05 * w, w, False,
    )  # fmt: skip
    for factor in (1e-6, 1e6):
        scale = np.array([1.0, factor, 1.0, factor])
        yield Case(
            f"Rosenbrock, two parameters in units of {factor:g}",
            lambda x, s=scale: rosenbrock(x / s), lambda x, s=scale: d_rosenbrock(x / s) / s,
            x4 * scale, True,
        )  # fmt: skip
    yield Case(
        "the same, one of the others off by 1e-3", lambda x: rosenbrock(x / scale),
        off(lambda x: d_rosenbrock(x / scale) / scale, 1, 1.001), x4 * scale, False,
    )  # fmt: skip
    yield Case(
        "value in units of 1e-9", lambda x: 1e-9 * rosenbrock(x),
        lambda x: 1e-9 * d_rosenbrock(x), x4, True,
    )  # fmt: skip
    yield Case(
        "value in units of 1e-9, gradient halved", lambda x: 1e-9 * rosenbrock(x),
        lambda x: 0.5e-9 * d_rosenbrock(x), x4, False,
    )  # fmt: skip
    yield Case(
        "value in units of 1e9", lambda x: 1e9 * rosenbrock(x),
        lambda x: 1e9 * d_rosenbrock(x), x4, True,
    )  # fmt: skip
    yield Case(
        "1e8 added and subtracted", lambda x: (1e8 + rosenbrock(x)) - 1e8, d_rosenbrock, x4, True
    )
    yield Case(
        "values printed with six digits", lambda x: float(f"{value(x):.6g}"), gradient, w, True
    )
    value_relu, d_relu = relu_network(rng)
    t = rng.normal(size=20)
    yield Case("relu network", value_relu, d_relu, t, True)
    yield Case("relu network, one bias off by 1e-3", value_relu, off(d_relu, 13, 1.001), t, False)
    near = np.array([1e-7, -1e-7, 2.0])
    yield Case(
        "absolute values beside their kinks",
        lambda x: float(np.sum(np.abs(x))),
        np.sign,
        near,
        True,
    )
    yield Case(
        "absolute value at its kink",
        lambda x: float(np.sum(np.abs(x))),
        np.sign,
        np.array([0.0, 2.0]),
        True,
    )
    yield Case(
        "the norm at zero, no subgradient", lambda x: float(np.linalg.norm(x)),
        lambda x: np.ones(3), np.zeros(3), False,
    )  # fmt: skip
    yield Case(
        "x log x near the border",
        lambda x: float(np.sum(x * np.log(x))),
        lambda x: np.log(x) + 1,
        np.array([1e-8, 0.5]),
        True,
    )
    data = 2.4e6 + 3 * rng.normal(size=200)
    value_far, d_far = student(data)
    date = np.array([2.4e6 + 0.7])
    yield Case("location of Julian dates", value_far, d_far, date, True)
    yield Case(
        "location of Julian dates, gradient forgotten",
        value_far,
        lambda t: 0 * d_far(t),
        date,
        False,
    )
    yield Case("location of Julian dates, off by 1e-2", value_far, off(d_far, 0, 1.01), date, False)
    yield Case(
        "a fast oscillation", lambda x: float(x @ x + 1e-3 * np.sum(np.sin(1e6 * x))),
        lambda x: 2 * x + 1e3 * np.cos(1e6 * x), np.array([2.5]), True,
    )  # fmt: skip
    yield Case(
        "a fast oscillation, forgotten", lambda x: float(x @ x + 1e-3 * np.sum(np.sin(1e6 * x))),
        lambda x: 2 * x, np.array([2.5]), False,
    )  # fmt: skip
    U, _, V = np.linalg.svd(rng.normal(size=(4, 4)))
    A = (U * 10.0 ** np.linspace(0, -8, 4)) @ V
    yield Case(
        "log-determinant at condition 1e8", lambda a: float(np.linalg.slogdet(a.reshape(4, 4))[1]),
        lambda a: np.linalg.inv(a.reshape(4, 4)).T.ravel(), A.ravel(), True,
    )  # fmt: skip
    a = np.linspace(0.1, 2.0, 300)
    many = rng.normal(size=300)
    yield Case(
        "300 entries", lambda x: float(np.sum(a * np.sin(x))), lambda x: a * np.cos(x), many, True
    )
    yield Case(
        "300 entries, one off by 1e-2", lambda x: float(np.sum(a * np.sin(x))),
        off(lambda x: a * np.cos(x), 77, 1.01), many, False,
    )  # fmt: skip


def is_right(verdict: str, right: bool) -> bool:
    """Say whether a verdict is right; a wrong gradient may be "fail" or "inconclusive"."""
    return verdict == "pass" if right else verdict in ("fail", "inconclusive")


def compare() -> str:
    """Return the table of verdicts and evaluations, in Markdown."""
    present = dict(TOOLS)
    rows, score = [], {name: [0, 0, 0] for name in TOOLS}
    for case in all_cases():
        cells = [case.name, "right" if case.right else "wrong"]
        for name, (tool, _) in TOOLS.items():
            if name not in present:
                continue
            counted = Counted(case)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    verdict = tool(counted, case.theta)
            except ImportError:
                del present[name]
                continue
            except Exception as error:
                verdict = type(error).__name__
            good = is_right(verdict, case.right)
            score[name][0 if good else (2 if verdict == "pass" else 1)] += 1
            cells.append(f"{verdict if good else f'**{verdict}**'}, {counted.values}")
        rows.append(cells)
    header = ["case", "gradient", *present]
    lines = [header, ["---"] * len(header), *(row for row in rows if len(row) == len(header))]
    for title, column in (
        ("right verdicts", 0),
        ("right gradients not passed", 1),
        ("wrong ones passed", 2),
    ):
        lines.append([f"**{title}**", "", *(str(score[name][column]) for name in present)])
    rules = [f"* {name}: {rule}" for name, (_, rule) in TOOLS.items() if name in present]
    return "\n".join([*("| " + " | ".join(line) + " |" for line in lines), "", *rules])


if __name__ == "__main__":
    print(compare())
