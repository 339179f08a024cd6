"""The commands that serve a saved model: predict, recommend, report."""

from __future__ import annotations

import csv
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autorec_np import evaluation, models, reports, serving
from autorec_np._files import replacing
from autorec_np._text import indented, table
from autorec_np.cli.console import UsageError, emit, say
from autorec_np.cli.data import check_writable, load_data, parse_id, read_pairs
from autorec_np.cli.options import (
    COUNT,
    Command,
    Parser,
    add_data_home,
    add_output,
    add_reading,
    add_saved_model,
    default_of,
)

if TYPE_CHECKING:
    from autorec_np.models import Recommender


def predict(args: Namespace) -> int:
    given = [value is not None for value in (args.user, args.item, args.pairs)]
    if given not in ([True, True, False], [False, False, True]):
        raise UsageError("predict needs either --user and --item, or --pairs")
    model = serving.load_model(args.model)
    pairs = read_pairs(args.pairs) if args.pairs else [("", args.user, one) for one in args.item]
    known = model.ratings_
    users = [parse_id(user, known.user_ids, f"{place}the user") for place, user, _ in pairs]
    items = [parse_id(item, known.item_ids, f"{place}the item") for place, _, item in pairs]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    columns = {"prediction": model.predict(users, items)}
    if args.interval is not None:
        answers = model.predict(users, items, interval=args.interval)
        columns = dict(zip(("prediction", "low", "high"), answers, strict=True))
    writer.writerow(["user", "item", *columns, "cold"])
    for user, item, cold, *values in zip(
        users, items, model.cold_pairs(users, items), *columns.values(), strict=True
    ):
        writer.writerow([user, item, *(f"{value:.4f}" for value in values), int(cold)])
    return 0


def _add_predict(command: Parser) -> None:
    add_saved_model(command)
    command.add_argument("--user", help="user id", metavar="ID")
    command.add_argument("--item", help="one or more item ids", metavar="ID", nargs="+")
    command.add_argument(
        "--pairs",
        help="CSV file with a user and an item id in each line, - for standard input; more "
        "columns, and a header that names the columns (user, item), are allowed",
        metavar="FILE",
    )
    command.add_argument(
        "--interval",
        help="also print the ends of an interval that holds this part of such ratings, for "
        "example 0.8; a model that is not calibrated is fitted once more for it",
        type=float,
        metavar="PART",
    )
    add_output(command, as_json=False)


PREDICT = Command(
    usage="MODEL (--user ID --item ID ... | --pairs FILE) [options]",
    summary="predict ratings of (user, item) pairs with a saved model",
    description="""\
Writes CSV: user, item, prediction, cold (1 where the user or the item has no
training rating, so that the bias baseline answers; 0 elsewhere). With
--interval the columns low and high come before cold.
""",
    examples=(
        "autorec-np predict model.npz --user 1 --item 50 172",
        "autorec-np predict model.npz --user 1 --item 50 --interval 0.8",
        "autorec-np predict model.npz --pairs pairs.csv > predictions.csv",
    ),
    add_arguments=_add_predict,
    run=predict,
)


def recommend(args: Namespace) -> int:
    model = serving.load_model(args.model)
    titles = serving.read_metadata(args.model).get("titles", {})
    users = [parse_id(user, model.ratings_.user_ids, "the user") for user in args.user]
    emit(args, users=list_best(args, model, users, args.n, not args.include_seen, titles))
    return 0


