"""`Blend`: a weighted sum of models, with weights from validation ratings."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from autorec_np._text import beginning, knows_habits
from autorec_np._types import CSR, Array
from autorec_np._validation import RandomState, check_n_jobs, check_number, check_random_state
from autorec_np.data.entries import frozen
from autorec_np.data.ratings import Ratings, as_ratings
from autorec_np.data.splitting import rmse, train_test_split
from autorec_np.engine.threads import undisturbed
from autorec_np.models import newcomers
from autorec_np.models.base import (
    Recommender,
    Record,
    Self,
    check_no_class,
    check_not_empty,
    copy_unfitted,
    of_record,
    to_learn,
)
from autorec_np.models.interactions import ListRecommender
from autorec_np.models.newcomers import FoldIn, merge, updated
from autorec_np.training.trainer import interrupts_end_all

logger = logging.getLogger(__name__)

WHOLE = "blend"  # the blend's name among its members'
EXAMPLE = "Blend([('item', AutoRec()), ('user', AutoRec('user'))])"


def blending_weights(scores: Array, ratings: Array) -> Array:
    """Return the weights w (m,), of sum 1, that minimize

        ||ratings - scores w||^2 + lambda ||w - 1/m||^2,   lambda = m^2 ||ratings - x||^2 / n,

    of unclipped scores (n, m), whose mean over members is x (docs/derivation.md).
    """
    n_members = scores.shape[1]
    mean = scores.mean(axis=1)
    residuals, differences = ratings - mean, scores - mean[:, np.newaxis]
    penalty = n_members**2 * np.mean(residuals**2)
    if penalty == 0:
        return np.full(n_members, 1 / n_members)
    gram = differences.T @ differences + penalty * np.eye(n_members)
    moved = np.linalg.solve(gram, differences.T @ residuals)
    return np.asarray(1 / n_members + moved - moved.mean())  # its mean is rounding


def check_members(estimators: Any) -> dict[str, Recommender]:
    """Return the models by name; ValueError or TypeError for no blend."""
    if isinstance(estimators, Mapping) or not isinstance(estimators, Sequence):
        raise TypeError(
            f"estimators must be a list of pairs (name, model), got {type(estimators).__name__}; "
            f"pass {EXAMPLE}."
        )
    for pair in estimators:
        if not (isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str)):
            raise TypeError(f"a member must be a pair (name, model), got {pair!r:.60}.")
        if not isinstance(pair[1], Recommender):
            with naming(pair[0]):
                check_no_class(pair[1])
            raise TypeError(
                f"member {pair[0]!r} must be a model, got {type(pair[1]).__name__}; pass "
                f"AutoRec(), BiasBaseline() or a Blend."
            )
        if isinstance(pair[1], ListRecommender):
            raise TypeError(
                f"member {pair[0]!r} ranks items and predicts no ratings; leave it out."
            )
    names = [name for name, _ in estimators]
    check_names(names)
    return dict(estimators)


def check_names(names: Sequence[str]) -> None:
    if not names:
        raise ValueError(f"a Blend needs members, got none; pass pairs as in {EXAMPLE}.")
    taken = {WHOLE, *Blend().get_params(deep=False)}
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ValueError(f"two members are named {name!r}; give each its own name.")
        if not name or "__" in name or name in taken:
            raise ValueError(
                f"a member cannot be named {name!r}: set_params(name__parameter=...) must tell "
                f"names from parameters, and {', '.join(sorted(taken))} are taken; choose another."
            )


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FittedBlend(Record):
    """What a Blend has learned; its members are its own."""

    members: Mapping[str, Recommender]
    weights: Mapping[str, float]
    validation_rmse: Mapping[str, float]

    @cached_property
    def _counted(self) -> dict[str, Array]:
        counted = [member.fitted_.counts for member in self.members.values()]
        return {axis: frozen(np.min([one[axis] for one in counted], axis=0)) for axis in counted[0]}

    def score_pairs(self, users: Array, items: Array) -> Array:
        return self.weighted(score_pairs_of(one, users, items) for one in self.members.values())

    def score_all_items(self, users: Array) -> Array:
        return self.weighted(
            one.fitted_.score_all_items(users, **_cold_of(one)) for one in self.members.values()
        )

    def weighted(self, scores: Iterable[Array]) -> Array:
        """Return the weighted sum; -inf where a member has it."""
        total, refused = np.zeros(1), np.zeros(1, bool)
        for weight, score in zip(self.weights.values(), scores, strict=True):
            left_out = np.isneginf(score)
            total = total + weight * np.where(left_out, 0.0, score.astype(np.float64))
            refused = refused | left_out
        return np.where(refused, -np.inf, total)

    @property
    def cold(self) -> str:
        """ "raise" where a member's is, for fold-in."""
        values = (
            value
            for member in self.members.values()
            for name, value in member.get_params().items()
            if name.rpartition("__")[2] == "cold"
        )
        is_refused = any(isinstance(value, str) and value == "raise" for value in values)
        return "raise" if is_refused else "baseline"


