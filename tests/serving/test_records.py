"""Records in files of format 2: what the header lists, models inside models, and hostile ones."""

from __future__ import annotations

import json
import random

import numpy as np
import pandas as pd
import pytest
from changed_records import with_record
from model_files import (
    MODELS,
    OF_LISTS,
    SMALL,
    integer_ratings,
    members,
    parts_of,
    same,
    write_parts,
)

from autorec_np.models.autorec import AutoRec
from autorec_np.models.base import Record
from autorec_np.models.biases import BiasBaseline, GlobalMean
from autorec_np.models.blend import Blend
from autorec_np.models.scoring import Implicit
from autorec_np.serving.archive import ModelFileError
from autorec_np.serving.model_file import load_model, save_model
from autorec_np.serving.records import KINDS


@pytest.fixture(scope="module")
def blends(tmp_path_factory):
    """A blend in a blend, a member that held ratings out, and one with a scale of its own."""
    path = tmp_path_factory.mktemp("blends") / "model.npz"
    save_model(MODELS["blends"]().fit(integer_ratings()), path)
    return path


def test_every_model_of_the_library_can_be_saved():
    of_models = ["AutoRec", "BiasBaseline", "Blend", "GlobalMean"]
    of_ratings = ["RatingRBM", "LLORMA", "BayesianMF", "BiasedMF", "SVDpp"]
    of_lists = ["Popularity", "ItemKNN", "EASE", "RankingAutoRec"]
    assert [*KINDS] == [*of_models, *of_ratings, *of_lists]
    assert all(kind.model.__name__ == name for name, kind in KINDS.items())


def test_the_ratings_are_in_a_file_once(path, blends):
    save_model(Blend(members()).fit(integer_ratings()), path)
    header, arrays = parts_of(path)
    assert [name for name in arrays if name.endswith("ratings.data")] == ["ratings.data"]
    assert [one["state"]["ratings"] for one in header["state"]["blend"]["members"]] == [None] * 3
    loaded = load_model(path)
    assert all(one.ratings_ is loaded.ratings_ for one in loaded.members_.values())
    # a member that clips to another scale has other ratings
    assert "members.2.ratings.data" in parts_of(blends)[1]
    scaled, inner = (load_model(blends).members_[name] for name in ("scaled", "inner"))
    assert scaled.rating_scale_ == (-1, 7)
    assert inner.members_["user"].ratings_ is inner.ratings_


def test_what_a_baseline_was_fitted_with_is_saved_not_what_was_set_since(path):
    model = BiasBaseline(2).fit(integer_ratings())
    save_model(model.set_params(regularization=9.0), path)
    loaded = load_model(path)
    assert (loaded.regularization, loaded.fitted_.regularization) == (9.0, 2.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found, arrays: found.update(width=4), "'factors.user' is not a plain array"),
        (lambda found, arrays: found.update(width=-3), "'factors.user' is not a plain array"),
        (lambda found, arrays: found.update(width=True), "width is True, not int"),
        (lambda found, arrays: found.update(more=1), r"unknown, entries: \['more'\]"),
        (lambda found, arrays: found["biases"].update(mean=None), "biases/mean is None"),
        (lambda found, arrays: arrays.pop("factors.item"), "lacks the array 'factors.item'"),
        (
            lambda found, arrays: arrays.update({"factors.item": arrays["factors.item"][1:]}),
            "'factors.item' is not a plain array",
        ),
    ],
)
@pytest.mark.parametrize("name", ["als", "svdpp"])
def test_factors_that_do_not_fit_are_refused(name, change, message, path):
    save_model(MODELS[name]().fit(integer_ratings()), path)
    header, arrays = parts_of(path)
    change(header["state"]["factors"], arrays)
    write_parts(path, header, arrays)
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found, arrays: found.update(n_models=4), "'anchors' is not a plain array"),
        (lambda found, arrays: found.update(n_models=-1), "'anchors' is not a plain array"),
        (lambda found, arrays: found.update(width=7), "'user_factors' is not a plain array"),
        (lambda found, arrays: arrays.pop("item_weights"), "lacks the array 'item_weights'"),
        (
            lambda found, arrays: arrays["user_weights"].__setitem__((0, 0), 0),
            "the weights of its models are not positive",
        ),
        (
            lambda found, arrays: arrays["item_weights"].__setitem__((0, 1), np.nan),
            "the weights of its models are not positive",
        ),
    ],
)
def test_local_models_that_do_not_fit_are_refused(change, message, path):
    save_model(MODELS["local"]().fit(integer_ratings()), path)
    header, arrays = parts_of(path)
    change(header["state"]["local"], arrays)
    write_parts(path, header, arrays)
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


