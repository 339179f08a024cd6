"""What `AutoRec` takes as parameters, and what it says to what it does not take."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from autorec_np.core.activations import ACTIVATIONS
from autorec_np.data.synthetic import make_ratings
from autorec_np.models.autorec import AutoRec, check_parameters
from autorec_np.models.base import NotFittedError
from autorec_np.models.biases import BiasBaseline

SMALL = {"hidden_layer_sizes": (6,), "max_iter": 4, "n_jobs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def R():
    return make_ratings(40, 30, 600, random_state=0)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"orientation": "items"}, ValueError, "one of 'item', 'user', got 'items'"),
        ({"hidden_layer_sizes": 8}, TypeError, r"hidden_layer_sizes must be .*got 8"),
        ({"hidden_layer_sizes": "8"}, TypeError, r"hidden_layer_sizes must be a sequence .*'8'"),
        ({"hidden_layer_sizes": b"8"}, TypeError, r"hidden_layer_sizes must be a sequence .*b'8'"),
        ({"hidden_layer_sizes": ()}, ValueError, r"hidden_layer_sizes must .*got \(\)"),
        ({"hidden_layer_sizes": (0,)}, ValueError, r"hidden_layer_sizes must .*got .*0"),
        ({"hidden_layer_sizes": (4.5,)}, TypeError, r"hidden_layer_sizes must .*got 4.5"),
        ({"activation": "softmax"}, ValueError, "activation must be one of .*got 'softmax'"),
        ({"output_activation": None}, ValueError, "output_activation must be one of .*got None"),
        ({"regularization": "none"}, ValueError, "regularization must be .*'auto'.*got 'none'"),
        ({"regularization": None}, TypeError, "regularization must be .*got None"),
        ({"regularization": [1, 2]}, TypeError, r"regularization must be .*got \[1, 2\]"),
        ({"regularization": True}, TypeError, "regularization must be .*got True"),
        ({"regularization": -1}, ValueError, "regularization.* must be .*got -1"),
        ({"regularization": {"decoder.weight": np.nan}}, ValueError, "decoder.weight.*got nan"),
        ({"regularization": {"decoder.weight": "a"}}, TypeError, "decoder.weight.*got 'a'"),
        ({"regularization": {"weight": 1.0}}, ValueError, r"'weight'.*\['encoder.weight', 'dec"),
        ({"tied": "yes"}, TypeError, "tied must be True or False, got 'yes'"),
        ({"tied": True, "hidden_layer_sizes": (4, 5)}, ValueError, "tied weights need equal"),
        ({"dropout": 1.0}, ValueError, r"dropout must be .* in \[0, 1\), got 1.0"),
        ({"corruption": -0.1}, ValueError, r"corruption must be .* in \[0, 1\), got -0.1"),
        ({"corruption": 1.0}, ValueError, r"corruption must be .* in \[0, 1\), got 1.0"),
        ({"corruption": "some"}, TypeError, "corruption must be a number, got 'some'"),
        ({"baseline": "biases"}, ValueError, "baseline must be one of .*None, got 'biases'"),
        ({"cold": "mean"}, ValueError, "cold must be one of 'baseline', 'raise', got 'mean'"),
        ({"cold": None}, TypeError, "cold must be 'baseline', 'raise' or a number, got None"),
        ({"cold": np.inf}, ValueError, "cold must be a finite number .*got inf"),
        ({"rating_scale": 5}, TypeError, r"scale must be a pair .*got 5"),
        ({"rating_scale": (5, 1)}, ValueError, r"low < high, got \(5, 1\)"),
        ({"rating_scale": (2, 4)}, ValueError, r"is [15], outside the stated scale \[2, 4\]"),
        ({"solver": "sag"}, ValueError, "solver must be one of .*got 'sag'"),
        ({"learning_rate": "adaptive"}, ValueError, "learning_rate must be .*got 'adaptive'"),
        ({"learning_rate_init": 0}, ValueError, r"learning_rate_init must .*\(0, inf\], got 0.0"),
        ({"warm_up": 1.0}, ValueError, r"warm_up must be .* in \[0, 1\), got 1.0"),
        ({"momentum": 1.0}, ValueError, r"momentum must be .* in \[0, 1\), got 1.0"),
        ({"nesterovs_momentum": None}, TypeError, "nesterovs_momentum must be True or False"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": 2.0}, TypeError, "batch_size must be an integer, got 2.0"),
        ({"max_iter": 0}, ValueError, "max_iter must be at least 1, got 0"),
        ({"tol": -1e-3}, ValueError, "tol must be .*got -0.001"),
        ({"early_stopping": "no"}, TypeError, "early_stopping must be True or False, got 'no'"),
        ({"validation_fraction": 0.0}, ValueError, r"validation_fraction must .*\(0, 1\), got 0"),
        ({"validation_fraction": 1}, ValueError, r"validation_fraction must .*\(0, 1\), got 1"),
        ({"n_iter_no_change": 0}, ValueError, "n_iter_no_change must be at least 1, got 0"),
        ({"warm_start": 1}, TypeError, "warm_start must be True or False, got 1"),
        ({"n_jobs": -1}, ValueError, "n_jobs must be at least 1, got -1"),
        ({"dtype": "float16"}, ValueError, "dtype must be one of 'float32', 'float64'"),
        ({"callbacks": None}, TypeError, "callbacks must be .*got None"),
        ({"callbacks": print}, TypeError, r"callbacks must be .*pass \[callback\]"),
        ({"callbacks": [3]}, TypeError, r"callbacks must be .*got \[3\]"),
        ({"verbose": "no"}, TypeError, "verbose must be True or False, got 'no'"),
        ({"implicit": "all"}, ValueError, "where it is no integer, must .*'auto', got 'all'"),
        ({"implicit": -1}, ValueError, "implicit must be at least 0, got -1"),
        ({"implicit": 2.0}, TypeError, "implicit must be an integer, got 2.0"),
        ({"implicit": None}, TypeError, "implicit must be an integer, got None"),
        ({"implicit": 7}, ValueError, "implicit=7 is more than the 6 units.*lower implicit"),
        ({"implicit": 2, "tied": True}, ValueError, "tied=True .*implicit=2 .*use tied=False"),
        ({"inputs": "both"}, ValueError, "inputs must be one of 'auto', 'ratings', 'planes'"),
        ({"inputs": "planes", "tied": True}, ValueError, "tied=True .*inputs='planes' cannot"),
        (
            {"regularization": {"implicit.weight": 1.0}, "implicit": 0},
            ValueError,
            r"'implicit.weight'.*\['encoder.weight', 'decoder.weight'\]",
        ),
        ({"random_state": "a"}, TypeError, "random_state must be .*got str"),
        ({"random_state": -1}, ValueError, "random_state must be .*got -1"),
    ],
)
def test_a_bad_parameter_is_an_error_that_teaches(changes, error, message, R):
    model = AutoRec(**{**SMALL, **changes})  # the constructor takes everything, for clone
    with pytest.raises(error, match=message):
        model.fit(R)
    with pytest.raises(NotFittedError):
        model.predict([0], [0])


def test_parameters_of_every_kind_can_be_cloned():
    given = {
        "hidden_layer_sizes": [3, 2],
        "regularization": {"encoder.weight": 2.0},
        "rating_scale": [1, 5],
        "callbacks": [print],
        "random_state": np.random.default_rng(3),
        "cold": np.float32(3.5),
    }
    copied = clone(AutoRec(**given))
    assert copied.hidden_layer_sizes == [3, 2]
    assert copied.regularization == {"encoder.weight": 2.0}
    assert copied.callbacks == [print]
    assert copied.random_state is not given["random_state"]


@pytest.mark.parametrize("output", [name for name in ACTIVATIONS if name != "identity"])
def test_residuals_need_an_output_that_takes_every_value(output, R):
    for baseline in ("bias", "mean"):
        with pytest.raises(ValueError, match=f"baseline='{baseline}'.*'{output}'.*baseline=None"):
            AutoRec(**SMALL, output_activation=output, baseline=baseline).fit(R)
    model = AutoRec(**SMALL, output_activation=output).fit(R)
    assert model.baseline_ is None
    assert isinstance(AutoRec(**SMALL).fit(R).baseline_, BiasBaseline)


def test_the_defaults_pass_and_nothing_is_changed():
    given = AutoRec().get_params()
    before = dict(given)
    check_parameters(given)
    assert given == before
