"""The lesson: AutoRec's mathematics, every gradient derived by hand (docs/derivation.md).

Chapter one is six files, in this order: `activations`, `kernels`, `parameters`, `network`,
`objective`, `optimizers`. Chapter two is `lbfgs`, chapter three `hessian`, chapter four `implicit`,
chapter five `planes`, chapter six `all_cells`. They need NumPy and SciPy. Here is the whole way of
a rating, in the lines that the files explain:

>>> import numpy as np
>>> from scipy import sparse
>>> from autorec_np.core import Adam, Network, Objective

Two rows of three columns, with three ratings. What is stored is observed, a stored 0 too.

>>> ratings = sparse.csr_array(([4.0, 2.0, 5.0], ([0, 0, 1], [0, 2, 1])), shape=(2, 3))
>>> network = Network(n_columns=3, hidden_layer_sizes=(2,), activation="sigmoid")
>>> theta = network.layout.initialize(np.random.default_rng(0))  # all weights, one flat vector

Forward: each row is encoded and decoded at its own ratings, (1).

>>> passed = network.forward(theta, ratings, ratings)
>>> passed.hidden[0].shape, passed.outputs.shape
((2, 2), (3,))

The objective says how far off the outputs are, (2); its slope by each output starts the way back.

>>> residuals = passed.outputs - ratings.data  # (3)
>>> signals = network.backward(theta, ratings, passed, 2 * residuals)
>>> gradient = network.gradient(ratings, passed, signals)

`Objective` does these three steps, and adds the penalty of (2).

>>> objective = Objective(network, regularization=0.0)
>>> value, same_gradient = objective.value_and_gradient(theta, ratings, ratings)
>>> np.array_equal(same_gradient, gradient)
True

One step of Adam, and the objective has fallen.

>>> theta = Adam().step(theta, gradient, learning_rate=0.01)
>>> objective.value(theta, ratings, ratings) < value
True
"""

from typing import TYPE_CHECKING

from autorec_np import hand_on

if TYPE_CHECKING:
    from autorec_np.core.activations import ACTIVATIONS as ACTIVATIONS
    from autorec_np.core.activations import Activation as Activation
    from autorec_np.core.all_cells import AllCells as AllCells
    from autorec_np.core.all_cells import (
        all_cells_hessian_vector_product as all_cells_hessian_vector_product,
    )
    from autorec_np.core.hessian import hessian_vector_product as hessian_vector_product
    from autorec_np.core.implicit import ImplicitNetwork as ImplicitNetwork
    from autorec_np.core.implicit import (
        implicit_hessian_vector_product as implicit_hessian_vector_product,
    )
    from autorec_np.core.implicit import scaled_pattern as scaled_pattern
    from autorec_np.core.lbfgs import TwoLoop as TwoLoop
    from autorec_np.core.lbfgs import minimize_lbfgs as minimize_lbfgs
    from autorec_np.core.network import Network as Network
    from autorec_np.core.objective import Objective as Objective
    from autorec_np.core.optimizers import SCHEDULES as SCHEDULES
    from autorec_np.core.optimizers import SGD as SGD
    from autorec_np.core.optimizers import Adam as Adam
    from autorec_np.core.optimizers import RProp as RProp
    from autorec_np.core.parameters import ParameterLayout as ParameterLayout
    from autorec_np.core.planes import Planes as Planes

_MODULE_OF = {
    "ACTIVATIONS": "activations",
    "Activation": "activations",
    "Adam": "optimizers",
    "AllCells": "all_cells",
    "ImplicitNetwork": "implicit",
    "Network": "network",
    "Objective": "objective",
    "ParameterLayout": "parameters",
    "Planes": "planes",
    "RProp": "optimizers",
    "SCHEDULES": "optimizers",
    "SGD": "optimizers",
    "TwoLoop": "lbfgs",
    "all_cells_hessian_vector_product": "all_cells",
    "hessian_vector_product": "hessian",
    "implicit_hessian_vector_product": "implicit",
    "minimize_lbfgs": "lbfgs",
    "scaled_pattern": "implicit",
}

__all__ = [*_MODULE_OF]

__getattr__, __dir__ = hand_on(__name__, _MODULE_OF)