@pytest.mark.parametrize("orientation", ["item", "user"])
def test_an_implicit_decoder_is_saved(orientation, path):
    model = AutoRec(orientation, **SMALL).fit(integer_ratings())
    n_columns, rng = model.network_.n_columns, np.random.default_rng(0)
    weight, shares = (rng.normal(size=(n, 3)) for n in (len(model.codes_), n_columns))
    implicit = Implicit(weight.astype(np.float32), shares.astype(np.float32))
    penalties = {**model.regularization_, "implicit.weight": 3.0}
    model = with_record(model, implicit=implicit, penalties=penalties)
    save_model(model, path)
    loaded = load_model(path, memory_map=True)
    assert same(loaded.fitted_, model.fitted_)
    header, arrays = parts_of(path)
    assert header["state"]["autorec"]["implicit"] == 3

    for units, message in ((7, "has 7 units, of 6"), (0, "has 0 units"), (True, "not int or None")):
        header["state"]["autorec"]["implicit"] = units
        write_parts(path, header, arrays)
        with pytest.raises(ModelFileError, match=message):
            load_model(path)
    header["state"]["autorec"]["implicit"] = 2
    write_parts(path, header, arrays)
    with pytest.raises(ModelFileError, match=r"'implicit.weight' is not .* shape \(\d+, 2\)"):
        load_model(path)
    header["state"]["autorec"]["implicit"] = None
    write_parts(path, header, arrays)
    with pytest.raises(ModelFileError, match=r"network is not valid: .*implicit.weight"):
        load_model(path)
    header["state"]["autorec"]["implicit"] = 3
    header["state"]["autorec"]["regularization"]["implicit.weight"] = -1.0
    write_parts(path, header, arrays)
    with pytest.raises(ModelFileError, match=r"implicit.weight must be .*, got -1.0"):
        load_model(path)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in OF_LISTS])
def test_calibrated_intervals_are_the_same_to_the_bit(name, path):
    R = integer_ratings()
    users, items, _ = R.triples()
    model = MODELS[name]().fit(R).calibrate()
    save_model(model, path, include_ratings=False)
    loaded = load_model(path, memory_map=True)
    assert same(loaded.fitted_.calibration, model.fitted_.calibration)
    np.testing.assert_array_equal(
        loaded.predict(users, items, interval=0.8), model.predict(users, items, interval=0.8)
    )
    save_model(MODELS[name]().fit(R), path)
    assert load_model(path).fitted_.calibration is None


CALIBRATION_CASES = {
    "starts": (lambda starts, errors: starts.__setitem__(0, 1), "groups of its calibration"),
    "ends": (lambda starts, errors: starts.__setitem__(-1, len(errors) - 1), "groups of its"),
    "order": (lambda starts, errors: starts.__setitem__(2, starts[1] - 1), "groups of its"),
    "nan": (lambda starts, errors: errors.__setitem__(3, np.nan), "is not finite"),
    "negative": (lambda starts, errors: errors.__setitem__(starts[2], -1.0), "is not finite"),
    "falls": (lambda starts, errors: errors.__setitem__(starts[2], 99.0), "not ascending in each"),
}


