"""What a function or a source answers to a lesson, and the verdict, without another process."""

from __future__ import annotations

import numpy as np

from autorec_np.lessons.diagnosis import judge
from autorec_np.lessons.process import gathered
from autorec_np.lessons.student import listen, told


def verdict_of(lesson, function, source="", seed=0):
    """Put the problems to a function, with warnings kept back as in the process of its own."""
    said, arrays = {"changed": [], "missing": [], "again": True}, {}
    try:
        with np.errstate(all="ignore"):
            listen(lesson, seed, function, said, arrays)
    except Exception as error:
        said["error"] = told(error, "<lesson>")
    return judge(lesson, gathered(said, arrays), source, seed)


def verdict_on(lesson, source, seed=0):
    """Run a source and put the problems to its function."""
    space = {}
    exec(compile(source, "<lesson>", "exec"), space)
    return verdict_of(lesson, space[lesson.function], source, seed)
