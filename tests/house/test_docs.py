"""The pages are true: snippets run and print what is shown, and what is named exists.

Every page is read: README.md, CHANGELOG.md, CONTRIBUTING.md, benchmarks/README.md with its results,
docs/*.md, docs/lessons/*.md, and the Korean pages below docs/ko.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import json
import os
import re
import runpy
import sys
from pathlib import Path

import markdown_pages as pages
import numpy as np
import pandas as pd
import pytest
from changed_records import with_record
from markdown_pages import PAGES, ROOT, name_of, read

from autorec_np import (
    EASE,
    LLORMA,
    AutoRec,
    BiasBaseline,
    BiasedMF,
    Blend,
    GlobalMean,
    ItemKNN,
    RatingRBM,
    fetch_movielens,
    rmse,
    save_model,
    store_ratings,
)
from autorec_np.data import as_ratings
from autorec_np.lessons.course import NAMES, file_name
from autorec_np.models.ranking_autorec import EPOCHS, RankingAutoRec
from autorec_np.models.scoring import Implicit

sys.path.insert(0, str(ROOT / "docs" / "site"))
import notebooks

sys.path.pop(0)

QUOTATION = re.compile(r"^```py\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SOURCE = re.compile(r"# ([a-z_/]+\.py)\b")
DOTTED = re.compile(r"\bautorec_np(?:\.\w+)+")
PATH = re.compile(r"[\w./-]+\.(?:py|md|toml|cfg|cff|png)|(?:\w[\w.-]*/)+")
ROW = re.compile(r"^\| (.+?) \|$", re.MULTILINE)

ACCURACY = ROOT / "benchmarks" / "results" / "accuracy.md"
LESSON = ("activations", "kernels", "parameters", "network", "objective", "optimizers")
# what snippets and commands write or read in the reader's own folder
READERS_OWN = {"loss.py", "errors.png", "taylor.png", "test_gradient.py", "/"}
READERS_OWN |= {file_name(number) for number in NAMES}

every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def rows_of(page: Path, first: str) -> list[list[str]]:
    """Return the cells of the body of the table whose header begins with a cell."""
    table = read(page).partition(f"\n| {first} |")[2].partition("\n\n")[0]
    return [re.split(r"(?<!\\) \| ", row) for row in ROW.findall(table)]


# Code


# The last digits of a training are another's where sums are taken in another order; the pages show
# what the present major version of NumPy prints.
PRINTED_HERE = int(np.__version__.split(".")[0]) >= 2


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    """The files that the site offers as notebooks, below the folder that is returned."""
    folder = tmp_path_factory.mktemp("notebooks")
    notebooks.write_all(ROOT / "docs", folder)
    return folder


def code_of(page, downloads):
    """Return what is run of a page: the first line, the code, and what is shown below it.

    Where a page has a notebook, code and output are those in the notebook's file.
    """
    found = [
        (block.line, block.code, shown.code if shown else None)
        for block, shown in pages.snippets(read(page))
    ]
    if not page.is_relative_to(ROOT / "docs"):
        return found
    path = (downloads / page.relative_to(ROOT / "docs")).with_suffix(".ipynb")
    cells = [cell for cell in json.loads(read(path))["cells"] if cell["cell_type"] == "code"]
    printed = ["".join(cell["outputs"][0]["text"]) if cell["outputs"] else None for cell in cells]
    return [
        (line, "".join(cell["source"]), shown)
        for (line, _, _), cell, shown in zip(found, cells, printed, strict=True)
    ]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if pages.snippets(read(page))], ids=name_of
)
def test_snippets_run_and_print_what_the_page_shows(page, downloads, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("AUTOREC_NP_DATA", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    namespace, stale = {"__name__": "__main__"}, []
    for line, code, shown in code_of(page, downloads):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            # blank lines before the code make line numbers in a traceback those of the page
            exec(compile("\n" * line + code, str(page), "exec"), namespace)
        if not PRINTED_HERE or shown is None:
            continue
        if found := pages.difference(shown, printed.getvalue()):
            stale.append(f"{name_of(page)}, below line {line + 1}:\n{found}")
    assert not stale, "\n\n".join(stale)


@pytest.mark.parametrize(("page", "least"), [("derivation", 40), ("lbfgs", 12)])
def test_the_derivation_quotes_the_code_as_it_is(page, least):
    stale, n_lines = [], 0
    for quotation in QUOTATION.findall(read(ROOT / "docs" / f"{page}.md")):
        lines: list[str] = []
        for line in filter(None, map(str.strip, quotation.splitlines())):
            if found := SOURCE.match(line):
                # a bare name is that of a room, in the lesson if it has one of the name
                house = ROOT / "autorec_np"
                path = house / ("" if "/" in found[1] else "core") / found[1]
                if not path.exists():
                    (path,) = house.glob(f"*/{found[1]}")
                lines = [one.strip() for one in read(path).splitlines()]
                continue
            n_lines += 1
            if line not in lines and not any(one.startswith(f"{line}  # ") for one in lines):
                stale.append(line)
    assert n_lines >= least
    assert not stale, "\n".join(stale)


SHOWN = "RMSE of item 7: 0.831 (12,000 ratings, best [0.9  -0. 2e-16])\n"


@pytest.mark.parametrize(
    "printed",
    [
        SHOWN,
        SHOWN.replace("0.831", "0.832").replace("12,000", "12,100"),
        SHOWN.replace("[0.9  -0. 2e-16]", "[ 0.95 0.  0e+00]"),
    ],
)
def test_outputs_that_differ_by_rounding_agree(printed):
    assert pages.difference(SHOWN, printed) is None


@pytest.mark.parametrize(
    "printed",
    [
        SHOWN.replace("0.831", "0.841"),
        SHOWN.replace("12,000", "12,200"),
        SHOWN.replace("item 7", "item 8"),
        SHOWN.replace("item", "user"),
        SHOWN.replace("2e-16", "2e-06"),
        SHOWN.replace("ratings, ", ""),
        SHOWN + "and another line\n",
        "",
    ],
)
def test_outputs_that_differ_are_found(printed):
    assert pages.difference(SHOWN, printed) is not None


def test_an_output_belongs_to_the_snippet_right_above_it():
    page = "```python\na\n```\n\n```text\n1\n```\n\n```python\nb\n```\n\nSo:\n\n```text\n2\n```\n"
    (first, shown), (second, nothing) = pages.snippets(page)
    assert (first.code, first.line, shown.code) == ("a\n", 1, "1\n")
    assert (second.code, nothing) == ("b\n", None)


# Names and links


@every_page
def test_links_lead_somewhere(page):
    missing = []
    for link in pages.links(read(page)):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists():
            missing.append(f"{link}: no such file")
        elif anchor and target.suffix == ".md" and anchor not in pages.anchors(read(target)):
            missing.append(f"{link}: {name_of(target.resolve())} has no such heading")
    assert not missing, "\n".join(missing)


def test_a_planted_link_is_found():
    page = "# One & two\n\n## One\n\n# One\n\n[a](b.md#c) ![d](e.png) `[f](g.md)`\n"
    assert pages.links(page) == ["b.md#c", "e.png"]
    assert pages.anchors(page) == {"one--two", "one", "one-1"}


def test_the_readme_leads_to_every_page():
    lists = {"benchmarks/README.md", "docs/ko/index.md", "docs/lessons/index.md"}
    linked = {link.partition("#")[0] for link in pages.links(read(ROOT / "README.md"))}
    assert lists - linked == set()
    for name in lists:
        folder = Path(name).parent.as_posix()
        linked |= {f"{folder}/{link.partition('#')[0]}" for link in pages.links(read(ROOT / name))}
    names = {name_of(page) for page in PAGES} - {"README.md", "docs/package.md"}
    assert names - linked == set()


@every_page
def test_files_that_are_named_exist(page):
    below = [ROOT, page.parent, ROOT / "autorec_np", ROOT / "tests"]
    files = {path.name for folder in below[:1] for path in folder.rglob("*") if path.is_file()}
    missing = []
    for span in pages.code_spans(without_old_paths(read(page))):
        name = span.partition(":")[0]
        if not PATH.fullmatch(name) or name in READERS_OWN:
            continue
        if not (name in files or any((folder / name).exists() for folder in below)):
            missing.append(span)
    assert not missing, "\n".join(missing)


@every_page
def test_modules_that_are_named_exist(page):
    missing = [
        name for name in set(DOTTED.findall(without_old_paths(read(page)))) if not resolves(name)
    ]
    assert not missing, "\n".join(missing)


def resolves(name: str) -> bool:
    """Return whether a dotted name is a module, or an attribute of one."""
    parts = name.split(".")
    for n_parts in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:n_parts]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[n_parts:]:
            value = getattr(value, attribute, None)
        return value is not None
    return False


def without_old_paths(text: str) -> str:
    """Return a page without the first column of the changelog's table of moved modules."""
    return re.sub(r"^\| `[\w.]+`[^|]* \|(?= `autorec_np)", "|", text, flags=re.MULTILINE)