def score_pairs_of(model: Recommender, users: Array, items: Array) -> Array:
    return np.asarray(model.fitted_.score_pairs(users, items, **_cold_of(model)))


def _cold_of(model: Recommender) -> dict[str, Any]:
    cold = getattr(model, "cold", None)
    return {} if cold is None else {"cold": cold}


@newcomers.score_new.register(FittedBlend)
def _score_new(fitted: FittedBlend, rated: CSR, axis: str, cold: str | float) -> Array:
    scores = []
    for name, member in fitted.members.items():
        with naming(name):
            own = _cold_of(member).get("cold", cold)
            scores.append(newcomers.score_new(member.fitted_, rated, axis, own))
    return fitted.weighted(scores)


@updated.register(FittedBlend)
def _updated(fitted: FittedBlend, new: Ratings, data: Ratings | None = None) -> FittedBlend:
    if data is None:
        data = merge(fitted.ratings, new, fitted.ids_are_indices)
    members = {}
    for name, member in fitted.members.items():
        shared = data if member.fitted_.ratings is fitted.ratings else None
        members[name] = copy.copy(member)
        with naming(name):
            members[name].fitted_ = updated(member.fitted_, new, shared)
    return replace(fitted, ratings=data, members=members)


def naming(name: str) -> AbstractContextManager[None]:
    """Begin error messages with a member's name."""
    return beginning(f"member {name!r}")


