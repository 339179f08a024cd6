"""The report: one valid, accessible page that loads nothing, with the right numbers."""

from __future__ import annotations

import re
import sys
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest

from autorec_np.cli import entry as cli
from autorec_np.data.metrics import mae, rmse
from autorec_np.data.ratings import Ratings
from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import NotFittedError
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.reports import html as html_room
from autorec_np.reports.html import COLORS, STYLE
from autorec_np.reports.page import html_report
from autorec_np.serving.model_file import save_model

matplotlib = pytest.importorskip("matplotlib", reason="needs matplotlib")

VOID = {"meta", "br", "link", "img", "input", "hr"}
NASTY = [
    "<script>alert(1)</script>",
    "\"><img src='x' onerror=alert(2)>",
    "$\\frac{1$ &amp; fill: #0072b2",
    "千と千尋\ud800 \0\n two lines",
    "<!-- --> ]]> </svg></style>",
]


class Page(HTMLParser):
    """Elements of a page as (tag, attributes, enclosing tags), and its text by element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements, self.open, self.faults = [], [], []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), tuple(self.open)))
        if len({name for name, _ in attributes}) < len(attributes):
            self.faults.append(f"<{tag}> has an attribute twice")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), tuple(self.open)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes nothing")

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def all(self, tag):
        return [attributes for name, attributes, _ in self.elements if name == tag]

    def text(self, tag):
        return [data for name, data in self.texts if name == tag]


@pytest.fixture(scope="module")
def split():
    ratings = make_ratings(n_users=60, n_items=40, n_ratings=900, activity=1.0, random_state=0)
    users, items, values = ratings.triples()
    words = Ratings.from_triples(
        [f"<u{user}>&" for user in users], [f"i{item:02}" for item in items], values, scale=(1, 5)
    )
    return train_test_split(words, 0.3, 0)


@pytest.fixture(scope="module")
def model(split):
    model = AutoRec(hidden_layer_sizes=(6,), max_iter=4, n_jobs=1, random_state=0)
    return model.fit(split[0], validation=split[1])


@pytest.fixture(scope="module")
def titles():
    return {f"i{k:02}": f"{NASTY[k % len(NASTY)]} {k}" for k in range(40)}


@pytest.fixture(scope="module")
def html(model, split, titles):
    return html_report(model, split[1], titles=titles, name="a <b> & c")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


@pytest.fixture
def no_drawing(monkeypatch):
    """Leave the slow half of a report out: what is drawn is not what is tested."""
    monkeypatch.setattr(html_room, "svg", lambda figure, key, alt: "<svg></svg>")


# A page on its own, for everyone


def test_the_page_is_well_formed(page):
    assert (page.faults, page.open) == ([], [])
    ids = Counter(attributes["id"] for _, attributes, _ in page.elements if "id" in attributes)
    assert [name for name, count in ids.items() if count > 1] == []
    links = [attributes["href"] for attributes in page.all("a")]
    used = [a["xlink:href"] for _, a, _ in page.elements if "xlink:href" in a]
    assert len(links) == len(page.all("h2"))
    assert used
    assert {name[1:] for name in links + used} <= set(ids)


def test_the_page_loads_nothing(html, page):
    tags = {tag for tag, _, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "image", "base", "form"}
    assert "http" not in html
    assert "@import" not in html
    for _, attributes, _ in page.elements:
        assert not any(name.startswith("on") or name == "src" for name in attributes)
        for name in ("href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")
        for target in re.findall(r"url\(([^)]*)\)", " ".join(map(str, attributes.values()))):
            assert target.startswith("#")
    assert "url(" not in STYLE
    assert len(page.all("style")) == 1  # those of the pictures would be of the whole page


def test_the_page_is_accessible(page):
    assert page.all("html") == [{"lang": "en"}]
    assert page.text("title") == page.text("h1") == ["AutoRec report: a <b> & c"]
    levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(np.diff(levels)) <= 1
    pictures = page.all("svg")
    assert len(pictures) == len(page.all("figure")) == len(page.all("figcaption")) == 7
    for picture in pictures:
        assert picture["role"] == "img"
        assert len(picture["aria-label"]) > 30
    assert len(page.all("caption")) == len(page.all("table"))
    assert {attributes.get("scope") for attributes in page.all("th")} == {"col", "row"}
    scrolled = [a for a in page.all("div") if a.get("class") == "scroll"]
    assert len(scrolled) == len(page.all("table"))
    assert all(a["tabindex"] == "0" and a["role"] == "group" for a in scrolled)
    assert [a["content"] for a in page.all("meta") if a.get("name") == "viewport"]


def test_pictures_have_the_colors_of_the_page_only(page):
    styles = [a["style"] for _, a, around in page.elements if "svg" in around and "style" in a]
    colors = set(re.findall(r"(?:fill|stroke): ([^;]*)", ";".join(styles)))
    assert colors <= {"none", *COLORS.values()}
    assert {"currentColor", "var(--blue)", "var(--orange)"} <= colors


def schemes() -> dict[str, dict[str, str]]:
    light, dark = (
        dict(re.findall(r"--(\w+): (#\w{6})", part))
        for part in STYLE.split("prefers-color-scheme: dark")
    )
    return {"light": light, "dark": dark}


def luminance(color: str) -> float:
    channels = np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colors_stand_out_from_the_page(scheme):
    """WCAG 2.1: a contrast of 4.5 for text, of 3 for graphics."""
    colors = schemes()[scheme]
    used = set(re.findall(r"var\(--(\w+)\)", STYLE + " ".join(COLORS.values())))
    assert set(colors) == used
    wanted = {"ink": 7, "soft": 4.5, "blue": 4.5, "orange": 3, "gray": 3}
    for name, least in wanted.items():
        ends = sorted(luminance(colors[key]) for key in (name, "page"))
        assert (ends[1] + 0.05) / (ends[0] + 0.05) >= least, name


def shown(title: str) -> str:
    """Return a title as the page shows it."""
    return re.sub("[\0\ud800]", "\ufffd", " ".join(title.split()))


def test_ids_and_titles_are_text(html, page, titles):
    assert "<script" not in html
    assert "onerror=alert" not in re.sub(r">[^<]*<", "><", html)  # no longer in any tag
    assert "\0" not in html
    html.encode()  # no lone surrogates
    clean = {shown(title) for title in titles.values()}
    rows = [text for tag, text in page.texts if tag == "th"]
    assert len(clean & set(rows)) > 10
    assert any(text.startswith("User <u") and text.endswith(">&") for text in page.text("h3"))
    assert any(text.startswith("<script>alert(1)") for text in page.text("text"))


def test_the_same_model_and_ratings_give_the_same_bytes(model, split, titles, html):
    with matplotlib.rc_context():
        matplotlib.rcParams.update({"font.size": 20, "lines.linewidth": 5, "axes.grid": True})
        again = html_report(model, split[1], titles=titles, name="a <b> & c")
        assert matplotlib.rcParams["font.size"] == 20
    assert again == html


# The right numbers


def rows_of(page, first: str) -> list[list[str]]:
    """Return the cells of the table rows whose header cell begins like this."""
    rows, row = [], None
    for tag, text in page.texts:
        if tag == "th":
            row = [text]
            rows.append(row)
        elif tag == "td":
            row.append(text)
    return [row for row in rows if row[0].startswith(first)]


def test_errors_are_those_of_the_models(page, model, split):
    train, test = split
    users, items, ratings = test.triples()
    models = {
        "Global mean": GlobalMean().fit(train),
        "User and item biases": BiasBaseline().fit(train),
        "AutoRec": model,
    }
    for name, one in models.items():
        ((_, root, absolute),) = rows_of(page, name)
        predicted = one.predict(users, items)
        assert re.fullmatch(r"\d\.\d{4} ± 0\.\d{4}", root)
        assert root.startswith(f"{rmse(ratings, predicted):.4f} ± ")
        assert absolute.startswith(f"{mae(ratings, predicted):.4f} ± ")
    n_cold = np.count_nonzero(model.cold_pairs(users, items))
    assert any(f"{len(test):,} ratings" in t and f"{n_cold:,} of" in t for t in page.text("p"))


def test_recommendations_are_those_of_the_model(page, model, titles):
    counts = model.user_counts_
    users = [text.removeprefix("User ") for text in page.text("h3")]
    assert len(users) == 3
    found = counts[model.ratings_.user_positions(users)]
    assert (found[0], found[-1]) == (counts.max(), counts[counts > 0].min())
    ids, scores = model.recommend(users, 10)
    rows = [tuple(row) for row in rows_of(page, "") if len(row) == 2]
    for item, score in zip(ids.ravel(), scores.ravel(), strict=True):
        if item is not None:
            assert (shown(titles[item]), f"{score:.2f}") in rows


def test_the_gradient_of_every_block_has_a_verdict(page, model):
    for name in model.network_.layout.shapes:
        ((_, verdict, error, *_),) = rows_of(page, name)
        assert verdict == "pass"
        assert float(error) < 1e-4


def test_what_needs_held_out_ratings_is_left_out_and_named(model, page, no_drawing):
    without = Page(html_report(model))
    assert set(page.text("h2")) - set(without.text("h2")) == {
        "Errors on held-out ratings",
        "Where the errors are",
    }
    assert without.text("h2")[-1] == "Left out"
    assert set(page.text("h2")) - set(without.text("h2")) == set(without.text("em"))
    assert len(without.all("svg")) == 4
    assert without.faults == []


@pytest.mark.parametrize(
    "changes",
    [
        {"orientation": "user", "hidden_layer_sizes": (5, 4, 5), "tied": True},
        {"output_activation": "sigmoid", "solver": "rprop", "corruption": 0.0},
        {"cold": "raise", "regularization": 0.0, "hidden_layer_sizes": np.array([1])},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::autorec_np.training.trainer.ConvergenceWarning")
def test_every_kind_of_model_has_a_report(split, changes, no_drawing):
    settings = {"hidden_layer_sizes": (5,), "max_iter": 2, "n_jobs": 1, "random_state": 0}
    generator = {"random_state": np.random.default_rng(0), "callbacks": [lambda state: False]}
    fitted = AutoRec(**{**settings, **changes, **generator}).fit(split[0])
    html = html_report(fitted)
    assert Page(html).faults == []
    assert " at 0x" not in html


def test_a_handful_of_ratings_has_a_report():
    train = [1, 1, 2], [1, 2, 2], [1.0, 2.0, 2.0]
    fitted = AutoRec(hidden_layer_sizes=(2,), max_iter=1, n_jobs=1, random_state=0).fit(train)
    page = Page(html_report(fitted, ([2], [1], [2.0])))
    assert page.faults == []
    ((_, root, _),) = rows_of(page, "AutoRec")
    assert re.fullmatch(r"\d\.\d{4}", root)  # one pair has no interval


def test_what_has_no_report_is_refused(model, split):
    with pytest.raises(TypeError, match="a report is on an AutoRec, got BiasBaseline"):
        html_report(BiasBaseline())
    with pytest.raises(NotFittedError):
        html_report(AutoRec())
    with pytest.raises(ValueError, match="also training pairs"):
        html_report(model, split[0])


# The command


@pytest.fixture
def run(capsys, no_drawing):
    def call(*arguments) -> tuple[int, str, str]:
        status = cli.main([str(argument) for argument in arguments])
        return (status, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def folder(tmp_path_factory, split, model, titles):
    """The model, and all ratings, those that it was trained on and those held out."""
    folder = tmp_path_factory.mktemp("report")
    known = {item: title for item, title in titles.items() if item != "i00"}
    save_model(model, folder / "model.npz", metadata={"dataset": "some <data>", "titles": known})
    for name, parts in {"all": split, "train": split[:1]}.items():
        lines = ["user,item,rating"]
        for part in parts:
            triples = zip(*part.triples(), strict=True)
            lines += [f"{user},{item},{rating:g}" for user, item, rating in triples]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_the_command_reports_on_what_was_held_out(run, folder, model, split, titles, tmp_path):
    path = tmp_path / "page.html"
    status, out, err = run("report", folder / "model.npz", "--test", folder / "all.csv", "-o", path)
    assert (status, err) == (0, "")
    train, test = split
    assert f"{len(test):,} held-out ratings" in out
    assert f"without {len(train):,} that the model was trained on" in out
    assert f"wrote   {path}" in out
    known = {item: title for item, title in titles.items() if item != "i00"}
    wanted = Page(html_report(model, test, titles=known, name="some <data>"))
    found = Page(path.read_bytes().decode())
    assert rows_of(found, "AutoRec") == rows_of(wanted, "AutoRec")
    assert found.text("h1") == ["AutoRec report: some <data>"]
    assert found.text("h3") == wanted.text("h3")


def test_the_command_without_test_ratings(run, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, _ = run("report", folder / "model.npz")
    assert (status, out.startswith("wrote   report.html")) == (0, True)
    assert "Left out" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_what_the_command_cannot_do_takes_one_line(run, folder, tmp_path, monkeypatch):
    status, out, err = run("report", folder / "model.npz", "--test", folder / "train.csv")
    assert (status, out) == (1, "")
    assert "none is held out" in err
    status, _, err = run("report", folder / "model.npz", "-o", tmp_path)
    assert status == 1
    assert "--output" in err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, _, err = run("report", folder / "model.npz", "-o", tmp_path / "page.html")
    assert (status, err.count("\n")) == (1, 1)
    assert "pip install 'autorec_np[plot]'" in err
    assert not (tmp_path / "page.html").exists()
