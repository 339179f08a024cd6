"""The function under test, and the named blocks of theta."""

from __future__ import annotations

import contextlib
import enum
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .process import kept_back, single_threaded_blas

Array: TypeAlias = npt.NDArray[Any]
Fun: TypeAlias = Callable[[Any], Any]

MOST_DIGITS = 12  # of a value that somebody rounded to decimals
_LARGE = 100_000  # entries of theta


class OutOfEvaluations(Exception):
    """The function may not be called again."""


class Word(str, enum.Enum):
    """Printed as the plain string in every Python version."""

    __str__ = str.__str__
    __repr__ = str.__repr__
    __format__ = str.__format__  # type: ignore[assignment]


def eps_of(dtype: Any) -> float:
    return float(np.finfo(dtype).eps)


def check_theta(theta: Any) -> Array:
    if callable(theta):
        raise TypeError(
            "theta must be an array, got a function; let one return value and gradient: "
            "check_gradient(lambda x: (func(x), grad(x)), x0)."
        )
    if np.iscomplexobj(theta):
        raise TypeError(
            f"theta must be real, got {np.asarray(theta).dtype}; check its parts: "
            f"check_gradient(real_fun, np.append(z.real, z.imag)), where real_fun(t) calls "
            f"value, g = fun(t[:n] + 1j * t[n:]), n = z.size, and returns value, "
            f"np.append(g.real, g.imag), g being df/d(real) + 1j df/d(imaginary)."
        )
    array = _floating(theta, "theta")
    if array.ndim == 0 or array.size == 0:
        raise ValueError(
            f"theta must be an array with at least one entry, got shape {array.shape}; "
            f"pass np.atleast_1d(theta)."
        )
    _check_finite("theta", array.ravel(), "check where the function is defined")
    return array


def _floating(value: Any, name: str) -> Array:
    array = np.asarray(value)
    if array.dtype not in (np.float64, np.float32):
        raise TypeError(
            f"theta must be of float64 or float32, got {type(value).__name__} of dtype "
            f"{array.dtype} for {name}; pass np.asarray({name}, dtype=float)."
        )
    return array


def _check_finite(what: str, flat: Array, advice: str) -> None:
    wrong = np.flatnonzero(~np.isfinite(flat))
    if wrong.size:
        raise ValueError(
            f"{what} must be finite, got {flat[wrong[0]]} at flat index {wrong[0]}; {advice}."
        )