@pytest.mark.parametrize("case", CALIBRATION_CASES)
def test_a_wrong_calibration_is_refused(case, path):
    save_model(BiasBaseline().fit(integer_ratings()).calibrate(), path)
    header, arrays = parts_of(path)
    change, message = CALIBRATION_CASES[case]
    parts = {name: array.copy() for name, array in arrays.items()}
    change(parts["calibration.starts"], parts["calibration.errors"])
    write_parts(path, header, parts)
    with pytest.raises(ModelFileError, match=message):
        load_model(path)
    del header["state"]["calibration"]
    write_parts(path, header, arrays)
    with pytest.raises(ModelFileError, match=r"unknown arrays: .*calibration.coefficients"):
        load_model(path)


def test_what_the_network_reads_must_fit_it(path):
    save_model(AutoRec(**SMALL).fit(integer_ratings()), path)
    header, arrays = parts_of(path)
    autorec = header["state"]["autorec"]
    autorec["inputs"] = "planes"
    write_parts(path, header, arrays)
    with pytest.raises(ModelFileError, match="its network reads 40 columns and returns 40"):
        load_model(path)
    autorec["network"]["n_inputs"] = 80
    write_parts(path, header, arrays)
    with pytest.raises(ModelFileError, match="'theta' is not a plain array"):
        load_model(path)
    autorec["network"]["tied"] = True
    write_parts(path, header, arrays)
    with pytest.raises(ModelFileError, match=r"tied"):
        load_model(path)


def test_features_must_fit_ids_and_network(path):
    R = integer_ratings()
    told = R.with_features(items=pd.DataFrame(np.eye(R.n_items)[:, :5], R.item_ids))
    save_model(AutoRec(**SMALL).fit(told), path)
    header, arrays = parts_of(path)
    given = header["state"]["ratings"]["features"]
    assert given == {"user": 0, "item": 5}
    for wrong in (0, -1, 4, 6, None, 5.0):
        given["item"] = wrong
        write_parts(path, header, arrays)
        with pytest.raises(ModelFileError, match=r"features|its network reads|does not know"):
            load_model(path)
    given["item"] = 5
    features = arrays["features.item"].copy()
    for wrong in (features[:-1], features.astype(np.float32), features * np.nan):
        arrays["features.item"] = wrong
        write_parts(path, header, arrays)
        with pytest.raises(ModelFileError, match=r"features"):
            load_model(path)
    save_model(AutoRec(**SMALL).fit(R), path)  # as the format was before there were any
    assert "features" not in parts_of(path)[0]["state"]["ratings"]


LISTED_CASES = {
    "another dtype": (
        lambda listed: listed["users"].update(dtype="<i4"),
        r"its header lists 'users' as .*<i4.*, not .*<i8",
    ),
    "another shape": (
        lambda listed: listed["members.1.codes"].update(shape=[30, 7]),
        r"its header lists 'members.1.codes' as .*\[30, 7\]",
    ),
    "no array": (lambda listed: listed.update(codes=None), r"lacks the listed arrays: \['codes'\]"),
    "none listed": (lambda listed: listed.pop("users"), "its header lists 'users' as None"),
    "no type": (lambda listed: listed.update(users="<i8"), "its header lists 'users' as '<i8'"),
}


@pytest.mark.parametrize("case", LISTED_CASES)
def test_what_the_header_lists_must_be_there(case, blends, path):
    change, message = LISTED_CASES[case]
    header, arrays = parts_of(blends)
    change(header["arrays"])
    write_parts(path, header, arrays)
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


def member_of(header, *places):
    for place in places:
        header = header["state"]["blend"]["members"][place]
    return header


def template_of(header, place):
    return header["parameters"]["estimators"][place]["tuple"][1]["model"]


