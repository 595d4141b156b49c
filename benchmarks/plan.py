"""Planning and preparing whole data sets from nothing, beside nnU-Net in one run.

    python benchmarks/plan.py --nnunet VENV

CTs: eight of 512x512x50-92, 3d_fullres. HIPPO: 200 hippocampus volumes, every configuration.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from side_by_side import (
    Cost,
    alternate,
    autoseg,
    common_options,
    has_peer,
    measure,
    nnunet_places,
    print_head,
    wanted,
    write_hippocampus,
    write_phantom_cts,
)


def main() -> None:
    """Print one row per data set."""
    parser = common_options(__doc__)
    parser.add_argument("--cases", type=int, help="fewer than 8 and 200, to try this out")
    options = parser.parse_args()
    peer = has_peer(options)
    print_head()
    rows = (
        ("CT", write_phantom_cts, options.cases or 8, "3d_fullres", "1/5 wall, 1/3 memory"),
        ("HIPPO", write_hippocampus, options.cases or 200, None, "1/6 wall, 1/3 memory"),
    )
    for name, write, cases, only, bar in rows:
        if not wanted(options, name):
            continue
        with tempfile.TemporaryDirectory() as where:
            folder = Path(where)
            write(folder / "raw" / f"Dataset005_{name}", cases)
            alternate(
                f"plan and prepare {cases} {name}, {only or 'all configurations'}", options.rounds,
                lambda folder=folder, only=only: run_autoseg(folder, only),
                (lambda folder=folder, only=only: run_nnunet(folder, only, options))
                if peer else None,
                bar,
            )  # fmt: skip


def run_autoseg(folder: Path, only: str | None) -> Cost:
    """Plan and prepare from nothing."""
    shutil.rmtree(folder / "prepared", ignore_errors=True)
    return measure(autoseg("plan", "-w", folder, *(["--only", only] if only else [])))[0]


def run_nnunet(folder: Path, only: str | None, options: argparse.Namespace) -> Cost:
    """Plan and preprocess from nothing with its default numbers of processes."""
    shutil.rmtree(folder / "preprocessed", ignore_errors=True)
    words = [options.nnunet / "bin/nnUNetv2_plan_and_preprocess", "-d", "5", "--no_pbar"]
    return measure([*words, *(["-c", only] if only else [])], nnunet_places(folder))[0]


if __name__ == "__main__":
    main()
