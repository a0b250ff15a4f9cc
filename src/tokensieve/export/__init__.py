"""Export: a trained classifier as files that other programs read without tokensieve."""

from tokensieve.export.folder import FORMATS, Exported, export

__all__ = ["FORMATS", "Exported", "export"]
