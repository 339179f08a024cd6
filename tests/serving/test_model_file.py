"""Saving and loading: bit-exact round trips, atomic writes, and nothing but ModelFileError."""

from __future__ import annotations

import json
import mmap
import os
import random
from pathlib import Path

import numpy as np
import pytest
from changed_records import with_record
from model_files import (
    DATA,
    MODELS,
    SMALL,
    indexed_matrix,
    integer_ratings,
    parts_of,
    same,
    strange_ratings,
    write_parts,
)

from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import NotFittedError
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.serving.archive import ModelFileError, listing
from autorec_np.serving.model_file import (
    load_model,
    read_metadata,
    save_model,
)

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", MODELS)
def test_round_trip_is_exact(name, data, path):
    model = MODELS[name]().fit(DATA[data]())
    save_model(model, path)
    loaded = load_model(path)
    # NumPy's scalars come back as Python's numbers, and an array of sizes as a list.
    expected = {**vars(model)}
    if isinstance(model, AutoRec):
        penalties = {k: float(x) for k, x in model.regularization_.items()}
        expected["fitted_"] = with_record(model, penalties=penalties).fitted_
    if name == "lbfgs":
        expected["hidden_layer_sizes"] = [3]
    if name == "none":
        expected["cold"] = float(np.float32(2.7))
    assert same(expected, vars(loaded))

    users, items, _ = model.ratings_.triples()
    every_item = np.resize(model.ratings_.item_ids, len(users))
    assert same(model.predict(users, items), loaded.predict(users, items))
    assert same(model.predict(users, every_item), loaded.predict(users, every_item))
    assert same(
        model.recommend(model.ratings_.user_ids, 4), loaded.recommend(model.ratings_.user_ids, 4)
    )
    if isinstance(model, AutoRec):
        assert same(model.encode(), loaded.encode())
        rated = {model.ratings_.item_ids[0]: 2.0, model.ratings_.item_ids[3]: 5.0}
        assert same(model.predict_new(rated), loaded.predict_new(rated))


@pytest.mark.parametrize("name", MODELS)
def test_same_model_gives_same_bytes_also_once_loaded(name, path, tmp_path):
    save_model(MODELS[name]().fit(strange_ratings()), path)
    again = tmp_path / "again.npz"
    save_model(load_model(path), again)
    assert path.read_bytes() == again.read_bytes()


def test_baselines_of_a_loaded_model_share_ratings_as_before(saved, path):
    early = load_model(saved)
    assert early.fitted_.baseline is early.fitted_.cold_baseline
    assert len(early.cold_baseline_.ratings_) < len(early.ratings_)
    save_model(MODELS["mean"]().fit(integer_ratings()), path)
    plain = load_model(path)
    assert plain.baseline_.ratings_ is plain.cold_baseline_.ratings_ is plain.ratings_


def test_ratings_of_a_loaded_model_cannot_be_changed(saved):
    ratings = load_model(saved).ratings_
    matrix = ratings.matrix
    arrays = [matrix.data, matrix.indices, matrix.indptr, ratings.order, ratings.timestamps]
    for array in [*arrays, ratings.user_ids, ratings.item_ids]:
        assert not array.flags.writeable


def test_unknown_ids_and_indices_behave_as_before(saved, path):
    assert load_model(saved).cold_pairs(["nobody", "007"], ["item 1", "item 1"]).tolist() == [
        True,
        False,
    ]
    save_model(BiasBaseline().fit(indexed_matrix()), path)
    with pytest.raises(IndexError, match="user index 99 is out of range"):
        load_model(path).predict([99], [0])


def test_a_loaded_model_can_train_on(path):
    model = AutoRec(**SMALL, warm_start=True).fit(integer_ratings())
    save_model(model, path)
    assert same(model.fit(integer_ratings()).theta_, load_model(path).fit(integer_ratings()).theta_)


def test_what_is_not_saved(path):
    calls = []
    model = AutoRec(**{**SMALL, "random_state": np.random.default_rng(0)}, callbacks=[calls.append])
    save_model(model.fit(integer_ratings()), path)
    loaded = load_model(path)
    assert (loaded.callbacks, loaded.random_state) == ((), None)
    changed = {"callbacks", "random_state"}
    assert {k: v for k, v in loaded.get_params().items() if k not in changed} == {
        k: v for k, v in model.get_params().items() if k not in changed
    }


