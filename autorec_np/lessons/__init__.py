"""Twelve lessons that check themselves: ``autorec-np lesson``.

In the order of the work: `lesson` says how one is declared; `tables`, `backward`, `descent`,
`evaluating` and `codes` hold the twelve. `student` runs in the process of the student's code,
`process` starts it, `diagnosis` says what is wrong and why, `course` knows the files of a student,
and `command` is the command line. The lessons are not in the wheel, but in the repository and its
source package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorec_np import hand_on

if TYPE_CHECKING:
    from autorec_np.lessons.command import add_arguments as add_arguments
    from autorec_np.lessons.command import run as run
    from autorec_np.lessons.course import lesson_of as lesson_of
    from autorec_np.lessons.diagnosis import Verdict as Verdict
    from autorec_np.lessons.diagnosis import judge as judge
    from autorec_np.lessons.lesson import Lesson as Lesson
    from autorec_np.lessons.lesson import Mistake as Mistake

_MODULE_OF = {
    "Lesson": "lesson",
    "Mistake": "lesson",
    "Verdict": "diagnosis",
    "add_arguments": "command",
    "judge": "diagnosis",
    "lesson_of": "course",
    "run": "command",
}

__all__ = [*_MODULE_OF]

__getattr__, __dir__ = hand_on(__name__, _MODULE_OF)
