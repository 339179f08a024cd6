"""One training run."""

from typing import TYPE_CHECKING

from autorec_np import hand_on

if TYPE_CHECKING:
    from autorec_np.training.checkpoint import CheckpointWarning as CheckpointWarning
    from autorec_np.training.solvers import DivergenceError as DivergenceError
    from autorec_np.training.solvers import EpochState as EpochState
    from autorec_np.training.trainer import SOLVERS as SOLVERS
    from autorec_np.training.trainer import ConvergenceWarning as ConvergenceWarning
    from autorec_np.training.trainer import InterruptedWarning as InterruptedWarning
    from autorec_np.training.trainer import Trainer as Trainer
    from autorec_np.training.trainer import automatic_penalties as automatic_penalties
    from autorec_np.training.trainer import interrupts_end_all as interrupts_end_all

_MODULE_OF = {
    "CheckpointWarning": "checkpoint",
    "ConvergenceWarning": "trainer",
    "DivergenceError": "solvers",
    "EpochState": "solvers",
    "InterruptedWarning": "trainer",
    "SOLVERS": "trainer",
    "Trainer": "trainer",
    "automatic_penalties": "trainer",
    "interrupts_end_all": "trainer",
}

__all__ = [*_MODULE_OF]

__getattr__, __dir__ = hand_on(__name__, _MODULE_OF)
