r"""Check hand-written gradients: anyone's ``fun(theta) -> (value, gradient)``.

* `check_gradient` gives a verdict for every block of theta; `assert_gradient` raises instead.
* `taylor_test` fits the slopes of the Taylor remainders.
* `complex_step` differentiates analytic functions to 1e-15.
* `adjoint_test` and `check_hessian_vector` do the same for linear maps and second derivatives.

One file that needs NumPy alone, in the order of the work: the function under test, its blocks,
directional derivatives with their error budget, where to look, the report, the complex step, the
check, the other tests.

With phi(t) = f(theta + t d), the *departure* of f from the analytic slope is measured at a step h:

    odd(h)  = (phi(h) - phi(-h)) / 2 - gradient . (theta_plus - theta_minus) / 2
            = h E + h^3 phi''' / 6 + ...
    even(h) = (phi(h) + phi(-h)) / 2 - phi(0)  =  h^2 phi'' / 2 + ...

theta_plus and theta_minus are the points really evaluated, so rounding theta + h d costs nothing.
E, the error of the gradient along d, differs from e(h) = odd(h) / h by at most the budget

    B(h) = T(h) + K(h) + N(h) + A

    truncation      T(h) = max(|e(h) - e(4h)|, |e(4h) - e(16h)| / 16)
    roughness       K(h) = max(|even(4h)/16 - even(h)| / h, |even(16h)/16 - even(4h)| / (4h))
    noise           N(h) = 8 sigma / h, sigma the noise of one value of f
    analytic noise  A    = 8 (eps ||g * d|| + change of gradient . d when theta moves by one ulp)

docs/gradient_checking.md derives each. A one-sided difference has e(h) = E + h phi'' / 2, with 4
in place of 16 and no K. Noise is measured in the spirit of Moré and Wild, "Estimating
computational noise", SIAM J. Sci. Comput. 33 (2011): by what no smooth f explains.
"""

from __future__ import annotations

import statistics
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "AdjointReport",
    "BlockReport",
    "ComplexStepError",
    "GradientError",
    "GradientReport",
    "TaylorBlock",
    "TaylorReport",
    "adjoint_test",
    "assert_gradient",
    "check_gradient",
    "check_hessian_vector",
    "complex_step",
    "taylor_test",
]

# The function under test

Array: TypeAlias = npt.NDArray[Any]
Fun: TypeAlias = Callable[[Any], Any]

# What fun may raise at a perturbed point outside its domain; anything else is a bug and propagates.
_OUTSIDE_DOMAIN = (ArithmeticError, ValueError, RuntimeError, np.linalg.LinAlgError)


def check_theta(theta: Any) -> Array:
    """Return `theta` as a floating array of at least one finite entry, or say what is wrong."""
    array = np.asarray(theta)
    if array.dtype not in (np.float64, np.float32):
        raise TypeError(
            f"theta must be a float64 or float32 array, got {type(theta).__name__} of dtype "
            f"{array.dtype}; pass np.asarray(theta, dtype=float)."
        )
    if array.ndim == 0 or array.size == 0:
        raise ValueError(
            f"theta must be an array with at least one entry, got shape {array.shape}; "
            f"pass one flat vector of parameters, np.atleast_1d(theta) for a single one."
        )
    if not np.isfinite(array).all():
        index = int(np.flatnonzero(~np.isfinite(array.ravel()))[0])
        raise ValueError(
            f"theta must be finite, got {array.ravel()[index]} at flat index {index}; "
            f"check the gradient at a point where the function is defined."
        )
    return array


def check_scalar(value: Any, source: str, theta: Array) -> float:
    """Return `value` as a finite float, or say why it is not the value of an objective."""
    array = np.asarray(value)
    if array.ndim != 0 or array.dtype.kind not in "fiu":
        raise ValueError(
            f"{source} must return a real scalar value, got {type(value).__name__} of shape "
            f"{array.shape} and dtype {array.dtype}; return float(value)."
        )
    if not np.isfinite(array):
        raise ValueError(
            f"{source} returned the value {float(array)} at theta (shape {theta.shape}); "
            f"the gradient can only be checked where the value is finite."
        )
    return float(array)


class Function:
    """``fun(theta) -> (value, gradient)`` under test at one point; everything here is flat.

    Attributes
    ----------
    theta, gradient : ndarray (n,), float64
    value0 : float
        The value at theta on the numeric side.
    gradient_eps, eps : float
        Machine epsilon of the analytic and of the numeric side. The latter is float32's also where
        `fun` accepts a float64 theta but rounds it.
    dtype : numpy.dtype
        In which the numeric side is called: float64, or float32 where `fun` refuses float64.
    differs : str
        What differed between two evaluations at theta; empty if `fun` is deterministic.
    jitter : float
        Difference of two values at theta, where it is small enough to be rounding.
    warned : set
        What `fun` warned of at theta itself.
    skipped : Counter
        How many perturbed points were skipped, by reason.
    """

    def __init__(self, fun: Fun, theta: Any, value: Fun | None = None) -> None:
        for name, function in (("fun", fun), ("value", value)):
            if not callable(function) and not (name == "value" and function is None):
                raise TypeError(
                    f"{name} must be a callable of theta, got {type(function).__name__}; "
                    f"pass fun(theta) -> (value, gradient) and value(theta) -> value."
                )
        original = check_theta(theta)
        self.shape = original.shape
        self.evaluations = 0
        self.skipped: Counter[str] = Counter()
        self._fun, self._value = fun, value
        self.warned: set[tuple[type[Warning], str]] = set()
        self._original = np.array(original).ravel()
        self.theta = self._original.astype(np.float64)
        self._look_at_theta()

    def _look_at_theta(self) -> None:
        value, gradient = self.value_and_gradient(self._original)
        again, gradient_again = self.value_and_gradient(self._original)
        self.gradient = gradient.astype(np.float64)
        dtypes = (self._original.dtype, gradient.dtype)
        self.gradient_eps = max(float(np.finfo(dtype).eps) for dtype in dtypes)
        self._compare(value, again, gradient, gradient_again)
        self.dtype = np.dtype(np.float64 if self._accepts_float64() else np.float32)
        self.value0 = self.value(self.theta)
        if not np.isfinite(self.value0):
            raise ValueError(
                f"the value at theta is {self.value0} on the numeric side "
                f"({dict(self.skipped) or 'value returned it'}); it must be finite."
            )
        self.eps = float(np.finfo(self.dtype).eps)
        if self.dtype == np.float64 and self._rounds_to_float32():
            self.eps = float(np.finfo(np.float32).eps)
            self.gradient_eps = max(self.gradient_eps, self.eps)
            self.theta = self.rounded(self.theta)
        allowed = np.finfo(self._original.dtype).eps ** (1 / 3) * max(abs(value), abs(self.value0))
        if self._value is not None and abs(self.value0 - value) > allowed:
            raise ValueError(
                f"value(theta) = {self.value0!r} but fun(theta)[0] = {value!r}; "
                f"value must be the same function as the first output of fun."
            )

    def _compare(self, value: float, again: float, gradient: Array, gradient_again: Array) -> None:
        """Two evaluations may differ by rounding (threads): at most eps^(2/3), which over a step of
        eps^(1/3) leaves a third of the digits.
        """
        allowed = float(np.finfo(self._original.dtype).eps) ** (2 / 3)
        self.jitter = abs(value - again)
        self.differs = ""
        if self.jitter > allowed * max(abs(value), abs(again)):
            self.differs = f"value {value!r}, then {again!r}"
        change = float(np.max(np.abs(gradient - gradient_again)))
        if change > allowed * float(np.max(np.abs(gradient))):
            self.differs = self.differs or f"gradient changed by up to {change:.3g}"

    def _accepts_float64(self) -> bool:
        if self._original.dtype == np.float64:
            return True
        try:
            self._numeric()(self.theta.reshape(self.shape).copy())
        except Exception:
            return False
        finally:
            self.evaluations += 1
        return True

    def _rounds_to_float32(self) -> bool:
        """Say whether `fun` silently computes in float32: blind to the bits that float32 lacks,
        although the gradient promises a visible change, and not to larger ones.
        """
        single = self.theta.astype(np.float32).astype(np.float64)
        uphill = np.sign(self.gradient * self.theta)
        promised = 2.0**-28 * float(np.sum(np.abs(self.gradient * self.theta)))
        if promised <= 64 * self.eps * abs(self.value0):
            return False
        unseen, seen = (single * (1 + 2.0**-bits * uphill) for bits in (28, 18))
        return self.value(unseen) == self.value0 != self.value(seen)

    def value_and_gradient(self, flat: Array) -> tuple[float, Array]:
        """Return ``fun`` at `flat` with the flat gradient; every wrong answer is an error."""
        theta = flat.reshape(self.shape).copy()
        self.evaluations += 1
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                answer = self._fun(theta)
            except Exception as error:
                raise ValueError(
                    f"fun raised {type(error).__name__} at theta (shape {theta.shape}, dtype "
                    f"{theta.dtype}): {error}. It must accept such an array and return "
                    f"(value, gradient); call fun(theta) by itself to see the traceback."
                ) from error
        self.warned.update((w.category, str(w.message)) for w in caught)
        if not np.array_equal(theta.ravel(), flat):
            raise ValueError(
                "fun changed theta in place; it must leave its argument alone: work on a copy "
                "(theta = theta.copy())."
            )
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise ValueError(
                f"fun must return (value, gradient), got {type(answer).__name__}; "
                f"return both as a tuple of two."
            )
        value = check_scalar(answer[0], "fun", theta)
        return value, self._check_gradient(answer[1])

    def _check_gradient(self, answer: Any) -> Array:
        gradient = np.array(answer)
        if gradient.dtype.kind in "iu":
            gradient = gradient.astype(np.float64)
        if gradient.shape != self.shape or gradient.dtype.kind != "f":
            raise ValueError(
                f"fun must return a real gradient of theta's shape {self.shape}, got shape "
                f"{gradient.shape} and dtype {gradient.dtype}; one entry per entry of theta."
            )
        gradient = gradient.ravel()
        if not np.isfinite(gradient).all():
            index = int(np.flatnonzero(~np.isfinite(gradient))[0])
            raise ValueError(
                f"the gradient must be finite, got {gradient[index]} at flat index {index}; "
                f"check it at a point where the function is differentiable."
            )
        return gradient

    def _numeric(self) -> Fun:
        return self._value if self._value is not None else lambda theta: self._fun(theta)[0]

    def value(self, flat: Array) -> float:
        """Return the value at `flat`; NaN where `fun` raises, is not finite or warns anew."""
        self.evaluations += 1
        point = flat.astype(self.dtype).reshape(self.shape)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                value = float(self._numeric()(point))
            except _OUTSIDE_DOMAIN as error:
                self.skipped[f"raised {type(error).__name__}"] += 1
                return float("nan")
        if caught:
            seen = {(w.category, str(w.message)) for w in caught} - self.warned
            if seen:
                self.skipped[f"warned ({min(text for _, text in seen)})"] += 1
                return float("nan")
        if not np.isfinite(value):
            self.skipped["not finite"] += 1
            return float("nan")
        return value

    def complex_value(self, flat: Array) -> Any:
        """Return whatever the function answers at a complex point."""
        self.evaluations += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._numeric()(flat.reshape(self.shape))

    def rounded(self, flat: Array) -> Array:
        """Return the point that the numeric side really sees for `flat`, in float64."""
        if self.eps == np.finfo(np.float64).eps:
            return flat
        return flat.astype(np.float32).astype(np.float64)

    def gradient_changes(self, rng: np.random.Generator, n: int = 2) -> list[Array]:
        """Return `n` changes of the analytic gradient when theta moves by about one ulp."""
        changes = []
        for _ in range(n):
            signs = rng.choice(np.array([-1.0, 1.0]), size=self.theta.size)
            moved = self._original * (1 + self.gradient_eps * signs)
            try:
                _, gradient = self.value_and_gradient(moved.astype(self._original.dtype))
            except ValueError:
                continue  # theta stands at the border of the domain
            changes.append(gradient - self.gradient)
        return changes


