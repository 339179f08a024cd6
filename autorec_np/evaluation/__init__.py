"""How good a model is, and which is better."""

from typing import TYPE_CHECKING

from autorec_np import hand_on

if TYPE_CHECKING:
    from autorec_np.evaluation.cross_validation import cross_validate as cross_validate
    from autorec_np.evaluation.cross_validation import evaluate as evaluate
    from autorec_np.evaluation.cross_validation import evaluate_repeats as evaluate_repeats
    from autorec_np.evaluation.held_out import MeanInterval as MeanInterval
    from autorec_np.evaluation.held_out import coverage_at_k as coverage_at_k
    from autorec_np.evaluation.held_out import evaluate_ranking as evaluate_ranking
    from autorec_np.evaluation.held_out import hit_rate_at_k as hit_rate_at_k
    from autorec_np.evaluation.held_out import map_at_k as map_at_k
    from autorec_np.evaluation.held_out import mean_and_interval as mean_and_interval
    from autorec_np.evaluation.held_out import mrr_at_k as mrr_at_k
    from autorec_np.evaluation.held_out import ndcg_at_k as ndcg_at_k
    from autorec_np.evaluation.held_out import not_trained_on as not_trained_on
    from autorec_np.evaluation.held_out import novelty_at_k as novelty_at_k
    from autorec_np.evaluation.held_out import popularity_share_at_k as popularity_share_at_k
    from autorec_np.evaluation.held_out import precision_at_k as precision_at_k
    from autorec_np.evaluation.held_out import predict_held_out as predict_held_out
    from autorec_np.evaluation.held_out import recall_at_k as recall_at_k
    from autorec_np.evaluation.held_out import relevant_items as relevant_items
    from autorec_np.evaluation.held_out import scores_per_user as scores_per_user
    from autorec_np.evaluation.hyperparameters import LogUniform as LogUniform
    from autorec_np.evaluation.hyperparameters import Trial as Trial
    from autorec_np.evaluation.hyperparameters import default_space as default_space
    from autorec_np.evaluation.hyperparameters import search as search

_MODULE_OF = {
    "LogUniform": "hyperparameters",
    "MeanInterval": "held_out",
    "Trial": "hyperparameters",
    "coverage_at_k": "held_out",
    "cross_validate": "cross_validation",
    "default_space": "hyperparameters",
    "evaluate": "cross_validation",
    "evaluate_ranking": "held_out",
    "evaluate_repeats": "cross_validation",
    "hit_rate_at_k": "held_out",
    "map_at_k": "held_out",
    "mean_and_interval": "held_out",
    "mrr_at_k": "held_out",
    "ndcg_at_k": "held_out",
    "not_trained_on": "held_out",
    "novelty_at_k": "held_out",
    "popularity_share_at_k": "held_out",
    "precision_at_k": "held_out",
    "predict_held_out": "held_out",
    "recall_at_k": "held_out",
    "relevant_items": "held_out",
    "scores_per_user": "held_out",
    "search": "hyperparameters",
}

__all__ = [*_MODULE_OF]

__getattr__, __dir__ = hand_on(__name__, _MODULE_OF)
