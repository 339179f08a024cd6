"""Every variant of AutoRec under the contract."""

from __future__ import annotations

from typing import ClassVar

from recommender_contract import AutoRecContract, FullBatchContract


class TestByItem(AutoRecContract):
    """Adam, one hidden layer, sigmoid and identity, minus biases, float32: the defaults."""


class TestByUser(AutoRecContract, orientation="user"):
    pass


class TestTwoHiddenLayers(AutoRecContract, hidden_layer_sizes=(8, 6)):
    pass


class TestThreeHiddenLayersByUser(
    AutoRecContract, orientation="user", hidden_layer_sizes=(8, 6, 7)
):
    pass


class TestTied(AutoRecContract, tied=True):
    pass


class TestTiedThreeHiddenLayersByUser(
    AutoRecContract, tied=True, orientation="user", hidden_layer_sizes=[8, 6, 8]
):
    brief: ClassVar = {
        "max_iter": 10
    }  # three epochs need not lower the objective of so deep a network


class TestSGD(AutoRecContract, solver="sgd", learning_rate_init=None):
    pass


class TestRProp(FullBatchContract, solver="rprop", regularization=5.0):
    value_tolerance = 1e-2  # its values are taken before the step


class TestLBFGS(FullBatchContract, solver="lbfgs"):
    pass


class TestLBFGSByUser(FullBatchContract, solver="lbfgs", orientation="user"):
    pass


class TestScipyLBFGS(FullBatchContract, solver="scipy-lbfgs"):
    pass


class TestFloat64(AutoRecContract, dtype="float64"):
    pass


class TestSigmoidOutput(AutoRecContract, output_activation="sigmoid"):
    pass


class TestTanhOutputByUser(AutoRecContract, output_activation="tanh", orientation="user"):
    pass


class TestReluHidden(AutoRecContract, activation="relu", max_iter=200):
    pass


class TestNoBaseline(AutoRecContract, baseline=None):
    brief: ClassVar = {"max_iter": 10}  # codes spread first: the objective rises for some epochs


class TestMeanBaselineByUser(AutoRecContract, baseline="mean", orientation="user"):
    pass


class TestDropoutAndCorruption(AutoRecContract, dropout=0.2, corruption=0.2):
    pass


class TestImplicit(AutoRecContract, implicit=4):
    pass


class TestImplicitByUser(AutoRecContract, implicit=8, orientation="user", dtype="float64"):
    pass


class TestPlanes(AutoRecContract, inputs="planes"):
    pass


class TestImplicitAndPlanes(AutoRecContract, implicit=4, inputs="planes"):
    pass


class TestImplicitAndPlanesByUser(
    AutoRecContract, implicit=4, inputs="planes", orientation="user", hidden_layer_sizes=(8, 6)
):
    pass


class TestImplicitAndPlanesNoBaseline(
    AutoRecContract, implicit=3, inputs="planes", baseline=None, dropout=0.1, corruption=0.2
):
    pass


class TestImplicitAndPlanesSigmoidOutput(
    AutoRecContract, implicit=3, inputs="planes", output_activation="sigmoid"
):
    pass


class TestImplicitAndPlanesSGD(
    AutoRecContract, implicit=4, inputs="planes", solver="sgd", learning_rate_init=None
):
    pass


class TestImplicitAndPlanesRProp(
    FullBatchContract, implicit=4, inputs="planes", solver="rprop", regularization=5.0
):
    value_tolerance = 1e-2


class TestImplicitAndPlanesLBFGS(
    FullBatchContract, implicit=4, inputs="planes", solver="lbfgs", max_iter=600
):
    pass


class TestImplicitAndPlanesScipyLBFGSByUser(
    FullBatchContract,
    implicit=4,
    inputs="planes",
    solver="scipy-lbfgs",
    orientation="user",
    max_iter=600,
):
    pass


class TestImplicitAndPlanesInThePlainEngine(
    AutoRecContract, implicit=4, inputs="planes", engine="plain"
):
    pass
