"""The types of arrays and matrices that pass between modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy import sparse

Array: TypeAlias = npt.NDArray[Any]
CSR: TypeAlias = "sparse.csr_array[Any, tuple[int, int]]"

# Words that arguments take, for editors and type checkers
Axis: TypeAlias = Literal["item", "user"]
Solver: TypeAlias = Literal["adam", "sgd", "rprop", "lbfgs", "scipy-lbfgs"]
UnknownIds: TypeAlias = Literal["raise", "ignore"]


class Matrix(Protocol):
    """A sparse matrix that the kernels can multiply: a CSR array, or another that they know."""

    data: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of `data`."""

    @property
    def nnz(self) -> int:
        """Stored entries."""

    @property
    def indices(self) -> Any:
        """Column of each stored entry, in the order of `data`."""


AnyMatrix = TypeVar("AnyMatrix", bound=Matrix)
