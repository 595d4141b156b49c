"""Every stage's benchmark, one after the other, into one report.

    python benchmarks/run_all.py --nnunet VENV [--device cuda] > report.md

A stage that fails is told and does not stop the others.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
STAGES = ("start", "plan", "load", "step", "epoch", "predict", "decode", "evaluate", "scale")
ON_CPU = tuple(stage for stage in STAGES if stage != "epoch")  # which takes hours there
ON_GPU = ("load", "step", "epoch", "predict", "decode")


def main() -> int:
    """Run the stages; return 1 when one failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nnunet", default="/tmp/nnunet_venv")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", default="1")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=None)
    options = parser.parse_args()
    failed = []
    gpu = options.device != "cpu"
    for stage in options.stages or (ON_GPU if gpu else ON_CPU):
        print(f"\n## {stage}\n", flush=True)
        words = [sys.executable, str(HERE / f"{stage}.py")]
        if stage != "scale":
            words += ["--nnunet", options.nnunet, "--device", options.device]
            words += ["--rounds", options.rounds]
        if subprocess.run(words).returncode:
            failed.append(stage)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