def test_a_planted_name_is_found():
    assert resolves("autorec_np.core.network.Network.forward")
    assert not resolves("autorec_np.core.network.Networks")
    assert not resolves("autorec_np.core.networks")


def test_the_changelog_lists_old_and_new_paths():
    rows = rows_of(ROOT / "CHANGELOG.md", "Before")
    assert len(rows) >= 39
    for old, new in rows:
        name = re.match(r"`([\w.]+)`", old)[1]
        assert not resolves(name), f"{name} has moved, but the old path is still there"
        assert all(resolves(name) for name in DOTTED.findall(new)), new


# Budgets and style


def test_the_readme_is_short():
    assert len(read(ROOT / "README.md").splitlines()) <= 150


def test_the_design_is_short():
    assert len(read(ROOT / "docs" / "design.md").splitlines()) <= 100


def test_the_readme_says_how_long_the_lesson_is():
    """Where a count differs, copy the rows of the message into the table of README.md."""
    counts = {
        name: len(read(ROOT / "autorec_np" / "core" / f"{name}.py").splitlines()) for name in LESSON
    }
    shown = [row[:2] for row in rows_of(ROOT / "README.md", "file")]
    right = [[f"`{name}.py`", str(count)] for name, count in counts.items()]
    total = f"{sum(counts.values()):,} lines"
    assert shown == right, "\n".join(f"| {name} | {count} |" for name, count in right)
    assert total in read(ROOT / "README.md")


