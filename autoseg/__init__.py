"""autoseg: from a folder of scans and labels to a trained, evaluated segmentation model."""

__version__ = "0.1.0"
