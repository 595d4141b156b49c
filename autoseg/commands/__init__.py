"""The commands, one file each: its options, and how it calls its verb.

Only the verb that was asked for is imported, so help and mistakes cost nothing. Options are for
paths, dataset, fold, size, budget, device and workers; what shapes the result is `--set`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from autoseg.commands import (
    card,
    check,
    compare,
    demo,
    ensemble,
    evaluate,
    export,
    import_data,
    overlay,
    plan,
    predict,
    report,
    search,
    serve,
    statistics,
    train,
    verify,
)


@dataclass(frozen=True)
class Command:
    """One command; `run` returns what goes to stdout."""

    summary: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], str]


COMMANDS = {
    "plan": Command(
        "check the data, plan networks from them, prepare them", plan.add_options, plan.run
    ),
    "train": Command("train one fold and evaluate it", train.add_options, train.run),
    "search": Command(
        "try settings of a training, name the best ones", search.add_options, search.run
    ),
    "predict": Command("segment new images", predict.add_options, predict.run),
    "ensemble": Command(
        "average probabilities that several runs saved", ensemble.add_options, ensemble.run
    ),
    "evaluate": Command(
        "compare label maps, or sum up the cross-validation", evaluate.add_options, evaluate.run
    ),
    "compare": Command(
        "compare models on the same cases: differences, tests, ranks",
        compare.add_options,
        compare.run,
    ),
    "import": Command(
        "bring images and labels into raw/, or a model from elsewhere",
        import_data.add_options,
        import_data.run,
    ),
    "card": Command("show what a model is, state its licence and use", card.add_options, card.run),
    "export": Command(
        "models, data and results as others want them", export.add_options, export.run
    ),
    "verify": Command(
        "is a model intact, and right on this machine?", verify.add_options, verify.run
    ),
    "check": Command("list every problem of a dataset", check.add_options, check.run),
    "statistics": Command(
        "sizes, volumes and intensities of a dataset, by case and target",
        statistics.add_options,
        statistics.run,
    ),
    "overlay": Command(
        "draw label maps over their scans, one picture a case", overlay.add_options, overlay.run
    ),
    "report": Command(
        "everything so far on one page: data, plan, curves, results", report.add_options, report.run
    ),
    "serve": Command("answer requests with a model, on a port", serve.add_options, serve.run),
    "demo": Command("run every stage on phantom CTs", demo.add_options, demo.run),
}
