"""The annotated code: each line that cites an equation, beside the equation.

Nothing is written here. The code and its citations come from the package, the equations and their
headings from docs/derivation.md. A citation is a comment, such as ``# (6)``, or a number in the
first paragraph of a docstring. A number without an equation is an error.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

NUMBER = re.compile(r"(?<!\w)\((\d+)\)")
COMMENT = re.compile(r"#.*?(?<!\w)\((\d+)\)")
DISPLAYED = re.compile(r"^\s*(?:> ?)*\$\$(.*?)\$\$", re.MULTILINE | re.DOTALL)
NUMBERED = re.compile(r"^(.*?)\\qquad\s*\((\d+)\)\s*$", re.DOTALL)
CORE = ("objective", "network", "planes", "implicit", "hessian")  # the order to read in

Definition = ast.FunctionDef | ast.ClassDef | ast.Module


@dataclass(frozen=True)
class Equation:
    """An equation of the derivation: its number, its TeX ("" for none), and its heading."""

    number: int
    tex: str
    heading: str


@dataclass(frozen=True)
class Passage:
    """Lines of code, and the numbers of the equations that they cite."""

    first: int
    code: str
    cited: tuple[int, ...] = ()


@dataclass
class Part:
    """A function, a method or the head of a module or class that cites."""

    name: str
    passages: list[Passage] = field(default_factory=list)


@dataclass
class Page:
    """The annotated parts of one module."""

    module: str  # as in "core/network"
    title: str
    parts: list[Part]

    @property
    def document(self) -> str:
        """The name of the page, without suffix."""
        return f"annotated/{self.module}"

    def cited(self) -> set[int]:
        """Return the numbers of all equations that are cited."""
        return {n for part in self.parts for passage in part.passages for n in passage.cited}


def equations(derivation: str) -> dict[int, Equation]:
    """Return the equations of the derivation by number.

    A heading such as ``(12), (13) Inner layers`` or ``(20) to (29) The Hessian`` tells where an
    equation stands; one without a displayed formula of its own has the heading alone.
    """
    found: dict[int, Equation] = {}
    for section in re.split(r"^## ", derivation, flags=re.MULTILINE)[1:]:
        heading, _, text = section.partition("\n")
        numbers = [int(number) for number in NUMBER.findall(heading)]
        if " to (" in heading:
            numbers = list(range(numbers[0], numbers[-1] + 1))
        shown = {}
        for formula in DISPLAYED.findall(text):
            if numbered := NUMBERED.match(formula.replace("\n> ", "\n")):
                shown[int(numbered[2])] = numbered[1].strip()
        for number in {**dict.fromkeys(numbers), **shown}:
            found.setdefault(number, Equation(number, shown.get(number, ""), heading))
    return found


def pages(package: Path, known: dict[int, Equation]) -> list[Page]:
    """Return the modules of the package that cite equations, the core first."""
    order = {f"core/{name}": place for place, name in enumerate(CORE)}
    found = []
    for path in package.glob("*/*.py"):
        module = path.relative_to(package).with_suffix("").as_posix()
        if path.stem.startswith("__"):
            continue
        parts = annotate(path.read_text(encoding="utf-8"), known, module)
        if parts:
            found.append(Page(module, _first_sentence(path), parts))
    return sorted(found, key=lambda page: (order.get(page.module, len(order)), page.module))


def _first_sentence(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or path.stem
    return docstring.partition("\n\n")[0].replace("\n", " ")


def annotate(source: str, known: dict[int, Equation], module: str) -> list[Part]:
    """Return the parts of a module that cite an equation.

    Raises
    ------
    ValueError
        For a comment that cites a number that the derivation does not have.
    """
    tree, lines = ast.parse(source), source.splitlines()
    parts = []
    for name, node in _definitions(tree):
        cited = _citations(node, lines, known, module)
        if not cited:
            continue
        parts.append(Part(name, list(_passages(node, lines, cited))))
    return parts


def _definitions(tree: ast.Module) -> Iterator[tuple[str, Definition]]:
    """Yield the module, its classes without their methods, and its functions and methods."""
    yield "", tree
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            registered = ast.unparse(node.decorator_list[0]) if node.name == "_" else ""
            yield registered or node.name, node
        if isinstance(node, ast.ClassDef):
            for child in node.body:
                if isinstance(child, ast.FunctionDef):
                    yield f"{node.name}.{child.name}", child


def _citations(
    node: Definition, lines: list[str], known: dict[int, Equation], module: str
) -> dict[tuple[int, int], tuple[int, ...]]:
    """Return the cited numbers by the first and the last line of what cites them, from 1."""
    found: dict[tuple[int, int], tuple[int, ...]] = {}
    if summary := _summary(node, lines):
        numbers = [int(n) for n in NUMBER.findall("\n".join(lines[slice(*summary)]))]
        if numbers := [number for number in numbers if number in known]:
            first = getattr(node, "lineno", 1)
            found[first, summary[1]] = tuple(dict.fromkeys(numbers))
    if not isinstance(node, ast.FunctionDef):
        return found
    for number in range(node.body[0].lineno, (node.end_lineno or 0) + 1):
        if not COMMENT.search(lines[number - 1].partition('"""')[0]):
            continue
        comment = lines[number - 1].partition("#")[2]
        cited = tuple(int(n) for n in NUMBER.findall(comment))
        if unknown := [n for n in cited if n not in known]:
            raise ValueError(
                f"autorec_np/{module}.py, line {number}, cites {unknown}, "
                f"and docs/derivation.md has no such equation."
            )
        found[_statement(node, number)] = cited
    return found