def test_layers_are_those_of_the_fit_not_of_later_parameters(path):
    model = AutoRec(**SMALL).fit(integer_ratings())
    model.set_params(hidden_layer_sizes=(50, 20), tied=True)
    save_model(model, path)
    loaded = load_model(path)
    assert loaded.get_params()["hidden_layer_sizes"] == (50, 20)
    users, items, _ = model.ratings_.triples()
    assert same(model.predict(users, items), loaded.predict(users, items))


def test_metadata(saved, path):
    assert read_metadata(saved) == {"dataset": "strange"}
    metadata = {"titles": {"1": "Amélie \ud800"}, "scores": [1, 2.5, None, True]}
    save_model(GlobalMean().fit(integer_ratings()), path, metadata=metadata)
    assert read_metadata(path) == metadata
    save_model(GlobalMean().fit(integer_ratings()), path)
    assert read_metadata(path) == {}


# Formats of the past


def check_frozen(format_version, name, options):
    """The files and what they predict are as they were first written; never write them anew.

    Trained values come from the file, so only sums of products may round differently elsewhere.
    """
    stem = f"format_{format_version}"
    expected = json.loads((FIXTURES / f"{stem}.json").read_text(encoding="utf-8"))[name]
    path = FIXTURES / f"{stem}_{name}.npz"
    model = load_model(path, **options)
    users, items = expected["users"], expected["items"]
    np.testing.assert_allclose(
        model.predict(users, items), expected["predictions"], rtol=0, atol=1e-6
    )
    ids, _ = model.recommend(users[::7], 3)
    assert ids.tolist() == expected["recommended"]
    rated = {items[1]: 4.0, items[4]: 1.0}
    np.testing.assert_allclose(
        model.predict_new(rated), expected["predicted_new"], rtol=0, atol=1e-6
    )
    assert read_metadata(path) == {"note": f"format {format_version}, {name}"}
    return model


@pytest.mark.parametrize("name", ["item", "user"])
@pytest.mark.parametrize("options", [{}, {"memory_map": True}], ids=repr)
def test_files_of_format_1_stay_loadable(name, options):
    model = check_frozen(1, name, options)
    assert model.input_map_ == (1.0, 0.0)  # ratings were read as they are
    assert (model.implicit_, model.inputs_) == (0, "ratings")


@pytest.mark.parametrize("name", ["item", "user", "blend"])
@pytest.mark.parametrize("options", [{}, {"memory_map": True}], ids=repr)
def test_files_of_format_2_stay_loadable(name, options):
    model = check_frozen(2, name, options)
    if name == "blend":
        assert [*model.members_] == ["item", "biases", "inner"]
        assert [*model.members_["inner"].weights_] == ["user", "early"]
        model = model.members_["item"]
    assert (model.implicit_, model.inputs_) == (2, "planes")


# Without the ratings


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", ["item", "user", "tied", "mean", "early", "bias", "global"])
def test_without_ratings_all_that_the_model_says_stays(name, data, path, tmp_path):
    model = MODELS[name]().fit(DATA[data]())
    save_model(model, path, include_ratings=False)
    loaded = load_model(path)
    users, items, _ = model.ratings_.triples()
    every_user, every_item = model.ratings_.user_ids, model.ratings_.item_ids
    assert same(model.predict(users, items), loaded.predict(users, items))
    for exclude_seen in (True, False):
        assert same(
            model.recommend(every_user, 4, exclude_seen),
            loaded.recommend(every_user, 4, exclude_seen),
        )
    grid = np.repeat(every_user, len(every_item)), np.tile(every_item, len(every_user))
    assert same(model.cold_pairs(*grid), loaded.cold_pairs(*grid))
    if isinstance(model, AutoRec):
        assert same(model.encode(), loaded.encode())
        rated = {every_item[0]: 2.0, every_item[3]: 5.0}
        assert same(model.recommend_new(rated), loaded.recommend_new(rated))
    again = tmp_path / "again.npz"
    save_model(loaded, again, include_ratings=False)
    assert path.read_bytes() == again.read_bytes()


def test_without_ratings_the_file_holds_none_and_says_so_where_they_are_needed(path):
    ratings = strange_ratings()
    save_model(MODELS["early"]().fit(ratings), path, include_ratings=False)
    _, arrays = parts_of(path)
    assert {name for name in arrays if name.startswith("ratings.")} == {
        "ratings.indices",
        "ratings.indptr",
    }
    loaded = load_model(path)
    assert len(loaded.ratings_) == len(ratings)
    for part in (loaded.ratings_, loaded.cold_baseline_.ratings_):
        for ask in (part.triples, part.positions, part.to_frame):
            with pytest.raises(
                ValueError, match="saved with include_ratings=False, so it knows who"
            ):
                ask()
        assert np.isnan(part.matrix.data).all()
    with pytest.raises(ValueError, match=r"without its ratings .*; pass include_ratings=False"):
        save_model(loaded, path)
    with pytest.raises(ValueError, match="say who rated what but not how"):
        loaded.fit(loaded.ratings_)


