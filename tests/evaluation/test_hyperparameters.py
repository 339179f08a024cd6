"""Search: what is tried, that only validation ratings decide, and that it can be resumed."""

from __future__ import annotations

import itertools
import json
import math
import multiprocessing
import warnings
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from small_tasks import Backwards, Given

from autorec_np.data.splitting import train_test_split
from autorec_np.data.synthetic import make_ratings
from autorec_np.evaluation import hyperparameters as tuning
from autorec_np.evaluation.cross_validation import evaluate
from autorec_np.evaluation.hyperparameters import LogUniform, Trial, default_space, search
from autorec_np.models.autorec import AutoRec
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.training.trainer import ConvergenceWarning

R = make_ratings(n_users=40, n_items=30, n_ratings=500, random_state=0)
MODEL = AutoRec(hidden_layer_sizes=(4,), implicit=0, max_iter=9, n_jobs=1, random_state=3)
SPACE = {
    "regularization": {
        "encoder.weight": LogUniform(1, 1000),
        "decoder.weight": stats.loguniform(1, 1000),
    },
    "hidden_layer_sizes": [(3,), (5,)],
    "dropout": np.array([0.0, 0.5]),
    "corruption": [0.0, 0.2],
    "learning_rate_init": LogUniform(1e-3, 1e-2),
}


def run(resume=None, **changes):
    arguments = {"model": MODEL, "ratings": R, "space": SPACE, "n_candidates": 9, **changes}
    return search(**arguments, resume=resume)


@pytest.fixture(scope="module")
def whole():
    return run()


def fitted(result):
    return result.model.fit(R).theta_.tobytes()


# What is tried


def test_halving_trains_few_candidates_for_long_and_the_model_itself_always(whole):
    rungs = [[t for t in whole.trials if t.divisor == divisor] for divisor in (9, 3, 1)]
    assert [*itertools.chain(*rungs)] == list(whole.trials)
    assert list(map(len, rungs)) == [9, 4, 2]
    for rung, following in itertools.pairwise(rungs):
        drawn = sorted(rung[1:], key=lambda trial: trial.rmse)
        kept = [trial.candidate for trial in drawn][: len(following) - 1]
        assert [trial.candidate for trial in following] == [0, *kept]
    assert whole.best is min(rungs[-1], key=lambda trial: trial.rmse)


def test_random_search_trains_all_candidates_in_full(whole):
    result = run(strategy="random")
    assert [trial.candidate for trial in result.trials] == list(range(9))
    assert {trial.divisor for trial in result.trials} == {1}
    assert result.best.rmse == min(trial.rmse for trial in result.trials)
    drawn = {trial.candidate: trial.params for trial in whole.trials}
    assert drawn == {trial.candidate: trial.params for trial in result.trials}


@pytest.mark.parametrize(
    ("n", "factor", "rungs"),
    [
        (1, 3, [(1, 1)]),
        (2, 3, [(1, 2)]),
        (3, 3, [(3, 3), (1, 2)]),
        (27, 3, [(9, 27), (3, 10), (1, 4)]),
        (20, 2, [(8, 20), (4, 11), (2, 6), (1, 4)]),
        (100, 11, [(1, 100)]),
    ],
)
def test_no_rung_is_shorter_than_a_tenth(n, factor, rungs):
    assert tuning._rungs(n, factor) == rungs


def test_a_trial_is_an_evaluation_on_the_validation_part(whole):
    training, validation = train_test_split(R, 0.1, 0)
    assert (whole.n_train, whole.n_validation) == (len(training), len(validation))
    for trial in whole.trials[-5:]:
        model = AutoRec(**MODEL.get_params()).set_params(**trial.params)
        model.set_params(max_iter=math.ceil(9 / trial.divisor))
        assert trial.rmse == evaluate(model, training, validation).rmse


