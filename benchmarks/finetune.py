"""What the weights of another model are worth: the same steps from them and from scratch.

    OMP_NUM_THREADS=1 python benchmarks/finetune.py --data hippocampus --work /tmp/finetune

SOURCE is trained on many cases of `--data` (imagesTr, labelsTr), once. NEW has few to train on and
others for validation, none of them in SOURCE, and is planned like it. Each row trains fold 0 of NEW
for as many steps once from scratch and once with --weights, same seed, and tells mean Dice.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

from autoseg.files import read_json, write_json
from autoseg.workflows.plan import plan
from autoseg.workflows.train import train
from autoseg.workspace import Workspace

CONFIGURATION, SIZE = "3d_fullres", "S"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="holds imagesTr and labelsTr")
    parser.add_argument("--work", type=Path, required=True, help="for the workspace")
    parser.add_argument("--source-steps", type=int, default=600)
    parser.add_argument("--source-cases", type=int, default=150)
    parser.add_argument("--train-cases", type=int, default=10)
    parser.add_argument("--validation-cases", type=int, default=30)
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 400])
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    data = options.data.resolve()
    cases = sorted(path.name.removesuffix(".nii.gz") for path in data.glob("labelsTr/*"))
    first, second = options.train_cases, options.train_cases + options.validation_cases
    workspace = Workspace(options.work)
    bring(workspace, data, "SOURCE", cases[second : second + options.source_cases])
    bring(workspace, data, "NEW", cases[:second])
    folds = [{"train": cases[:first], "val": cases[first:second]}]
    (options.work / "folds.json").write_text(json.dumps(folds))
    plan(workspace, "SOURCE", only=[CONFIGURATION])
    source = workspace.bundle("SOURCE", CONFIGURATION, SIZE)
    if not (source / "fold_full" / "card.json").is_file():
        run(workspace, "full", options.source_steps, "SOURCE")
    plan(
        workspace, "NEW", only=[CONFIGURATION], plan_from=source,
        folds=options.work / "folds.json",
    )  # fmt: skip
    print("steps  from scratch  with weights")
    for steps in options.steps:
        dice = [run(workspace, "0", steps, "NEW", weights) for weights in (None, str(source))]
        print(f"{steps:5d}  {dice[0]:12.4f}  {dice[1]:12.4f}", flush=True)


def bring(workspace: Workspace, data: Path, name: str, cases: list[str]) -> None:
    """Put some cases into raw/ as links, unless that is done."""
    raw = workspace.raw(name)
    if (raw / "dataset.json").is_file():
        return
    for folder in ("imagesTr", "labelsTr"):
        (raw / folder).mkdir(parents=True, exist_ok=True)
        for case in cases:
            (raw / folder / f"{case}.nii.gz").symlink_to(data / folder / f"{case}.nii.gz")
    labels = {"background": 0, "anterior": 1, "posterior": 2}
    write_json(raw / "dataset.json", {"channel_names": {"0": "MR"}, "labels": labels})


def run(
    workspace: Workspace, fold: str, steps: int, dataset: str, weights: str | None = None
) -> float:
    """Train a fold; return its mean foreground Dice, 0 without validation cases."""
    train(
        workspace, CONFIGURATION, fold, dataset=dataset, size=SIZE, settings=[f"steps={steps}"],
        weights=weights, device="cpu", overwrite=True,
    )  # fmt: skip
    result = read_json(workspace.run(dataset, CONFIGURATION, SIZE, fold) / "result.json")
    return float(result["foreground_mean"].get("dice") or 0.0)


if __name__ == "__main__":
    main()