def norm(vector: Array) -> float:
    """Return the Euclidean norm, without overflow."""
    largest = float(np.max(np.abs(vector)))
    return largest * float(np.linalg.norm(vector / largest)) if largest > 0 else 0.0


def rms(vector: Array) -> float:
    """Return the root mean square, without overflow."""
    return norm(vector) / float(np.sqrt(vector.size))


def random_direction(rng: np.random.Generator, size: int) -> Array:
    """Return entries of random sign and of magnitudes between 1/2 and 3/2.

    Comparable, so that none is overlooked; unequal, since plain signs often hit a symmetry of f.
    """
    return rng.choice(np.array([-1.0, 1.0]), size=size) * rng.uniform(0.5, 1.5, size=size)


def check_direction(direction: Any, function: Function) -> Array:
    """Return `direction` flat, in float64; ValueError if it does not fit theta."""
    array = np.asarray(direction, dtype=np.float64)
    if array.shape != function.shape or not np.isfinite(array).all() or not array.any():
        raise ValueError(
            f"direction must be finite, not all zero and of theta's shape {function.shape}, "
            f"got shape {array.shape}."
        )
    return array.ravel()


# Blocks


class Block:
    """A named part of flat theta: `index` (a slice or int array), and the shape it stands for."""

    def __init__(
        self, name: str, index: slice | Array, size: int, shape: tuple[int, ...] | None = None
    ) -> None:
        self.name, self.index, self.size = name, index, size
        self.shape = shape if shape is not None else (size,)

    def position(self, i: int) -> int:
        """Return the flat position in theta of the block's i-th entry."""
        if isinstance(self.index, slice):
            return int(self.index.start) + i * int(self.index.step)
        return int(self.index[i])

    def coordinate(self, i: int) -> str:
        """Return the name of the block's i-th entry, such as ``decoder.weight[17, 3]``."""
        subscripts = np.unravel_index(i, self.shape)
        return f"{self.name}[{', '.join(str(int(k)) for k in subscripts)}]"


def make_blocks(blocks: Any, theta_shape: tuple[int, ...]) -> list[Block]:
    """Return the blocks of a mapping name -> indices, of a layout, or one of the whole theta."""
    n = int(np.prod(theta_shape))
    if blocks is None:
        return [Block("theta", slice(0, n, 1), n, theta_shape)]
    shapes: Mapping[str, tuple[int, ...]] = {}
    if hasattr(blocks, "slices") and hasattr(blocks, "shapes"):
        blocks, shapes = blocks.slices, blocks.shapes
    if not isinstance(blocks, Mapping):
        raise TypeError(
            f"blocks must map names to slices or index arrays, or be a layout with .slices and "
            f".shapes, got {type(blocks).__name__}; pass for example {{'weight': slice(0, 6)}}."
        )
    if not blocks:
        raise ValueError("blocks must name at least one block, got none; pass None for all.")
    made = [_make_block(str(name), index, n, shapes.get(name)) for name, index in blocks.items()]
    _check_overlap(made, n)
    return made


def _make_block(name: str, index: Any, n: int, shape: Any) -> Block:
    if isinstance(index, slice):
        normal = slice(*index.indices(n))
        size = len(range(normal.start, normal.stop, normal.step))
        if index.stop is not None and (index.stop > n or index.stop < -n):
            raise IndexError(
                f"block {name!r} is {index}, but theta has {n} entries; stop must be at most {n}."
            )
        positions: slice | Array = normal
    else:
        positions = np.atleast_1d(np.asarray(index))
        if positions.dtype == bool:
            if positions.shape != (n,):
                raise IndexError(
                    f"block {name!r} is a mask of shape {positions.shape}, but theta has {n} "
                    f"entries; pass a mask of shape ({n},)."
                )
            positions = np.flatnonzero(positions)
        if positions.dtype.kind not in "iu" and positions.size:
            raise TypeError(
                f"block {name!r} must be a slice, integer indices or a mask, got "
                f"{type(index).__name__} of dtype {positions.dtype}."
            )
        positions = positions.ravel().astype(np.intp)
        size = positions.size
        if size and (positions.min() < -n or positions.max() >= n):
            raise IndexError(
                f"block {name!r} has indices from {positions.min()} to {positions.max()}, but "
                f"theta has {n} entries; give indices from 0 to {n - 1}."
            )
        positions = positions % n
    if size == 0:
        raise ValueError(
            f"block {name!r} is empty ({index}); leave it out or give it at least one index."
        )
    if shape is not None and int(np.prod(shape)) != size:
        raise ValueError(
            f"block {name!r} has {size} entries but shape {tuple(shape)}; the two must agree."
        )
    return Block(name, positions, size, None if shape is None else tuple(shape))


def _check_overlap(blocks: list[Block], n: int) -> None:
    owner = np.full(n, -1, dtype=np.intp)
    for number, block in enumerate(blocks):
        taken = owner[block.index]
        if (taken >= 0).any():
            raise ValueError(
                f"blocks {blocks[int(taken.max())].name!r} and {block.name!r} overlap; each entry "
                f"of theta may belong to one block only, or a fault would be blamed on both."
            )
        owner[block.index] = number
        if np.count_nonzero(owner == number) != block.size:
            raise ValueError(f"block {block.name!r} names an index twice; give each index once.")


# Directional derivatives and their error budget

RATIO = 4.0
SAFETY = 8.0
DECADES_DOWN, DECADES_UP = 7, 8  # powers of RATIO around the nominal step: 9 decades in all


@dataclass(frozen=True)
class Method:
    """A finite-difference formula: the order of its error and its optimal step."""

    name: str
    order: int
    step_exponent: float  # nominal step = eps ** step_exponent * scale


CENTRAL = Method("central", 2, 1 / 3)
FORWARD = Method("forward", 1, 1 / 2)


@dataclass(frozen=True)
class Sample:
    """Departures of f from the analytic slope at one step (module docstring)."""

    step: float
    odd: float
    even: float
    values: tuple[float, ...]
    stuck: bool  # every value equals phi(0)

    @property
    def size(self) -> float:
        """The largest magnitude among the values."""
        return max(abs(v) for v in self.values)


@dataclass(frozen=True)
class Estimate:
    """The error of the analytic slope as seen at one step, with the parts of its budget."""

    step: float
    error: float  # numeric - analytic
    truncation: float
    roughness: float
    noise: float
    analytic_noise: float
    curvature: float = 0.0  # |phi''|, as far as neither noise nor roughness explains it

    @property
    def budget(self) -> float:
        """B(h): the error that truncation and rounding can explain."""
        return self.truncation + self.roughness + self.noise + self.analytic_noise

    @property
    def excess(self) -> float:
        """The error in units of the budget: above 1 the gradient is wrong."""
        if self.error == 0:
            return 0.0
        return abs(self.error) / self.budget if self.budget > 0 else np.inf