def _summary(node: Definition, lines: list[str]) -> tuple[int, int] | None:
    """Return the lines, from 0, of the first paragraph of a docstring; None without one."""
    first = node.body[0] if node.body else None
    if not (isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)):
        return None
    end = first.end_lineno or first.lineno
    for number in range(first.lineno - 1, end):
        if not lines[number].strip():
            end = number
            break
    return first.lineno - 1, end


def _statement(node: ast.AST, number: int) -> tuple[int, int]:
    """Return the lines of the smallest statement without a body that has a line, or the line."""
    for child in ast.walk(node):
        if isinstance(child, ast.stmt) and not hasattr(child, "body"):
            end = child.end_lineno or child.lineno
            if child.lineno <= number <= end:
                return child.lineno, end
    return number, number


def _passages(
    node: Definition, lines: list[str], cited: dict[tuple[int, int], tuple[int, ...]]
) -> Iterator[Passage]:
    """Cut a definition into passages; what follows the summary of its docstring is left out."""
    is_function = isinstance(node, ast.FunctionDef)
    is_function = isinstance(node, ast.FunctionDef)
    first = min([getattr(node, "lineno", 1), *(start for start, _ in cited)])
    last = (node.end_lineno or first) if is_function else max(end for _, end in cited)
    hidden = range(0)
    if summary := _summary(node, lines):
        hidden = range(summary[1] + 1, (node.body[0].end_lineno or 0) + 1)
    starts = {start: (end, numbers) for (start, end), numbers in cited.items()}
    number = first
    while number <= last:
        end, numbers = starts.get(number, (number, ()))
        while not numbers and end < last and end + 1 not in starts and end + 1 not in hidden:
            end += 1
        code = "\n".join(lines[number - 1 : end])
        if code.strip():
            yield Passage(number, _closed(code), numbers)
        number = end + 1
        while number in hidden:
            number += 1


def _closed(code: str) -> str:
    """Return code whose docstring is cut off with its closing quotes."""
    return code + ' [...]"""' if code.count('"""') % 2 else code


def markdown(page: Page, known: dict[int, Equation], anchor: dict[int, str]) -> str:
    """Return the page; `anchor` gives the place of each equation's heading in the derivation."""
    up = "../" * page.document.count("/")
    name = page.module.rpartition("/")[2]
    text = [
        "---\nhide-toc: true\n---",
        f"# {page.module}.py",
        page.title,
        _INTRODUCTION.format(up=up),
    ]
    seen: set[int] = set()
    for part in page.parts:
        text.append(f"## {part.name}" if part.name else "## The module")
        rows = []
        for passage in part.passages:
            beside = []
            for number in passage.cited:
                equation = known[number]
                if number not in seen:
                    beside.append(f'```{{raw}} html\n<span id="equation-{number}"></span>\n```')
                    seen.add(number)
                if equation.tex:
                    beside.append(f"$$\n{equation.tex} \\qquad ({number})\n$$")
                heading = re.sub(r"^(\(\d+\)(, | to )?)+ *", "", equation.heading)
                where = f"{up}docs/derivation.md#{anchor[number]}"
                beside.append(f"[{'' if equation.tex else f'({number}) '}{heading}]({where})")
            head = f"```{{code-block}} python\n:lineno-start: {passage.first}\n"
            code = f"{head}:name: {name}-{passage.first}\n\n{dedented(passage.code, part)}\n```"
            kind = "cited" if beside else "plain"
            row = [f":::::{{div}} row {kind}"]
            if beside:
                row += ["::::{div} beside", *beside, "::::"]
            rows.append("\n\n".join([*row, code, ":::::"]))
        text.append("\n\n".join(["::::::{div} listing", *rows, "::::::"]))
    return "\n\n".join(text) + "\n"


def dedented(code: str, part: Part) -> str:
    """Return the code of a method four columns further left."""
    lines = [line for passage in part.passages for line in passage.code.splitlines()]
    if not all(line.startswith("    ") for line in lines if line.strip()):
        return code
    return "\n".join(line[4:] for line in code.splitlines())


_INTRODUCTION = """Each line that cites an equation stands beside it. A number leads to its place in
[the derivation]({up}docs/derivation.md), and the numbers there lead back."""
