"""Fitted models whose record is another one: records never change, so a test makes a new one."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np


def with_record(model, **changes):
    """A copy of a fitted model with some fields of its record changed."""
    changed = copy.copy(model)
    changed.fitted_ = dataclasses.replace(model.fitted_, **changes)
    return changed


def with_scale(model, low, high):
    """A copy of a fitted model that clips its predictions to another scale."""
    ratings = dataclasses.replace(model.ratings_, scale=(low, high))
    return with_record(model, ratings=ratings)


def without_limits(model):
    """A copy of a fitted model that does not clip its predictions."""
    return with_scale(model, -np.inf, np.inf)


def with_block(model, name, values):
    """A copy of a fitted AutoRec with other weights in one block of theta."""
    theta = model.theta_.copy()
    model.network_.layout.views(theta)[name][...] = values
    return with_record(model, theta=theta)
