"""The file of a run: all that it needs to go on, to the bit, as if it had not been stopped.

An uncompressed ``.npz``, with the CRC-32 of each array, written whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from autorec_np import __version__
from autorec_np._files import alone, replacing
from autorec_np._text import plain
from autorec_np._types import Array
from autorec_np.training.solvers import Done, EpochMonitor

FORMAT = "autorec_np checkpoint 1"
MOST_OF_THE_TIME = 0.05  # that saving may take by default
# Parameters that change no bit of a fit
WITHOUT_EFFECT = ("callbacks", "checkpoint", "checkpoint_every", "n_jobs", "verbose")


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written; the last one is whole, and the training goes on."""


class Checkpoint:
    """The file of one run; `state` is what it goes on from, None at a start."""

    def __init__(self, path: Path, every: int | None, state: dict[str, Any] | None) -> None:
        self.path, self.every, self.state = path, every, state
        self.facts: dict[str, Any] = {}
        self._saved, self._is_writable = (0, False), True
        self._cost = self._saved_at = 0.0  # seconds

    def begin(self, parameters: Mapping[str, Any], random_state: np.random.Generator) -> None:
        """Let `random_state` be as it was when the run began, if the parameters agree."""
        free: tuple[str, ...] = WITHOUT_EFFECT
        if parameters["learning_rate"] == "constant" or parameters["solver"] not in ("adam", "sgd"):
            free += ("max_iter",)
        fixed = {name: value for name, value in parameters.items() if name not in free}
        self.agree({"version": __version__, **fixed})
        if self.state is not None:
            random_state.bit_generator.state = self.state["random_state"]
        self.random_state = random_state.bit_generator.state

    def agree(self, facts: Mapping[str, Any]) -> None:
        """Note facts that must not change; ValueError where one is another than in the file."""
        told = plain(dict(facts))
        self.facts |= told
        known = told if self.state is None else self.state["facts"]
        for name, value in told.items():
            if known.get(name) != value:
                raise ValueError(
                    f"{self.path} is the checkpoint of a fit with {name}={known.get(name)!r}, "
                    f"which cannot go on with {value!r}; give it as it was, or begin anew with "
                    f"resume=False, which replaces the file."
                )

    def restore(self, theta: Array, memory: Any, monitor: EpochMonitor) -> Done:
        """Bring back the weights, what the solver remembers, and the monitor."""
        if self.state is None:
            return Done()
        state, self.state = self.state, None
        theta[...] = state["theta"]
        for name, value in state["memory"].items():
            if isinstance(queue := vars(memory).get(name), deque):
                queue.extend(map(tuple, value))
            else:
                vars(memory)[name] = value
        done = Done(**state["done"])
        monitor.go_on(done, state["curve"], state["best_theta"], state["seconds"])
        self._saved = len(done.values), done.converged
        return done

    def is_due(self, number: int) -> bool:
        if self.every is not None:
            return number % self.every == 0
        return time.perf_counter() - self._saved_at >= self._cost / MOST_OF_THE_TIME

    def save(self, theta: Array, memory: Any, done: Done, monitor: EpochMonitor) -> None:
        """Replace the file, unless it has all this; `CheckpointWarning` where that fails."""
        if self._saved == (len(done.values), done.converged):
            return
        started = time.perf_counter()
        arrays: dict[str, Any] = {}

        def put(value: Any) -> Any:
            if isinstance(value, deque):
                return list(value)
            name = str(len(arrays))
            arrays[name] = value
            return {"array": name}

        remembered = {} if memory is None else vars(memory)
        state = {
            "format": FORMAT,
            "facts": self.facts,
            "random_state": self.random_state,
            "theta": theta,
            "memory": {name: x for name, x in remembered.items() if not callable(x)},
            "done": vars(done),
            "curve": monitor.curve,
            "best_theta": monitor.best_theta,
            "seconds": monitor.seconds,
        }
        header = np.frombuffer(json.dumps(state, default=put).encode(), np.uint8)
        try:
            with replacing(self.path) as file:
                np.savez(file, header=header, **arrays)
        except OSError as error:
            if self._is_writable:
                warnings.warn(
                    f"the checkpoint {self.path} could not be written ({error}); the training goes "
                    f"on, but a resume begins after number {self._saved[0]}. Make room.",
                    CheckpointWarning,
                    stacklevel=2,
                )
            self._is_writable = False
        else:
            self._saved, self._is_writable = (len(done.values), done.converged), True
        self._saved_at = time.perf_counter()
        self._cost = self._saved_at - started


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the state in a file; ValueError where it is damaged, or no checkpoint."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as members:
            arrays = {name: members[name] for name in members.files}
        state: dict[str, Any] = json.loads(
            arrays["header"].tobytes(),
            object_hook=lambda x: arrays[x["array"]] if x.keys() == {"array"} else x,
        )
        if state["format"] != FORMAT:
            raise ValueError(f"it is {state['format']!r:.50}, not {FORMAT!r}")
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as a checkpoint: {str(error) or repr(error)}. Begin anew with "
            f"resume=False, which replaces it."
        ) from error
    return state


@contextmanager
def checkpoint_at(
    path: str | os.PathLike[str] | None, every: int | None, resume: bool
) -> Iterator[Checkpoint | None]:
    """Hold the file of a run alone; without a path, None."""
    if path is None:
        if resume:
            raise ValueError("resume=True needs a file to go on from: pass checkpoint=path.")
        yield None
        return
    whole = Path(os.path.realpath(path))
    with alone(whole.with_name(f"{whole.name}.lock"), f"the checkpoint {whole}"):
        goes_on = resume and whole.exists()
        yield Checkpoint(whole, every, read_checkpoint(whole) if goes_on else None)


def digest_of(arrays: Iterable[Array]) -> str:
    """Return the SHA-256 of arrays, of which some may hold text."""
    digest = hashlib.sha256()
    for array in arrays:
        if array.dtype.kind == "O":
            digest.update(json.dumps(array.tolist()).encode())
        else:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
