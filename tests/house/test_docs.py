"""The Python snippets of the README and of each page in docs/ run, in order, in one namespace."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
QUOTATION = re.compile(r"^```py\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SOURCE = re.compile(r"# ([a-z_]+\.py)\b")
LINK = re.compile(r"\[[^\]]*\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def snippets(page: Path) -> list[tuple[int, str]]:
    """Return (line of the file on which the code begins, code) for each block."""
    text = page.read_text(encoding="utf-8")
    return [(text.count("\n", 0, found.start(1)), found[1]) for found in SNIPPET.finditer(text)]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if snippets(page)], ids=lambda page: page.name
)
def test_snippets_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOREC_NP_DATA", str(tmp_path))
    namespace = {"__name__": "__main__"}
    for line, code in snippets(page):
        # blank lines before the code make line numbers in a traceback those of the page
        exec(compile("\n" * line + code, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_derivation_quotes_the_code_as_it_is():
    text = (ROOT / "docs" / "derivation.md").read_text(encoding="utf-8")
    stale, n_lines = [], 0
    for quotation in QUOTATION.findall(text):
        lines: list[str] = []
        for line in filter(None, map(str.strip, quotation.splitlines())):
            if found := SOURCE.match(line):
                code = (ROOT / "autorec_np" / found[1]).read_text(encoding="utf-8")
                lines = [one.strip() for one in code.splitlines()]
                continue
            n_lines += 1
            if line not in lines and not any(one.startswith(f"{line}  # ") for one in lines):
                stale.append(line)
    assert n_lines > 40
    assert stale == []