def test_epochs_left_to_the_solver_are_divided_too(monkeypatch):
    epochs = []

    def spy(model, training, validation, threshold):
        epochs.append(model.max_iter)
        return evaluate(model.set_params(max_iter=1), training, validation)

    monkeypatch.setattr(tuning, "evaluate", spy)
    model = AutoRec(hidden_layer_sizes=(2,), n_jobs=1)
    result = run(model=model, space={"solver": ["adam", "rprop"]}, n_candidates=3)
    assert epochs == [7, 67, 7, None, None]  # adam: 20, rprop: 200
    assert result.model.max_iter is None


def test_only_what_was_trained_in_full_can_win(monkeypatch):
    def worse_with_epochs(model, training, validation, threshold):
        return SimpleNamespace(means={"rmse": float(model.max_iter)}, fit_seconds=0.0)

    monkeypatch.setattr(tuning, "evaluate", worse_with_epochs)
    result = run()
    assert min(trial.rmse for trial in result.trials) == 1.0
    assert (result.best.divisor, result.best.rmse) == (1, 9.0)


def test_the_first_candidate_is_the_model_and_no_two_are_the_same(whole):
    assert whole.trials[0].params == {}
    texts = [json.dumps(trial.params) for trial in whole.trials[:9]]
    assert len(set(texts)) == 9
    few = run(space={"tied": [False, True]}, strategy="random", n_candidates=20)
    assert sorted(map(str, (trial.params for trial in few.trials))) == [
        "{'tied': False}",
        "{'tied': True}",
        "{}",
    ]


def test_candidates_come_from_the_space(whole):
    for trial in whole.trials:
        if trial.candidate:
            assert trial.params.keys() == SPACE.keys()
            assert all(1 <= x <= 1000 for x in trial.params["regularization"].values())
            assert trial.params["hidden_layer_sizes"] in ([3], [5])
            assert trial.params["dropout"] in (0.0, 0.5)
    other = run(random_state=1)
    assert [t.params for t in other.trials[1:9]] != [t.params for t in whole.trials[1:9]]


@given(st.integers(0, 2**32), st.floats(1e-6, 1e6), st.floats(1, 1e6))
def test_log_uniform_stays_between_its_ends(seed, low, ratio):
    drawn = LogUniform(low, low * ratio).rvs(random_state=np.random.default_rng(seed))
    assert low * 0.995 <= drawn <= low * ratio * 1.005
    assert drawn == float(f"{drawn:.3g}")


def test_log_uniform_is_uniform_in_the_logarithm():
    generator = np.random.default_rng(0)
    drawn = [LogUniform(0.01, 100).rvs(generator) for _ in range(500)]
    assert stats.kstest(np.log10(drawn), stats.uniform(-2, 4).cdf).pvalue > 0.01


