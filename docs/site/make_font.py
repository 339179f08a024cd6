"""Make the font of the formulas: the part of Latin Modern Math that these pages may use.

    python docs/site/make_font.py

reads the font from Debian's package fonts-lmodern and writes static/autorec-math.woff2 beside its
licence. A build stops where a formula has a character that the font lacks: add the character to
CHARACTERS, if Latin Modern Math has it, and run this again.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

SOURCE = Path("/usr/share/texmf/fonts/opentype/public/lm-math/latinmodern-math.otf")
LICENCE = Path("/usr/share/texmf/doc/fonts/lm-math/GUST-FONT-LICENSE.txt")
FOLDER = Path(__file__).resolve().parent / "static"
FONT = FOLDER / "autorec-math.woff2"
NAME = "Autorec Math"  # the licence asks that what is derived has a name of its own

ITALIC_H = 0x210E  # Unicode has the italic h among the letters that it had before
CHARACTERS = {
    *range(0x20, 0x7F),
    *(0xA0, 0xAC, 0xAF, 0xB1, 0xB4, 0xB7, 0xD7, 0xF7),
    *(0x2C6, 0x2C7, 0x2D8, 0x2D9, 0x2DC, *range(0x300, 0x310), 0x338),  # accents
    *range(0x391, 0x3CA),  # Greek
    *(0x3D1, 0x3D5, 0x3D6, 0x3F1, 0x3F5),
    *(0x2013, 0x2014, 0x2016, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2026),
    *range(0x2032, 0x2035),
    *range(0x2061, 0x2065),  # signs that show nothing: function application and the like
    *(0x20D7, 0x20DB, 0x2102, ITALIC_H, 0x210F, 0x2113, 0x2115, 0x211A, 0x211D, 0x2124, 0x2207),
    *(0x212C, 0x2130, 0x2131, 0x210B, 0x2110, 0x2112, 0x2133, 0x211B),  # script letters
    *range(0x2190, 0x2196),
    *range(0x21D0, 0x21D6),
    *(0x21A6, 0x27F5, 0x27F6, 0x27F7, 0x27F8, 0x27F9, 0x27FA),
    *range(0x2200, 0x2228),
    *range(0x2228, 0x2238),
    *(0x223C, 0x2243, 0x2245, 0x2248, 0x2254, 0x2260, 0x2261, 0x2264, 0x2265, 0x226A, 0x226B),
    *(0x2282, 0x2283, 0x2286, 0x2287, 0x2295, 0x2297, 0x2299, 0x22A4, 0x22A5, 0x22C5, 0x22C6),
    *(0x22EE, 0x22EF, 0x22F1, 0x2308, 0x2309, 0x230A, 0x230B, 0x23DE, 0x23DF, 0x25A1, 0x25EF),
    *(0x27E8, 0x27E9, 0x220E),
    *range(0x1D400, 0x1D434),  # bold
    *range(0x1D434, 0x1D468),  # italic, without the h
    *range(0x1D49C, 0x1D4B6),  # script capitals
    *range(0x1D538, 0x1D552),  # double-struck capitals
    *range(0x1D6C1, 0x1D6DB),  # bold Greek
    *range(0x1D6E2, 0x1D71C),  # italic Greek
    *range(0x1D7CE, 0x1D7E2),  # bold and double-struck digits
}


def make(source: Path, target: Path) -> None:
    """Write the part of a font that holds CHARACTERS, with all that mathematics needs of them."""
    font = TTFont(source, recalcTimestamp=False)
    features = ["ssty", "dtls", "flac"]  # of scripts, dotless letters and flat accents
    options = Options(layout_features=features, hinting=False, notdef_outline=True)
    options.drop_tables += ["FFTM"]
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=CHARACTERS)
    subsetter.subset(font)
    lower_primes(font)
    for record in font["name"].names:
        if record.nameID in (1, 3, 4, 16):
            record.string = NAME
        elif record.nameID == 6:
            record.string = NAME.replace(" ", "")
    font["CFF "].cff.fontNames[0] = NAME.replace(" ", "")
    font.flavor = "woff2"
    font.save(target)


def lower_primes(font: TTFont) -> None:
    """Give primes the glyphs that are made for superscripts, which not every browser looks for."""
    table = font["GSUB"].table
    (number,) = {
        index
        for record in table.FeatureList.FeatureRecord
        if record.FeatureTag == "ssty"
        for index in record.Feature.LookupListIndex
    }
    (lookup,) = table.LookupList.Lookup[number].SubTable
    for cmap in font["cmap"].tables:
        for code in range(0x2032, 0x2035):
            if (glyph := cmap.cmap.get(code)) in lookup.alternates:
                cmap.cmap[code] = lookup.alternates[glyph][0]


if __name__ == "__main__":
    make(SOURCE, FONT)
    shutil.copy(LICENCE, FOLDER / LICENCE.name)
    print(FONT, FONT.stat().st_size, "bytes")
