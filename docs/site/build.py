"""Build the site: every page of the project, to be read in a browser without a network.

    python -m pip install -e '.[docs]'        (Python 3.11 or later)
    (cd docs/site && npm ci)                  (Node 18 or later)
    python docs/site/build.py

writes docs/site/_build/html, which any web server serves, and which opens from a folder or a USB
stick as it is. A warning is an error: a link that leads nowhere, a formula that cannot be set, a
page that no list names. Nothing is fetched.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import annotated
import api
import notebooks

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CARD = re.compile(r"^:::\{grid-item-card\}.*\n:link: (.*)\n(?:.*\n)*?:::\n", re.MULTILINE)

MOST_BYTES = 8_000_000
# Files to read, in color; colors make the page of any other three times as long.
LESSONS = {Path("docs/autorec_in_one_file.py"), Path("docs/example_service.py")}
COPIED = ("explorable", "lessons/slides.html")  # pages that are no Markdown: they open as they are

# caption: the pages below it, in this order; a pattern may match nothing
CONTENTS: dict[str, list[str]] = {
    "Learn": [
        "docs/lessons/index",
        "docs/tour",
        "docs/derivation",
        "annotated/index",
        "docs/lbfgs",
        "docs/notation",
        "docs/glossary",
    ],
    "Use": [
        "Install and begin </README>",
        "docs/gradient_checking",
        "docs/embedding",
        "docs/choosing",
        "docs/measuring_lists",
        "docs/data",
        "docs/coming_from",
        "docs/service",
        "docs/model_file",
        "docs/store",
        "api/index",
    ],
    "Why it is as it is": [
        "docs/design",
        "docs/decisions",
        "docs/defaults",
        "docs/performance",
        "benchmarks/README",
    ],
    "The project": ["CONTRIBUTING", "CHANGELOG", "docs/package"],
    "한국어": ["docs/ko/index", "docs/ko/**/*"],
    "More": ["docs/**/*"],
}
BELOW = {"benchmarks/README": "benchmarks/results/*", "docs/lessons/index": "docs/lessons/*"}


def arrange(source: Path) -> list[str]:
    """Lay out what Sphinx reads, in the folders of the repository; return what is copied as is."""
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "CITATION.cff"):
        shutil.copy(ROOT / name, source / name)
    ignored = shutil.ignore_patterns("site", "explorable", "__pycache__")
    shutil.copytree(ROOT / "docs", source / "docs", ignore=ignored)
    (source / "benchmarks" / "results").mkdir(parents=True)
    for page in [ROOT / "benchmarks" / "README.md", *ROOT.glob("benchmarks/results/*.md")]:
        shutil.copy(page, source / page.relative_to(ROOT))
    for picture in ROOT.glob("benchmarks/results/*.png"):
        shutil.copy(picture, source / picture.relative_to(ROOT))
    show_sources(source)
    show_annotated(source)
    show_interface(source)
    return [name for name in COPIED if (ROOT / "docs" / name).exists()]


def show_sources(source: Path) -> None:
    """Write a page for every Python file that a page links to."""
    for page in list(source.rglob("*.md")):
        for link in notebooks.markdown_pages.links(page.read_text(encoding="utf-8")):
            target = (ROOT / page.relative_to(source).parent / link.partition("#")[0]).resolve()
            if target.suffix != ".py" or not target.is_file():
                continue
            name = target.relative_to(ROOT)
            shown = source / f"{name}.md"
            shown.parent.mkdir(parents=True, exist_ok=True)
            code = target.read_text(encoding="utf-8")
            kind = "python" if name.parts[0] == "autorec_np" or name in LESSONS else "text"
            text = f"# {name.name}\n\nThe file `{name}`, as it is.\n\n````{kind}\n{code}````\n"
            shown.write_text(f"---\norphan: true\n---\n\n{text}", encoding="utf-8")


def show_annotated(source: Path) -> None:
    """Write the annotated code, and the list of its pages."""
    derivation = (ROOT / "docs" / "derivation.md").read_text(encoding="utf-8")
    known = annotated.equations(derivation)
    anchors = {number: anchor_of(equation.heading) for number, equation in known.items()}
    pages = annotated.pages(ROOT / "autorec_np", known)
    for page in pages:
        path = source / f"{page.document}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(annotated.markdown(page, known, anchors), encoding="utf-8")
    core = [page for page in pages if page.module.startswith("core/")]
    others = [page for page in pages if page not in core]
    text = [
        "# The annotated code",
        "Each equation of [the derivation](../docs/derivation.md) beside the line that computes "
        "it. These pages are made from the code and the derivation, and have no text of their own.",
        "## The core, in the order to read",
        *_list_of(core),
        "## The other floors",
        *_list_of(others),
        toctree("", [page.document.removeprefix("annotated/") for page in pages]),
    ]
    (source / "annotated" / "index.md").write_text("\n\n".join(text) + "\n", encoding="utf-8")


def _list_of(pages: list[annotated.Page]) -> list[str]:
    rows = ["| file | equations |", "|---|---|"]
    for page in pages:
        numbers = ", ".join(f"({number})" for number in sorted(page.cited()))
        rows.append(f"| [`{page.module}.py`]({page.module}.md) | {numbers} |")
    return ["\n".join(rows)]


def anchor_of(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    (anchor,) = notebooks.markdown_pages.anchors(f"## {heading}\n")
    return anchor


def show_interface(source: Path) -> None:
    """Write the pages of the interface, and their list."""
    (source / "api").mkdir()
    texts = api.pages()
    for name, text in texts.items():
        (source / f"{name}.rst").write_text(text, encoding="utf-8")
    rows = ["| page | names |", "|---|---|"]
    for name, (title, module, folders) in api.PAGES.items():
        names = ", ".join(f"`{one}`" for one in api.names_of(module, folders))
        rows.append(f"| [{title}]({name}.rst) | {names} |")
    text = ["# The interface", "Every public name, from its docstring.", "\n".join(rows)]
    text.append(toctree("", list(api.PAGES)))
    (source / "api" / "index.md").write_text("\n\n".join(text) + "\n", encoding="utf-8")


def toctree(caption: str, names: list[str]) -> str:
    """Return a hidden list of pages."""
    head = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["```{toctree}", *head, "", *names, "```"])


def list_contents(source: Path) -> None:
    """Write the first page: cards for what is there, and the list of all pages."""
    text = (HERE / "index.md").read_text(encoding="utf-8")

    def if_there(card: re.Match[str]) -> str:
        link = card[1]
        there = [source / f"{link}.md", ROOT / link if link.endswith(".html") else HERE / "none"]
        return card[0] if any(path.exists() for path in there) else ""

    text = CARD.sub(if_there, text)
    listed: set[str] = {"index"}
    for parent, pattern in BELOW.items():
        if (source / f"{parent}.md").exists():
            names = matching(source, pattern, listed | {parent})
            listed |= set(names)
            with (source / f"{parent}.md").open("a", encoding="utf-8") as file:
                file.write("\n" + toctree("", [f"/{name}" for name in names]) + "\n")
    trees = []
    for caption, patterns in CONTENTS.items():
        names = []
        for pattern in patterns:
            names += matching(source, pattern, listed)
            listed |= set(names)
        if names:
            trees.append(toctree(caption, names))
    (source / "index.md").write_text("\n\n".join([text.rstrip(), *trees, ""]), encoding="utf-8")


def matching(source: Path, pattern: str, listed: set[str]) -> list[str]:
    """Return the names of the pages that match a pattern and are not listed yet.

    An entry with a title of its own, "Title </name>", is one page.
    """
    if titled := re.fullmatch(r".+ </(.+)>", pattern):
        return [pattern] if (source / f"{titled[1]}.md").exists() else []
    found = sorted(source.glob(f"{pattern}.md"))
    names = [path.relative_to(source).with_suffix("").as_posix() for path in found]
    return [name for name in names if name not in listed and not name.endswith(".py")]


def build(target: Path) -> None:
    """Build the site into a folder, which is replaced.

    Raises
    ------
    SystemExit
        If something is missing, Sphinx warns, or the site is too large.
    """
    if shutil.which("node") is None or not (HERE / "node_modules" / "temml").is_dir():
        sys.exit(
            "The formulas need Node and temml: install Node 18, then (cd docs/site && npm ci)."
        )
    source = target.parent / "source"
    for folder in (source, target, target.parent / "doctrees"):
        shutil.rmtree(folder, ignore_errors=True)
    source.mkdir(parents=True)
    copied = arrange(source)
    list_contents(source)
    extra = target.parent / "extra"
    shutil.rmtree(extra, ignore_errors=True)
    pages = notebooks.write_all(ROOT / "docs", extra / "notebooks")
    for name in copied:
        place = extra / "docs" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / "docs" / name).is_dir() else shutil.copy
        copy(ROOT / "docs" / name, place)
    command = [
        *(sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"),
        *("-b", "html", "-c", str(HERE), "-d", str(target.parent / "doctrees")),
        *("-D", f"html_extra_path={extra}"),
        *("-D", f"notebooks={','.join(pages)}", "-D", f"copied={','.join(copied)}"),
        *(str(source), str(target)),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, check=False)
    if ended.returncode:
        sys.exit("The site was not built; the warnings above say why.")
    left = [target / ".buildinfo", target / "objects.inv", *target.rglob("*.map")]
    for path in left:  # maps are of the style's source, for its authors
        path.unlink(missing_ok=True)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    if size > MOST_BYTES:
        sys.exit(f"The site has {size:,} bytes, and {MOST_BYTES:,} is the most that it may have.")
    print(f"{target / 'index.html'}: {size:,} bytes")


def main() -> None:
    """Build into the folder that the command line names."""
    parser = argparse.ArgumentParser(description="Build the site.")
    parser.add_argument("--to", type=Path, default=HERE / "_build" / "html", metavar="FOLDER")
    start = time.perf_counter()
    build(parser.parse_args().to.resolve())
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