class Parts:
    """A theta of several arrays, flat and back."""

    def __init__(self, theta: Any) -> None:
        self.kind = type(theta)
        self._keys = list(theta) if isinstance(theta, dict) else []
        named = theta.items() if self._keys else ((f"theta[{k}]", p) for k, p in enumerate(theta))
        self._arrays = {str(key): _floating(part, str(key)) for key, part in named}
        self.shapes = {name: array.shape for name, array in self._arrays.items()}
        self._ends = np.cumsum([array.size for array in self._arrays.values()])
        ends = zip(self._arrays.items(), self._ends.tolist(), strict=True)
        self.slices = {name: slice(end - a.size, end) for (name, a), end in ends if a.size}

    def flat(self) -> Array:
        return _flat(self._arrays.values())

    def split(self, flat: Array) -> Any:
        pieces = np.split(flat, self._ends[:-1])
        shaped = [p.reshape(s) for p, s in zip(pieces, self.shapes.values(), strict=True)]
        if self._keys:
            return dict(zip(self._keys, shaped, strict=True))
        return self.kind(*shaped) if hasattr(self.kind, "_fields") else self.kind(shaped)

    def join(self, answer: Any, what: str) -> Array:
        parts: Any = ()
        if isinstance(answer, dict) and {*answer} == {*self._keys}:
            parts = [answer[key] for key in self._keys]
        elif isinstance(answer, list | tuple) and not self._keys:
            parts = answer
        if [np.shape(part) for part in parts] == [*self.shapes.values()]:
            return _flat(parts)
        raise ValueError(
            f"{what} must have the parts of theta, a {self.kind.__name__} of arrays of shapes "
            f"{self.shapes}, got {type(answer).__name__}."
        )

    def gradient_of(self, fun: Fun) -> Fun:
        """A value alone stays a value alone."""

        def flat_fun(flat: Array) -> Any:
            answer = fun(self.split(flat))
            if isinstance(answer, tuple | list) and len(answer) == 2:
                return answer[0], self.join(answer[1], "the gradient")
            return answer

        return flat_fun

    def product_of(self, hvp: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        return lambda flat, v: self.join(hvp(self.split(flat), self.split(v)), "hvp's answer")

    def of(self, fun: Fun) -> Fun:
        return lambda flat: fun(self.split(flat))


def _flat(arrays: Iterable[Any]) -> Array:
    return np.concatenate([np.ravel(array) for array in arrays])


def parts_of(theta: Any) -> Parts | None:
    several = isinstance(theta, list | tuple) and any(isinstance(p, np.ndarray) for p in theta)
    return Parts(theta) if (isinstance(theta, dict) or several) and len(theta) else None


def one_blas_thread(size: int) -> contextlib.AbstractContextManager[None]:
    return single_threaded_blas() if size >= _LARGE else contextlib.nullcontext()


def check_scalar(value: Any) -> float:
    array = np.asarray(value)
    if array.ndim != 0 or array.dtype.kind not in "fiu":
        raise ValueError(
            f"fun must return a real scalar value, got {type(value).__name__} of shape "
            f"{array.shape} and dtype {array.dtype}; return float(value)."
        )
    if not np.isfinite(array):
        raise ValueError(f"fun returned the value {array} at theta; check it where it is finite.")
    return float(array)


def value_of(answer: Any) -> Any:
    return answer[0] if isinstance(answer, tuple | list) and len(answer) == 2 else answer


class Function:
    """``fun(theta) -> (value, gradient)`` under test at one point; everything here is flat.

    `dtype`, `value0` and `eps` are of the numeric side: float32's where `fun` refuses a float64
    theta, `eps` where it rounds it too. `differs` says what differs between two evaluations at
    theta, `jitter` by how much; `warned` are the warnings there, `skipped` counts by reason.
    """

    def __init__(
        self,
        fun: Fun,
        theta: Any,
        value: Fun | None = None,
        *,
        gradient: bool = True,
        tolerance: float = 0.0,
        limit: float = np.inf,
    ) -> None:
        for name, function in (("fun", fun), ("value", fun if value is None else value)):
            if not callable(function):
                raise TypeError(
                    f"{name} must be a callable of theta, got {type(function).__name__}."
                )
        original = check_theta(theta)
        self.shape = original.shape
        self.evaluations, self.limit = 0, limit
        self.skipped: Counter[str] = Counter()
        self._fun, self._value, self._has_gradient = fun, value, gradient
        self.warned: set[str] = set()
        self._original = np.array(original).ravel()
        self.theta = self._original.astype(np.float64)
        self._look_at_theta(tolerance)

    def _look_at_theta(self, tolerance: float) -> None:
        found = value, gradient = self.value_and_gradient(self._original, at_theta=True)
        self.gradient = gradient.astype(np.float64)
        eps = eps_of(self._original.dtype)
        self.gradient_eps = max(eps, eps_of(gradient.dtype))
        self._look_elsewhere(eps)
        again = self.value_and_gradient(self._original, at_theta=True)
        # for threads, which round anew; a step of eps^(1/3) keeps a third of the digits
        allowed = max(eps ** (2 / 3), tolerance)
        self.jitter = abs(value - again[0])
        self.differs = _difference(found, again, allowed)
        self.dtype, self.eps = self._original.dtype, self.gradient_eps
        self.value0, self.in_part = value, False
        if self.differs:
            self.differs = self._explain(allowed)
            return
        self.dtype = np.dtype(np.float64 if self._accepts_float64() else np.float32)
        self.value0 = self.value(self.theta)
        if not np.isfinite(self.value0):
            raise ValueError(
                f"the value at theta is {self.value0} on the numeric side ({dict(self.skipped)}); "
                f"call {'fun' if self._value is None else 'value'}(theta) by itself, or choose a "
                f"theta inside the domain."
            )
        self.eps = eps_of(self.dtype)
        double = self.dtype == np.float64
        if double and (self._rounds_to_float32() or self._casts_a_part()):
            self.eps = eps_of(np.float32)
            self.gradient_eps = max(self.gradient_eps, self.eps)
            self.theta = self.rounded(self.theta)
        allowed = eps ** (1 / 3) * max(abs(value), abs(self.value0))
        if self._value is not None and abs(self.value0 - value) > allowed:
            raise ValueError(
                f"value(theta) = {self.value0!r} but fun(theta)[0] = {value!r}; "
                f"both must be the same function."
            )

    def _look_elsewhere(self, eps: float) -> None:
        """What such a call leaves behind would show at theta afterwards."""
        size = np.where(self.theta == 0, rms(self.theta) or 1.0, np.abs(self.theta))
        moved = self.theta + eps ** (1 / 3) * size * random_signs(
            np.random.default_rng(0), size.size
        )
        with contextlib.suppress(ValueError):  # outside the domain
            self.value_and_gradient(moved.astype(self._original.dtype))

    def _explain(self, allowed: float) -> str:
        one, other = (self.value_and_gradient(self._original) for _ in range(2))
        if not _difference(one, other, allowed):
            return (
                f"{self.differs} after fun was called at another theta, and not twice in a row: it "
                f"keeps state from the call before, as a backward pass that runs before its "
                f"forward pass; compute value and gradient from theta alone"
            )
        return (
            f"two evaluations at the same theta differ ({self.differs}): freeze whatever is random "
            f"(dropout masks, sampling)"
        )

    def _accepts_float64(self) -> bool:
        if self._original.dtype == np.float64:
            return True
        try:
            self._count()
            self._numeric(self.theta.reshape(self.shape).copy())
        except OutOfEvaluations:
            raise
        except Exception:
            return False
        return True

    def _count(self) -> None:
        if self.evaluations >= self.limit:
            raise OutOfEvaluations
        self.evaluations += 1

    def _rounds_to_float32(self) -> bool:
        single = self.theta.astype(np.float32).astype(np.float64)
        uphill = np.sign(self.gradient * self.theta)
        promised = 2.0**-28 * float(np.sum(np.abs(self.gradient * self.theta)))
        if promised <= 64 * self.eps * abs(self.value0):
            return False
        unseen, seen = (single * (1 + 2.0**-bits * uphill) for bits in (28, 18))
        if self.value(unseen) != self.value0:
            return False
        other = self.value(seen)
        return other != self.value0 and not (_is_decimal(other) and _is_decimal(self.value0))

    def _casts_a_part(self) -> bool:
        """Whether the value jumps where entries pass from one float32 to the next."""
        lower = self.theta.astype(np.float32)
        tiny = np.nextafter(lower, np.float32(np.inf)).astype(np.float64) - lower  # spacing, so far
        middle = lower + tiny / 2
        tiny *= self.gradient  # promised changes
        promised = float(np.sum(np.abs(tiny)))
        noise = 64 * self.eps * abs(self.value0)
        if not noise < promised < np.inf:
            return False
        tiny = np.sign(self.gradient) * (middle - lower) * 2.0**-19
        del lower
        jump = abs(self.value(middle + tiny) - self.value(middle - tiny))
        if not noise < jump < 4 * promised:
            return False
        pairs = ((middle + s * tiny, middle + 3 * s * tiny) for s in (-1, 1))
        self.in_part = all(100 * abs(self.value(p) - self.value(q)) < jump for p, q in pairs)
        return self.in_part

    def value_and_gradient(self, flat: Array, *, at_theta: bool = False) -> tuple[float, Array]:
        theta = flat.reshape(self.shape).copy()
        self._count()
        with kept_back() as heard:
            try:
                answer = self._fun(theta)
            except Exception as error:
                raise ValueError(
                    f"fun raised {type(error).__name__} at theta (shape {theta.shape}, dtype "
                    f"{theta.dtype}): {error}; call fun(theta) by itself to see the traceback."
                ) from error
        if at_theta:
            self.warned |= heard
        if not np.array_equal(theta.ravel(), flat):
            raise ValueError("fun changed theta in place; let it work on theta.copy().")
        if not self._has_gradient:
            return check_scalar(value_of(answer)), np.zeros(flat.size)
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise ValueError(f"fun must return (value, gradient), got {type(answer).__name__}.")
        return check_scalar(answer[0]), self._check_gradient(answer[1])

    def _check_gradient(self, answer: Any) -> Array:
        gradient = np.array(answer)
        if gradient.dtype.kind in "iu":
            gradient = gradient.astype(np.float64)
        if gradient.shape != self.shape or gradient.dtype.kind != "f":
            raise ValueError(
                f"fun must return a real gradient of theta's shape {self.shape}, got shape "
                f"{gradient.shape} and dtype {gradient.dtype}."
            )
        gradient = gradient.ravel()
        _check_finite("the gradient", gradient, "check where the function is differentiable")
        return gradient

    def _numeric(self, theta: Array) -> Any:
        return value_of((self._fun if self._value is None else self._value)(theta))

    def value(self, flat: Array) -> float:
        """Return NaN where `fun` raises, is not finite or warns anew."""
        self._count()
        point = flat.astype(self.dtype).reshape(self.shape)
        with kept_back() as heard:
            try:
                answer = self._numeric(point)
            except Exception as error:
                said = f": {error}" if str(error) else ""
                return self._skip(f"raised {type(error).__name__}{said}")
            try:
                value = float(answer)
            except (TypeError, ValueError):
                return self._skip(f"returned {type(answer).__name__}")
        if heard - self.warned:
            return self._skip(f"warned ({min(heard - self.warned)})")
        return value if np.isfinite(value) else self._skip("not finite")

    def _skip(self, reason: str) -> float:
        self.skipped[reason] += 1
        return float("nan")

    def complex_value(self, flat: Array) -> Any:
        self._count()
        with kept_back():
            return self._numeric(flat.reshape(self.shape))

    def rounded(self, flat: Array) -> Array:
        """Return what the numeric side sees."""
        single = self.eps > eps_of(np.float64)
        return flat.astype(np.float32).astype(np.float64) if single else flat

    def gradient_changes(self, rng: np.random.Generator) -> list[Array]:
        """When theta moves by about one ulp."""
        changes = []
        for _ in range(2):
            signs = random_signs(rng, self.theta.size)
            moved = self._original * (1 + self.gradient_eps * signs)
            try:
                _, gradient = self.value_and_gradient(moved.astype(self._original.dtype))
            except ValueError:
                continue  # theta stands at the border of the domain
            changes.append(gradient - self.gradient)
        return changes


def _is_decimal(value: float) -> bool:
    """Whether somebody rounded a value: few decimal digits, and none of float32."""
    digits = repr(abs(value)).partition("e")[0].replace(".", "").lstrip("0")
    return len(digits) <= MOST_DIGITS and float(np.float32(value)) != value


def _difference(one: tuple[float, Array], other: tuple[float, Array], allowed: float) -> str:
    value, again = one[0], other[0]
    if abs(value - again) > allowed * max(abs(value), abs(again)):
        return f"value {value!r}, then {again!r}"
    change = np.max(np.abs(one[1] - other[1]))
    if change > allowed * np.max(np.abs(one[1])):
        return f"gradient changed by up to {change:.3g}"
    return ""


def norm(vector: Array) -> float:
    """Without overflow."""
    largest = float(np.max(np.abs(vector)))
    return largest * float(np.linalg.norm(vector / largest)) if largest > 0 else 0.0


def rms(vector: Array) -> float:
    return norm(vector) / float(np.sqrt(vector.size))


def random_signs(rng: np.random.Generator, size: int | tuple[int, ...]) -> Array:
    return rng.choice(np.array([-1.0, 1.0]), size=size)


def random_direction(rng: np.random.Generator, size: int) -> Array:
    """Plain signs would often hit a symmetry of f."""
    return random_signs(rng, size) * rng.uniform(0.5, 1.5, size=size)


def check_direction(direction: Any, function: Function) -> Array:
    array = np.asarray(direction, dtype=np.float64)
    if array.shape != function.shape or not np.isfinite(array).all() or not array.any():
        raise ValueError(
            f"direction must be finite, not all zero and of theta's shape {function.shape}, "
            f"got shape {array.shape}."
        )
    return array.ravel()


@dataclass(frozen=True)
class Block:
    """A part of flat theta; that of the `others` holds what no block names."""

    name: str
    index: slice | Array
    size: int
    shape: tuple[int, ...] | None = None
    others: bool = False

    def position(self, i: int) -> int:
        if isinstance(self.index, slice):
            return int(self.index.start) + i * int(self.index.step)
        return int(self.index[i])

    def coordinate(self, i: int) -> str:
        name, place = ("theta", self.position(i)) if self.others else (self.name, i)
        subscripts = np.unravel_index(place, self.shape or (self.size,))
        return f"{name}[{', '.join(str(int(k)) for k in subscripts)}]"


def make_blocks(blocks: Any, theta_shape: tuple[int, ...]) -> list[Block]:
    """The last holds the entries that no block names."""
    n = math.prod(theta_shape)
    if blocks is None:
        return [Block("theta", slice(0, n, 1), n, theta_shape)]
    shapes: Mapping[str, tuple[int, ...]] = {}
    if hasattr(blocks, "slices") and hasattr(blocks, "shapes"):
        blocks, shapes = blocks.slices, blocks.shapes
    if not isinstance(blocks, Mapping):
        raise TypeError(
            f"blocks must map names to slices or index arrays, as in {{'weight': slice(0, 6)}}, or "
            f"be a layout with .slices and .shapes, got {type(blocks).__name__}."
        )
    if not blocks:
        raise ValueError("blocks must name at least one block, got none; pass None for all.")
    made = [
        _make_block(str(name), index, theta_shape, shapes.get(name))
        for name, index in blocks.items()
    ]
    others = _unnamed(made, n)
    if others.size:
        name = "others" if "others" not in blocks else "others (no block)"
        made.append(Block(name, others, others.size, theta_shape, others=True))
    return made


def _make_block(name: str, index: Any, theta_shape: tuple[int, ...], shape: Any) -> Block:
    if isinstance(index, slice):
        n = math.prod(theta_shape)
        start, stop, step = index.indices(n)
        size = len(range(start, stop, step))
        if index.stop is not None and (index.stop > n or index.stop < -n):
            raise IndexError(
                f"block {name!r} is {index}, but theta has {n} entries; stop must be at most {n}."
            )
        positions: slice | Array = slice(start, stop, step)
    else:
        found = _positions(name, index, theta_shape)
        positions, size = found.ravel(), found.size
        shape = found.shape if shape is None else shape
    if size == 0:
        raise ValueError(f"block {name!r} is empty ({index}); leave it out.")
    if shape is not None and math.prod(shape) != size:
        raise ValueError(f"block {name!r} has {size} entries but shape {shape}; let both agree.")
    return Block(name, positions, size, shape)


def _positions(name: str, index: Any, theta_shape: tuple[int, ...]) -> Array:
    n = math.prod(theta_shape)
    if isinstance(index, tuple) and any(isinstance(part, slice) for part in index):
        return np.asarray(np.arange(n).reshape(theta_shape)[index])
    positions = np.atleast_1d(np.asarray(index))
    if positions.dtype == bool:
        if positions.shape not in ((n,), theta_shape):
            raise IndexError(
                f"block {name!r} is a mask of shape {positions.shape}; pass one of shape ({n},) or "
                f"of theta's shape {theta_shape}."
            )
        positions = np.flatnonzero(positions)
    if positions.dtype.kind not in "iu" and positions.size:
        raise TypeError(
            f"block {name!r} must be a slice, integer indices, a mask or a subscript such as "
            f"np.s_[:, 0], got {type(index).__name__} of dtype {positions.dtype}."
        )
    positions = positions.astype(np.intp)
    if positions.size and (positions.min() < -n or positions.max() >= n):
        raise IndexError(
            f"block {name!r} has indices from {positions.min()} to {positions.max()}, but "
            f"theta has {n} entries: 0 to {n - 1}."
        )
    return positions % n


def _unnamed(blocks: list[Block], n: int) -> Array:
    owner = np.full(n, -1, dtype=np.intp)
    for number, block in enumerate(blocks):
        taken = owner[block.index]
        if (taken >= 0).any():
            raise ValueError(
                f"blocks {blocks[int(taken.max())].name!r} and {block.name!r} overlap; "
                f"let each entry belong to one."
            )
        owner[block.index] = number
        if np.count_nonzero(owner == number) != block.size:
            raise ValueError(f"block {block.name!r} names an index twice; give each index once.")
    return np.flatnonzero(owner < 0)