MEMBER_CASES = {
    "no members": (
        lambda header: header["state"]["blend"].update(members=[]),
        "a Blend needs members, got none",
    ),
    "a text": (lambda header: header["state"]["blend"].update(members="abc"), "'abc', not list"),
    "no member": (
        lambda header: header["state"]["blend"].update(members=[3]),
        r"its members.0 is 3, not",
    ),
    "a name": (lambda header: member_of(header, 0).update(name=3), "members.0/name is 3, not str"),
    "names": (lambda header: member_of(header, 0).update(name="early"), "two members are named"),
    "bad name": (lambda header: member_of(header, 1).update(name="a__b"), "cannot be named 'a__b'"),
    "class": (lambda header: member_of(header, 0).update({"class": "Oracle"}), "0/class is 'Oracl"),
    "another class": (
        lambda header: member_of(header, 0).update({"class": "GlobalMean"}),
        r"its members.0.state lacks, or has unknown, entries: \['blend', 'mean'\]",
    ),
    "weight": (lambda header: member_of(header, 0).update(weight=True), "0/weight is True, not f"),
    "weights": (lambda header: member_of(header, 0).update(weight=9.0), "members add up to"),
    "an error": (lambda header: member_of(header, 0).update(validation_rmse=None), "rmse is None"),
    "extra": (lambda header: member_of(header, 0).update(more=1), r"unknown, entries: \['more'\]"),
    "inner member": (
        lambda header: member_of(header, 0, 0)["state"]["autorec"].update(n_iter=None),
        r"its members.0.members.0.state/autorec/n_iter is None",
    ),
    "parameters": (
        lambda header: member_of(header, 1)["parameters"].update(solver="newton"),
        "solver must be one of",
    ),
    "ratings of nobody": (
        lambda header: header["state"].update(ratings=None),
        "its state/ratings is None",
    ),
    "template": (
        lambda header: template_of(header, 0).update({"class": "Oracle"}),
        "parameters/model/class is 'Oracle'",
    ),
    "parameters of a template": (
        lambda header: template_of(header, 1)["parameters"].update(solver="newton"),
        "solver must be one of",
    ),
    "a template that is none": (
        lambda header: header["parameters"].update(estimators=[{"tuple": ["a", 3]}]),
        "member 'a' must be a model",
    ),
    "extra of a template": (lambda header: template_of(header, 0).update(more=1), r"\['more'\]"),
}


@pytest.mark.parametrize("case", MEMBER_CASES)
def test_wrong_members(case, blends, path):
    change, message = MEMBER_CASES[case]
    header, arrays = parts_of(blends)
    change(header)
    write_parts(path, header, arrays)
    with pytest.raises(ModelFileError, match=message):
        load_model(path)


def test_a_member_with_users_of_its_own_is_refused(blends, path):
    header, arrays = parts_of(blends)
    arrays["members.2.users"] = arrays["members.2.users"] + 1
    write_parts(path, header, arrays)
    with pytest.raises(
        ModelFileError, match=r"members.2.user_ids are not those of the model aroun"
    ):
        load_model(path)


@pytest.mark.parametrize("name", ["members.0.members.0.theta", "members.1.trained_on"])
def test_arrays_of_members_are_checked(name, blends, path):
    header, arrays = parts_of(blends)
    array = arrays.pop(name)
    write_parts(path, header, arrays)
    with pytest.raises(ModelFileError, match=f"it lacks the array '{name}'"):
        load_model(path)
    write_parts(path, header, {**arrays, name: array[:-1]})
    with pytest.raises(ModelFileError, match=f"its array '{name}' is not a plain array"):
        load_model(path)


def test_models_in_models_without_end_are_refused(blends, path):
    header, arrays = parts_of(blends)
    header["parameters"]["estimators"] = "HERE"
    start = '[{"tuple":["a",{"model":{"class":"Blend","parameters":{"estimators":'
    deep = start * 200 + "[]" + "}}}]}]" * 200
    write_parts(path, json.dumps(header).replace('"HERE"', deep).encode(), arrays)
    with pytest.raises(ModelFileError, match=r"recursion|needs members"):
        load_model(path)


