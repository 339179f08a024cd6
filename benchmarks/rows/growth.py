"""How the time of an epoch grows: with the ratings, and with k."""

from __future__ import annotations

from math import sqrt

from autorec_np import make_ratings
from benchmarks import ours
from benchmarks.harness import Measurement, Result, Setting, alternate, slope

RATINGS = (10**5, 10**6, 10**7, 10**8)
WIDTHS = (50, 100, 200, 500, 1000)
RATINGS_FOR_WIDTHS = 10**6


def run(setting: Setting) -> Result:
    """Time epochs; users and items grow as the square root of the ratings."""
    ratings = RATINGS[:2] if setting.quick else RATINGS
    widths = WIDTHS[:3] if setting.quick else WIDTHS
    by_ratings = [(n_ratings, 100) for n_ratings in ratings]
    by_width = [(RATINGS_FOR_WIDTHS, k) for k in widths]
    measured = {
        sizes: time_epoch(setting, *sizes) for sizes in dict.fromkeys(by_ratings + by_width)
    }
    notes = [
        f"Slope of log seconds against log ratings (k = 100): "
        f"{slope(ratings, [measured[sizes].median for sizes in by_ratings]):.2f}.",
        f"Slope of log seconds against log k ({RATINGS_FOR_WIDTHS:,} ratings): "
        f"{slope(widths, [measured[sizes].median for sizes in by_width]):.2f}.",
    ]
    return Result(list(measured.values()), notes=notes)


def time_epoch(setting: Setting, n_ratings: int, k: int) -> Measurement:
    """Time Adam epochs with batches of 512 items."""
    side = sqrt(n_ratings / 1e6)
    train = make_ratings(int(6040 * side), int(3706 * side), n_ratings, random_state=0)
    label = f"{n_ratings:,} ratings, k = {k}"
    with ours.Epochs(train, k) as epoch:
        epoch()  # the first also prepares the data
        (measurement,) = alternate({label: epoch}, setting.repeats)
    measurement.figures = {"ratings": n_ratings, "k": k}
    return measurement
