"""What is wrong with an answer, and why: what can be proved first, then what can be said.

1. Known mistakes, alone and in pairs: one that reproduces everything on three problems is proved.
   So are more of them, each leading to one wrong block more.
2. The first variable that is not what it should be, if the right way from there on leads to just
   what was returned: that is proved too.
3. Relations of a wrong block to the right one, and changed problems on which it is right.

What is right is never blamed: only what differs from the right way on these problems is looked at.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from autorec_np.lessons.lesson import SEEDS, Array, Lesson, Named, Problem, close
from autorec_np.lessons.process import Answers, what_to_do

FEW = 25  # mistakes of which all pairs are tried
PASS, FAIL, MISSING = "pass", "fail", "missing"


@dataclass
class Verdict:
    """What is said of one answer.

    Parameters
    ----------
    passed : bool
    blocks : dict
        "pass", "fail" or "missing", by name.
    stage : str
        How it was found: "right", "error", "missing", "mistake", "line", "relation", "probe" or
        "unknown".
    text : str
    mistake : str, optional
        The name of what is proved or of the relation; two are joined by a plus sign.
    array, read : str, optional
        The step or block that is wrong first, and the place to read about it.
    shown : str, optional
        The first name in the student's file that holds what is wrong.
    lines : list of int
        Of the student's file, where it is made.
    sources : list of str
        These lines.
    questions : list of str
    printed : str
        By the student's code.
    """

    passed: bool
    blocks: dict[str, str]
    stage: str
    text: str
    mistake: str | None = None
    array: str | None = None
    read: str | None = None
    shown: str | None = None
    lines: list[int] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    printed: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return all as JSON holds it."""
        return asdict(self)


def judge(lesson: Lesson, answers: Answers, source: str, seed: int = 0) -> Verdict:
    """Say what is wrong with the answers of a student's code, and why.

    Parameters
    ----------
    lesson : Lesson
    answers : Answers
    source : str
        The student's file.
    seed : int
        Of the problems.

    Returns
    -------
    Verdict
    """
    written = Source(source, lesson.function)
    if "error" in answers.said:
        blocks = dict.fromkeys(lesson.in_order, MISSING)
        found = _failed(blocks, answers.said["error"])
    else:
        found = Case(lesson, answers, written, seed).verdict()
    found.printed = answers.printed
    found.sources = [written.text(line) for line in found.lines]
    return found


class Source:
    """The text of a file, and where a function in it gives a name its value."""

    def __init__(self, text: str, function: str) -> None:
        self.lines = text.splitlines()
        self.made: dict[str, list[ast.stmt]] = {}
        self.end: ast.stmt | None = None
        try:
            nodes = list(ast.walk(ast.parse(text)))
        except (SyntaxError, ValueError):
            return
        for node in nodes:
            if isinstance(node, ast.FunctionDef) and node.name == function:
                self._read(node)

    def _read(self, function: ast.FunctionDef) -> None:
        statements = [node for node in ast.walk(function) if isinstance(node, ast.stmt)]
        for one in sorted(statements, key=lambda node: node.lineno):
            targets: list[ast.expr] = []
            if isinstance(one, ast.Assign):
                targets = one.targets
            elif isinstance(one, (ast.AugAssign, ast.AnnAssign)):
                targets = [one.target]
            elif isinstance(one, ast.Return):
                self.end = one
            for node in itertools.chain.from_iterable(map(ast.walk, targets)):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    self._note(node.id, one)
                elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
                    self._note(node.value.id, one)  # D_A[~rated] = 0

    def _note(self, name: str, statement: ast.stmt) -> None:
        known = self.made.setdefault(name, [])
        if statement not in known:
            known.append(statement)

    def text(self, line: int) -> str:
        """Return a line."""
        return self.lines[line - 1].strip() if line <= len(self.lines) else ""

    def lines_of(self, name: str) -> list[int]:
        """Return the lines that give a name its value."""
        return [one.lineno for one in self.made.get(name, [])]

    def at_end(self) -> list[int]:
        """Return the line of the return."""
        return [self.end.lineno] if self.end else []

    def read_by(self, name: str) -> set[str]:
        """Return the other names from which a name is made."""
        nodes = itertools.chain.from_iterable(map(ast.walk, self.made.get(name, [])))
        return {node.id for node in nodes if isinstance(node, ast.Name)} - {name}


