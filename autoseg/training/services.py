"""TensorBoard, Weights & Biases and MLflow as trackers; each package is imported when it is used.

Where to send numbers, and the keys for it, are their own settings (WANDB_MODE, WANDB_PROJECT,
`wandb login`, MLFLOW_TRACKING_URI). Without any, everything stays in the folder of the run.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from autoseg.training.trackers import TrackedRun

log = logging.getLogger(__name__)

PROJECT = "autoseg"  # of W&B, unless WANDB_PROJECT names one
LOGIN_S = 30  # W&B never waits longer for somebody to type a key


class _TensorBoard:
    def __init__(self, run: TrackedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = run.folder / "tensorboard"
        # What an interrupted session told after its last checkpoint will be told again.
        self._writer = SummaryWriter(str(folder), purge_step=run.step + 1 if run.step else None)
        self._writer.add_text("settings", f"```\n{json.dumps(dict(run.settings), indent=1)}\n```")
        log.info("TensorBoard: event files in %s", folder)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class _WandB:
    def __init__(self, run: TrackedRun) -> None:
        import wandb

        settings = wandb.setup().settings
        mode: Literal["offline"] | None = None
        if settings.mode == "online" and not wandb.login(prompt=False):
            mode = "offline"  # a question for a key would wait for ever
        self._run = wandb.init(
            project=settings.project or PROJECT,
            group=run.dataset,
            name=run.name,
            id=run.id,
            resume="allow",
            dir=str(run.folder),
            config=dict(run.settings),
            mode=mode,
            settings=wandb.Settings(console="off", silent=True, login_timeout=LOGIN_S),
        )
        place = f"offline, `wandb sync` uploads {run.folder / 'wandb'}"
        if not self._run.offline:  # asked for its address offline, it warns
            place = str(self._run.url)
        log.info("Weights & Biases: %s", place)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


class _MLflow:
    def __init__(self, run: TrackedRun) -> None:
        import mlflow
        from mlflow import MlflowClient

        database = f"sqlite:///{run.folder.resolve() / 'mlflow.db'}"
        self._client = MlflowClient(None if mlflow.is_tracking_uri_set() else database)
        identity = self._experiment(run.dataset)
        former = self._client.search_runs([identity], f"tags.autoseg_run = '{run.id}'")
        if former:
            self._id = former[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
        else:
            made = self._client.create_run(
                identity, run_name=run.name, tags={"autoseg_run": run.id}
            )
            self._id = made.info.run_id
            for name, value in run.settings.items():
                self._client.log_param(self._id, name, value)
        log.info("MLflow: run '%s' at %s", run.name, self._client.tracking_uri)

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        known = self._client.get_experiment_by_name(name)
        if known is None:
            # Folds that are trained side by side may both find it missing.
            with contextlib.suppress(MlflowException):
                self._client.create_experiment(name)
            known = self._client.get_experiment_by_name(name)
        if known is None:
            raise RuntimeError(f"no experiment '{name}' could be made")
        return str(known.experiment_id)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(re.sub(r"[^\w. /-]", "_", name), value, now, step)
            for name, value in values.items()
        ]
        self._client.log_batch(self._id, metrics=metrics)

    def close(self) -> None:
        self._client.set_terminated(self._id)


def tensorboard_tracker(run: TrackedRun) -> Any:
    """Return a tracker that writes event files for TensorBoard."""
    return _TensorBoard(run)


def wandb_tracker(run: TrackedRun) -> Any:
    """Return a tracker that tells Weights & Biases, or its files where nobody is logged in."""
    return _WandB(run)


def mlflow_tracker(run: TrackedRun) -> Any:
    """Return a tracker that tells an MLflow server, or a database in the run's folder."""
    return _MLflow(run)
