"""Lists on the command line: what clicks train, what is refused, and what is said of them."""

from __future__ import annotations

import gzip
import json
import re
import shlex

import numpy as np
import pytest
from command_line import SMALL

from autorec_np import RankingAutoRec, load_model, read_interactions, train_test_split
from autorec_np.baselines.lists import Popularity
from autorec_np.data.splitting import k_fold
from autorec_np.evaluation.held_out import evaluate_ranking

LISTS_SMALL = {"hidden_layer_sizes": (6,), "max_iter": 3, "batch_size": 16, "n_jobs": 1}


def write_clicks(path, n_users=150, form="{},{}\n", header="user,item\n", opener=open) -> None:
    """Write who clicked what: six tastes, of 15 items each."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(n_users), 20)
    tastes = users % 6 * (rng.random(len(users)) < 0.7)
    items = 15 * tastes + rng.geometric(0.15, len(users)) % 15
    lines = [form.format(f"u{u}", f"i{i}") for u, i in zip(users, items, strict=True)]
    with opener(path, "wt") as file:
        file.write(header + "".join(lines))


@pytest.fixture(scope="module")
def clicks(tmp_path_factory):
    path = tmp_path_factory.mktemp("lists") / "clicks.csv"
    write_clicks(path)
    return path


# train


def test_a_file_of_clicks_gets_lists_better_than_popularity_with_one_command(run, clicks):
    status, out, err = run("train", clicks, "-q")
    assert (status, err) == (0, "")
    assert re.search(r"(?m)^data    .*clicks.csv: [\d,]+ interactions, 150 users x 90 items$", out)
    assert "columns user = 'user', item = 'item'" in out
    assert "RankingAutoRec learns who chose what (two columns, user and item)" in out
    popular, ours = map(
        float, re.search(r"NDCG@10 +(0\.\d+) ± 0\.\d+ +(0\.\d+) ± 0\.\d+", out).groups()
    )
    assert ours > 1.05 * popular
    assert re.search(r"RankingAutoRec's NDCG is \d+\.\d % above that of popularity\.", out)
    assert "RMSE" not in out
    assert max(map(len, out.replace(str(clicks), "clicks.csv").split("\n"))) < 80


def test_train_reports_what_evaluate_ranking_says(run, clicks):
    status, out, _ = run("train", clicks, *SMALL, "--seed", 2, "--json", "-q")
    result = json.loads(out)
    part, test = train_test_split(read_interactions(clicks), 0.1, 2)
    model = RankingAutoRec(**LISTS_SMALL, random_state=2).fit(part)
    for name, one in {"RankingAutoRec": model, "Popularity": Popularity().fit(part)}.items():
        expected = evaluate_ranking(one, test, 10, threshold=1)
        assert result["ranking"][name] == [expected.to_dict()]
    assert status == 0
    assert result["ndcg"] == result["ranking"]["RankingAutoRec"][0]["ndcg"]
    assert (
        result["baselines"]["Popularity"]["ndcg"]
        == evaluate_ranking(Popularity().fit(part), test, 10, threshold=1).ndcg
    )
    assert (result["rmse"], result["mae"], result["model"]) == (None, None, "RankingAutoRec")
    assert (result["n_train"], result["n_test"]) == (len(part), len(test))
    assert result["objective"] == model.loss_curve_[-1]


@pytest.mark.parametrize(
    ("name", "form", "header"),
    [
        ("clicks.tsv", "{}\t{}\n", ""),
        ("clicks.csv", "{};{}\n", "customer_id;sku\n"),
        ("clicks.csv.gz", "{},{}\n", "user,item\n"),
        ("clicks.dat", "{}::{}\n", ""),
    ],
)
def test_files_of_clicks_of_any_form_train_lists(name, form, header, run, tmp_path):
    path = tmp_path / name
    write_clicks(path, 30, form, header, gzip.open if name.endswith("gz") else open)
    status, out, err = run("train", path, *SMALL, "-q")
    assert (status, err) == (0, "")
    assert "interactions, 30 users x" in out
    assert "RankingAutoRec learns" in out


def test_a_rating_of_one_value_is_an_error_and_implicit_trains_lists(run, tmp_path):
    path = tmp_path / "ones.csv"
    write_clicks(path, 30)
    pairs = sorted(set(path.read_text().split("\n")[1:-1]))
    path.write_text("user,item,clicked\n" + "".join(f"{pair},1\n" for pair in pairs))
    status, out, err = run("train", path, *SMALL, "-q")
    assert (status, out) == (1, "")
    assert re.search("every rating of .*ones.csv is 1, so .*, --implicit trains lists", err)
    status, out, err = run("train", path, "--implicit", *SMALL, "-q")
    assert (status, err) == (0, "")
    assert "RankingAutoRec learns who chose what (--implicit)" in out
    again = run("train", "--implicit", path, *SMALL, "-q")[1]
    assert (
        again.split("\ntest")[1].split("Everything")[0]
        == (out.split("\ntest")[1].split("Everything")[0])
    )


@pytest.mark.parametrize("options", [[], ["--threshold", 4], ["--values", "ratings"]])
def test_implicit_on_ratings_trains_on_all_stored_pairs(options, run, folder):
    source = folder / "numbers.csv"
    status, out, _ = run("train", source, "--implicit", *options, *SMALL, "--json", "-q")
    assert status == 0
    result = json.loads(out)
    part, test = train_test_split(read_interactions(source), 0.1, 0)
    given = dict(zip([one.lstrip("-") for one in options[::2]], options[1::2], strict=True))
    model = RankingAutoRec(**LISTS_SMALL, **given, random_state=0).fit(part)
    least = given.get("threshold", 1)
    assert result["ndcg"] == evaluate_ranking(model, test, 10, threshold=least).ndcg
    assert result["n_train"] == len(part) == 630
    popular = Popularity(given.get("threshold")).fit(part)
    expected = evaluate_ranking(popular, test, 10, threshold=least).ndcg
    assert result["baselines"]["Popularity"]["ndcg"] == expected


def test_every_option_of_lists_reaches_the_model(run, clicks):
    options = ["--threshold", 2, "--values", "counts", "--unobserved-weight", 0.2]
    options += ["--unobserved-target", 0.1, "--orientation", "user", "--regularization", 3]
    status, out, _ = run("train", clicks, *options, *SMALL, "--json", "-q")
    assert status == 0
    found = json.loads(out)["parameters"]
    model = RankingAutoRec("user", (6,), regularization=3.0, unobserved_weight=0.2)
    model.set_params(unobserved_target=0.1, threshold=2.0, values="counts", random_state=0)
    model.set_params(max_iter=3, batch_size=16, n_jobs=1)
    assert found == json.loads(json.dumps(model.get_params()))


REFUSED = {
    "train CLICKS --baseline none": "--baseline is for ratings, and lists are trained here",
    "train CLICKS --output-activation tanh": "--output-activation is for ratings",
    "train F --implicit --cold 3": "--cold is for ratings, and lists are trained here",
    "train F --implicit --inputs planes": "--inputs is for ratings",
    "train F --threshold 4": "--threshold is for lists: pass --implicit, or a file of two columns",
    "train F --values counts": "--values is for lists",
    "evaluate F --implicit": "--implicit is for --ranking",
    "evaluate F --threshold 4": "--threshold is for --ranking",
    "evaluate F --model m.npz": "--model is for --ranking",
}


@pytest.mark.parametrize("command", REFUSED)
def test_options_that_make_no_sense_are_refused(command, run, folder, clicks):
    files = {"F": folder / "numbers.csv", "CLICKS": clicks}
    status, out, err = run(*(files.get(word, word) for word in command.split()))
    assert (status, out) == (2, "")
    assert REFUSED[command] in err
    assert err.count("\n") == 1


FAILURES = {
    "train CLICKS --scale 1 5": "scale=... is for ratings, .*: --scale LOW HIGH",
    "train CLICKS --regularization -1": "regularization must be a finite number.*-1",
    "train CLICKS --unobserved-weight -1": "unobserved_weight must be .*-1.*--unobserved-weight W0",
    "tune CLICKS": "found 2 fields, .*RankingAutoRec.*autorec-np train FILE",
    "evaluate CLICKS": "found 2 fields, .*RankingAutoRec.*autorec-np train FILE",
}


@pytest.mark.parametrize("command", FAILURES)
def test_what_fails_says_what_to_do(command, run, clicks):
    status, out, err = run(*(clicks if word == "CLICKS" else word for word in command.split()))
    assert (status, out) == (1, "") or command.startswith("train")
    assert re.search(FAILURES[command], err)


def test_train_on_all_clicks_measures_nothing(run, clicks):
    status, out, _ = run("train", clicks, *SMALL, "--test-size", 0, "--json", "-q")
    result = json.loads(out)
    assert (status, result["ndcg"], result["ranking"], result["baselines"]) == (0, None, {}, {})


def test_the_epochs_of_lists_say_what_is_followed(run, clicks):
    _, _, err = run("train", clicks, *SMALL, "--early-stopping")
    assert re.search(r"epoch 1 of 3: objective [\d.]+, 1 - validation NDCG@10 0\.\d+", err)


# evaluate --ranking


def test_evaluate_measures_lists_over_random_splits(run, folder):
    source = folder / "numbers.csv"
    command = ["evaluate", source, "--ranking", *SMALL, "--repeats", 2, "--test-size", 0.2]
    status, out, _ = run(*command, "--implicit", "--threshold", 3, "--json", "-q")
    assert status == 0
    result = json.loads(out)
    expected = {"Popularity": [], "RankingAutoRec": []}
    for seed in (0, 1):
        part, test = train_test_split(read_interactions(source), 0.2, seed)
        model = RankingAutoRec(**LISTS_SMALL, random_state=0).fit(part)
        expected["RankingAutoRec"].append(evaluate_ranking(model, test, 10, 3))
        expected["Popularity"].append(evaluate_ranking(Popularity().fit(part), test, 10, 3))
    assert result["ranking"] == {
        name: [one.to_dict() for one in each] for name, each in expected.items()
    }
    means = {name: np.mean([one.ndcg for one in each]) for name, each in expected.items()}
    assert result["ndcg"] == pytest.approx(means["RankingAutoRec"])
    assert result["baselines"] == {"Popularity": {"ndcg": pytest.approx(means["Popularity"])}}
    status, out, _ = run(*command, "-q")
    assert status == 0
    assert re.search(r"(?m)^ +Popularity +AutoRec$", out)  # of ratings: the highest predicted
    assert "± is the 95 % confidence interval over 2 splits." in out
    assert max(map(len, out.replace(str(folder), "").split("\n"))) < 80


def test_evaluate_measures_lists_side_by_side(run, clicks):
    command = ["evaluate", clicks, "--ranking", "--repeats", 2, *SMALL, "--json"]
    (one, out, _), (other, out_2, err) = run(*command), run(*command, "--jobs", 2)
    assert (one, other) == (0, 0)
    first, second = json.loads(out), json.loads(out_2)
    assert first["ranking"] == second["ranking"]
    assert err.splitlines() == [
        f"seed {seed}, {name}: NDCG {first['ranking'][name][seed]['ndcg']:.4f}"
        for seed in (0, 1)
        for name in first["ranking"]
    ]


def test_popularity_is_measured_by_the_same_threshold(run, folder, tmp_path):
    path, source = tmp_path / "model.npz", folder / "numbers.csv"
    options = ["--implicit", "--values", "counts", *SMALL, "-q", "--save", path]
    assert run("train", source, *options)[0] == 0
    found = json.loads(run("evaluate", source, "--ranking", "--model", path, "--json", "-q")[1])
    assert {each[0]["threshold"] for each in found["ranking"].values()} == {1.0}


def test_evaluate_measures_lists_over_folds(run, clicks):
    status, out, _ = run("evaluate", clicks, "--ranking", "--cv", 3, *SMALL, "--json", "-q")
    result = json.loads(out)["ranking"]["Popularity"]
    folds = k_fold(read_interactions(clicks), 3, 0)
    expected = [evaluate_ranking(Popularity().fit(a), b, 10, 1).to_dict() for a, b in folds]
    assert (status, result) == (0, expected)


def test_evaluate_measures_a_saved_model_of_ratings(run, folder, tmp_path):
    path = tmp_path / "model.npz"
    source = folder / "numbers.csv"
    assert run("train", source, *SMALL, "--save", path, "-q")[0] == 0
    command = ["evaluate", source, "--ranking", "--model", path, "--threshold", 4]
    status, out, err = run(*command, "-q")
    assert (status, err) == (0, "")
    assert "test    70 pairs, what " in out
    assert re.search(r"(?m)^ +Popularity +AutoRec$", out)
    assert [line.split("  ")[1] for line in out.split("\n\n")[1].split("\n")[1:]] == [
        "precision@10", "recall@10", "NDCG@10", "MAP@10", "MRR@10", "hit rate@10", "coverage",
        "novelty, bits", "popularity's share",
    ]  # fmt: skip
    ours = json.loads(run(*command, "--json", "-q")[1])
    part, test = train_test_split(read_interactions(source), 0.1, 0)
    assert ours["baselines"]["Popularity"]["ndcg"] == (
        evaluate_ranking(Popularity().fit(part), test, 10, 4).ndcg
    )


# A saved model of lists


def test_a_saved_model_of_lists_recommends_and_is_measured(run, clicks, tmp_path):
    path = tmp_path / "model.npz"
    status, out, _ = run("train", clicks, *SMALL, "--save", path, "-q")
    assert status == 0
    following = shlex.split(re.search("next    autorec-np (.*)", out)[1])
    status, shown, _ = run(*following, "-n", 3)
    model = load_model(path)
    assert isinstance(model, RankingAutoRec)
    ids, scores = model.recommend([following[-1]], 3)
    assert re.findall(r"(?m)^  \d +(-?\d\.\d{4}) +(\w+)$", shown) == [
        (f"{score:.4f}", item) for item, score in zip(ids[0], scores[0], strict=True)
    ]
    status, shown, _ = run("predict", path, "--user", "u1", "--item", "i3")
    score = model.predict(["u1"], ["i3"])[0]
    assert (status, shown) == (0, f"user,item,score,cold\nu1,i3,{score:.4f},0\n")
    trained = re.search(r"NDCG@10.*", out)[0]
    status, shown, _ = run("evaluate", clicks, "--ranking", "--model", path, "-q")
    assert status == 0
    assert re.search(r"NDCG@10.*", shown)[0].split() == trained.split()
    assert re.search(r"(?m)^ +Popularity +RankingAutoRec$", shown)


def test_a_report_on_lists_reads_clicks(run, clicks, tmp_path):
    pytest.importorskip("matplotlib")
    path, page = tmp_path / "model.npz", tmp_path / "page.html"
    assert run("train", clicks, *SMALL, "--save", path, "-q")[0] == 0
    status, out, err = run("report", path, "--test", clicks, "-o", page, "-q")
    assert (status, err) == (0, "")
    assert "held-out ratings of" in out
    assert "Scores rank items and are no ratings." in page.read_text(encoding="utf-8")


def test_a_saved_threshold_is_that_of_popularity(run, folder, tmp_path):
    path, source = tmp_path / "model.npz", folder / "numbers.csv"
    options = ["--implicit", "--threshold", 4, *SMALL, "--json", "-q"]
    trained = json.loads(run("train", source, *options, "--save", path)[1])
    options = ["--ranking", "--model", path, "--threshold", 4, "--json", "-q"]
    found = json.loads(run("evaluate", source, *options)[1])
    assert found["ranking"] == trained["ranking"]
    assert found["parameters"]["threshold"] == 4


def test_a_model_that_has_seen_all_cannot_be_measured(run, clicks, tmp_path):
    path = tmp_path / "model.npz"
    assert run("train", clicks, *SMALL, "--test-size", 0, "--save", path, "-q")[0] == 0
    status, _, err = run("evaluate", clicks, "--ranking", "--model", path, "-q")
    assert status == 1
    assert "the model was trained on all pairs of" in err