@every_page
def test_lines_are_short(page):
    """Tables, lines that end in a link, and what code prints may be longer."""
    text = read(page)
    printed = {
        block.line + number
        for block in pages.blocks(text)
        if block.language == "text"
        for number in range(block.code.count("\n"))
    }
    long = [
        f"line {number + 1}: {len(line)} characters"
        for number, line in enumerate(text.splitlines())
        if len(line) > 100
        and not line.startswith("|")
        and not re.search(r"\]\([^)]+\)[.,;:)]*$", line)
        and number not in printed
    ]
    assert not long, "\n".join(long)


@every_page
def test_decimals_have_their_zero(page):
    text = pages.prose(read(page))
    found = [line for line in text.splitlines() if re.search(r"(?<![\w.])\.\d", line)]
    assert not found, "\n".join(found)


@every_page
def test_formulas_survive_markdown(page):
    broken = pages.broken_formulas(read(page))
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("formula", "fault"),
    [
        (r"$\{1\}$", "a backslash before punctuation"),
        (r"$a\,b$", "a backslash before punctuation"),
        (r"$$ A \\ B $$", "a backslash before punctuation"),
        (r"$\lVert W \rVert_F^2$ and $\rVert_F^2$ again, $X_{a}$ and $(a)_b c_{d}$", "changed"),
        ("$$\na\n+ b\n$$", "a dollar without its other"),
        ("$a<b>c$", "changed by Markdown"),
        ("it costs 5$ a month", "a dollar without its other"),
        ("$ a$ and a 2$b$", "not read as a formula"),
    ],
)
def test_a_planted_formula_is_found(formula, fault):
    assert any(found.startswith(fault) for found in pages.broken_formulas(formula + "\n"))


def test_formulas_that_survive_pass():
    page = "| $a_{b}$ | `$HOME` |\n|---|---|\n\nand $x^T y$\n\n$$\nA = \\lVert B \\rVert\n$$\n"
    assert pages.broken_formulas(page) == []


# Pages that list something


def test_the_readme_shows_the_figures_of_the_benchmarks():
    means, shown = (
        {
            re.sub(r"\*\*| \(`.*", "", row[0]): row[column].strip("*")
            for row in rows_of(page, "model")
        }
        for page, column in ((ACCURACY, 4), (ROOT / "README.md", 1))
    )
    assert len(means) == 8
    assert {name: shown.get(name) for name in means} == means


