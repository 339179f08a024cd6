"""What the commands say of lists: who chose what, and how good the lists are."""

from __future__ import annotations

from argparse import SUPPRESS, Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autorec_np import evaluation, models
from autorec_np._text import indented, table
from autorec_np.cli.options import Parser, UsageError, adder, say

if TYPE_CHECKING:
    from autorec_np.data import Ratings
    from autorec_np.evaluation.held_out import RankingEvaluation
    from autorec_np.models import AutoRec

POPULAR = "Popularity"
MEASURES = {
    "precision": "precision@{}",
    "recall": "recall@{}",
    "ndcg": "NDCG@{}",
    "map": "MAP@{}",
    "mrr": "MRR@{}",
    "hit_rate": "hit rate@{}",
    "coverage": "coverage",
    "novelty": "novelty, bits",
    "popularity_share": "popularity's share",
}


def add_implicit(group: Any) -> None:
    group.add_argument(
        "--implicit",
        help="train lists: each line says that somebody chose an item, whatever its rating",
        dest="lists",
        action="store_true",
        default=False,
    )


def add_lists(command: Parser) -> None:
    group = command.add_argument_group(
        "lists",
        "Of autorec_np.RankingAutoRec, trained with --implicit and on files of two\n"
        "columns. It has options of the model too, with defaults of its own.",
        argument_default=SUPPRESS,
    )
    add_implicit(group)

    add = adder(group, models.RankingAutoRec)
    add(
        "--threshold",
        "only ratings from here on say that an item was chosen (default: all)",
        type=float,
        metavar="RATING",
    )
    add(
        "--values",
        "what the third column is worth (default {default}): nothing, how often, or a rating",
        choices=["binary", "counts", "ratings"],
    )
    add(
        "--unobserved-weight",
        "of what was not chosen (default {default})",
        type=float,
        metavar="W0",
    )
    add(
        "--unobserved-target",
        "score that is aimed at there (default {default})",
        type=float,
        metavar="T0",
    )


def add_ranking(command: Parser) -> None:
    command.add_argument(
        "--ranking", help="measure the lists, beside popularity", action="store_true"
    )
    group = command.add_argument_group("with --ranking")
    group.add_argument(
        "--model", help="measure a saved model on what it was not trained on", metavar="FILE"
    )
    group.add_argument(
        "--threshold",
        dest="relevant",  # of the test, not of the model
        help="held-out ratings from here on are to be found (default: three quarters up the "
        "scale, and of two columns all)",
        type=float,
        metavar="RATING",
    )
    add_implicit(group)


def check_told_apart(label: str, ratings: Ratings) -> None:
    """ValueError where there is nothing to predict."""
    low, high = ratings.matrix.data.min(), ratings.matrix.data.max()
    if low == high:
        raise ValueError(
            f"every rating of {label} is {low:g}, so there is nothing to predict. If it says that "
            f"somebody chose an item, --implicit trains lists of it"
        )


def make_model(args: Namespace, lists: bool) -> AutoRec:
    """Return the model of the options; UsageError for one that it does not have."""
    kinds = models.AutoRec, models.RankingAutoRec
    model, other = (kind(random_state=args.seed) for kind in (kinds[::-1] if lists else kinds))
    given = {name: None if value == "none" else value for name, value in vars(args).items()}
    own = model.get_params()
    for name in other.get_params():
        if name in given and name not in own:
            what = (
                "is for ratings, and lists are trained here"
                if lists
                else "is for lists: pass --implicit, or a file of two columns"
            )
            raise UsageError(f"--{name.replace('_', '-')} {what}")
    return model.set_params(**{name: given[name] for name in own if name in given})


def say_measured(
    args: Namespace, found: Mapping[str, Sequence[RankingEvaluation]], names: Sequence[str]
) -> None:
    """Print measures `names` of models on one split, with intervals over users, or on several."""
    first = next(iter(found.values()))
    rows = []
    for name in names:
        cells = []
        for results in found.values():
            one = results[0].intervals.get(name) if len(results) == 1 else None
            if one is None:
                one = evaluation.mean_and_interval([getattr(x, name) for x in results])
            cells.append(f"{one.mean:.4f}" + (f" ± {one.half_width:.4f}" if one.n > 1 else ""))
        rows.append([MEASURES[name].format(first[0].k), *cells])
    say(args, indented(table(["", *found], rows)), "")
    over = f"{len(first)} splits" if len(first) > 1 else f"{first[0].n_users:,} users"
    say(args, f"± is the 95 % confidence interval over {over}.")
    n_cold, n_relevant = (sum(getattr(x, f"n_{y}") for x in first) for y in ("cold", "relevant"))
    if n_cold:
        say(args, f"{n_cold:,} of {n_relevant:,} items to be found are cold: nobody chose them.")


def say_gain(args: Namespace, name: str, own: float, popular: float) -> None:
    if popular > 0:
        gain = 100 * (own / popular - 1)
        side = "above" if gain > 0 else "below"
        say(args, f"{name}'s NDCG is {abs(gain):.1f} % {side} that of popularity.")


def scores(found: Mapping[str, Sequence[RankingEvaluation]], name: str) -> dict[str, Any]:
    """Return what --json tells: means over splits, and each split."""
    means = {
        model: evaluation.mean_and_interval([one.ndcg for one in results]).mean
        for model, results in found.items()
    }
    return {
        "rmse": None,
        "mae": None,
        "ndcg": means.get(name),
        "n_cold": sum(one.n_cold for one in found[name]) if found else None,
        "baselines": {one: {"ndcg": mean} for one, mean in means.items() if one != name},
        "ranking": {model: [one.to_dict() for one in each] for model, each in found.items()},
    }