class Line:
    """f along `direction` (rms 1) of the entries `index`; `scale` is the unit of the steps.

    Points on another linear piece than theta, as `pattern` names them, are skipped.
    """

    def __init__(
        self,
        function: Function,
        index: slice | Array,
        direction: Array,
        scale: float,
        method: Method = CENTRAL,
        pattern: Callable[[Any], Any] | None = None,
    ) -> None:
        self.function, self.index, self.direction = function, index, direction
        self.scale, self.method, self.pattern = scale, method, pattern
        self.gradient = function.gradient[index]
        self.analytic = float(self.gradient @ direction)
        self.side = 1.0  # on which a one-sided difference looks
        self.crossed = 0  # steps skipped because the pattern changed
        self._piece = np.empty(0) if pattern is None else self._piece_at(function.theta)

    def nominal_step(self) -> float:
        """The step that balances truncation and rounding for a function of the scale's size."""
        return float(self.function.eps**self.method.step_exponent * self.scale)

    def _piece_at(self, flat: Array) -> Array:
        assert self.pattern is not None
        return np.asarray(self.pattern(flat.reshape(self.function.shape)))

    def point(self, t: float) -> Array:
        """Return theta + t d as the function will see it."""
        moved = self.function.theta.copy()
        moved[self.index] += t * self.direction
        return self.function.rounded(moved)

    def sample(self, step: float) -> Sample | None:
        """Return the departures at `step`, or None where a point must be skipped."""
        signs = (1.0, -1.0) if self.method is CENTRAL else (self.side,)
        values, moves = [], []
        for sign in signs:
            point = self.point(sign * step)
            move = point[self.index] - self.function.theta[self.index]
            if not move.any():
                return None  # the step is below the spacing of theta
            if self.pattern is not None and not np.array_equal(self._piece_at(point), self._piece):
                self.crossed += 1
                return None
            value = self.function.value(point)
            if not np.isfinite(value):
                return None
            values.append(value)
            moves.append(float(self.gradient @ move))
        return self._departures(step, values, moves)

    def _departures(self, step: float, values: list[float], moves: list[float]) -> Sample:
        center = self.function.value0
        departures = [v - center - m for v, m in zip(values, moves, strict=True)]
        if self.method is CENTRAL:
            odd, even = (departures[0] - departures[1]) / 2, (departures[0] + departures[1]) / 2
        else:
            odd, even = self.side * departures[0], np.nan
        stuck = all(v == center for v in values)
        return Sample(step, odd, even, (center, *values), stuck)


def _annihilator(powers: tuple[int, int]) -> tuple[float, float, float]:
    """Unit weights w with sum w_i h_i^p = 0 for both powers p at the steps h, 4h, 16h."""
    nodes = np.array([1.0, RATIO, RATIO**2])
    weights = np.cross(nodes ** powers[0], nodes ** powers[1])
    first, second, third = (weights / np.linalg.norm(weights)).tolist()
    return first, second, third


_ODD_NOISE = _annihilator((1, 3))
_EVEN_NOISE = _annihilator((2, 4))
_FORWARD_NOISE = _annihilator((1, 2))


def measured_noise(triple: Sequence[Sample], method: Method = CENTRAL) -> list[float]:
    """Return what no smooth function explains in three samples, in units of f."""
    if method is FORWARD:
        return [abs(sum(w * s.odd for w, s in zip(_FORWARD_NOISE, triple, strict=True)))]
    odd = sum(w * s.odd for w, s in zip(_ODD_NOISE, triple, strict=True))
    even = sum(w * s.even for w, s in zip(_EVEN_NOISE, triple, strict=True))
    return [abs(odd) * 2**0.5, abs(even) * 2**0.5]


def noise_level(residuals: Sequence[float]) -> float:
    """Return the standard deviation behind the residuals, by the median (kinks are outliers)."""
    return 1.4826 * statistics.median(residuals) if residuals else 0.0


def value_grid(values: Sequence[float]) -> float:
    """Return the largest power of two of which all values are multiples; 0 for a single value."""
    distinct = set(values) - {0.0}
    if len(distinct) < 2:
        return 0.0
    ratios = (value.as_integer_ratio() for value in distinct)
    return min(float(p & -p) if q == 1 else 1 / q for p, q in ratios)


def rounding_noise(function: Function, samples: Sequence[Sample]) -> float:
    """Return the least noise that values such as those of the samples can have."""
    values = [v for s in samples for v in s.values]
    changes = [abs(v - function.value0) for v in values if v != function.value0]
    floor = function.eps * max(abs(v) for v in values)
    # Where f does not move at all, its values may be quantized as coarsely as its first change.
    stuck_grid = min(changes) if changes and min(samples, key=lambda s: s.step).stuck else 0.0
    return max(floor, function.jitter, value_grid(values), stuck_grid)


def estimate(
    triple: Sequence[Sample], noise: float, analytic_noise: float, method: Method
) -> Estimate:
    """Return the error and its budget at the smallest of three steps h, 4h, 16h."""
    h = triple[0].step
    errors = [s.odd / s.step for s in triple]
    shrink = RATIO**method.order
    truncation = max(abs(errors[0] - errors[1]), abs(errors[1] - errors[2]) / shrink)
    if method is FORWARD:
        return Estimate(h, errors[0], truncation, 0.0, 2 * SAFETY * noise / h, analytic_noise)
    even = [s.even for s in triple]
    roughness = max(
        abs(even[1] / RATIO**2 - even[0]) / h,
        abs(even[2] / RATIO**2 - even[1]) / (RATIO * h),
    )
    widest = triple[2].step
    smooth_part = max(0.0, abs(even[2]) - SAFETY * noise - 2 * roughness * widest)
    return Estimate(
        step=h,
        error=errors[0],
        truncation=truncation,
        roughness=roughness,
        noise=SAFETY * noise / h,
        analytic_noise=analytic_noise,
        curvature=2 * smooth_part / widest**2,
    )


def sweep_estimates(
    function: Function,
    samples: Sequence[Sample | None],
    analytic_noise: float,
    method: Method,
) -> list[Estimate]:
    """Return the estimates of all triples of neighboring steps (ascending, None where skipped).

    The noise of a step is measured at this and smaller steps: larger ones may show curvature.
    """
    found: list[Estimate] = []
    windows: list[list[float]] = []
    level = 0.0
    usable = [s for s in samples if s is not None]
    for first, second, third in zip(samples, samples[1:], samples[2:], strict=False):
        if first is None or second is None or third is None:
            continue
        triple = (first, second, third)
        windows.append(measured_noise(triple, method))
        level = max(level, noise_level([r for window in windows[-4:] for r in window]))
        larger = [s for s in usable if s.step >= first.step]
        noise = max(level, rounding_noise(function, [*triple, *(larger if first.stuck else [])]))
        found.append(estimate(triple, noise, analytic_noise, method))
    return found


def judging(estimates: Sequence[Estimate]) -> Estimate:
    """Return the estimate with the smallest budget, if the others do not speak against it.

    To call the gradient wrong, no smaller step may contradict it beyond both budgets (at large
    steps a bounded function looks flat; Lepski's rule). Where a step that calls the gradient right
    contradicts it, one budget is too small: their disagreement widens it.
    """
    best = min(estimates, key=lambda e: e.budget)
    if best.excess <= 1:
        return best
    lasting = (e for e in estimates if not _contradicted_below(e, estimates))
    best = min(lasting, key=lambda e: e.budget)
    against = [o for o in estimates if o.excess <= 1 and _contradict(o, best)]
    if best.excess <= 1 or not against:
        return best
    disagreement = max(abs(o.error - best.error) for o in against)
    return replace(best, roughness=best.roughness + disagreement)


def _contradict(one: Estimate, other: Estimate) -> bool:
    return abs(one.error - other.error) > one.budget + other.budget


def _contradicted_below(estimate: Estimate, estimates: Sequence[Estimate]) -> bool:
    return any(o.step < estimate.step and _contradict(o, estimate) for o in estimates)


def in_dead_zone(function: Function, samples: Sequence[Sample], slope: float) -> bool:
    """Say whether f is constant near theta further than rounding can explain (a dead relu)."""
    rounding = function.eps * max(s.size for s in samples)
    return any(s.stuck and abs(slope) * s.step > SAFETY * rounding for s in samples)


def one_sided(samples: Sequence[Sample], noise: float) -> tuple[Estimate, Estimate] | None:
    """Return the errors of the left and right slope if theta lies on a kink, else None.

    There the gap between the slopes, 2 even(h) / h, keeps its size while h shrinks.
    """
    seen = [s for s in samples if abs(s.even) > SAFETY * noise]
    if len(seen) < 5:
        return None
    gaps = [s.even / s.step for s in seen[1:5]]
    if not all(0.5 < gap / gaps[-1] < 2.0 for gap in gaps):
        return None
    sides = []
    for sign in (-1.0, 1.0):
        errors = [(s.odd + sign * s.even) / s.step for s in seen]
        candidates = [
            Estimate(a.step, e, abs(e - f), 0.0, 2 * SAFETY * noise / a.step, 0.0)
            for a, e, f in zip(seen, errors, errors[1:], strict=False)
        ]
        sides.append(min(candidates, key=lambda c: c.budget))
    return sides[0], sides[1]


# Where to look: directions confined to a block and single coordinates

_TINY = 1e-150  # below it a scale is no information