def test_a_search_by_default_keeps_a_width_that_no_other_may_replace():
    many = make_ratings(n_users=300, n_items=200, n_ratings=9000, random_state=3)
    model = AutoRec(**{**MODEL.get_params(), "implicit": "auto", "max_iter": 1})
    assert "hidden_layer_sizes" not in default_space(model, many)  # wider: an implicit decoder
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert len(search(model, many, n_candidates=2, strategy="random").trials) == 2


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, {"hidden_layer_sizes", "learning_rate_init", "dropout", "corruption"}),
        ({"solver": "sgd"}, {"hidden_layer_sizes", "dropout", "corruption"}),
        ({"solver": "lbfgs", "hidden_layer_sizes": (4, 3)}, set()),
        ({"tied": True, "orientation": "user", "solver": "rprop"}, {"hidden_layer_sizes"}),
    ],
)
def test_every_candidate_of_the_default_space_can_be_trained(changes, names):
    model = AutoRec(**{**MODEL.get_params(), "max_iter": 1, "tol": 1.0, **changes})
    space = default_space(model, R)
    assert space.keys() == names | {"regularization"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        automatic = model.fit(R).regularization_
    square = model.input_map_.factor**2  # the automatic penalties are those of mapped ratings
    assert space["regularization"].keys() == automatic.keys()
    for name, penalty in automatic.items():
        low, high = penalty * square / 8, 8 * penalty * square
        assert (space["regularization"][name].low, space["regularization"][name].high) == (
            pytest.approx(low),
            pytest.approx(high),
        )
    small = {**space, **({"hidden_layer_sizes": [(3,)]} if "hidden_layer_sizes" in names else {})}
    result = run(model=model, space=small, n_candidates=4, strategy="random")
    assert len(result.trials) == 4
    if not changes:
        assert run(model=model, space=None, n_candidates=1).best_params == {}


def test_the_space_may_name_the_parameters_of_any_model():
    result = run(model=BiasBaseline(), space={"regularization": [0.0, 900.0]}, strategy="random")
    assert len(result.trials) == 3
    assert result.best_params in ({}, {"regularization": 0.0})
    assert isinstance(result.model, BiasBaseline)


def test_a_training_that_diverges_loses():
    space = {"learning_rate_init": [1e38]}
    model = AutoRec("item", (3,), solver="sgd", n_jobs=1, random_state=0)
    result = run(model=model, space=space, strategy="random")
    assert result.best_params == {}
    assert result.trials[1].rmse == math.inf
    assert result.to_dict()["trials"][1]["rmse"] is None
    assert "inf" in str(result)
    with pytest.raises(ValueError, match="every training diverged; narrow"):
        run(model=model.set_params(learning_rate_init=1e38), space=space, strategy="random")


# What decides


def test_test_ratings_are_not_asked_for_and_the_parts_do_not_overlap(monkeypatch):
    seen = []

    def spy(model, training, validation, threshold):
        seen.append((training, validation))
        return evaluate(model, training, validation)

    monkeypatch.setattr(tuning, "evaluate", spy)
    train, test = train_test_split(R, 0.2, 5)
    run(ratings=train, n_candidates=3)

    def pairs(part):
        return set(zip(*(ids.tolist() for ids in part.triples()[:2]), strict=True))

    for training, validation in seen:
        assert pairs(training) | pairs(validation) == pairs(train)
        assert not pairs(training) & pairs(validation)
        assert not (pairs(training) | pairs(validation)) & pairs(test)


def test_the_model_given_stays_as_it_is_and_the_result_is_unfitted(whole):
    assert not hasattr(MODEL, "theta_")
    assert MODEL.regularization == "auto"
    assert not hasattr(run(n_candidates=1).model, "theta_")
    assert {k: v for k, v in MODEL.get_params().items() if k not in SPACE} == {
        k: v for k, v in whole.model.get_params().items() if k not in SPACE
    }
    for name, value in whole.best_params.items():
        assert getattr(whole.model, name) == value


@pytest.mark.parametrize("given", [None, np.random.default_rng(5)], ids=["None", "Generator"])
def test_seeds_are_ints_and_recorded(given, tmp_path):
    model = AutoRec(**{**MODEL.get_params(), "random_state": given})
    result = run(model=model, random_state=4, n_candidates=2, resume=tmp_path / "s")
    assert result.random_state == result.model.random_state == 4
    header = json.loads((tmp_path / "s").read_text().splitlines()[0])
    assert header["random_state"] == header["parameters"]["random_state"] == 4
    assert run(n_candidates=1).model.random_state == 3
    if given is not None:
        assert given.integers(2**32) == np.random.default_rng(5).integers(2**32)


# Resuming


@pytest.fixture(scope="module")
def journal(whole, tmp_path_factory):
    """The file of a whole search."""
    path = tmp_path_factory.mktemp("search") / "journal.jsonl"
    assert run(path) == whole
    return path.read_bytes()


def test_the_file_holds_settings_and_trials(journal, whole):
    header, *trials = map(json.loads, journal.decode().splitlines())
    assert header["candidates"][1] == whole.trials[1].params
    assert header["model"] == "AutoRec"
    assert not {"callbacks", "n_jobs", "verbose"} & header["parameters"].keys()
    assert len(trials) == len(whole.trials) == 15


@settings(max_examples=12)
@given(st.data())
def test_a_search_killed_at_any_byte_resumes_to_the_identical_result(
    tmp_path_factory, journal, whole, data
):
    size = data.draw(st.integers(0, len(journal)))
    path = tmp_path_factory.mktemp("cut") / "journal.jsonl"
    path.write_bytes(journal[:size])
    ran = []
    resumed = run(path, callback=lambda *call: ran.append(call))
    assert resumed == whole
    n_kept = max(0, journal[:size].count(b"\n") - 1)
    assert ran == [(trial, k, 15) for k, trial in enumerate(whole.trials, 1)][n_kept:]
    assert resumed.to_dict()["best"].keys() == whole.to_dict()["best"].keys()
    lines, before = (
        [json.loads(line) | {"seconds": 0} for line in one.splitlines()]
        for one in (path.read_bytes(), journal)
    )
    assert lines == before


@settings(max_examples=12)
@given(st.data())
def test_trials_may_be_recorded_in_any_order(tmp_path_factory, journal, whole, data):
    header, *lines = journal.splitlines(keepends=True)
    numbers = st.lists(st.integers(0, len(lines) - 1), max_size=20)  # twice, or never
    kept = data.draw(numbers)
    broken = data.draw(st.sampled_from(lines))[: data.draw(st.integers(0, 20))]
    path = tmp_path_factory.mktemp("shuffled") / "journal.jsonl"
    path.write_bytes(header + b"".join(lines[number] for number in kept) + broken)
    ran = []
    assert run(path, callback=lambda *call: ran.append(call)) == whole
    calls = [(trial, k, 15) for k, trial in enumerate(whole.trials, 1)]
    assert ran == [call for number, call in enumerate(calls) if number not in kept]
    assert run(path, callback=lambda *_: pytest.fail("a trial ran")) == whole


def test_a_trial_is_recorded_as_it_ends(tmp_path, whole):
    path, executor = tmp_path / "journal.jsonl", Given(result=None)
    first, last = whole.trials[0], whole.trials[8]

    def interrupt():
        executor.futures[8].set_result((last, []))  # the others have not ended
        executor.futures[0].set_exception(KeyboardInterrupt())

    executor.ends = []
    submit = executor.submit

    def counted(*arguments):
        future = submit(*arguments)
        if len(executor.futures) == 9:
            interrupt()
        return future

    executor.submit = counted
    with pytest.raises(KeyboardInterrupt):
        run(path, executor=executor)
    assert [json.loads(line)["candidate"] for line in path.read_text().splitlines()[1:]] == [8]
    assert first.candidate == 0
    assert run(path) == whole


def test_a_trial_that_ends_after_the_search_is_not_recorded(tmp_path, whole):
    path, executor = tmp_path / "journal.jsonl", Given(error=KeyboardInterrupt())
    executor.ends = [("set_exception", KeyboardInterrupt())]

    class Running(Future):
        def cancel(self):
            return False

    late = Running()
    submit = executor.submit
    executor.submit = lambda *arguments: submit(*arguments) if executor.ends else late
    with pytest.raises(KeyboardInterrupt):
        run(path, executor=executor)
    late.set_result((whole.trials[1], []))
    assert len(path.read_text().splitlines()) == 1


def test_a_finished_search_trains_nothing_and_its_winner_is_the_same(tmp_path, journal, whole):
    (tmp_path / "s").write_bytes(journal)
    again = run(tmp_path / "s", callback=lambda *_: pytest.fail("a trial ran"))
    assert fitted(again) == fitted(whole)
    assert (tmp_path / "s").read_bytes() == journal


def test_an_interrupted_search_keeps_what_has_ended(tmp_path, whole):
    def interrupt(trial, number, n_trials):
        if trial.candidate == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "s", callback=interrupt)
    assert len((tmp_path / "s").read_bytes().splitlines()) == 1 + 3
    assert run(tmp_path / "s") == whole


