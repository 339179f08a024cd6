"""The lesson: AutoRec's mathematics, every gradient derived by hand (docs/derivation.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autorec_np._lazy import hand_on

if TYPE_CHECKING:
    from autorec_np.core.activations import ACTIVATIONS as ACTIVATIONS
    from autorec_np.core.activations import Activation as Activation
    from autorec_np.core.hessian import hessian_vector_product as hessian_vector_product
    from autorec_np.core.network import Network as Network
    from autorec_np.core.objective import Objective as Objective
    from autorec_np.core.optimizers import SCHEDULES as SCHEDULES
    from autorec_np.core.optimizers import SGD as SGD
    from autorec_np.core.optimizers import Adam as Adam
    from autorec_np.core.optimizers import DivergenceError as DivergenceError
    from autorec_np.core.optimizers import RProp as RProp
    from autorec_np.core.optimizers import minimize_lbfgs as minimize_lbfgs
    from autorec_np.core.parameters import ParameterLayout as ParameterLayout

_MODULE_OF = {
    "ACTIVATIONS": "activations",
    "Activation": "activations",
    "Adam": "optimizers",
    "DivergenceError": "optimizers",
    "Network": "network",
    "Objective": "objective",
    "ParameterLayout": "parameters",
    "RProp": "optimizers",
    "SCHEDULES": "optimizers",
    "SGD": "optimizers",
    "hessian_vector_product": "hessian",
    "minimize_lbfgs": "optimizers",
}

__all__ = [*_MODULE_OF]

__getattr__, __dir__ = hand_on(__name__, _MODULE_OF)