def test_without_ratings_a_model_can_still_be_trained_on_with_ratings(path):
    model = AutoRec(**SMALL, warm_start=True).fit(integer_ratings())
    save_model(model, path, include_ratings=False)
    assert same(model.fit(integer_ratings()).theta_, load_model(path).fit(integer_ratings()).theta_)


# Mapped into memory


def is_mapped(array) -> bool:
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, memoryview) and isinstance(array.obj, mmap.mmap)


@pytest.mark.parametrize("name", MODELS)
def test_a_mapped_model_is_the_same(name, path):
    model = MODELS[name]().fit(strange_ratings())
    save_model(model, path)
    read, mapped = load_model(path), load_model(path, memory_map=True)
    assert same(vars(read), vars(mapped))
    matrix = mapped.ratings_.matrix
    for array in (matrix.data, matrix.indices, matrix.indptr, mapped.ratings_.order):
        assert is_mapped(array)
        assert not array.flags.writeable
    if isinstance(model, AutoRec):
        assert is_mapped(mapped.theta_)
        assert is_mapped(mapped.codes_)
        assert not is_mapped(read.theta_)
        with pytest.raises(ValueError, match="read-only"):
            mapped.theta_[0] = 0
    save_model(read.set_params(), path)  # takes the place of the mapped file
    users = model.ratings_.user_ids
    assert same(read.recommend(users, 3), mapped.recommend(users, 3))


def test_refusals_come_before_anything_is_written(path):
    model = AutoRec(**SMALL).fit(integer_ratings())
    for metadata in ({"when": object()}, {"score": float("nan")}):
        with pytest.raises(TypeError, match="metadata must be what JSON can hold"):
            save_model(model, path, metadata=metadata)
    with pytest.raises(NotFittedError, match=r"call fit\(ratings\) first"):
        save_model(AutoRec(), path)
    every = (
        "AutoRec, BiasBaseline, Blend, GlobalMean, RatingRBM, LLORMA, BayesianMF, BiasedMF, SVDpp, "
        "Popularity, ItemKNN, EASE, RankingAutoRec"
    )
    with pytest.raises(TypeError, match=f"can save {every}, got Pip"):
        save_model(type("Pipeline", (AutoRec,), {})(), path)
    with pytest.raises(
        TypeError, match=r"parameters and metadata must be .* type object is not JSON"
    ):
        save_model(model.set_params(n_jobs=object()), path)
    with pytest.raises(ValueError, match="solver must be one of"):
        save_model(model.set_params(n_jobs=None, solver="newton"), path)
    with pytest.raises(FileNotFoundError, match="no such folder; create it first"):
        save_model(GlobalMean().fit(integer_ratings()), path.parent / "missing" / "model.npz")
    assert os.listdir(path.parent) == []


# Reading: every unusable file gives a ModelFileError that says why


def set_in(header: dict, place: str, value) -> None:
    *outer, last = place.split("/")
    for key in outer:
        header = header[key]
    header[last] = value