def test_two_searches_do_not_share_a_file(tmp_path, whole):
    path, refused = tmp_path / "search.jsonl", []

    def search_too(*_):
        with pytest.raises(ValueError, match=r"search\.jsonl is in use by process \d+ on .+; wait"):
            run(path)
        refused.append(path.read_bytes())

    result = run(path, callback=search_too)
    assert result == whole
    assert len(refused) == len(whole.trials)
    assert len(path.read_text().splitlines()) == 1 + len(whole.trials)
    assert [one.name for one in tmp_path.iterdir()] == ["search.jsonl"]
    assert run(path) == whole  # it is free again


def test_a_training_that_diverged_is_resumed(tmp_path):
    arguments = {
        "model": AutoRec("item", (3,), solver="sgd", n_jobs=1, random_state=0),
        "space": {"learning_rate_init": [1e38]},
        "strategy": "random",
    }
    first = run(tmp_path / "s", **arguments)
    assert "Infinity" not in (tmp_path / "s").read_text()
    assert run(tmp_path / "s", **arguments) == first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"random_state": 1}, "candidates was .*; random_state was 0, is 1"),
        ({"n_candidates": 8}, "candidates was"),
        ({"validation_size": 0.2}, r"\(validation_size was 0.1, is 0.2\)"),
        ({"strategy": "random"}, "strategy was 'halving', is 'random'"),
        ({"factor": 2}, "factor was 3, is 2"),
        ({"ratings": R.select(np.arange(400))}, "ratings was"),
        ({"model": AutoRec(**{**MODEL.get_params(), "tol": 0.5})}, "parameters was"),
    ],
)
def test_a_file_of_other_settings_is_refused_and_kept(tmp_path, journal, changes, message):
    (tmp_path / "s").write_bytes(journal[:-5])
    with pytest.raises(ValueError, match=rf"other settings .*{message}.*name another file"):
        run(tmp_path / "s", **changes)
    assert (tmp_path / "s").read_bytes() == journal[:-5]


