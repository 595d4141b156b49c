"""autoseg: from a folder of scans and labels to a trained, evaluated segmentation model.

The verbs and the nouns, each imported when first used:
`autoseg.train(...)`, `autoseg.Predictor(...)`.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# The verb `plan` is named `plan_dataset` here because `autoseg.plan` is the module of the nouns.
_HOMES = {
    "import_data": "autoseg.workflows.import_data:import_data",
    "merge": "autoseg.workflows.merge:merge",
    "import_model": "autoseg.workflows.import_model:import_model",
    "export": "autoseg.workflows.export:export",
    "export_slices": "autoseg.workflows.export_slices:export_slices",
    "export_volumes": "autoseg.workflows.export_volumes:export_volumes",
    "export_masks": "autoseg.workflows.export_masks:export_masks",
    "export_submission": "autoseg.workflows.export_submission:export_submission",
    "verify": "autoseg.workflows.verify:verify",
    "check": "autoseg.workflows.check:check",
    "plan_dataset": "autoseg.workflows.plan:plan",
    "train": "autoseg.workflows.train:train",
    "search": "autoseg.workflows.search:search",
    "predict": "autoseg.workflows.predict:predict",
    "ensemble": "autoseg.workflows.ensemble:ensemble",
    "evaluate": "autoseg.workflows.evaluate:evaluate",
    "compare": "autoseg.workflows.compare:compare",
    "overlay": "autoseg.workflows.overlay:overlay",
    "write_report": "autoseg.workflows.report:report",
    "statistics": "autoseg.workflows.statistics:statistics",
    "Predictor": "autoseg.inference.predictor:Predictor",
    "Bundle": "autoseg.bundle:Bundle",
    "load_bundle": "autoseg.bundle_reader:load_bundle",
    "Case": "autoseg.dataset:Case",
    "Dataset": "autoseg.dataset:Dataset",
    "load_dataset": "autoseg.dataset:load_dataset",
    "Geometry": "autoseg.image:Geometry",
    "Image": "autoseg.image:Image",
    "Labels": "autoseg.labels:Labels",
    "Plan": "autoseg.plan:Plan",
    "load_plan": "autoseg.plan_file:load_plan",
    "TrainConfig": "autoseg.config:TrainConfig",
    "PredictConfig": "autoseg.config:PredictConfig",
    "Summary": "autoseg.results:Summary",
    "DatasetStatistics": "autoseg.results:DatasetStatistics",
    "Workspace": "autoseg.workspace:Workspace",
    "AutosegError": "autoseg.errors:AutosegError",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'autoseg' has no attribute '{name}'")
    module, attribute = _HOMES[name].split(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
