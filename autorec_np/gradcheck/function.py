"""The function under test, the checks of what it is given, and the named blocks of theta."""

from __future__ import annotations

import enum
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Fun: TypeAlias = Callable[[Any], Any]

# What fun may raise at a perturbed point outside its domain; anything else is a bug and propagates.
_OUTSIDE_DOMAIN = (ArithmeticError, ValueError, RuntimeError, np.linalg.LinAlgError)


class Word(str, enum.Enum):
    """A word of a fixed list that equals, prints and serializes as the plain string.

    Every Python version prints it alike: from 3.12 on, `format` follows `__str__`.
    """

    def __str__(self) -> str:
        return str.__str__(self)

    def __repr__(self) -> str:
        return str.__repr__(self)

    def __format__(self, spec: str) -> str:
        return str.__format__(self, spec)


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


def value_of(answer: Any) -> Any:
    """Return the value in an answer: itself, or the first of (value, gradient)."""
    return answer[0] if isinstance(answer, tuple | list) and len(answer) == 2 else answer


class Function:
    """``fun(theta) -> (value, gradient)`` under test at one point; everything here is flat.

    With ``gradient=False`` its value alone is of interest: `fun` may return only that, and the
    gradient is zero until somebody sets it.

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

    def __init__(
        self, fun: Fun, theta: Any, value: Fun | None = None, *, gradient: bool = True
    ) -> None:
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
        self._fun, self._value, self._has_gradient = fun, value, gradient
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
        if not self._has_gradient:
            return check_scalar(value_of(answer), "fun", theta), np.zeros(flat.size)
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
        fun = self._value if self._value is not None else self._fun
        return lambda theta: value_of(fun(theta))

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