@pytest.mark.data
@pytest.mark.parametrize(
    ("row", "heading", "label"),
    [
        ("ml-latest-small-bias", "## ml-latest-small", "biases"),
        ("ml-1m-bias", "## ML-1M", "biases"),
        pytest.param(
            *("ml-latest-small-defaults", "## ml-latest-small", "I-AutoRec, defaults"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("ml-1m-defaults-item", "## ML-1M", "I-AutoRec, defaults"), marks=pytest.mark.slow
        ),
    ],
)
def test_the_table_of_accuracy_is_what_a_fit_gives(row, heading, label, monkeypatch, request):
    if request.node.get_closest_marker("slow") and "AUTOREC_NP_SLOW" not in os.environ:
        pytest.skip("set AUTOREC_NP_SLOW to run it")
    monkeypatch.syspath_prepend(str(ROOT))
    accuracy = importlib.import_module("benchmarks.accuracy")
    (case,) = (one for one in accuracy.ROWS if one.name == row)
    try:
        fetch_movielens(case.data, download_if_missing=False)
    except FileNotFoundError:
        pytest.skip(f"needs {case.data} in $AUTOREC_NP_DATA or the per-user cache")
    section = read(ACCURACY).partition(heading)[2]
    shown = re.search(rf"^\| {label} \| (0\.\d+)", section, re.MULTILINE)[1]
    _, train, test = next(accuracy.splits_of(case))
    users, items, ratings = test.triples()
    error = rmse(ratings, case.model.fit(train).predict(users, items))
    assert error == pytest.approx(float(shown), abs=2e-4)  # threads of BLAS round differently


@pytest.mark.parametrize("script", sorted((ROOT / "docs").glob("*.py")), ids=name_of)
def test_the_scripts_of_the_pages_find_what_they_import(script, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(script.parent)  # as `python docs/script.py` does
    runpy.run_path(str(script))


def test_the_design_draws_every_room():
    """Where it fails, draw the room in the first picture of docs/design.md."""
    picture = pages.blocks(read(ROOT / "docs" / "design.md"))[0]
    floor, drawn = "", {}
    for line in picture.code.replace("|", "").splitlines():
        floor = line[3:16].strip() or floor
        drawn.setdefault(floor, set()).update(line[16:].split())
    rooms = {}
    for path in (ROOT / "autorec_np").rglob("*.py"):
        floor = path.parent.name if path.parent.name != "autorec_np" else "on top"
        if not path.stem.startswith("__"):
            rooms.setdefault(floor, set()).add(path.stem)
    assert drawn == rooms


def gaps(decision):
    """Return what is missing below the heading of a decision."""
    heading, _, text = decision.partition("\n")
    parts = {part: f"* **{part}:** " in text for part in ("Choice", "Command", "Date")}
    parts["figures or why"] = bool(re.search(r"^\* \*\*(Figures|Why):\*\* |^\|", text, re.M))
    parts["question"] = heading.endswith("?")
    return [part for part, is_there in parts.items() if not is_there]


def test_every_decision_has_its_parts():
    _, *decisions = re.split(r"^#{2,3} (?=.*\?$)", read(ROOT / "docs" / "decisions.md"), flags=re.M)
    assert len(decisions) == read(ROOT / "docs" / "decisions.md").count("\n### ")
    assert {one.partition("\n")[0]: gaps(one) for one in decisions if gaps(one)} == {}


def test_a_decision_without_its_parts_is_found():
    whole = "Why?\n\n* **Choice:** so.\n* **Why:** it is.\n* **Command:** none\n* **Date:** today\n"
    assert gaps(whole) == []
    assert gaps(whole.replace("* **Why:** it is.", "| a | b |")) == []
    for part in ("Choice", "Command", "Date"):
        assert gaps(whole.replace(f"* **{part}:** ", "")) == [part]
    assert gaps(whole.replace("* **Why:**", "")) == ["figures or why"]
    assert gaps(whole.replace("?", "")) == ["question"]


def test_every_default_has_its_reason():
    """Where a default differs, docs/defaults.md needs its new value, and the new reason."""
    parameters = inspect.signature(AutoRec).parameters.values()
    shown = {row[0]: row[1] for row in rows_of(ROOT / "docs" / "defaults.md", "parameter")}
    assert shown == {f"`{one.name}`": f"`{one.default!r}`" for one in parameters}


def test_every_default_of_lists_that_is_another_has_its_reason():
    page = ROOT / "docs" / "defaults.md"
    usual = inspect.signature(AutoRec).parameters
    parameters = inspect.signature(RankingAutoRec).parameters.values()
    right = {f"`{one.name}`": f"`{one.default!r}`" for one in parameters}
    shown = {row[0]: row[1] for row in rows_of(page, "parameter of `RankingAutoRec`")}
    another = {
        f"`{one.name}`"
        for one in parameters
        if one.name not in usual or usual[one.name].default != one.default
    }
    assert another - set(shown) == set()
    assert shown == {name: right[name] for name in shown}
    assert f'| `max_iter` | `None` | {EPOCHS} for "adam"' in read(page)
    assert f'None: {EPOCHS} for "adam"' in inspect.getdoc(RankingAutoRec)


def test_the_page_lists_every_file_of_stored_ratings(tmp_path):
    users, items = np.divmod(np.arange(40), 8)
    told_of = {axis: pd.DataFrame({"f": range(n)}) for axis, n in (("users", 5), ("items", 8))}
    numbers = as_ratings((users, items, items + 1.0)).with_features(**told_of)
    files, keys = set(), set()
    for ratings in (numbers, (users.astype(str), items.astype(str), items + 1.0, items)):
        store_ratings(ratings, tmp_path / "stored", overwrite=True)
        files |= {path.name for path in (tmp_path / "stored").iterdir()}
        keys |= json.loads((tmp_path / "stored" / "manifest.json").read_text()).keys()
    page = ROOT / "docs" / "store.md"
    assert {row[0].strip("`") for row in rows_of(page, "file")} == files
    assert {row[0].strip("`") for row in rows_of(page, "key")} == keys


def test_the_page_lists_every_member_of_a_model_file(tmp_path):
    users, items = np.divmod(np.arange(40), 8)
    values, times = (users + items) % 5 + 1.0, np.arange(40)
    strings = as_ratings((users.astype(str), (items * 10).astype(str), values, times))
    numbers = as_ratings((users, items, values))
    network = AutoRec(hidden_layer_sizes=(2,), max_iter=1, early_stopping=True, random_state=0)
    members, keys = set(), set()
    blend = Blend([("network", network)]).fit(strings)
    told = with_record(network.fit(strings), implicit=Implicit(np.ones((8, 1)), np.ones((5, 1))))
    told_of = {axis: pd.DataFrame({"f": range(n)}) for axis, n in (("users", 5), ("items", 8))}
    calibrated = BiasBaseline().fit(numbers.with_features(**told_of)).calibrate()
    factors = BiasedMF(n_factors=2, max_iter=1, random_state=0).fit(numbers)
    machine = RatingRBM(n_hidden=2, max_iter=1, random_state=0).fit(numbers)
    local = LLORMA(n_models=2, n_factors=2, max_iter=1, random_state=0).fit(numbers)
    ranking = RankingAutoRec(hidden_layer_sizes=(2,), max_iter=1, random_state=0)
    lists = [model.fit(numbers) for model in (ItemKNN(), EASE(), ranking)]
    mean = GlobalMean().fit(numbers)
    for model in (told, calibrated, mean, blend, factors, machine, local, *lists):
        path = tmp_path / "model.npz"
        save_model(model, path)
        with np.load(path) as archive:
            members |= {re.sub(r"members\.\d+\..+", "members.K.NAME", name) for name in archive}
            header = json.loads(archive["header"].tobytes())
        keys |= {*header, *header["state"], *header["state"].get("autorec", ())}
        keys |= {*header["state"].get("blend", ())}
    page = ROOT / "docs" / "model_file.md"
    assert {row[0].strip("`") for row in rows_of(page, "member")} == members
    tables = ("key", "key of `state`", "key of `autorec`", "key of `blend`")
    rows = [row for first in tables for row in rows_of(page, first)]
    assert {name for row in rows for name in re.findall(r"\w+", row[0])} == keys