@dataclass
class Probe:
    """One direction or coordinate of a block and what was found along it.

    ``outcome`` is "right", "wrong", "unresolved" (too wide a budget), "kink" (right within the
    one-sided slopes), "off-kink" (outside them: no proof of a fault) or "suspect" (wrong at the
    nominal step, not confirmed).
    """

    line: Line
    analytic_noise: float  # the part A of the budget
    resolution: float
    slope: float = 0.0  # typical slope of the block along the direction
    coordinate: int | None = None  # position within the block; None for a direction
    samples: dict[int, Sample | None] = field(default_factory=dict)
    estimates: list[Estimate] = field(default_factory=list)
    best: Estimate | None = None
    outcome: str = "unresolved"
    sharp: bool = False  # the budget is well below the resolution
    one_sided_slopes: list[float] = field(default_factory=list)

    @property
    def error(self) -> float:
        """The distance of the analytic from the numeric slope."""
        return 0.0 if self.best is None else abs(self.best.error)

    @property
    def relative_error(self) -> float:
        """The error relative to the slopes of the function here (see `slope_scale`)."""
        return self.error / max(self.slope_scale(), self.error) if self.error else 0.0

    @property
    def numeric(self) -> float:
        """The numeric slope."""
        return self.line.analytic + self.best.error if self.best is not None else np.nan

    def base(self) -> list[Sample] | None:
        """Return the samples at the nominal step and its two larger neighbors, None if skipped."""
        if self._take(0) is None and self.line.method is FORWARD and self.line.side > 0:
            self.line.side = -1.0  # theta may lie at the border of the domain
            self.samples.clear()
        triple = [self._take(k) for k in range(3)]
        kept = [s for s in triple if s is not None]
        return kept if len(kept) == 3 else None

    def noise_residuals(self) -> list[float]:
        """Return the noise seen at the nominal step."""
        triple = self.base()
        return measured_noise(triple, self.line.method) if triple else []

    def judge_base(self, block_noise: float) -> None:
        """Judge at the nominal step, with the noise pooled over the probes of the block."""
        triple = self.base()
        if triple is None:
            return
        function = self.line.function
        noise = max(block_noise, rounding_noise(function, triple))
        self._accept([estimate(triple, noise, self.analytic_noise, self.line.method)])

    def judge_sweep(self) -> None:
        """Judge at the best step of a sweep; a wider sweep follows if that decides nothing."""
        self._sweep(-DECADES_DOWN, DECADES_UP)
        if self.line.crossed and self.outcome == "unresolved":
            self.line.pattern = None  # theta lies on a kink, or too near to stay off it
            self.samples.clear()
            self._sweep(-DECADES_DOWN, DECADES_UP)
        if self._is_flat():
            self.outcome = "right"
        if self.outcome != "right":
            self._sweep(*self._widest_range())
        if self.outcome in ("unresolved", "wrong") and self.line.method is CENTRAL:
            self._look_for_kink()
        if self.outcome == "wrong" and not self._claims_dependence():
            dead = in_dead_zone(self.line.function, self._ascending(), self.numeric)
            self.outcome = "unresolved" if dead else "wrong"

    def _take(self, k: int) -> Sample | None:
        if k not in self.samples:
            self.samples[k] = self.line.sample(self.line.nominal_step() * RATIO**k)
        return self.samples[k]

    def _widest_range(self) -> tuple[int, int]:
        """Steps from the spacing of theta to the size of the largest entry of theta or 1."""
        line = self.line
        eps = line.function.eps
        largest = max(1.0, float(np.max(np.abs(line.function.theta))), line.scale)
        down = np.log(64 * eps * line.scale / line.nominal_step()) / np.log(RATIO)
        up = np.log(largest / line.nominal_step()) / np.log(RATIO)
        return min(-DECADES_DOWN, int(down)), max(DECADES_UP, int(up))

    def _sweep(self, low: int, high: int) -> None:
        samples = [self._take(k) for k in range(low, high + 1)]
        line = self.line
        estimates = sweep_estimates(line.function, samples, self.analytic_noise, line.method)
        if estimates:
            self._accept(estimates)

    def _accept(self, estimates: list[Estimate]) -> None:
        self.estimates = estimates
        self.best = best = judging(estimates)
        visible = self.resolution * self.slope_scale()
        self.sharp = best.budget <= visible / 10
        if best.excess > 1:
            self.outcome = "wrong"
        elif best.budget <= visible:
            self.outcome = "right"
        else:
            self.outcome = "unresolved"

    def slope_scale(self) -> float:
        """Return the slope that an error is measured against: the largest of the analytic, the
        numeric and the block's typical one, and scale * phi'', which alone is left at a minimum.
        """
        scale = max(abs(self.line.analytic), self.slope)
        if self.best is None:
            return scale
        return max(scale, abs(self.numeric), self.best.curvature * self.line.scale)

    def _ascending(self) -> list[Sample]:
        kept = [s for s in self.samples.values() if s is not None]
        return sorted(kept, key=lambda s: s.step)

    def _claims_dependence(self) -> bool:
        """Say whether the gradient has a nonzero entry among those that move."""
        return bool(((self.line.gradient != 0) & (self.line.direction != 0)).any())

    def _is_flat(self) -> bool:
        """Say whether f and the gradient agree that nothing depends on these entries."""
        samples = self._ascending()
        return bool(samples) and not self._claims_dependence() and all(s.stuck for s in samples)

    def kinks(self) -> int:
        """Return how many steps near the nominal one met a kink: the pattern changed, or the two
        sides disagreed visibly (at much larger steps that may be curvature).
        """
        if self.best is None or self.slope == 0:
            return self.line.crossed
        low, high = self.best.step, self.line.nominal_step() * RATIO**2
        rough = [e for e in self.estimates if e.roughness > max(e.noise, 0.01 * self.slope)]
        return self.line.crossed + sum(low < e.step <= high for e in rough)

    def obstacle(self) -> str:
        """Return what makes the budget as wide as it is."""
        if self.best is None:
            return "outside the domain"
        parts = {
            "noise": self.best.noise,
            "curvature": self.best.truncation,
            "kinks or jumps": self.best.roughness,
            "noise of the gradient": self.best.analytic_noise,
        }
        return max(parts, key=lambda name: parts[name])

    def curve(self) -> dict[str, list[float]]:
        """Return step, error and budget at every step that was judged, for a picture."""
        return {
            "step": [e.step for e in self.estimates],
            "error": [abs(e.error) for e in self.estimates],
            "budget": [e.budget for e in self.estimates],
        }

    def _look_for_kink(self) -> None:
        samples = self._ascending()
        if not samples:
            return
        noise = rounding_noise(self.line.function, samples[:3])
        sides = one_sided(samples, noise)
        if sides is None:
            return
        left, right = sides
        slopes = [(self.line.analytic + s.error, s.budget) for s in sides]
        self.one_sided_slopes = [s if abs(s) > budget else 0.0 for s, budget in slopes]
        low = min(left.error - left.budget, right.error - right.budget) - self.analytic_noise
        high = max(left.error + left.budget, right.error + right.budget) + self.analytic_noise
        nearest = float(np.clip(0.0, low, high))
        self.best = replace(left, error=nearest, analytic_noise=self.analytic_noise)
        if low <= 0 <= high:
            self.outcome = "kink"
        elif self.coordinate is not None and self.line.analytic != 0:
            self.outcome = "wrong"
        else:
            self.outcome = "off-kink"


def line_scale(theta: Array, direction: Array) -> float:
    """Return the rms of theta along a direction of rms 1; 1 if theta is zero there."""
    scale = rms(direction * theta)
    return scale if scale > _TINY else 1.0


