"""Ratings and models in one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorec_np.models.parameters import resolved_widths

if TYPE_CHECKING:
    from autorec_np.data import Ratings
    from autorec_np.models import AutoRec


def describe_ratings(ratings: Ratings) -> str:
    low, high = ratings.scale
    return (
        f"{len(ratings):,} ratings, {ratings.n_users:,} users x {ratings.n_items:,} items, "
        f"scale {low:g} to {high:g}"
    )


def describe_model(model: AutoRec) -> str:
    layers = " x ".join(str(size) for size in resolved_widths(model.get_params()))
    n_implicit, inputs = (
        getattr(model, f"{x}_", getattr(model, x)) for x in ("implicit", "inputs")
    )
    told = f"implicit {n_implicit}, " if n_implicit and not isinstance(n_implicit, str) else ""
    told += "planes, " if inputs == "planes" else ""
    return (
        f"{'I' if model.orientation == 'item' else 'U'}-AutoRec, "
        f"{'tied, ' if model.tied else ''}{layers} hidden units, {model.activation} and "
        f"{model.output_activation}, {told}solver {model.solver}"
    )