def list_best(
    args: Namespace,
    model: Recommender,
    users: list[Any],
    n: int,
    exclude_seen: bool = True,
    titles: dict[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Print the recommendations for each user; return them for --json."""
    lists: list[dict[str, Any]] = []
    for user, ids, scores in zip(users, *model.recommend(users, n, exclude_seen), strict=True):
        found = [
            {"item": item, "score": score, "title": (titles or {}).get(str(item))}
            for item, score in zip(ids, scores, strict=True)
            if item is not None
        ]
        rows = [
            [str(rank), f"{one['score']:.2f}", str(one["item"]), one["title"] or ""]
            for rank, one in enumerate(found, 1)
        ]
        if lists:
            say(args, "")
        say(args, f"{len(found)} recommended for user {user}", "")
        say(args, indented(table(["", "score", "item", ""], rows, left=(3,))))
        lists.append({"user": user, "items": found})
    return lists


def _add_recommend(command: Parser) -> None:
    add_saved_model(command)
    command.add_argument(
        "--user", help="one or more user ids", metavar="ID", nargs="+", required=True
    )
    command.add_argument(
        "-n",
        help="items per user (default %(default)s)",
        type=COUNT,
        default=default_of(models.Recommender.recommend, "n"),
        metavar="N",
    )
    command.add_argument(
        "--include-seen", help="also list items that the user has rated", action="store_true"
    )
    add_output(command)


RECOMMEND = Command(
    usage="MODEL --user ID [ID ...] [options]",
    summary="list the best items that a user has not rated, from a saved model",
    description="""\
With titles where the model was trained on a data set that has them. Scores are
not clipped to the rating scale, so they can exceed it.
""",
    examples=(
        "autorec-np recommend model.npz --user 1",
        "autorec-np recommend model.npz --user 1 2 3 -n 5 --json",
    ),
    add_arguments=_add_recommend,
    run=recommend,
)


def report(args: Namespace) -> int:
    path = Path(args.output)
    check_writable("--output", args.output)
    model = serving.load_model(args.model, models.AutoRec)
    metadata = serving.read_metadata(args.model)
    titles, test = metadata.get("titles") or {}, None
    if args.data is not None:
        ratings, known, _ = load_data(args)
        titles = {str(item): title for item, title in known.items()} | titles
        new = evaluation.not_trained_on(model, ratings)
        if not new.any():
            raise ValueError(
                f"the model was trained on all pairs of {args.data}: none is held out; name other "
                f"ratings, or train with a --test-size above 0"
            )
        test = ratings.select(new)
        print(f"test    {len(test):,} held-out ratings of {args.data}")
        if len(test) < len(ratings):
            print(f"        without {len(ratings) - len(test):,} that the model was trained on")
    ids = model.ratings_.item_ids.tolist()
    try:
        page = reports.html_report(
            model,
            test,
            titles={item: titles[str(item)] for item in ids if str(item) in titles},
            name=str(metadata.get("dataset", "")),
        )
    except ImportError as error:
        raise ValueError(str(error)) from error
    with replacing(path.resolve()) as file:
        file.write(page.encode("utf-8"))
    print(f"wrote   {path}, {len(page) / 1000:,.0f} kB")
    return 0


def _add_report(command: Parser) -> None:
    add_saved_model(command)
    command.add_argument(
        "--test",
        help="a MovieLens name or a file of ratings, for the errors",
        dest="data",
        metavar="DATA",
    )
    command.add_argument(
        "-o",
        "--output",
        help="where to write the page (default %(default)s)",
        default="report.html",
        metavar="FILE",
    )
    add_data_home(command)
    add_output(command, as_json=False)
    add_reading(command)


REPORT = Command(
    usage="MODEL [options]",
    summary="write a page on a saved model: errors, pictures, recommendations",
    description="""\
One HTML file that loads nothing: RMSE and MAE with intervals beside the
baselines, learning curves, errors by rating and by activity, calibration,
weights, a map of the items, a check of the gradient, recommendations. What
needs held-out ratings is left out without --test. Pairs of --test that the
model was trained on do not count, so the data set that it was trained on
serves, if a part was held out. Needs matplotlib.
""",
    examples=(
        "autorec-np report model.npz --test ml-100k -o report.html",
        "autorec-np report model.npz --test held_out.csv",
    ),
    add_arguments=_add_report,
    run=report,
)
