"""`RankingAutoRec` under the contract of lists: both halves of the checkerboard are found."""

from __future__ import annotations

from list_contract import ListContract

from autorec_np import RankingAutoRec


class RankingContract(
    ListContract,
    hidden_layer_sizes=(4,),
    regularization=1.0,
    max_iter=60,
    learning_rate_init=0.03,
    batch_size=16,
    random_state=0,
):
    model_class = RankingAutoRec
    brief = {"max_iter": 3}


class TestByItem(RankingContract):
    pass


class TestByUser(RankingContract, orientation="user"):
    pass


class TestCounts(RankingContract, values="counts"):
    pass


class TestRatings(RankingContract, values="ratings", orientation="user"):
    pass


class TestImplicit(RankingContract, implicit=2):
    pass


class TestTied(RankingContract, tied=True, orientation="user"):
    pass


class TestFullBatch(RankingContract, solver="lbfgs"):
    brief = {"max_iter": 3}


class TestPlain(RankingContract, engine="plain", dtype="float64"):
    pass
