"""Start-up: how long `-h` and the first import take, beside nnU-Net's.

python benchmarks/start.py --nnunet VENV --rounds 3
"""

from __future__ import annotations

import sys

from side_by_side import (
    alternate,
    autoseg,
    common_options,
    has_peer,
    measure,
    print_head,
    script,
    wanted,
)

PAIRS = {  # our command, nnU-Net's
    "plan": "nnUNetv2_plan_and_preprocess",
    "train": "nnUNetv2_train",
    "predict": "nnUNetv2_predict",
    "evaluate": "nnUNetv2_evaluate_folder",
    "check": None,
    "import": None,
    "compare": None,
}
IMPORTS = {
    "import the package": ("import autoseg", "import nnunetv2"),
    "import the predictor": (
        "from autoseg import Predictor",
        "from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor",
    ),
}


def main() -> None:
    """Print one row per command and import."""
    options = common_options(__doc__).parse_args()
    peer = has_peer(options)
    print_head()
    for ours, theirs in PAIRS.items():
        if wanted(options, ours):
            other = [options.nnunet / "bin" / theirs, "-h"] if peer and theirs else None
            alternate(
                f"`{ours} -h`", options.rounds,
                lambda ours=ours: measure(autoseg(ours, "-h"))[0],
                other and (lambda other=other: measure(other)[0]),
            )  # fmt: skip
    for title, (ours, theirs) in IMPORTS.items():
        if wanted(options, title):
            other = script(options.nnunet / "bin/python", theirs) if peer else None
            alternate(
                title, options.rounds,
                lambda ours=ours: measure(script(sys.executable, ours))[0],
                other and (lambda other=other: measure(other)[0]),
            )  # fmt: skip


if __name__ == "__main__":
    main()