def test_changed_headers_of_a_blend_give_a_working_model_or_a_model_file_error(blends, path):
    header, arrays = parts_of(blends)
    text, generator = json.dumps(header), random.Random(1)
    values = [None, True, 0, -1, 2**70, 0.5, "", "item", [], {}, {"tuple": [1]}, {"model": {}}]
    outcomes = {"refused": 0, "loaded": 0}

    def places(found):
        for key in list(found) if isinstance(found, dict) else range(len(found)):
            yield found, key
            if isinstance(found[key], dict | list):
                yield from places(found[key])

    for _ in range(200):
        changed = json.loads(text)
        container, key = generator.choice(list(places(changed)))
        container[key] = generator.choice(values)
        write_parts(path, changed, arrays)
        try:
            model = load_model(path)
        except ModelFileError:
            outcomes["refused"] += 1
        else:
            outcomes["loaded"] += 1
            users, items, _ = model.ratings_.triples()
            assert np.isfinite(model.predict(users[:5], items[:5])).all()
    assert outcomes["refused"] > 100
    assert outcomes["loaded"] > 10


class Oracle(GlobalMean):
    """A model of somebody else."""


def test_a_member_that_cannot_be_saved_is_refused(path):
    blend = Blend([("mean", GlobalMean()), ("oracle", Oracle())]).fit(integer_ratings())
    with pytest.raises(
        TypeError, match=r"can save AutoRec, BiasBaseline, Blend, GlobalMean, .*got O"
    ):
        save_model(blend, path)
    assert isinstance(blend.fitted_, Record)
    assert not path.exists()
    with pytest.raises(ValueError, match="solver must be one of"):
        save_model(Blend(members()).fit(integer_ratings()).set_params(item__solver="x"), path)


def test_without_ratings_a_blend_says_so_where_they_are_needed(path):
    model = MODELS["blends"]().fit(integer_ratings())
    save_model(model, path, include_ratings=False)
    assert not any(name.endswith("ratings.data") for name in parts_of(path)[1])
    loaded = load_model(path)
    for one in (loaded, *loaded.members_.values()):
        with pytest.raises(ValueError, match="saved with include_ratings=False, so it knows who"):
            one.ratings_.triples()
    with pytest.raises(ValueError, match=r"without its ratings .*; pass include_ratings=False"):
        save_model(loaded, path)


# Of lists


def test_a_ranking_model_needs_its_ratings_only_to_tell_which_count(path):
    ratings = integer_ratings()
    model = MODELS["ranking"]().fit(ratings)
    save_model(model, path, include_ratings=False)
    loaded = load_model(path)
    users = ratings.user_ids
    assert same(loaded.recommend(users, 4), model.recommend(users, 4))
    told = ratings.item_ids[:3]
    assert same(loaded.recommend_new(told, 4), model.recommend_new(told, 4))
    with pytest.raises(ValueError, match="include_ratings=False"):
        loaded.partial_fit(([1], [2]))
    for name, message in (("ranking-user", "values='ratings'"), ("ranking-counts", "'counts'")):
        with pytest.raises(ValueError, match=f"{message} need the ratings"):
            save_model(MODELS[name]().fit(ratings), path, include_ratings=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state["ranking"].update(values="log"), "values is 'log', not 'binary'"),
        (lambda state: state["ranking"].update(threshold="4"), "threshold is '4', not float"),
        (lambda state: state["ranking"].pop("unobserved_target"), "lacks, or has unknown"),
        (lambda state: state["ranking"].update(unobserved_weight=-0.5), "unobserved_weight must"),
        (lambda state: state.pop("ranking"), r"entries: \['ranking'\]"),
        (
            lambda state: state["autorec"]["network"].update(output_activation="tanh"),
            "its network is none of a RankingAutoRec",
        ),
        (
            lambda state: state["autorec"].update(baseline="BiasBaseline"),
            "its network is none of a RankingAutoRec",
        ),
        (
            lambda state: state["autorec"]["output_map"].update(factor=2.0),
            "its network is none of a RankingAutoRec",
        ),
    ],
)
def test_a_ranking_model_that_does_not_fit_is_refused(change, message, path):
    save_model(MODELS["ranking"]().fit(integer_ratings()), path)
    header, arrays = parts_of(path)
    change(header["state"])
    write_parts(path, header, arrays)
    with pytest.raises(ModelFileError, match=message):
        load_model(path)