class Case:
    """One answer, beside what is right."""

    def __init__(self, lesson: Lesson, answers: Answers, source: Source, seed: int) -> None:
        self.lesson, self.answers, self.source = lesson, answers, source
        self.works: dict[tuple[int, tuple[str, ...]], Named] = {}
        problems = lesson.problems(seed)
        self.problems = [problems[str(one)] for one in SEEDS]
        self.probes = {label: one for label, one in problems.items() if " " in label}
        self.truths = [lesson.work(one) for one in self.problems]
        self.got = [answers.blocks.get(str(one), {}) for one in SEEDS]
        for got, truth in zip(self.got, self.truths, strict=True):
            for name, value in got.items():
                if truth[name].ndim == 0 and value.size == 1:
                    got[name] = value.reshape(())
        self.blocks = {name: self._state(name) for name in lesson.in_order}
        self.wrong = [name for name, state in self.blocks.items() if state == FAIL]

    def _state(self, name: str) -> str:
        if any(name not in got for got in self.got):
            return MISSING
        pairs = zip(self.got, self.truths, strict=True)
        return PASS if all(close(got[name], truth[name]) for got, truth in pairs) else FAIL

    @cached_property
    def fitting(self) -> list[str]:
        """The blocks that have the right shapes."""
        pairs = list(zip(self.got, self.truths, strict=True))
        return [
            name
            for name, state in self.blocks.items()
            if state != MISSING
            and all(got[name].shape == truth[name].shape for got, truth in pairs)
        ]

    def verdict(self) -> Verdict:
        """Return the first thing that can be said, the best proved first."""
        if not self.wrong:
            return self._without_a_fault()
        return (
            self._known((name,) for name in self.lesson.mistakes)
            or self._kept()
            or self._changed()
            or self._line_or_pair()
            or self._known(self._sets_of_mistakes())
            or self._relations()
        )

    def _line_or_pair(self) -> Verdict | None:
        """Prefer one wrong line to two mistakes, unless the two are what is wrong in it."""
        line, pair = self._first_line(), self._known(self._pairs_of_mistakes())
        if line is None or pair is None:
            return line or pair
        made, step = tuple(str(pair.mistake).split("+")), str(line.array)
        work = self._work(0, made)
        if not self._has(step, work):
            return line
        return replace(pair, array=line.array, read=line.read, shown=line.shown, lines=line.lines)

    def _found(self, stage: str, text: str, **more: Any) -> Verdict:
        if more.get("array") and not more.get("read"):
            more["read"] = {**self.lesson.steps, **self.lesson.blocks}.get(more["array"])
        return Verdict(False, self.blocks, stage, text, **more)

    def _without_a_fault(self) -> Verdict:
        missing = [name for name, state in self.blocks.items() if state == MISSING]
        if missing:
            right = _listed([name for name, state in self.blocks.items() if state == PASS])
            first = missing[0]
            text = f"{right} so far; next " if right else "nothing is written yet; begin with "
            where = self.lesson.blocks[first]
            return self._found("missing", f"{text}{first}, see {where}", array=first)
        text = "all is right"
        if told := self.lesson.told:
            places = [str(place) for place in np.flatnonzero(self.got[0][told])]
            text += f"; {told} is True at {_listed(places, '')}, where the faults are"
        if self.answers.said.get("changed"):
            names = _listed(self.answers.said["changed"], "")
            text += f"; but it changes its argument {names} in place, which a caller may need"
        return Verdict(True, self.blocks, "right", text)

    # Proved

    def _work(self, number: int, made: tuple[str, ...]) -> Named:
        """Return what some mistakes lead to; of one mistake it is asked again for pairs."""
        if (number, made) not in self.works:
            with np.errstate(all="ignore"):
                self.works[number, made] = self.lesson.work(self.problems[number], made)
        return self.works[number, made]

    def _reproduced(self, made: tuple[str, ...], blocks: list[str]) -> bool:
        """Say whether some mistakes lead to what was returned in some blocks, on all problems."""
        for number, got in enumerate(self.got):
            work = self._work(number, made)
            if not all(close(got[name], work[name]) for name in blocks):
                return False
        return True

    def _sets_of_mistakes(
        self, made: tuple[str, ...] = (), n_done: int = 0
    ) -> Iterator[tuple[str, ...]]:
        """Yield sets that lead to one wrong block after the other, by none, one or two more."""
        mistakes = self.lesson.mistakes
        blocks = [name for name in self.wrong if name in self.fitting]
        if n_done == len(blocks):
            yield made
            return
        for n_more in range(3 if len(mistakes) <= FEW else 2):
            longer = [made + more for more in itertools.combinations(mistakes, n_more)]
            found = [
                one
                for one in longer
                if len({mistakes[name].group for name in one}) == len(one)
                and self._reproduced(one, blocks[: n_done + 1])
            ]
            for one in found:
                yield from self._sets_of_mistakes(one, n_done + 1)
            if found:
                return

    def _pairs_of_mistakes(self) -> Iterator[tuple[str, str]]:
        """Yield the pairs that can have made these blocks wrong."""
        mistakes, (got, *_), (right, *_) = self.lesson.mistakes, self.got, self.truths
        wrong, touched, alone = set(self.wrong) & set(self.fitting), {}, {}
        for name in mistakes:
            work = self._work(0, (name,))
            touched[name] = {one for one in self.fitting if not close(work[one], right[one])}
            alone[name] = {one for one in touched[name] if close(work[one], got[one])}
        for first, second in itertools.combinations(mistakes, 2):
            group, other = mistakes[first].group, mistakes[second].group
            # In a large bank, where only one of two touches a block, that one must have led to it
            if group != other and (
                len(mistakes) <= FEW
                or (
                    touched[first] | touched[second] == wrong
                    and touched[first] - touched[second] <= alone[first]
                    and touched[second] - touched[first] <= alone[second]
                )
            ):
                yield first, second

    def _known(self, candidates: Iterable[tuple[str, ...]]) -> Verdict | None:
        if not set(self.wrong) & set(self.fitting):
            return None
        for made in candidates:
            if self._reproduced(made, self.fitting):
                texts = [self._text(name) for name in made]
                questions = [self.lesson.mistakes[name].question for name in made]
                array, shown, lines = self._place(made)
                shapes = [self._relation(name) for name in self.wrong if name not in self.fitting]
                return self._found(
                    "mistake",
                    "; and ".join(texts + [text for _, text in shapes]),
                    mistake="+".join([*made, *(name for name, _ in shapes)]),
                    questions=questions,
                    array=array,
                    shown=shown,
                    lines=lines,
                )
        return None

    def _text(self, name: str) -> str:
        """Say a mistake; one in a block alone that may come in others, only of what is written."""
        text, shared = self.lesson.mistakes[name].text, name.rpartition("_")[0]
        if shared in self.lesson.mistakes and re.search(r", in \w+ alone$", text):
            work, right = self._work(0, (shared,)), self.truths[0]
            to_come = [one for one, state in self.blocks.items() if state == MISSING]
            if any(not close(work[one], right[one]) for one in to_come):
                return f"{text} so far"
        return text

    def _place(self, made: tuple[str, ...]) -> tuple[str | None, str | None, list[int]]:
        """Return what the mistakes change first, the name in the file to look at, and its lines.

        What is not written, or right, is not looked at.
        """
        works = [self._work(number, made) for number in range(len(self.problems))]
        both = list(zip(works, self.truths, strict=True))
        changed = [
            step
            for step in (*self.lesson.steps, *self.wrong)
            if any(not close(work[step], right[step]) for work, right in both)
        ]
        for step in changed:
            if name := self._has(step, works[0]):
                return changed[0], name, self.source.lines_of(name)
        block = next((one for one in changed if one in self.wrong), self.wrong[0])
        return (*changed, block)[0], block, self._made_in(block)[0]

    def _has(self, step: str, work: Named) -> str | None:
        """Return the variable that is named after a step and holds what it is in a work."""
        for name, value in self.answers.variables.items():
            if self.lesson.step_of(name) == step and _is_in(work, step, value):
                return name
        return None

    def _kept(self) -> Verdict | None:
        if self.answers.said.get("again", True):
            return None
        return self._found(
            "relation",
            "the same question gets another answer when it is asked again: something is kept from "
            "call to call, or drawn at random",
            mistake="kept",
            questions=["Which names does the function change that it has not made itself?"],
        )

    def _changed(self) -> Verdict | None:
        changed = self.answers.said.get("changed")
        if not changed:
            return None
        return self._found(
            "relation",
            f"it changes its argument {_listed(changed, '')} in place, and reads it afterwards; "
            f"work on a copy",
            mistake="in_place",
            questions=["Which lines write into an array that was given?"],
        )

    def _first_line(self) -> Verdict | None:
        """Look for a variable from which the right way leads to just what was returned."""
        right: list[str] = []
        for step in self.lesson.steps:
            for name, value in self.answers.variables.items():
                if self.lesson.step_of(name) != step:
                    continue
                if self._is_right(step, value):
                    right.append(name)
                elif self._follows({step: value}):
                    before = _listed(right)
                    return self._found(
                        "line",
                        (f"{before}; " if before else "")
                        + f"{name} is not what {self.lesson.steps[step]} says, and all that is "
                        f"wrong follows from it",
                        array=step,
                        shown=name,
                        lines=self.source.lines_of(name),
                        questions=[f"What does {self.lesson.steps[step]} say, term by term?"],
                    )
        return None

    def _is_right(self, step: str, value: Array) -> bool:
        """Say whether a variable is what its name says, or anything else that is right."""
        return _is_in(self.truths[0], step, value)

    def _follows(self, given: Named) -> bool:
        try:
            with np.errstate(all="ignore"):
                work = self.lesson.work(self.problems[0], (), given)
        except (ValueError, IndexError):  # of a shape that leads nowhere
            return False
        return all(close(self.got[0][name], work[name]) for name in self.fitting)

    # Relations

    def _relations(self) -> Verdict:
        relations = {block: self._relation(block) for block in self.wrong}
        (block, (name, _)), *_ = relations.items()
        alike: dict[str, list[str]] = {}  # blocks of which the same is to be said
        for one, (_, text) in relations.items():
            alike.setdefault(text.removeprefix(one), []).append(one)
        texts = [
            f"{own}{text}" + f"; the same of {_listed(others, '')}" * bool(others)
            for text, (own, *others) in alike.items()
        ]
        lines, place = self._made_in(block)
        if place:
            texts[0] += f"; {place}"
        stage = name if name in ("probe", "unknown") else "relation"
        return self._found(
            stage,
            "; ".join(texts),
            mistake=None if stage != "relation" else name,
            array=block,
            lines=lines,
            questions=[
                self.lesson.mistakes[name].question
                if name in self.lesson.mistakes
                else f"What does {self.lesson.blocks[block]} say, factor by factor?"
            ],
        )

    def _made_in(self, block: str) -> tuple[list[int], str]:
        """Return the lines that make a block, and whether it can be no other that is wrong."""
        variables = self.answers.variables
        name = next((one for one in variables if self.lesson.step_of(one) == block), None)
        if name is None:
            return self.source.at_end(), ""
        if close(variables[name], self.truths[0][block]):
            end = self.source.at_end()
            return end, f"the variable {name} is right, but something else is returned"
        if not np.array_equal(variables[name], self.got[0][block]):
            return [], ""
        lines = self.source.lines_of(name)
        for other in self.source.read_by(name) - set(self.problems[0]):
            step = self.lesson.step_of(other)
            if other in variables and not (step and self._is_right(step, variables[other])):
                return lines, ""
        alone = "it is the line that makes it" if len(lines) == 1 else "it is a line that makes it"
        return lines, f"what it is made from is right, so {alone}" if lines else ""

    def _relation(self, block: str) -> tuple[str, str]:
        ways: tuple[Callable[[str], tuple[str, str] | None], ...] = (
            self._shape,
            self._mistake,
            self._not_finite,
            self._other_block,
            self._terms,
            self._ratio,
            self._some_rows,
            self._other_places,
            self._one_part,
            self._probe,
        )
        for way in ways:
            if found := way(block):
                return found
        return "unknown", f"{block} is wrong; read {self.lesson.blocks[block]} again"

    def _pairs(self, block: str) -> list[tuple[Array, Array]]:
        both = zip(self.got, self.truths, strict=True)
        return [(got[block].astype(float), truth[block].astype(float)) for got, truth in both]

    def _shape(self, block: str) -> tuple[str, str] | None:
        got, truth = self._pairs(block)[0]
        if block in self.fitting:
            return None
        if got.ndim == 2 and all(close(one.T, other) for one, other in self._pairs(block)):
            return (
                "transposed",
                f"{block} is transposed: its shape is {got.shape}, not {truth.shape}",
            )
        if got.size == truth.size and all(
            close(one.reshape(other.shape), other) for one, other in self._pairs(block)
        ):
            numbers = "holds the right numbers in the shape"
            return "shape", f"{block} {numbers} {got.shape}; it must be {truth.shape}"
        wanted = f"have {truth.shape}" if truth.ndim else "be one number"
        return "shape", f"{block} has the shape {got.shape}, and must {wanted}"

    def _mistake(self, block: str) -> tuple[str, str] | None:
        """Look for a known mistake that leads to this block, and leaves right what is right."""
        right = [one for one in self.fitting if self.blocks[one] == PASS]
        for name in self.lesson.mistakes:
            if self._reproduced((name,), [block, *right]):
                return name, f"{block}: {self._text(name)}"
        return None

    def _not_finite(self, block: str) -> tuple[str, str] | None:
        bad = [~np.isfinite(got) for got, _ in self._pairs(block)]
        if not any(one.any() for one in bad):
            return None
        return "not_finite", f"{block} holds nan or inf: is something divided by 0, or a hole nan?"

    def _other_block(self, block: str) -> tuple[str, str] | None:
        for other in self.lesson.blocks:
            both = zip(self.got, self.truths, strict=True)
            if other != block and all(close(got[block], truth[other]) for got, truth in both):
                return "exchanged", f"{block} holds what {other} should hold"
        return None

    def _terms(self, block: str) -> tuple[str, str] | None:
        """Take a block apart: a multiple of the data term and a multiple of the penalty."""
        if block not in self.lesson.penalized:
            return None
        weight, wanted = self.lesson.penalized[block]
        found = []
        for problem, (got, truth) in zip(self.problems, self._pairs(block), strict=True):
            penalty = problem["penalty"] * problem[weight]
            basis = np.stack([(truth - wanted * penalty).ravel(), penalty.ravel()], axis=1)
            factors = np.linalg.lstsq(basis, got.ravel(), rcond=None)[0]
            if not close((basis @ factors).reshape(got.shape), got):
                return None
            found.append(factors)
        data, penalty = np.transpose(found)
        what = f"the penalty's multiple of {weight}"
        texts = [self._times("the data term", data, 1), self._times(what, penalty, wanted)]
        texts = list(filter(None, texts))
        return ("terms", f"{block}: {' and '.join(texts)}") if texts else None

    def _times(self, what: str, factors: Array, wanted: int) -> str:
        if np.allclose(factors, wanted, atol=1e-5):
            return ""
        if np.allclose(factors, 0, atol=1e-7):
            return f"{what} is missing"
        if not wanted:
            return f"{what} does not belong there, and is there {_factor(self.problems, factors)}"
        if np.allclose(factors, -1, atol=1e-5):
            return f"{what} has the wrong sign"
        return f"{what} is taken {_factor(self.problems, factors)}"

    def _ratio(self, block: str) -> tuple[str, str] | None:
        factors = []
        for got, truth in self._pairs(block):
            size = float(np.vdot(truth, truth))
            factor = float(np.vdot(truth, got)) / size if size else 0.0
            if not factor or not close(factor * truth, got):
                return None
            factors.append(factor)
        text = _factor(self.problems, np.array(factors))
        return "factor", f"{block} is {text} what it should be".replace("times what", "times what")

    def _some_rows(self, block: str) -> tuple[str, str] | None:
        """Look for rows of X that a sum leaves out, the same on all problems."""
        if block not in self.lesson.penalized or "rated" not in self.problems[0]:
            return None
        common: set[tuple[bool, ...]] | None = None
        for problem, (got, truth) in zip(self.problems, self._pairs(block), strict=True):
            weight, wanted = self.lesson.penalized[block]
            penalty = wanted * problem["penalty"] * problem[weight]
            n_rows = len(problem["X"])
            parts = [self._part(block, problem, row) for row in range(n_rows)]
            kept = np.array(list(itertools.product([True, False], repeat=n_rows)))
            sums = np.tensordot(kept.astype(float), np.array(parts), axes=1) + penalty
            close_to = np.abs(sums - got).reshape(len(kept), -1).max(axis=1) <= 1e-6 * (
                1 + np.abs(truth).max()
            )
            rows = set(map(tuple, kept[close_to].tolist()))
            common = rows if common is None else common & rows
        if not common:
            return None
        fewest, best = min(common, key=sum), max(common, key=sum)  # an empty row is in or out
        if sum(fewest) == 1:
            row = fewest.index(True)
            return "one_row", f"{block} holds what row {row} gives, not the sum over the rows"
        left = [row for row, is_kept in enumerate(best) if not is_kept]
        if not left:
            return None
        where = f"row {left[0]}" if len(left) == 1 else f"rows {', '.join(map(str, left))}"
        last = ", the last," * (left == list(range(len(best) - len(left), len(best))))
        return "rows_left_out", f"{block} leaves {where}{last} out of the sum over the rows"

    def _part(self, block: str, problem: Problem, row: int) -> Array:
        only = np.zeros_like(problem["rated"])
        only[row] = problem["rated"][row]
        part = problem | {"X": np.where(only, problem["X"], 0), "rated": only, "penalty": 0.0}
        return self.lesson.work(part)[block]

    def _other_places(self, block: str) -> tuple[str, str] | None:
        pairs = self._pairs(block)
        for axis in range(pairs[0][0].ndim):
            for shift in (1, -1):
                if all(close(np.roll(got, shift, axis), truth) for got, truth in pairs):
                    return "shifted", f"{block} is shifted by one place"
        if pairs[0][0].ndim and all(
            close(np.sort(got, axis=None), np.sort(truth, axis=None)) for got, truth in pairs
        ):
            return "order", f"{block} holds the right numbers in other places"
        return None

    def _one_part(self, block: str) -> tuple[str, str] | None:
        for axis in range(self.truths[0][block].ndim):
            bad = set()
            for got, truth in self._pairs(block):
                n = truth.shape[axis]
                rows = range(n)
                wrong = {
                    one for one in rows if not close(got.take(one, axis), truth.take(one, axis))
                }
                if truth.ndim == 1 or n == 1:
                    wrong = wrong if n > 1 else {-1, -2}
                bad |= wrong
            if len(bad) == 1:
                (one,) = bad
                kind = "entry" if self.truths[0][block].ndim == 1 else ("row", "column")[axis]
                last = one == self.truths[0][block].shape[axis] - 1
                return "one_part", f"{block} is wrong in {kind} {one} alone" + ", the last" * last
        return None

    def _probe(self, block: str) -> tuple[str, str] | None:
        good = []
        for about in self.lesson.probes:
            labels = [f"{one} {about}" for one in SEEDS]
            got = [self.answers.blocks.get(label, {}) for label in labels]
            if all(
                block in one and close(one[block], self.lesson.work(self.probes[label])[block])
                for one, label in zip(got, labels, strict=True)
            ):
                good.append(about)
        if not good:
            return None
        return "probe", f"{block}: the mistake has to do with {', or with '.join(good[:2])}"


