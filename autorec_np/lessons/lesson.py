"""How a lesson is declared: a task, the right way with names for all on it, and known mistakes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Problem: TypeAlias = dict[str, Any]
Named: TypeAlias = dict[str, Array]

SEEDS = (1, 2, 3)  # of the problems on which a mistake must reproduce all that was returned
# Far above the rounding of float32, far below what any mistake changes on three problems.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Mistake:
    """A mistake that is known.

    Parameters
    ----------
    text : str
        What is wrong, and what it should be.
    question : str
        What one may ask oneself; it does not give the answer away.
    group : str
        Two mistakes of a group exclude each other.
    """

    text: str
    question: str
    group: str


class Work(Protocol):
    """The right way through a problem, or that with some mistakes."""

    def __call__(
        self, problem: Problem, made: Collection[str] = (), given: Mapping[str, Array] | None = None
    ) -> Named:
        """Return all steps and blocks; `given` stands in the place of what would be computed.

        "Y.rated" is another form in which "Y" is right.
        """


@dataclass(frozen=True)
class Lesson:
    """One lesson.

    Parameters
    ----------
    number, name, title, minutes
        The stub is the file 04_backward.py for number 4 and name "backward".
    function : str
        What the student writes. Its arguments are those of a problem, in order.
    blocks : dict
        What it returns, in order, each with the place to read about it.
    steps : dict
        What a student may name on the way, in order, each with the place to read about it.
    problem : callable
        From a random generator to the arguments, by name.
    work : Work
        Without mistakes, what is right.
    mistakes : dict
        By name; `work` can make them all.
    stub, solution : str
        Two files. The solution assigns each step and block on a line of its own.
    aliases : dict
        Other names of steps, in lower case and without underscores.
    penalized : dict
        The parameter of which a block contains a multiple, with that multiple: {"D_W": ("W", 1)}.
    probes : dict
        What a mistake has to do with if all is right on a changed problem, and that change.
    order : tuple of str
        The blocks in the order to write them; empty: that in which they are returned.
    told : str
        A block whose true entries are told when all is right.
    ask : callable, optional
        Calls the function with a problem, where it wants more than its values.
    """

    number: int
    name: str
    title: str
    minutes: int
    function: str
    blocks: dict[str, str]
    problem: Callable[[np.random.Generator], Problem]
    work: Work
    mistakes: dict[str, Mistake]
    stub: str
    solution: str
    steps: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    penalized: dict[str, tuple[str, int]] = field(default_factory=dict)
    probes: dict[str, Callable[[Problem], Problem]] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    told: str = ""
    ask: Callable[[Callable[..., Any], Problem], Any] = lambda function, problem: function(
        *problem.values()
    )

    @property
    def file(self) -> str:
        """The name of the stub."""
        return f"{self.number:02}_{self.name}.py"

    @property
    def in_order(self) -> tuple[str, ...]:
        """The blocks in the order to write them."""
        return self.order or tuple(self.blocks)

    def problems(self, seed: int = 0) -> dict[str, Problem]:
        """Return the three problems, then one for each probe and each of the three."""
        drawn = {
            str(one): self.problem(np.random.default_rng([seed, self.number, one])) for one in SEEDS
        }
        probes = {
            f"{one} {about}": change(dict(problem))
            for about, change in self.probes.items()
            for one, problem in drawn.items()
        }
        return drawn | probes

    def step_of(self, name: str) -> str | None:
        """Return the step or block that a variable is named after."""
        plain = name.lower().replace("_", "")
        for step in (*self.steps, *self.blocks):
            if plain == step.lower().replace("_", ""):
                return step
        return self.aliases.get(plain)


def close(got: Array, wanted: Array) -> bool:
    """Say whether two arrays agree in shape and, but for rounding, in their values."""
    if got.shape != wanted.shape:
        return False
    if not wanted.size:
        return True
    wanted = wanted.astype(float)
    with np.errstate(all="ignore"):
        error = np.abs(got.astype(float) - wanted)
        error = np.where(np.isnan(got) & np.isnan(wanted), 0, error)  # of a mistake alone
        size = np.abs(np.nan_to_num(wanted)).max()
        return bool(error.max() <= TOLERANCE * max(1e-3, size))