def test_what_does_not_change_results_may_differ(tmp_path, journal, whole):
    (tmp_path / "s").write_bytes(journal)
    model = AutoRec(**{**MODEL.get_params(), "n_jobs": 2, "verbose": True})
    assert run(tmp_path / "s", model=model).trials == whole.trials


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"user,item,rating\n1,2,3\n", "line 1 is not what"),
        (b"no line end", "is not a file of `search`; name another"),
        (b"[1]\n", "line 1 is not what"),
        (b"{}\n", "other settings"),
    ],
)
def test_a_foreign_file_is_refused_and_kept(tmp_path, content, message):
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "s")
    assert (tmp_path / "s").read_bytes() == content


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: b"{" + line,
        lambda line: b"{}",
        lambda line: line.replace(b'"candidate": 2', b'"candidate": 3'),
        lambda line: b"",
    ],
)
def test_a_damaged_line_is_named(tmp_path, journal, damage):
    lines = journal.splitlines()
    lines[3] = damage(lines[3])
    (tmp_path / "s").write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(ValueError, match=r"line 4 is not what .* delete it, or name another"):
        run(tmp_path / "s")


# The result


def test_a_trial_says_what_it_was():
    trial = Trial(4, {"tied": True}, 3, 0.91234, 1.0)
    assert str(trial) == "candidate 4, 1/3 of the epochs: RMSE 0.9123, 1.0 s"
    assert ", all epochs: RMSE 0.9123" in str(replace(trial, divisor=1))


def test_the_table_lists_the_best_first(whole):
    header, first, *rest = str(whole).splitlines()
    names = "encoder decoder hidden dropout corruption rate"
    assert header.split() == f"no. epochs RMSE {names}".split()
    assert first.split()[:3] == [str(whole.best.candidate), "all", f"{whole.best.rmse:.4f}"]
    assert [line.split()[1] for line in rest] == ["all", *["1/3"] * 2, *["1/9"] * 5]
    assert max(map(len, str(whole).splitlines())) <= 79