HEADER_CASES = {
    "format": ("another model", "does not say that it is an autorec_np model"),
    "format_version": (
        3,
        "it is in format 3, written by {'autorec_np': '.*reads format 1 and 2: pip install --upgr",
    ),
    "class": ("Oracle", "header/class is 'Oracle', not 'AutoRec' or 'BiasBaseline' or 'Ble"),
    "extra": (1, r"header lacks, or has unknown, entries: \['extra'\]"),
    "metadata": ([], r"its header/metadata is \[\], not dict"),
    "parameters/extra": (1, "a model: AutoRec.* got an unexpected keyword argument 'extra'"),
    "parameters/solver": ("newton", "a model: solver must be one of .*, got 'newton'"),
    "parameters/orientation": ("users", "a model: orientation must be one of .*, got 'users'"),
    "parameters/rating_scale": ({"set": [1]}, "one of its parameters is stored as {'set'"),
    "state/ids_are_indices": (0, "its state/ids_are_indices is 0, not bool"),
    "state/biases": ({}, r"state lacks, or has unknown, entries: \['biases'\]"),
    "state/ratings/kept": ("none", "its state/ratings/kept is 'none', not 'all' or 'pattern'"),
    "state/ratings/scale": ([5.0, 0.0], "its rating scale is 5.0 to 0.0"),
    "state/ratings/timestamps": (False, r"unknown arrays: \['ratings.timestamps'\]"),
    "state/ratings/user_ids": ("integers", "it lacks the array 'users'"),
    "state/ratings/item_ids": ("floats", "item_ids is 'floats', not 'integers' or 'strings'"),
    "state/autorec/orientation": ("user", "reads 12 columns .* orientation 'user', have 9"),
    "state/autorec/n_iter": (True, "its state/autorec/n_iter is True, not int"),
    "state/autorec/n_evaluations": (1.5, "its state/autorec/n_evaluations is 1.5, not int"),
    "state/autorec/baseline": (
        "Oracle",
        "baseline is 'Oracle', not 'BiasBaseline' or 'GlobalMean' or None",
    ),
    "state/autorec/baseline_mean": (3.0, "its baseline is 'BiasBaseline' with the mean 3.0"),
    "state/autorec/input_map/factor": (0.0, "the factor of its input map is 0"),
    "state/autorec/input_map/offset": ("0", "its state/autorec/input_map/offset is '0', not float"),
    "state/autorec/output_map/factor": (0.0, "the factor of its output map is 0"),
    "state/autorec/regularization/encoder.weight": (
        -1.0,
        "regularization of encoder.weight must be .*, got -1.0",
    ),
    "state/autorec/cold_baseline/regularization": (-5.0, "regularization must be .*, got -5.0"),
    "state/autorec/cold_baseline/trained_on_all": (True, r"unknown arrays: \['trained_on'\]"),
    "state/autorec/cold_baseline/biases/mean": (
        None,
        "cold_baseline/biases/mean is None, not float",
    ),
    "state/autorec/network/n_columns": (13, "network reads 13 columns .* have 12"),
    "state/autorec/network/n_inputs": (13, "network reads 13 columns and returns 12"),
    "state/autorec/network/activation": ("step", "its network is not valid: unknown activation"),
    "state/autorec/network/hidden_layer_sizes": ([2**62] * 3, "hidden layer sizes are"),
    "state/autorec/network/tied": (True, r"'theta' is not .* states .*'shape': \(162,\)"),
}


@pytest.mark.parametrize("place", HEADER_CASES)
def test_wrong_entries_of_the_header(place, saved, path):
    value, message = HEADER_CASES[place]
    header, arrays = parts_of(saved)
    set_in(header, place, value)
    write_parts(path, header, arrays)
    with pytest.raises(ModelFileError, match=message) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"{path} cannot be loaded as a model: ")


TEXT_CASES = {
    "not JSON": (b"{", "its header is not JSON"),
    "not UTF-8": (b'"\xff"', "its header is not JSON"),
    "not an object": (b"[]", "does not say that it is an autorec_np model"),
    "empty": (b"", "its header is not JSON"),
    "nested": (b"[" * 100_000, "recursion"),
    "nested object": (b'{"a":' * 100_000, "recursion"),
}


@pytest.mark.parametrize("case", TEXT_CASES)
def test_headers_that_are_no_header(case, saved, path):
    text, message = TEXT_CASES[case]
    write_parts(path, text, parts_of(saved)[1])
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


@pytest.mark.parametrize("place", ["parameters/cold", "state/ratings/scale", "metadata/deep"])
def test_deep_nesting_inside_the_header(place, saved, path):
    header, arrays = parts_of(saved)
    set_in(header, place, "HERE")
    deep = "[" * 900 + "]" * 900
    text = json.dumps(header).replace('"HERE"', deep).encode()
    write_parts(path, text, arrays)
    if place == "metadata/deep":  # any metadata may come back
        assert isinstance(load_model(path), AutoRec)
        return
    with pytest.raises(ModelFileError):
        load_model(path)


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_not_finite(literal, saved, path):
    header, arrays = parts_of(saved)
    set_in(header, "state/autorec/output_map/offset", "HERE")
    write_parts(path, json.dumps(header).replace('"HERE"', literal).encode(), arrays)
    with pytest.raises(
        ModelFileError, match=r"output_map/offset is (nan|inf), not 'a finite number'"
    ):
        load_model(path)


def changed(index, value):
    def change(array):
        array = array.copy()
        array[index] = value
        return array

    return change


