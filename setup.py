"""What pip needs to know: metadata, dependencies, commands; tools are set up in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

here = Path(__file__).parent
version = re.search(r'__version__ = "(.+)"', (here / "autoseg/__init__.py").read_text()).group(1)

setup(
    name="autoseg",
    version=version,
    description="From a folder of scans and labels to an evaluated segmentation model",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.10",
    packages=find_packages(include=["autoseg", "autoseg.*"]),
    package_data={
        "autoseg": [
            "presets/*.json",
            "report/*.css",
            "report/*.html",
            "report/*.js",
            "serving/page/*.css",
            "serving/page/*.html",
            "serving/page/*.js",
        ]
    },
    install_requires=[
        "numpy>=1.26",
        "scipy>=1.11",
        "SimpleITK>=2.3",
        "torch>=2.6,!=2.9.*",  # 2.9: 3-D convolutions in half precision four times slower
        "safetensors>=0.4.3",
        "matplotlib>=3.8",
    ],
    extras_require={
        "report": ["scikit-image", "plotly>=6"],
        "topology": ["scikit-image"],
        "serve": ["fastapi", "h11"],
        "dicom": ["pydicom", "highdicom"],
        "onnx": ["onnx", "onnxscript", "onnxruntime"],
        "track": ["tensorboard", "wandb>=0.31", "mlflow"],
        "search": ["optuna>=4"],
        "cluster": ["distributed", "dask-jobqueue"],
        "networks": ["monai>=1.5", "einops"],
        # ruff's version decides the format; the others are oracles in tests, or tested.
        "dev": [
            "pytest>=8",
            "ruff==0.17.5",
            "mypy==2.4.1",
            "nibabel",
            "scikit-image",
            "plotly>=6",
            "medpy",
            "surface-distance",
            "pydicom",
            "highdicom",
            "optuna",
            "batchgenerators",
            "onnx",
            "onnxscript",
            "onnxruntime",
            "monai>=1.5",
            "einops",
            "fastapi",
            "h11",
            "requests",
            "schemathesis",  # and hypothesis with it: requests made up from the description
            "playwright",  # its package only: it drives Debian's Chromium
        ],
    },
    entry_points={
        "console_scripts": [
            "autoseg = autoseg.cli:main",
            "autoseg_plan = autoseg.cli:main_plan",
            "autoseg_train = autoseg.cli:main_train",
            "autoseg_predict = autoseg.cli:main_predict",
            "autoseg_evaluate = autoseg.cli:main_evaluate",
        ]
    },
)
