"""What a function, a source or a mistake answers to a lesson, without another process."""

from __future__ import annotations

import ast
import copy

import numpy as np

from autorec_np.lessons.diagnosis import judge
from autorec_np.lessons.process import Answers, gathered
from autorec_np.lessons.student import listen, told

FILE = "<lesson>"


def verdict_of(lesson, function, source="", seed=0):
    """Put the problems to a function, with warnings kept back as in the process of its own."""
    said, arrays = {"changed": [], "missing": [], "again": True}, {}
    try:
        with np.errstate(all="ignore"):
            listen(lesson, seed, function, said, arrays)
    except Exception as error:
        said["error"] = told(error, FILE)
    return judge(lesson, gathered(said, arrays), source, seed)


def function_in(source, name):
    space = {}
    exec(compile(source, FILE, "exec"), space)
    return space[name]


def verdict_on(lesson, source, seed=0):
    """Run a source and put the problems to its function."""
    return verdict_of(lesson, function_in(source, lesson.function), source, seed)


def blocks_of(lesson, made, seed=0):
    """Return what somebody answers who makes some mistakes, and no others."""
    problems = {label: one for label, one in lesson.problems(seed).items() if " " not in label}
    with np.errstate(all="ignore"):
        works = {label: lesson.work(problem, made) for label, problem in problems.items()}
    return {label: {name: work[name] for name in lesson.blocks} for label, work in works.items()}


def verdict_with(lesson, made, seed=0):
    """Return the verdict on somebody who makes some mistakes, and no others."""
    said = {"changed": [], "missing": [], "again": True}
    return judge(lesson, Answers(said, blocks_of(lesson, made, seed)), "", seed)


# Mutants

SWAPPED = {
    ast.Add: [ast.Sub, ast.Mult],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div, ast.Add],
    ast.Div: [ast.Mult],
    ast.MatMult: [ast.Mult],
}


def mutants(source, names):
    """Yield (source, changed lines) of each single change: operators, operands, numbers, names."""
    tree = ast.parse(source)
    plain = ast.unparse(tree)
    seen = {plain}
    for number, node in enumerate(ast.walk(tree)):
        for change in changes(node, names):
            mutant = copy.deepcopy(tree)
            change(list(ast.walk(mutant))[number], mutant)
            text = ast.unparse(ast.fix_missing_locations(mutant))
            if text not in seen:
                seen.add(text)
                both = zip(text.splitlines(), plain.splitlines(), strict=True)
                yield text, [n for n, (new, old) in enumerate(both, 1) if new != old]


def changes(node, names):
    """Yield functions that change a node in its tree."""

    def put(field, value):
        return lambda one, tree: setattr(one, field, value)

    if isinstance(node, ast.BinOp):
        yield from (put("op", kind()) for kind in SWAPPED.get(type(node.op), []))
        yield from (lambda one, tree, side=side: replace(tree, one, side) for side in SIDES)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield from (put("value", value) for value in {0, 1, 2, node.value + 1} - {node.value})
    if isinstance(node, ast.Attribute) and node.attr == "T":
        yield put("attr", "real")
    if isinstance(node, ast.Attribute) and node.attr == "sum":
        yield from (put("attr", other) for other in ("mean", "max", "min", "prod"))
    if isinstance(node, ast.UnaryOp):
        yield put("op", ast.UAdd())
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
        yield from (put("id", other) for other in names if other != node.id)


SIDES = ("left", "right")


def replace(tree, node, side):
    """Put one operand of an operation in its place."""
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is node:
                setattr(parent, field, getattr(node, side))
            elif isinstance(value, list) and node in value:
                value[value.index(node)] = getattr(node, side)