ARRAY_CASES = {
    "theta": [
        (lambda a: a[:-1], r"'theta' is not .* shape \(162,\): .* states .*'shape': \(161,\)"),
        (lambda a: a.reshape(1, -1), r"shape \(162,\): .* states .*'shape': \(1, 162\)"),
        (
            lambda a: a.astype(np.int32),
            "'theta' is not .* dtype <f4 <f8 .* states .*'descr': '<i4'",
        ),
        (
            lambda a: a.astype(np.complex64),
            "'theta' is not .* dtype <f4 <f8 .* states .*'descr': '<c8'",
        ),
        (None, "it lacks the array 'theta'"),
    ],
    "codes": [
        (lambda a: a.T, r"'codes' is not .* shape \(9, 6\): .* states .*'shape': \(6, 9\)"),
        (lambda a: a.astype(np.float64), "'codes' is not .* dtype <f4 .* states .*'<f8'"),
    ],
    "unknown": [(lambda a: np.zeros(3), r"it holds unknown arrays: \['unknown'\]")],
    "biases.user": [
        (lambda a: a.astype(np.float32), "'biases.user' is not .* dtype <f8 .* '<f4'"),
    ],
    "ratings.data": [
        (changed(3, np.nan), "its ratings are not finite"),
        (lambda a: a[:-1], r"'ratings.data' is not .* shape \(72,\): .* \(71,\)"),
    ],
    "ratings.order": [
        (changed(0, -1), "the order of its ratings is not a permutation"),
        (lambda a: np.where(a == a.max(), -1, a), "the order of its ratings is not a permutation"),
        (lambda a: np.zeros_like(a), "the order of its ratings is not a permutation"),
    ],
    "ratings.indices": [
        (changed(0, 9), "positions of its ratings are damaged: .*9"),
        (changed(0, -1), "positions of its ratings are damaged: .*0"),
        (lambda a: a[::-1], "not in ascending positions"),
    ],
    "ratings.indptr": [
        (changed(0, 1), "positions of its ratings are damaged: ind"),
        (changed(-1, 1), "positions of its ratings are damaged: ind"),
        (changed(2, 10**6), "positions of its ratings are damaged: ind"),
        (changed(2, 7), "not in ascending positions"),
    ],
    "trained_on": [(lambda a: a.astype(np.uint8), r"'trained_on' is not .* dtype \|b1 .* '\|u1'")],
    "users.offsets": [
        (lambda a: a[:-1], "offsets of its users' ids do not fit"),
        (changed(1, 10**9), "offsets of its users' ids do not fit"),
        (lambda a: a[:0], "offsets of its users' ids do not fit"),
    ],
    "items.utf8": [
        (changed(0, 255), "the ids of its items are not UTF-8"),
        (changed(5, ord("9")), "the ids of its items are not ascending and unique"),
    ],
}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [(name, *case) for name, cases in ARRAY_CASES.items() for case in cases],
)
def test_wrong_arrays(name, change, message, saved, path):
    header, arrays = parts_of(saved)
    array = arrays.pop(name, None)
    if change is not None:
        arrays[name] = change(array)
    header["arrays"] = listing(arrays)
    write_parts(path, header, arrays)
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


VALUES = [None, True, False, 0, -1, 2**70, 1e308, 0.5, "", "auto", "item", [], [1], [[1]], {}]
VALUES += [{"tuple": [1, 2]}, {"tuple": 5}, {"mapping": {"a": 1}}, 10**400]


def places(found):
    """Yield the (container, key) of everything in a header."""
    for key in list(found) if isinstance(found, dict) else range(len(found)):
        yield found, key
        if isinstance(found[key], dict | list):
            yield from places(found[key])


def test_changed_headers_give_a_working_model_or_a_model_file_error(saved, path):
    header, arrays = parts_of(saved)
    text, generator = json.dumps(header), random.Random(0)
    outcomes = {"refused": 0, "loaded": 0}
    for _ in range(300):
        changed = json.loads(text)
        container, key = generator.choice(list(places(changed)))
        if isinstance(container, dict) and generator.random() < 0.2:
            container[f"{key}s"] = container.pop(key)
        else:
            container[key] = generator.choice(VALUES)
        write_parts(path, changed, arrays)
        try:
            model = load_model(path)
        except ModelFileError:
            outcomes["refused"] += 1
        else:
            outcomes["loaded"] += 1
            assert np.isfinite(model.predict(["007", "7"], ["item 1", "item 2"])).all()
    assert outcomes["refused"] > 150
    assert outcomes["loaded"] > 20


def test_a_file_of_another_class_than_expected_is_refused(path):
    save_model(GlobalMean().fit(strange_ratings()), path)
    assert type(load_model(path, GlobalMean)) is GlobalMean
    assert type(load_model(path)) is GlobalMean
    with pytest.raises(ModelFileError, match=r"it holds a GlobalMean where AutoRec is expected"):
        load_model(path, AutoRec)