class Blend(FoldIn):
    """The weighted sum of models: more accurate than each where their errors differ.

    `fit` fits copies on a part of the ratings, the weights to the rest (:func:`blending_weights`),
    and the members anew to all. The sum of unclipped scores is clipped.

    Parameters
    ----------
    estimators : list of (str, model)
        Names and models, never fitted themselves.
        ``set_params(name=model, name__parameter=value)`` replaces one, and changes it in a copy.
    validation_fraction : float in (0, 1)
        Held out for the weights.
    rating_scale : (low, high), optional
        Predictions are clipped to it. None: the scale of the `Ratings`, else their range.
    n_jobs : int, optional
        Threads of a member whose own `n_jobs` is None.
    random_state : int, Generator or None
        Splits the ratings, and seeds members whose own is None. An int makes runs bit-identical
        where no member has a Generator.

    Attributes
    ----------
    members_ : dict of str to model
        Copies.
    weights_ : dict of str to float
    validation_rmse_ : dict of str to float
        Of each member, and "blend".
    ratings_, rating_scale_, user_counts_, item_counts_
        See `base.Recommender`; counts: the least of any member.
    """

    fitted_: FittedBlend
    members_: dict[str, Recommender] = of_record(
        lambda record: {name: copy.copy(one) for name, one in record.members.items()}
    )
    weights_: dict[str, float] = of_record(lambda record: dict(record.weights))
    validation_rmse_: dict[str, float] = of_record(lambda record: dict(record.validation_rmse))

    @knows_habits
    def __init__(
        self,
        estimators: Sequence[tuple[str, Recommender]] = (),
        validation_fraction: float = 0.1,
        rating_scale: tuple[float, float] | None = None,
        n_jobs: int | None = None,
        random_state: RandomState = None,
    ) -> None:
        self.estimators = estimators
        self.validation_fraction = validation_fraction
        self.rating_scale = rating_scale
        self.n_jobs = n_jobs
        self.random_state = random_state

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; `deep`: the members' too."""
        params = super().get_params(deep=False)
        if deep:
            for name, model in _readable(self.estimators).items():
                nested = model.get_params()
                params.update({name: model, **{f"{name}__{key}": x for key, x in nested.items()}})
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name; ValueError for an unknown name."""
        members = _readable(params.get("estimators", self.estimators))
        given, changes = dict(params), dict[str, dict[str, Any]]()
        for key, value in params.items():
            name, separator, parameter = key.partition("__")
            if separator and name not in members:
                raise ValueError(
                    f"this Blend has no member {name!r}; it has {', '.join(members) or 'none'}."
                )
            if name in members:
                del given[key]
                if separator:
                    changes.setdefault(name, {})[parameter] = value
                else:
                    members[name] = value
        for name, values in changes.items():  # other blends may share the model
            members[name] = copy.copy(members[name]).set_params(**values)
        if len(given) < len(params):
            given["estimators"] = [*members.items()]
        return super().set_params(**given)

    def check_parameters(self) -> None:
        """ValueError or TypeError for a parameter that cannot be used."""
        check_members(self.estimators)
        fraction, open_ends = self.validation_fraction, (False, False)
        check_number("validation_fraction", fraction, minimum=0, maximum=1, inclusive=open_ends)
        check_n_jobs(self.n_jobs)

    @knows_habits
    def fit(self, ratings: Any, validation: Any = None) -> Self:
        """Fit weights and members; return the blend itself.

        Ctrl-C (a KeyboardInterrupt), as any error, leaves the blend as it was.

        Parameters
        ----------
        ratings : Ratings, sparse matrix (users x items), DataFrame or (users, items, ratings)
            See `ratings.as_ratings`.
        validation : of the same kinds, optional
            Other ratings, for the weights: each member is fitted once.

        Raises
        ------
        ValueError, TypeError, DivergenceError
            Parameters or ratings that cannot be used.
        """
        self.check_parameters()
        random_state = check_random_state(self.random_state)
        data, by_index = to_learn(ratings, self.rating_scale)
        members = self._unfitted(random_state)
        if validation is None:
            training, held_out = train_test_split(data, self.validation_fraction, random_state)
            first = {name: copy_unfitted(member) for name, member in members.items()}
        else:
            training, held_out, first = data, as_ratings(validation), members
            check_not_empty(held_out, "validation")
        weights, errors = _weigh(first, training, held_out)
        logger.info("weights %s, validation RMSE %s", weights, errors)
        if validation is None:
            del first  # frees memory
            for name, member in members.items():
                _fit(name, member, data)
        self.fitted_ = FittedBlend(
            ratings=data,
            ids_are_indices=by_index,
            members=members,
            weights=weights,
            validation_rmse=errors,
        )
        return self

    def _unfitted(self, random_state: np.random.Generator) -> dict[str, Recommender]:
        members = {}
        for name, model in check_members(self.estimators).items():
            members[name] = copy_unfitted(model)
            filled = {"n_jobs": self.n_jobs, "random_state": int(random_state.integers(2**31))}
            own = members[name].get_params(deep=False)
            members[name].set_params(
                **{key: x for key, x in filled.items() if key in own and own[key] is None}
            )
        return members

    def _cold(self, fitted: FittedBlend) -> str:
        return fitted.cold

    def partial_fit(self, ratings: Any) -> Self:
        """Take in new ratings without training; return the blend itself.

        As `AutoRec.partial_fit` in each member, baselines fitted anew; the weights stay.
        ValueError or TypeError where a member cannot, leaving the blend as it was.
        """
        return self._take_in(ratings)


def _readable(estimators: Any) -> dict[str, Recommender]:
    try:
        return check_members(estimators)
    except (TypeError, ValueError):
        return {}


def _fit(name: str, member: Recommender, ratings: Ratings) -> None:
    with naming(name), interrupts_end_all():
        member.fit(ratings)


def _weigh(
    members: Mapping[str, Recommender], training: Ratings, held_out: Ratings
) -> tuple[dict[str, float], dict[str, float]]:
    """Fit members; return weights and held-out RMSE by name."""
    users, items, truth = held_out.triples()
    for name, member in members.items():
        _fit(name, member, training)
    fitted = FittedBlend(
        ratings=training, ids_are_indices=False, members=members, weights={}, validation_rmse={}
    )
    pairs = fitted.positions(users, items)
    if fitted.cold == "raise":
        warm = ~fitted.is_cold(*pairs)
        if not warm.any():
            raise ValueError(
                "with cold='raise' in a member, the weights need validation ratings of users and "
                "items with training ratings, and there are none; use cold='baseline'."
            )
        pairs, truth = (pairs[0][warm], pairs[1][warm]), truth[warm]
    truth = truth.astype(np.float64)
    with undisturbed():
        scores = np.column_stack([score_pairs_of(one, *pairs) for one in members.values()])
        weights = blending_weights(scores, truth)
    predicted = np.clip(np.column_stack((scores, scores @ weights)), *training.scale)
    errors = [rmse(truth, column) for column in predicted.T]
    return (
        dict(zip(members, weights.tolist(), strict=True)),
        dict(zip((*members, WHOLE), errors, strict=True)),
    )
