"""Tasks and models that other processes can import, and executors that keep a record."""

from __future__ import annotations

import os
import threading
import time
import warnings
from concurrent.futures import Future

import numpy as np

from autorec_np.models.biases import GlobalMean


class OddWarning(UserWarning):
    """Given by what is here only."""


class OddError(Exception):
    """Takes more than a message."""

    def __init__(self, message, number):
        super().__init__(message, number)


def give(value, seconds=0.0, warning=None):
    time.sleep(seconds)
    if warning is not None:
        warnings.warn(warning, OddWarning, stacklevel=1)
    return value


def fail(error, seconds=0.0):
    time.sleep(seconds)
    raise error


def where():
    return os.getpid(), threading.get_ident()


class Warner(GlobalMean):
    """A mean that warns."""

    def fit(self, R):
        warnings.warn(f"{R.matrix.nnz} ratings", OddWarning, stacklevel=2)
        return super().fit(R)


class Picky(GlobalMean):
    """A mean that refuses some numbers of ratings."""

    def __init__(self, refused=()):
        self.refused = refused

    def get_params(self, deep=True):
        return {"refused": self.refused}

    def fit(self, R):
        if R.matrix.nnz in self.refused:
            raise ValueError("I do not like these ratings.")
        return super().fit(R)


class Threads(GlobalMean):
    """Predicts the number of threads that it was given, 0 for None."""

    def __init__(self, n_jobs=None):
        self.n_jobs = n_jobs

    def get_params(self, deep=True):
        return {"n_jobs": self.n_jobs}

    def set_params(self, **params):
        self.n_jobs = params["n_jobs"]
        return self

    def fit(self, R):
        return self

    def predict(self, users, items):
        return np.full(len(users), float(self.n_jobs or 0))


class Backwards:
    """An executor that runs the last task first, when the first result is asked for."""

    def __init__(self):
        self.submitted, self.log = [], []

    def submit(self, function, /, *arguments):
        future = OneOf(self)
        self.submitted.append((future, function, arguments))
        self.log.append(("submit", len(self.submitted)))
        return future

    def run(self):
        while self.submitted:
            future, function, arguments = self.submitted.pop()
            self.log.append(("run", len(self.submitted) + 1))
            if future.cancelled():
                continue
            try:
                future.set_result(function(*arguments))
            except Exception as error:
                future.set_exception(error)


class OneOf(Future):
    """A future of `Backwards`."""

    def __init__(self, executor):
        super().__init__()
        self.executor = executor

    def result(self, timeout=None):
        self.executor.run()
        return super().result(timeout)


class Given:
    """An executor whose first futures have ended with a result and an error; the others wait."""

    def __init__(self, *, result=None, error=None):
        self.ends = [("set_result", result), ("set_exception", error)]
        self.futures = []

    def submit(self, function, /, *arguments):
        future = Future()
        if self.ends:
            end, value = self.ends.pop(0)
            if value is not None:
                getattr(future, end)(value)
        self.futures.append(future)
        return future
