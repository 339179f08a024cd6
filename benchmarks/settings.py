"""The fits of the row "fits": every peer's schedule, epochs and penalties, in one place.

How they were chosen: on the validation ratings of `data.validation_split` (10 % of the training
part, seed 1), never on test ratings. `python -m benchmarks.tune LABEL` prints the validation RMSE
of a contestant's settings below and of their neighbors in `GRIDS`. Each setting is one whole `fit`
with its own number of epochs, so that it is one point of a curve of RMSE against time.

Ours are `FITS` in `ours.py`.
"""

from __future__ import annotations

from typing import Any

from benchmarks.ours import CURVE

Settings = dict[str, Any]

# PyTorch: Adam, cosine with warm-up, batches of 512, as ours. Validation RMSE of equation (2) alone
# after 33 epochs, by the penalty:
#
#     200     300     400     550
#     0.8326  0.8340  0.8368  0.8430
#
# 50 epochs overfit: 0.8346 with a penalty of 200. Batches of 256 are no faster for the same RMSE.
# Fewer hidden units are worse: the best of 76 settings with 80 to 300 of them has 0.8431, in the
# time of 10 epochs at k = 500.
_PLAIN = [
    {"penalties": (200.0, 200.0), "epochs": epochs, "rate": rate, "batch_size": 512}
    for epochs, rate in ((10, 6e-3), (15, 4e-3), (20, 3e-3), (33, 3e-3))
]
# "Centered" is our own recipe with PyTorch's kernels: it learns the residuals of the bias baseline,
# with our settings.
_CENTERED = [
    {
        "k": k,
        "epochs": epochs,
        "batch_size": batch_size,
        "rate": rate,
        "penalties": (penalty, part * penalty),
        "corruption": corruption,
        "warm_up": warm_up,
    }
    for k, epochs, batch_size, rate, penalty, part, corruption, warm_up in CURVE
]

# LIBMF: validation RMSE 0.8434, 0.8391 and 0.8379; 0.8380 after 25 iterations at a rate of 0.03.
_LIBMF = [
    {"k": 128, "nr_iters": epochs, "lambda_p2": penalty, "lambda_q2": penalty, "eta": 0.05}
    for epochs, penalty in ((7, 0.03), (10, 0.04), (15, 0.05))
]

PEERS: dict[str, list[Settings]] = {
    "PyTorch dense": _PLAIN,
    "PyTorch sparse": _PLAIN,
    "PyTorch sparse, centered": _CENTERED,
    "LIBMF": _LIBMF,
    # Cornac: validation RMSE 0.8428 with 100 factors; more epochs or a higher rate overfit.
    "Cornac MF": [
        {"k": k, "max_iter": epochs, "learning_rate": 0.01, "lambda_reg": 0.05}
        for k, epochs in ((100, 30), (200, 40))
    ],
    # Surprise, myFM and the authors' algorithm: known good settings; too slow for a search.
    "Surprise SVD": [{"n_factors": 100, "n_epochs": 40, "lr_all": 0.005, "reg_all": 0.05}],
    "Surprise SVD++": [{"n_factors": 20, "n_epochs": 20}],
    # LensKit: validation RMSE 0.8615; 0.8625 with 20 factors, 0.8701 with half the penalty.
    "LensKit ALS": [{"embedding_size": 50, "epochs": 20, "regularization": 0.1}],
    "myFM": [{"rank": 32, "n_iter": 512}],
    "authors' algorithm, SciPy L-BFGS-B": [{"k": 500, "penalty": 400.0, "max_iter": 150}],
}

# Lists: data set -> contestant of `benchmarks.lists` -> what `python -m benchmarks.tune lists DATA`
# chose on validation ratings, by NDCG@10. All that was tried is in results/lists.jsonl.
LISTS: dict[str, dict[str, Settings]] = {
    "ml-latest-small": {
        "ItemKNN": {"n_neighbors": 50, "shrinkage": 3.0},
        "EASE": {"regularization": 300.0},
        "RankingAutoRec": {
            "values": "ratings",
            "regularization": 10.0,
            "unobserved_weight": 1.0,
        },
        "implicit, iALS": {
            "factors": 128,
            "regularization": 30.0,
            "alpha": 5.0,
            "iterations": 15,
        },
        "implicit, BPR": {
            "factors": 64,
            "regularization": 0.001,
            "learning_rate": 0.01,
            "iterations": 50,
        },
        "LensKit, ImplicitMF": {
            "embedding_size": 128,
            "regularization": 30.0,
            "weight": 5.0,
            "epochs": 10,
        },
    },
    "ml-1m": {
        "ItemKNN": {"n_neighbors": 200, "shrinkage": 100.0},
        "EASE": {"regularization": 1500.0},
        "RankingAutoRec": {
            "values": "ratings",
            "regularization": 30.0,
            "unobserved_weight": 1.0,
        },
        "implicit, iALS": {
            "factors": 64,
            "regularization": 30.0,
            "alpha": 2.0,
            "iterations": 7,
        },
        "implicit, BPR": {
            "factors": 32,
            "regularization": 0.001,
            "learning_rate": 0.01,
            "iterations": 25,
        },
        "LensKit, ImplicitMF": {
            "embedding_size": 256,
            "regularization": 50.0,
            "weight": 3.0,
            "epochs": 7,
        },
    },
    "ml-100k": {
        "ItemKNN": {"n_neighbors": 200, "shrinkage": 30.0},
        "EASE": {"regularization": 500.0},
        "RankingAutoRec": {
            "values": "ratings",
            "regularization": 10.0,
            "unobserved_weight": 1.0,
        },
        "implicit, iALS": {
            "factors": 64,
            "regularization": 30.0,
            "alpha": 5.0,
            "iterations": 7,
        },
        "implicit, BPR": {
            "factors": 128,
            "regularization": 0.003,
            "learning_rate": 0.01,
            "iterations": 50,
        },
        "LensKit, ImplicitMF": {
            "embedding_size": 64,
            "regularization": 30.0,
            "weight": 5.0,
            "epochs": 7,
        },
    },
}

# What else was tried on the validation ratings: values of one setting at a time.
GRIDS: dict[str, Settings] = {
    "PyTorch sparse": {
        "rate": [1.5e-3, 3e-3, 6e-3],
        "penalties": [(250.0, 250.0), (300.0, 300.0), (400.0, 400.0), (550.0, 550.0)],
        "batch_size": [256],
        "k": [250],
    },
    "LIBMF": {"nr_iters": [20], "eta": [0.03, 0.04, 0.1]},
    "Cornac MF": {"learning_rate": [0.02], "lambda_reg": [0.03, 0.06]},
    "LensKit ALS": {"embedding_size": [20], "regularization": [0.05, 0.2]},
    "Surprise SVD": {"reg_all": [0.1], "lr_all": [0.01]},
}