def _is_in(work: Named, step: str, value: Array) -> bool:
    """Say whether a value is that of a step, in one of its forms."""
    return any(close(value, one) for key, one in work.items() if key.partition(".")[0] == step)


def _listed(names: list[str], verb: str = "is right") -> str:
    if not names:
        return ""
    verb = verb.replace("is", "are", 1) if len(names) > 1 else verb
    *most, last = names
    return f"{', '.join(most)} and {last} {verb}".strip() if most else f"{last} {verb}".strip()


def _factor(problems: list[Problem], factors: Array) -> str:
    """Say a factor, and by which size of the problem it is a quotient or product if it varies."""
    sizes: dict[str, Callable[[Problem], float]] = {
        "the number of ratings": lambda p: float(p["rated"].sum()),
        "the number of cells": lambda p: float(p["X"].size),
        "the number of rows": lambda p: float(p["X"].shape[0]),
        "the number of columns": lambda p: float(p["X"].shape[1]),
        "the penalty": lambda p: float(p["penalty"]),
    }
    for name, size in sizes.items():
        for part in (1, 2, 0.5):
            try:
                values = part * np.array([size(problem) for problem in problems])
            except (KeyError, AttributeError):
                continue
            also = {1: "", 2: "twice ", 0.5: "half "}[part]
            if np.allclose(factors * values, 1, rtol=1e-6):
                return f"1 / ({also}{name}) times" if also else f"1 / {name} times"
            if np.allclose(factors, values, rtol=1e-6) and part == 1:
                return f"{name} times"
    if np.allclose(factors, factors[0], rtol=1e-5):
        return f"{factors[0]:.4g} times"
    return f"{', '.join(f'{one:.3g}' for one in factors)} times (on three problems)"


def _failed(blocks: dict[str, str], error: dict[str, Any]) -> Verdict:
    line = error.get("line")
    return Verdict(
        False,
        blocks,
        "error",
        what_to_do(error),
        mistake=error["kinds"][0],
        lines=[line] if line else [],
    )