def test_the_result_is_json(whole):
    content = json.loads(json.dumps(whole.to_dict(), allow_nan=False))
    assert content["best"]["params"] == whole.best_params
    assert len(content["trials"]) == 15


# Refusals


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"strategy": "grid"}, ValueError, "strategy must be one of 'halving', 'random'"),
        ({"n_candidates": 0}, ValueError, "n_candidates must be at least 1"),
        ({"factor": 1}, ValueError, "factor must be at least 2"),
        ({"random_state": None}, TypeError, "random_state must be an integer"),
        ({"validation_size": 1.0}, ValueError, "test_size must be"),
        ({"space": [1]}, TypeError, "space must map names of parameters to"),
        ({"space": {"tied": True}}, TypeError, r"tied in the space must be .*pass \[True\]"),
        ({"space": {"solver": "sgd"}}, TypeError, r"pass \['sgd'\]"),
        ({"space": {"tied": []}}, TypeError, "tied in the space"),
        ({"space": {"callbacks": [print]}}, TypeError, "must be JSON-able .* got builtin_function"),
        ({"space": {"hiden": [1]}}, ValueError, "AutoRec has no parameter 'hiden'"),
        ({"model": GlobalMean()}, ValueError, "max_iter, which GlobalMean lacks; use strategy='r"),
    ],
)
def test_wrong_arguments_are_refused(changes, kind, message):
    with pytest.raises(kind, match=message):
        run(**changes)


# Side by side


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("kind", ["threads", "processes", "backwards"])
def test_an_executor_finds_what_the_serial_search_does(kind, whole, tmp_path, request):
    model = AutoRec(**{**MODEL.get_params(), "n_jobs": None})
    path, calls = tmp_path / "search.jsonl", []
    threads = ThreadPoolExecutor(3)
    with threads:
        if kind == "processes":
            executor = request.getfixturevalue("processes")
        else:
            executor = threads if kind == "threads" else Backwards()
        result = run(
            path, model=model, executor=executor, callback=lambda *call: calls.append(call)
        )
        again = run(path, model=model, executor=executor)
    assert result == again == whole
    assert result.model.n_jobs is None
    n = len(whole.trials)
    assert calls == [(trial, k, n) for k, trial in enumerate(whole.trials, 1)]
    recorded = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert sorted(line["rmse"] for line in recorded) == sorted(one.rmse for one in whole.trials)


@pytest.mark.parametrize("n_lines", [1, 3, 10, 12])
def test_a_search_goes_on_with_another_executor(n_lines, journal, whole, tmp_path):
    path = tmp_path / "search.jsonl"
    path.write_bytes(b"".join(journal.splitlines(keepends=True)[:n_lines]))
    calls = []
    result = run(path, executor=Backwards(), callback=lambda *call: calls.append(call[1]))
    assert result == whole
    assert calls == [*range(n_lines, len(whole.trials) + 1)]


def test_a_training_that_diverges_elsewhere_loses(processes):
    space = {"learning_rate_init": [1e25]}
    result = run(space=space, executor=processes, strategy="random", n_candidates=2)
    assert [math.isinf(trial.rmse) for trial in result.trials] == [False, True]


@pytest.mark.parametrize("kind", ["serial", "processes"])
def test_a_failing_candidate_is_named(kind, request):
    executor = None if kind == "serial" else request.getfixturevalue("processes")
    space = {"hidden_layer_sizes": [(0,)]}
    with pytest.raises(ValueError, match=r"^candidate 1: a width of hidden_layer_sizes"):
        run(space=space, executor=executor, strategy="random", n_candidates=2)


def test_an_interrupted_search_keeps_what_ended_before_and_cancels_the_rest(tmp_path, whole):
    path = tmp_path / "search.jsonl"
    first = whole.trials[0]
    executor = Given(result=(first, []), error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(path, executor=executor)
    assert [one.cancelled() for one in executor.futures] == [False, False] + [True] * 7
    assert len(path.read_text().splitlines()) == 2
    assert run(path) == whole
