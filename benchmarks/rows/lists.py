"""Lists of ours and of other programs on the same splits; results/lists.md shows them."""

from __future__ import annotations

from benchmarks.data import split_for
from benchmarks.harness import Measurement, Result, Setting
from benchmarks.lists import report, runner
from benchmarks.lists.contestants import ALL
from benchmarks.lists.measuring import Measured, measure, over_users

QUICK_SETTINGS = {"AutoRec, highest predicted ratings": {"max_iter": 2}}
NOTE = "Seconds of `fit` on each split; memory is what it adds to what was resident before."


def run(setting: Setting) -> Result:
    """Measure the missing cells and write the page; quick: one split, and nothing is kept."""
    if setting.quick:
        return quick()
    results, absent = runner.run(setting.data)
    report.write(sorted({cell.data for cell in results} | set(setting.data)), results, runner.PAGE)
    measurements = []
    for data in setting.data:
        for contestant in ALL:
            found = results.get(runner.test_cell(data, contestant))
            if found is not None:
                ndcg, figures = found["ndcg"]["mean"], dict(found["figures"])
                seconds = figures.pop("seconds")
                shown = {"NDCG@10": ndcg} | {k: sum(v) / len(v) for k, v in figures.items()}
                measurements.append(Measurement(f"{data}, {contestant.name}", seconds, shown))
    return Result(measurements, absent, [NOTE])


def quick() -> Result:
    """Measure every contestant that is there on made-up ratings, as it is, in this process."""
    parts, measurements, absent = split_for(True), [], {}
    for contestant in ALL:
        try:
            program = contestant.program()
        except LookupError as error:
            absent[contestant.name] = str(error)
            continue
        settings = QUICK_SETTINGS.get(contestant.name, dict(contestant.start))
        found: Measured = measure(program, settings, parts, 0)
        shown = {"NDCG@10": over_users([(found.users, found.ndcg)]).mean, **found.figures}
        measurements.append(Measurement(contestant.name, [shown.pop("seconds")], shown))
    return Result(measurements, absent, [NOTE])
