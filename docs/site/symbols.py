"""Which entry of the glossary tells what a symbol in a formula means.

The site lets a reader open the glossary from any symbol: by a click on it in a formula, and by the
list of a page's symbols below its title.
"""

from __future__ import annotations

import json
import re
import string
import sys
import unicodedata
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

import markdown_pages

NAMED = {"circle": "∘", "nabla": "∇", "norm": "‖", "O": "𝒪", "h(r)": "h"}
ENTRIES = "adtwxyz"  # an entry is written small, and the table that it is of stands in the glossary

# Letters to which a page gives a meaning of its own, and says so
OWN = {
    "lbfgs": f"{string.ascii_letters.replace('J', '')}αηΛπ",
    "05": "eh",
    "06": "y",
    "07": "est",
    "10": "uv",
    "11": "y",
}


def symbols(glossary: str) -> dict[str, tuple[str, str]]:
    """Return the anchor and the meaning of each symbol that a formula shows.

    An entry such as "z of (58)" is not the usual meaning of its letter.
    """
    part = glossary.partition("\n## Symbols\n")[2].partition("\n## Words\n")[0]
    found: dict[str, tuple[str, str]] = {}
    for heading in re.findall(r"^### (.+: .+)$", part, re.MULTILINE):
        names, _, meaning = heading.partition(": ")
        (anchor,) = markdown_pages.anchors(f"### {heading}\n")
        for name in names.split(", "):
            found.setdefault(_shown(name), (anchor, meaning))
    for letter in ENTRIES:
        found.setdefault(letter, found[letter.upper()])
    found.setdefault("E", found["e"])
    return {sign: entry for sign, entry in found.items() if len(sign) == 1}


def _shown(name: str) -> str:
    """Return the character of a symbol that is written as its name, as lambda is."""
    size = "SMALL" if name.islower() else "CAPITAL"
    with suppress(KeyError):
        greek = {"lambda": "lamda"}.get(name.lower(), name)
        return unicodedata.lookup(f"GREEK {size} LETTER {greek.upper()}")
    return NAMED.get(name, name)


def script(glossary: str) -> str:
    """Return the script that tells a page what its symbols are."""
    known = {"SYMBOLS": symbols(glossary), "OWN": OWN}
    return "".join(
        f"window.{name} = {json.dumps(value, ensure_ascii=False)};\n"
        for name, value in known.items()
    )
