"""The twelve lessons, their files in a student's folder, and how far the student is."""

from __future__ import annotations

from autorec_np.lessons import backward
from autorec_np.lessons.lesson import Lesson

LESSONS: dict[int, Lesson] = {one.number: one for one in (backward.LESSON,)}


def lesson_of(number: int) -> Lesson:
    """Return a lesson."""
    return LESSONS[number]
