"""Which column of a table is which: the one place that decides it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

KNOWN_COLUMN_NAMES = {
    "user": ("user", "userid", "uid"),
    "item": ("item", "itemid", "iid", "movie", "movieid", "book", "bookid"),
    "rating": ("rating", "ratings"),
    "timestamp": ("timestamp",),
}
"""Names by which `as_ratings` and `read_ratings` know what a column is: lower-case letters only."""


def known_roles(names: Iterable[object]) -> dict[str, int]:
    """Return ``{role: position}`` for the roles that exactly one of the column names has."""
    letters = ["".join(filter(str.isalpha, str(name).lower())) for name in names]
    roles = {}
    for role, known in KNOWN_COLUMN_NAMES.items():
        found = [position for position, name in enumerate(letters) if name in known]
        if len(found) == 1:
            roles[role] = found[0]
    return roles


def default_columns(names: Sequence[object]) -> dict[str, int] | None:
    """Return ``{role: position}`` of user, item, rating and, where one is known, timestamp.

    By name where all of the first three are known, else the first three columns; None where there
    are too few, or where a known name stands at a place that contradicts that.
    """
    roles = known_roles(names)
    by_place = {"user": 0, "item": 1, "rating": 2}
    if by_place.keys() <= roles.keys():
        return roles
    if len(names) < 3 or any(roles.get(role, place) != place for role, place in by_place.items()):
        return None
    if roles.get("timestamp", 3) < 3:
        return None
    return roles | by_place