class ProbeMaker:
    """Draws the directions and coordinates of a block.

    `gradient_changes` are those of the analytic gradient when theta moves by one ulp.
    """

    def __init__(
        self,
        function: Function,
        method: Method,
        rng: np.random.Generator,
        pattern: Callable[[Any], Any] | None = None,
        resolution: float = np.inf,
        gradient_changes: Sequence[Array] = (),
    ) -> None:
        self.function, self.method, self.rng, self.pattern = function, method, rng, pattern
        self.resolution, self.gradient_changes = resolution, gradient_changes

    def directions(self, block: Block, n: int) -> list[Probe]:
        """Return up to `n` directions: along the gradient, then random ones, every second of them
        scaled with theta for blocks whose entries differ in size.
        """
        theta = self.function.theta[block.index]
        gradient = self.function.gradient[block.index]
        drawn = [gradient] if gradient.any() else []
        for k in range(n - len(drawn)):
            anyhow = random_direction(self.rng, block.size)
            drawn.append(anyhow * theta if k % 2 == 1 and theta.any() else anyhow)
        return [self.along(block, d, 2 ** self.rng.uniform(-0.5, 0.5)) for d in drawn[:n]]

    def along(self, block: Block, direction: Array, stretch: float = 1.0) -> Probe:
        """Return a probe along `direction`; `stretch` varies its steps."""
        unit = direction / rms(direction)
        theta = self.function.theta[block.index]
        scale = line_scale(theta, unit) * stretch
        line = Line(self.function, block.index, unit, scale, self.method, self.pattern)
        noise = SAFETY * self._rounding(line)
        return Probe(line, noise, self.resolution, norm(line.gradient * unit))

    def coordinates(self, block: Block, chosen: Iterable[int]) -> list[Probe]:
        """Return probes of the given entries of the block."""
        gradient = self.function.gradient[block.index]
        scale = line_scale(self.function.theta[block.index], np.ones(block.size))
        slope, rounding = rms(gradient), self._typical_rounding(block)
        return [self._coordinate(block, int(i), scale, slope, rounding) for i in chosen]

    def _coordinate(
        self, block: Block, i: int, block_scale: float, slope: float, rounding: float
    ) -> Probe:
        index = np.array([block.position(i)])
        own = abs(float(self.function.theta[index[0]]))
        scale = own if own > _TINY else block_scale
        line = Line(self.function, index, np.ones(1), scale, self.method, self.pattern)
        noise = SAFETY * max(rounding, self._rounding(line))
        return Probe(line, noise, self.resolution, max(slope, abs(line.analytic)), i)

    def _rounding(self, line: Line) -> float:
        """Return the rounding of the analytic slope: eps of its terms, or as seen one ulp away."""
        rounding = self.function.gradient_eps * norm(line.gradient * line.direction)
        changes = [change[line.index] * line.direction for change in self.gradient_changes]
        return rounding + max((max(norm(c), abs(float(c.sum()))) for c in changes), default=0.0)

    def _typical_rounding(self, block: Block) -> float:
        """Return the same for a typical entry of the block: two changes of one entry may be small
        by chance. (The median: on a kink an entry may change by any amount.)
        """
        changes = [np.abs(change[block.index]) for change in self.gradient_changes]
        seen = [1.4826 * float(np.median(c[c > 0])) for c in changes if c.any()]
        gradient = self.function.gradient[block.index]
        return self.function.gradient_eps * rms(gradient) + max(seen, default=0.0)

    def choose(self, block: Block, n: int, active: Array | None) -> Array:
        """Return all entries of a small block; of a large one the largest gradient and entries in
        rows with and without data (if `active` does not say: with and without a gradient).
        """
        gradient = self.function.gradient[block.index]
        if block.size <= n:
            return np.arange(block.size)
        if n == 0:
            return np.arange(0)
        has_data = gradient != 0
        if active is not None:
            has_data = np.repeat(active, block.size // len(active))
        strata = [np.flatnonzero(has_data), np.flatnonzero(~has_data)]
        quota = [n - 1 - (n - 1) // 3, (n - 1) // 3]
        if len(strata[1]) < quota[1]:
            quota = [n - 1 - len(strata[1]), len(strata[1])]
        elif len(strata[0]) < quota[0]:
            quota = [len(strata[0]), n - 1 - len(strata[0])]
        picked = [
            self.rng.choice(stratum, size=size, replace=False)
            for stratum, size in zip(strata, quota, strict=True)
        ]
        return np.unique(np.concatenate([[np.argmax(np.abs(gradient))], *picked]))


# The report


def number(value: float | None, digits: int = 3) -> str:
    """Return `value` for a table; a dash where there is none."""
    return "-" if value is None or not np.isfinite(value) else f"{value:.{digits}g}"


def jsonable(value: Any) -> Any:
    """Return `value` with floats that JSON can hold: None for NaN and infinities."""
    if isinstance(value, dict):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """Return an aligned plain-text table, the first `left` columns flush left."""
    columns = []
    for number, cells in enumerate(zip(header, *rows, strict=True)):
        width = max(map(len, cells))
        side = "<" if number < left else ">"
        columns.append([f"{cell:{side}{width}}" for cell in cells])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


@dataclass(frozen=True)
class BlockReport:
    """What was found in one block.

    Attributes
    ----------
    verdict : {"pass", "fail", "inconclusive"}
    relative_error : float
        The largest error found, relative to the slopes of the function.
    worst_coordinate : str or None
        Name and index of the coordinate with the largest error, ``decoder.weight[17, 3]``.
    analytic, numeric : float
        The two derivatives there (along the worst direction if no coordinate was evaluated).
    step : float
        The step of the numeric derivative.
    budget : float
        The error that truncation and rounding can explain.
    noise_floor : float
        The part of the budget that is rounding noise.
    evaluations : int
        Calls of the function.
    kinks : int
        Steps skipped because they lead across a kink: the pattern changed, or the slopes of the two
        sides disagreed.
    note : str
        What a reader should know; empty if nothing.
    curve : dict
        ``step``, ``error`` and ``budget`` (lists) of the worst probe, for a picture.
    """

    verdict: str
    relative_error: float = np.nan
    worst_coordinate: str | None = None
    analytic: float = np.nan
    numeric: float = np.nan
    step: float = np.nan
    budget: float = np.nan
    noise_floor: float = np.nan
    evaluations: int = 0
    kinks: int = 0
    note: str = ""
    curve: dict[str, list[float]] = field(default_factory=dict, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values, without the curve."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del fields["curve"]
        return dict(jsonable(fields))


@dataclass(frozen=True)
class Report:
    """Verdicts by block, with a note on the whole function."""

    blocks: Mapping[str, Any]
    note: str = ""

    @property
    def passed(self) -> bool:
        """True only if every block's verdict is "pass"."""
        return all(block.verdict == "pass" for block in self.blocks.values())

    def with_notes(self, header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
        """Return a table with the notes below it."""
        notes = [f"{name}: {block.note}" for name, block in self.blocks.items() if block.note]
        return "\n".join([table(header, rows, left), *filter(None, [self.note]), *notes])


@dataclass(frozen=True)
class GradientReport(Report):
    """Verdicts by block. ``str(report)`` is a table.

    Attributes
    ----------
    blocks : dict of str to BlockReport
    note : str
        What concerns the whole function, such as values that differ between two evaluations.
    evaluations : int
        Calls of the function, those that prepared the check included.
    """

    blocks: dict[str, BlockReport]
    evaluations: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"passed": bool, "note": str, "blocks": {name: {"verdict": ..., ...}}}``."""
        blocks = {name: block.to_dict() for name, block in self.blocks.items()}
        return {
            "passed": self.passed,
            "note": self.note,
            "evaluations": self.evaluations,
            "blocks": blocks,
        }

    def __str__(self) -> str:
        header = (
            "block,verdict,worst coordinate,rel. error,analytic,numeric,budget,noise,step,evals"
        )
        rows = [
            (
                name,
                b.verdict,
                b.worst_coordinate or "-",
                number(b.relative_error, 2),
                number(b.analytic, 6),
                number(b.numeric, 6),
                number(b.budget, 2),
                number(b.noise_floor, 2),
                number(b.step, 2),
                str(b.evaluations),
            )
            for name, b in self.blocks.items()
        ]
        return self.with_notes(header.split(","), rows, left=3)


# The complex step: no subtraction, no truncation

# Its square vanishes beside 1, and with it the truncation error.
_RELATIVE_STEP = 1e-20


class ComplexStepError(ValueError):
    """The function is not complex-safe; the message says in which way."""


def complex_slope(line: Line, theta: Array) -> float:
    """Return Im f(theta + i h d) / h, or raise ComplexStepError."""
    h = _RELATIVE_STEP * line.scale
    point = theta.astype(np.complex128)
    point[line.index] += 1j * h * line.direction
    try:
        answer = np.asarray(line.function.complex_value(point))
    except Exception as error:
        raise ComplexStepError(
            f"the function raised {type(error).__name__} at a complex theta: {error}. The complex "
            f"step needs a value made of analytic operations: pass value= if it is the gradient "
            f"that refuses, else use method='central'."
        ) from error
    if answer.ndim != 0 or answer.dtype.kind != "c":
        raise ComplexStepError(
            f"the function returned {answer.dtype} of shape {answer.shape} for a complex theta, "
            f"not a complex scalar; a cast, np.abs, np.vdot or .real drops the imaginary part. "
            f"Use method='central'."
        )
    numeric = float(answer.imag) / h
    if not np.isfinite(numeric):
        raise ComplexStepError(f"the complex step gave {numeric}; use method='central'.")
    return numeric


def judge_complex(probes: Sequence[Probe]) -> None:
    """Judge probes by the complex step, after their central differences have confirmed that step.

    Its noise is what one ulp of theta changes, pooled over the probes in units of their length.
    """
    judged = [probe for probe in probes if probe.outcome not in ("kink", "off-kink")]
    lines = [probe.line for probe in judged]
    lengths = [norm(line.direction) for line in lines]
    slopes = [complex_slope(line, line.function.theta) for line in lines]
    for probe, slope in zip(judged, slopes, strict=True):
        error = slope - probe.line.analytic
        if probe.best is not None and abs(error - probe.best.error) > probe.best.budget:
            raise _not_analytic(slope, probe)
    changes = [_largest_change(line, slope) for line, slope in zip(lines, slopes, strict=True)]
    pooled = noise_level([c / n for c, n in zip(changes, lengths, strict=True)])
    for probe, slope, change, length in zip(judged, slopes, changes, lengths, strict=True):
        probe.best = Estimate(
            step=_RELATIVE_STEP * probe.line.scale,
            error=slope - probe.line.analytic,
            truncation=0.0,
            roughness=0.0,
            noise=SAFETY * max(change, pooled * length),
            analytic_noise=probe.analytic_noise,
        )
        probe.outcome = "wrong" if probe.best.excess > 1 else "right"


def _largest_change(line: Line, slope: float) -> float:
    theta, eps = line.function.theta, float(np.finfo(np.float64).eps)
    moved = (complex_slope(line, theta * (1 + sign * eps)) for sign in (-1, 1))
    return max(abs(other - slope) for other in moved)


def _not_analytic(numeric: float, probe: Probe) -> ComplexStepError:
    assert probe.best is not None
    return ComplexStepError(
        f"the complex step gives {numeric:.9g}, a central difference {probe.numeric:.9g} with an "
        f"error budget of {probe.best.budget:.2g}: the function is not analytic; np.abs, np.vdot, "
        f".conj and comparisons are the usual reasons. Use method='central'."
    )


def complex_step(fun: Fun, theta: Any, direction: Any = None, *, random_state: Any = 0) -> Any:
    """Return derivatives of an analytic function by the complex step.

    Parameters
    ----------
    fun : callable
        ``fun(theta) -> value`` or ``fun(theta) -> (value, gradient)``; it must accept a complex128
        theta. The gradient is not looked at.
    theta : ndarray of float64
    direction : ndarray of theta's shape, optional
        Return the derivative along it; default: the whole gradient, one evaluation per entry.
    random_state : int, Generator or None
        Draws the direction in which the gradient is confirmed.

    Returns
    -------
    float or ndarray of theta's shape
        Exact to rounding, near 1e-15 relative.

    Raises
    ------
    ComplexStepError
        Where `fun` is not complex-safe: it raises, returns a real value, or disagrees with a
        central difference beyond the error budget of that.
    """
    point = check_theta(theta).astype(np.float64)

    def value(x: Any) -> Any:
        answer = fun(x)
        return answer[0] if isinstance(answer, tuple) else answer

    function = Function(lambda x: (value(x), np.zeros(x.shape)), point)
    if direction is None:
        for i, x in enumerate(function.theta):
            line = Line(function, np.array([i]), np.ones(1), abs(x) or 1.0)
            function.gradient[i] = complex_slope(line, function.theta)
        rng = np.random.default_rng(random_state)
        _confirm(function, random_direction(rng, point.size))
        return function.gradient.reshape(point.shape)
    along = check_direction(direction, function)
    unit = along / rms(along)
    line = Line(function, slice(None), unit, line_scale(function.theta, unit))
    slope = complex_slope(line, function.theta) * rms(along)
    function.gradient = along * (slope / float(along @ along))
    _confirm(function, along)
    return slope


def _confirm(function: Function, direction: Array) -> None:
    """Check the complex gradient like any other: by central differences."""
    rng = np.random.default_rng(0)
    block = Block("theta", slice(None), function.theta.size)
    probe = ProbeMaker(function, CENTRAL, rng).along(block, direction)
    probe.judge_sweep()
    if probe.outcome in ("wrong", "off-kink"):
        raise _not_analytic(probe.line.analytic, probe)


# The check

# An error of this relative size must be visible, or the verdict is "inconclusive".
RESOLUTION = {np.dtype(np.float64): 1e-5, np.dtype(np.float32): 1e-3}
_METHODS = {"central": CENTRAL, "forward": FORWARD, "complex": CENTRAL}


def check_gradient(
    fun: Fun,
    theta: Any,
    blocks: Any = None,
    *,
    method: str = "central",
    value: Fun | None = None,
    pattern: Callable[[Any], Any] | None = None,
    active_rows: Mapping[str, Any] | None = None,
    n_directions: int = 4,
    n_coordinates: int = 12,
    resolution: float | None = None,
    full_sweep: bool = False,
    random_state: Any = 0,
) -> GradientReport:
    """Compare a hand-written gradient with numeric derivatives, block by block.

    Parameters
    ----------
    fun : callable
        ``fun(theta) -> (value, gradient)``: a real scalar and an array of theta's shape.
    theta : ndarray of float64 or float32
        The point. For float32 the numeric side calls `fun` with a float64 theta if it accepts one.
    blocks : mapping of str to slice or int array, or layout, optional
        Named parts of (flat) theta, or an object with such ``slices`` and with ``shapes``, which
        make the coordinates readable. Default: one block, "theta".
    method : {"central", "complex", "forward"}
        Central differences; the complex step (analytic functions only, error near 1e-15); or
        one-sided differences, for a theta at the border of the domain.
    value : callable, optional
        ``value(theta) -> value``, if that is cheaper than `fun`.
    pattern : callable, optional
        ``pattern(theta)`` -> array that names the linear piece of a piecewise function, such as the
        signs of the pre-activations of a relu. Steps onto another piece are then skipped.
    active_rows : mapping of str to bool array, optional
        By block: which of its rows are touched by data. Both kinds are sampled.
    n_directions, n_coordinates : int
        Directions and single coordinates per block. A block of at most `n_coordinates` entries is
        checked entry by entry.
    resolution : float, optional
        The relative error that must be visible for the verdict "pass". Default 1e-5, for a float32
        gradient 1e-3.
    full_sweep : bool
        Sweep the step over nine decades everywhere (default: only where the nominal step does not
        settle the matter); for pictures of error against step.
    random_state : int, Generator or None
        Draws directions and coordinates; the default repeats itself.

    Returns
    -------
    GradientReport
        ``report.passed``, ``report.blocks[name].verdict``, ``str(report)``, ``report.to_dict()``.

    Raises
    ------
    TypeError, ValueError, IndexError
        For a theta, blocks or an answer of `fun` that cannot be checked.
    ComplexStepError
        With ``method="complex"`` where `fun` is not complex-safe.
    """
    if method not in _METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, _METHODS))}, got {method!r}.")
    _check_count("n_directions", n_directions, 1)
    _check_count("n_coordinates", n_coordinates, 0)
    function = Function(fun, theta, value)
    named = make_blocks(blocks, function.shape)
    rows = _check_active_rows(active_rows or {}, named)
    if function.differs:
        note = (
            f"two evaluations at the same theta differ ({function.differs}): freeze whatever is "
            f"random (dropout masks, sampling) before checking; nothing else was checked."
        )
        undecided = {block.name: BlockReport("inconclusive") for block in named}
        return GradientReport(undecided, note, function.evaluations)
    if resolution is None:
        coarse = function.gradient_eps > np.finfo(np.float64).eps
        resolution = RESOLUTION[np.dtype(np.float32 if coarse else np.float64)]
    rng = np.random.default_rng(random_state)
    changes = function.gradient_changes(rng)
    maker = ProbeMaker(function, _METHODS[method], rng, pattern, resolution, changes)
    checker = BlockChecker(maker, complex_step=method == "complex", full_sweep=full_sweep)
    reports = {
        block.name: checker.check(block, n_directions, n_coordinates, rows.get(block.name))
        for block in named
    }
    return GradientReport(reports, _function_note(function), function.evaluations)


class GradientError(AssertionError):
    """A gradient check that did not pass; ``error.report`` is the report, the message its table."""

    def __init__(self, report: GradientReport) -> None:
        self.report = report
        failed = [name for name, block in report.blocks.items() if block.verdict != "pass"]
        super().__init__(f"the gradient check did not pass for {', '.join(failed)}\n{report}")


def assert_gradient(fun: Fun, theta: Any, blocks: Any = None, **options: Any) -> GradientReport:
    """Raise GradientError with the table unless every block passes `check_gradient`.

    Parameters
    ----------
    fun, theta, blocks, **options
        As for `check_gradient`.

    Returns
    -------
    GradientReport
    """
    __tracebackhide__ = True  # pytest shows the caller's line
    report = check_gradient(fun, theta, blocks, **options)
    if not report.passed:
        raise GradientError(report)
    return report


def _check_count(name: str, value: Any, minimum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}.")


def _check_active_rows(active_rows: Mapping[str, Any], blocks: list[Block]) -> dict[str, Array]:
    checked = {}
    by_name = {block.name: block for block in blocks}
    for name, rows in active_rows.items():
        if name not in by_name:
            raise ValueError(
                f"active_rows names {name!r}, but the blocks are {', '.join(by_name)}."
            )
        mask = np.asarray(rows)
        block = by_name[name]
        if mask.dtype != bool or mask.ndim != 1 or not mask.size or block.size % mask.size:
            raise ValueError(
                f"active_rows[{name!r}] must be a 1-d boolean mask with one entry per row of the "
                f"block (size {block.size}), got dtype {mask.dtype} and shape {mask.shape}."
            )
        checked[name] = mask
    return checked


def _function_note(function: Function) -> str:
    notes = []
    if function.eps > np.finfo(np.float64).eps:
        does = "refuses" if function.dtype == np.float32 else "rounds"
        notes.append(f"fun {does} a float64 theta: differences were taken in float32")
    if function.warned:
        first = min(text for _, text in function.warned)
        notes.append(f"fun warned at theta itself: {first}")
    if function.skipped:
        reasons = ", ".join(f"{n} {reason}" for reason, n in function.skipped.most_common())
        notes.append(f"skipped points: {reasons}")
    return "; ".join(notes)


class BlockChecker:
    """Judges one block after another."""

    def __init__(self, maker: ProbeMaker, complex_step: bool, full_sweep: bool) -> None:
        self.maker, self.complex_step, self.full_sweep = maker, complex_step, full_sweep

    def check(
        self, block: Block, n_directions: int, n_coordinates: int, active: Array | None
    ) -> BlockReport:
        """Return the report of one block."""
        function = self.maker.function
        before = function.evaluations
        directions = self.maker.directions(block, n_directions)
        chosen = self.maker.choose(block, n_coordinates, active)
        coordinates = self.maker.coordinates(block, chosen)
        self._judge(directions, sweep_unresolved=True)
        unsettled = any(p.outcome != "right" for p in directions)
        self._judge(coordinates, sweep_unresolved=unsettled and block.size <= n_coordinates)
        if self.complex_step:
            judge_complex([*directions, *coordinates])
        if any(p.outcome == "wrong" for p in directions) and not any(
            p.outcome == "wrong" for p in coordinates
        ):
            coordinates.append(self._hunt(block))
        verdict = _verdict(directions, coordinates, complete=block.size <= n_coordinates)
        evaluations = function.evaluations - before
        kinks = sum(p.kinks() for p in [*directions, *coordinates])
        return _block_report(block, verdict, directions, coordinates, evaluations, kinks)

    def _judge(self, probes: list[Probe], sweep_unresolved: bool) -> None:
        """Judge at the nominal step; sweep where that finds a fault or decides nothing.

        The largest fault is confirmed first; after one is, the others remain suspects.
        """
        noise = noise_level([r for p in probes for r in p.noise_residuals()])
        for probe in probes:
            probe.judge_base(noise)
        found = False
        for probe in sorted(probes, key=lambda probe: -probe.error):
            if probe.outcome == "wrong" and found and not self.full_sweep:
                probe.outcome = "suspect"
                continue
            undecided = sweep_unresolved and not probe.sharp
            if self.full_sweep or probe.outcome == "wrong" or undecided:
                probe.judge_sweep()
            found = found or probe.outcome == "wrong"

    def _hunt(self, block: Block) -> Probe:
        """Find the coordinate of a fault that only directions have seen, by bisection."""
        low, high = 0, block.size
        rng = self.maker.rng
        while high - low > 1:
            middle = (low + high) // 2
            halves = []
            for start, stop in ((low, middle), (middle, high)):
                direction = np.zeros(block.size)
                direction[start:stop] = random_direction(rng, stop - start)
                probe = self.maker.along(block, direction)
                probe.judge_base(0.0)
                size = norm(probe.line.direction)
                halves.append((probe.error / size, start, stop))
            _, low, high = max(halves)
        (probe,) = self.maker.coordinates(block, [low])
        self._judge([probe], sweep_unresolved=True)
        return probe


def _verdict(directions: list[Probe], coordinates: list[Probe], *, complete: bool) -> str:
    """One wrong probe fails a block; it passes if all directions, or all its entries, are right."""
    outcomes = [p.outcome for p in [*directions, *coordinates]]
    if "wrong" in outcomes:
        return "fail"
    settled = ("right", "kink")
    if all(p.outcome in settled for p in directions) and "off-kink" not in outcomes:
        return "pass"
    if complete and coordinates and all(p.outcome in settled for p in coordinates):
        return "pass"
    return "inconclusive"


def _block_report(
    block: Block,
    verdict: str,
    directions: list[Probe],
    coordinates: list[Probe],
    evaluations: int,
    kinks: int,
) -> BlockReport:
    seen = [p for p in [*directions, *coordinates] if p.best is not None]
    note = _block_note(block, directions, coordinates, kinks)
    if not seen:
        return BlockReport(verdict, evaluations=evaluations, kinks=kinks, note=note)
    judged = [p for p in seen if p.outcome not in ("unresolved", "suspect")] or seen
    wrong = [p for p in judged if p.outcome == "wrong"]
    of_coordinates = [p for p in wrong or judged if p.coordinate is not None]
    shown = max(of_coordinates or wrong or judged, key=_severity)
    assert shown.best is not None
    where = None if shown.coordinate is None else block.coordinate(shown.coordinate)
    return BlockReport(
        verdict=verdict,
        relative_error=max(p.relative_error for p in judged),
        worst_coordinate=where,
        analytic=shown.line.analytic,
        numeric=shown.numeric,
        step=shown.best.step,
        budget=shown.best.budget,
        noise_floor=shown.best.noise,
        evaluations=evaluations,
        kinks=kinks,
        note=note,
        curve=shown.curve(),
    )


def _severity(probe: Probe) -> tuple[float, float]:
    assert probe.best is not None
    return (probe.error if probe.outcome == "wrong" else 0.0, probe.best.excess)


def _block_note(block: Block, directions: list[Probe], coordinates: list[Probe], kinks: int) -> str:
    notes = [f"{kinks} steps skipped: across a kink or a sharp bend"] if kinks else []
    at_kink = [p for p in [*coordinates, *directions] if p.outcome in ("kink", "off-kink")]
    if at_kink:
        low, high = sorted(at_kink[0].one_sided_slopes)
        i = at_kink[0].coordinate
        notes.append(
            f"theta lies on a kink or next to it ({len(at_kink)} probes; one-sided slopes "
            f"{low:.6g} and {high:.6g} along {'a direction' if i is None else block.coordinate(i)}"
            f"): any value between is accepted"
        )
    lost = [p for p in directions if p.outcome == "unresolved"]
    if lost:
        why = ", ".join(sorted({p.obstacle() for p in lost}))
        notes.append(f"{len(lost)} of {len(directions)} directions are not resolved ({why})")
    return "; ".join(notes)


# Taylor remainders

_LARGEST_STEP = 0.25  # of the size of theta along the direction
_FITTED = 4  # remainders in a fit: they span a factor 64 of steps
_SLACK = 0.2  # a slope this much below its order is a failure
_VISIBLE = 1e-3  # a relative error of the gradient that must stand out of the noise


@dataclass(frozen=True)
class TaylorBlock:
    """Remainders along one direction of one block.

    Attributes
    ----------
    verdict : {"pass", "fail", "inconclusive"}
    slopes : dict of int to float
        Fitted slope of the remainder of each order: order + 1 when right, infinite when exact.
    steps : list of float
        Descending.
    remainders : dict of int to list of float
        By order, aligned with `steps`.
    noise_floor : float
        Remainders below it are rounding noise and take no part in the fit.
    note : str
    evaluations : int
    """

    verdict: str
    slopes: dict[int, float]
    steps: list[float] = field(repr=False)
    remainders: dict[int, list[float]] = field(repr=False)
    noise_floor: float
    note: str = ""
    evaluations: int = 0


@dataclass(frozen=True)
class TaylorReport(Report):
    """Slopes and verdicts by block. ``str(report)`` is a table."""

    blocks: dict[str, TaylorBlock]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able values; an exact order has the slope None and stands in "exact"."""
        blocks = {}
        for name, block in self.blocks.items():
            fields = {key: getattr(block, key) for key in block.__dataclass_fields__}
            exact = [order for order, slope in block.slopes.items() if slope == np.inf]
            blocks[name] = jsonable({**fields, "exact": exact})
        return {"passed": self.passed, "note": self.note, "blocks": blocks}

    def __str__(self) -> str:
        orders = sorted({order for block in self.blocks.values() for order in block.slopes})
        header = ("block", "verdict", *(f"slope {k} (want {k + 1})" for k in orders), "noise")
        rows = [
            (
                name,
                b.verdict,
                *(
                    "exact" if b.slopes.get(k) == np.inf else number(b.slopes.get(k), 4)
                    for k in orders
                ),
                number(b.noise_floor, 2),
            )
            for name, b in self.blocks.items()
        ]
        return self.with_notes(header, rows, left=2)


def taylor_test(
    fun: Fun,
    theta: Any,
    blocks: Any = None,
    direction: Any = None,
    *,
    hvp: Callable[[Any, Any], Any] | None = None,
    value: Fun | None = None,
    random_state: Any = 0,
) -> TaylorReport:
    r"""Fit the slopes of the Taylor remainders of `fun`, block by block.

    With phi(h) = f(theta + h d) the remainders, each the larger one of those at h and -h, are

        R0(h) = |phi(h) - phi(0)|                                  ~ h
        R1(h) = |phi(h) - phi(0) - h gradient . d|                 ~ h^2
        R2(h) = |phi(h) - phi(0) - h gradient . d - h^2/2 d . Hd|  ~ h^3

    if gradient and Hessian-vector product are right. A wrong gradient turns the slope of R1 into 1.
    The slope is fitted to the smallest steps whose remainders stand above the rounding noise, where
    an error of the gradient weighs most. Taking the larger of the two sides keeps the remainder
    from crossing zero.

    Parameters
    ----------
    fun, theta, blocks, value
        As for `check_gradient`.
    direction : ndarray of theta's shape, optional
        Along it, confined to each block; default: random.
    hvp : callable, optional
        ``hvp(theta, v) -> H v``; adds order 2.
    random_state : int, Generator or None

    Returns
    -------
    TaylorReport
        ``report.blocks[name].slopes[1]`` is near 2, infinite where the function is linear.
    """
    function = Function(fun, theta, value)
    named = make_blocks(blocks, function.shape)
    along = None if direction is None else check_direction(direction, function)
    if function.differs:
        note = (
            f"two evaluations at the same theta differ ({function.differs}): freeze what is random"
        )
        empty = TaylorBlock("inconclusive", {}, [], {}, np.nan, note)
        return TaylorReport({block.name: empty for block in named}, note)
    rng = np.random.default_rng(random_state)
    return TaylorReport({b.name: _test_block(function, b, along, hvp, rng) for b in named})


def _test_block(
    function: Function,
    block: Block,
    along: Array | None,
    hvp: Callable[[Any, Any], Any] | None,
    rng: np.random.Generator,
) -> TaylorBlock:
    before = function.evaluations
    if along is None:
        direction = random_direction(rng, block.size)
    else:
        direction = along[block.index]
        if not direction.any():
            note = "the given direction does not enter this block"
            return TaylorBlock("inconclusive", {}, [], {}, np.nan, note)
    direction = direction / rms(direction)
    theta = function.theta[block.index]
    line = Line(function, block.index, direction, line_scale(theta, direction))
    samples = _samples(line)
    if len(samples) < 3:
        note = f"fewer than three steps could be evaluated ({dict(function.skipped)})"
        return TaylorBlock("inconclusive", {}, [], {}, np.nan, note)
    floor = _noise_floor(function, samples)
    curvature = None if hvp is None else _curvature(hvp, function, block, direction)
    remainders = _remainders(samples, line.analytic, curvature)
    steps = [s.step for s in samples]
    slopes = {order: fitted_slope(steps, r, floor, order) for order, r in remainders.items()}
    verdict, note = _taylor_verdict(samples, slopes, floor, remainders)
    evaluations = function.evaluations - before
    return TaylorBlock(verdict, slopes, steps, remainders, floor, note, evaluations)


def _samples(line: Line) -> list[Sample]:
    """Samples at descending steps, from a quarter of theta to its spacing."""
    eps = line.function.eps
    n = int(np.log(_LARGEST_STEP / (64 * eps)) / np.log(RATIO))
    taken = [line.sample(_LARGEST_STEP * line.scale / RATIO**k) for k in range(n + 1)]
    return [s for s in taken if s is not None]


def _noise_floor(function: Function, samples: Sequence[Sample]) -> float:
    """Return twice the noise of a value, with the safety of the error budget."""
    ascending = samples[::-1]
    small = ascending[: len(ascending) // 2 + 2]
    triples = zip(small, small[1:], small[2:], strict=False)
    measured = noise_level([r for t in triples for r in measured_noise(t)])
    return 2 * SAFETY * max(measured, rounding_noise(function, samples))


def _curvature(
    hvp: Callable[[Any, Any], Any], function: Function, block: Block, direction: Array
) -> float:
    whole = np.zeros(function.theta.size)
    whole[block.index] = direction
    shaped = whole.reshape(function.shape)
    product = np.asarray(hvp(function.theta.reshape(function.shape).copy(), shaped))
    if product.shape != function.shape or not np.isfinite(product).all():
        raise ValueError(
            f"hvp must return a finite array of theta's shape {function.shape}, "
            f"got shape {product.shape}."
        )
    return float(whole @ product.ravel())


def _remainders(
    samples: Sequence[Sample], slope: float, curvature: float | None
) -> dict[int, list[float]]:
    """The larger side of phi(h) and phi(-h): |odd part| + |even part|."""
    remainders = {
        0: [abs(s.odd + slope * s.step) + abs(s.even) for s in samples],
        1: [abs(s.odd) + abs(s.even) for s in samples],
    }
    if curvature is not None:
        remainders[2] = [abs(s.odd) + abs(s.even - curvature * s.step**2 / 2) for s in samples]
    return remainders


def fitted_slope(
    steps: Sequence[float], remainders: Sequence[float], floor: float, order: int
) -> float:
    """Return the log-log slope at the smallest steps above the floor; infinite if exact there.

    `steps` descend. A remainder that falls below the floor from one step to the next faster than
    any smooth one could (it leaves a kink behind) is exact as well.
    """
    above = 0
    while above < len(steps) and remainders[above] > floor:
        above += 1
    if above < len(steps):
        drop = RATIO ** (order + 3)
        if above < 2 or remainders[above - 1] > drop * floor:
            return float(np.inf)
    first = max(0, above - _FITTED)
    log_steps = np.log(steps[first:above])
    centered = log_steps - log_steps.mean()
    return float(centered @ np.log(remainders[first:above]) / (centered @ centered))


def _taylor_verdict(
    samples: Sequence[Sample],
    slopes: dict[int, float],
    floor: float,
    remainders: dict[int, list[float]],
) -> tuple[str, str]:
    if all(s.stuck for s in samples):
        if max(remainders[1]) <= floor:
            return "pass", "the function does not change along the direction"
        return "fail", "the function does not change, but the gradient says that it does"
    if max(*remainders[0], *remainders[1]) * _VISIBLE < floor:
        return "inconclusive", "the changes of the function are lost in its rounding noise"
    steps = [s.step for s in samples]
    if fitted_slope(steps, [abs(s.even) for s in samples], floor, 1) < 1.5:
        return "inconclusive", "theta lies on a kink; use check_gradient"
    low = [order for order, slope in slopes.items() if slope < order + 1 - _SLACK]
    if low:
        what = {0: "value", 1: "gradient", 2: "Hessian-vector product"}
        wrong = what[min(low)]
        return "fail", f"the remainder of order {min(low)} falls too slowly: the {wrong} is wrong"
    return "pass", ""


# Linear maps and second derivatives


@dataclass(frozen=True)
class AdjointReport:
    """The worst trial of an adjoint test.

    Attributes
    ----------
    forward, adjoint : float
        <A x, y> and <x, At y>.
    difference, budget : float
        Their distance, and the distance that rounding can explain.
    note : str
        What is wrong; empty if the test passed.
    """

    forward: float
    adjoint: float
    difference: float
    budget: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """True if A is linear and At is its adjoint, up to rounding."""
        return not self.note

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and ``passed`` as JSON-able values."""
        return {"passed": self.passed, **jsonable(asdict(self))}

    def __str__(self) -> str:
        return (
            f"<A x, y> = {self.forward:.12g}, <x, At y> = {self.adjoint:.12g}, "
            f"difference {self.difference:.2g}, budget {self.budget:.2g}: "
            f"{self.note or 'At is the adjoint of A'}"
        )


def adjoint_test(
    A: Callable[[Any], Any],
    At: Callable[[Any], Any],
    shape: int | tuple[int, ...],
    *,
    dtype: Any = np.float64,
    n_trials: int = 3,
    random_state: Any = 0,
) -> AdjointReport:
    """Check that `At` is the adjoint of the linear map `A`: <A x, y> = <x, At y> for all x and y.

    A backward pass is the adjoint of a linear forward pass, so this finds a transposed or a
    mismatched kernel without differentiating anything. `A` is tested for linearity as well.

    Parameters
    ----------
    A, At : callable
        ``A(x)`` takes an array of `shape`, ``At(y)`` one of the shape of ``A(x)``; both return
        arrays.
    shape : int or tuple of int
        Shape of x.
    dtype : dtype
        float64 or float32: that of x and y.
    n_trials : int
    random_state : int, Generator or None

    Returns
    -------
    AdjointReport

    Raises
    ------
    ValueError
        If `At` does not return the shape of x.

    Notes
    -----
    A sum of n terms of random signs is off by about eps sqrt(n) times its size, so the budget of
    the difference is 8 eps sqrt(n) (||A x|| ||y|| + ||x|| ||At y||), n the larger of the two sizes.
    """
    rng = np.random.default_rng(random_state)
    trials = [_adjoint_trial(A, At, shape, np.dtype(dtype), rng) for _ in range(n_trials)]
    failed = [trial for trial in trials if not trial.passed]
    return max(failed or trials, key=lambda t: t.difference / t.budget if t.budget else 0.0)


def _adjoint_trial(
    A: Callable[[Any], Any],
    At: Callable[[Any], Any],
    shape: int | tuple[int, ...],
    dtype: np.dtype[Any],
    rng: np.random.Generator,
) -> AdjointReport:
    x, other = (rng.normal(size=shape).astype(dtype) for _ in range(2))
    Ax, A_other = np.asarray(A(x.copy())), np.asarray(A(other.copy()))
    y = rng.normal(size=Ax.shape)
    if Ax.any():
        y += Ax * (norm(y) / norm(Ax))  # else <A x, y> would be a sum of random signs, near zero
    y = y.astype(dtype)
    Aty = np.asarray(At(y.copy()))
    if Aty.shape != x.shape:
        raise ValueError(
            f"At must return the shape of x, {x.shape}, for y of shape {y.shape}, "
            f"got {Aty.shape}; A maps {x.shape} to {Ax.shape}."
        )
    rounding = SAFETY * float(np.finfo(dtype).eps) * max(x.size, y.size) ** 0.5
    forward, adjoint = _inner(Ax, y), _inner(x, Aty)
    budget = rounding * (norm(Ax) * norm(y) + norm(x) * norm(Aty))
    difference = abs(forward - adjoint)
    note = ""
    departure = np.asarray(A(x - 2 * other)) - Ax + 2 * A_other
    if not np.isfinite([forward, adjoint]).all():
        note = "A or At returned values that are not finite"
    elif norm(departure) > rounding * (norm(Ax) + 2 * norm(A_other)):
        note = "A is not linear: A(x - 2 z) differs from A(x) - 2 A(z)"
    elif difference > budget:
        note = "At is not the adjoint of A"
    return AdjointReport(forward, adjoint, difference, budget, note)


def _inner(a: Array, b: Array) -> float:
    return float(np.sum(a.astype(np.float64) * b))


def check_hessian_vector(
    fun: Fun,
    hvp: Callable[[Any, Any], Any],
    theta: Any,
    blocks: Any = None,
    *,
    random_state: Any = 0,
    **options: Any,
) -> GradientReport:
    """Check a hand-written Hessian-vector product against the gradient, pair by pair of blocks.

    For a fixed u the scalar u . gradient(theta) has the gradient H u, so every pair is a gradient
    check of its own: ``blocks["a x b"]`` says whether the part of ``hvp(theta, u)`` in block b is
    right for a u confined to block a. The row "symmetry" says whether u . H v = v . H u.

    Parameters
    ----------
    fun : callable
        ``fun(theta) -> (value, gradient)``, the gradient already checked.
    hvp : callable
        ``hvp(theta, v) -> H v`` for v of theta's shape.
    theta, blocks
        As for `check_gradient`.
    random_state : int, Generator or None
    **options
        Of `check_gradient`, such as `n_coordinates` or ``method="forward"``.

    Returns
    -------
    GradientReport
    """
    point = check_theta(theta)
    named = make_blocks(blocks, point.shape)
    partition = {block.name: block.index for block in named}
    rng = np.random.default_rng(random_state)
    vectors = {block.name: _confined(block, point, rng) for block in named}
    reports: dict[str, BlockReport] = {}
    notes: list[str] = []
    evaluations = 0
    for row, u in vectors.items():

        def projected(x: Any, u: Array = u) -> tuple[Any, Any]:
            return np.sum(u * np.asarray(fun(x)[1])), hvp(x, u.copy())

        report = check_gradient(projected, point, partition, random_state=rng, **options)
        reports |= {f"{row} x {column}": found for column, found in report.blocks.items()}
        evaluations += report.evaluations
        notes += [report.note] if report.note and report.note not in notes else []
    reports["symmetry"] = _check_symmetry(hvp, point, list(vectors.values()), rng)
    return GradientReport(reports, "; ".join(notes), evaluations)


def _confined(block: Block, theta: Array, rng: np.random.Generator) -> Array:
    whole = np.zeros(theta.size, theta.dtype)
    whole[block.index] = random_direction(rng, block.size)
    return whole.reshape(theta.shape)


def _check_symmetry(
    hvp: Callable[[Any, Any], Any], theta: Array, parts: list[Array], rng: np.random.Generator
) -> BlockReport:
    """Compare u . H v with v . H u for u and v that enter all blocks.

    The budget is rounding as the products themselves show it: their change when theta moves by one
    ulp, and eps times their size.
    """
    u, v = sum(parts), sum(rng.normal() * part for part in parts)
    assert isinstance(u, np.ndarray)
    assert isinstance(v, np.ndarray)
    eps = float(np.finfo(theta.dtype).eps)

    def both(point: Array) -> tuple[float, float, float]:
        Hu, Hv = np.asarray(hvp(point.copy(), u.copy())), np.asarray(hvp(point.copy(), v.copy()))
        size = norm(u * Hv) + norm(v * Hu)
        return _inner(u, Hv), _inner(v, Hu), size

    left, right, size = both(theta)
    change = 0.0
    for _ in range(2):
        signs = rng.choice(np.array([-1.0, 1.0]), size=theta.shape)
        moved = both((theta * (1 + eps * signs)).astype(theta.dtype))
        change = max(change, abs(moved[0] - left), abs(moved[1] - right))
    budget = SAFETY * (eps * size * theta.size**0.5 + change)
    error = abs(left - right)
    return BlockReport(
        verdict="pass" if error <= budget else "fail",
        relative_error=error / max(abs(left), abs(right), size) if error else 0.0,
        analytic=left,
        numeric=right,
        budget=budget,
        noise_floor=budget,
        evaluations=6,
        note="" if error <= budget else "u . H v and v . H u differ: the Hessian is symmetric",
    )
