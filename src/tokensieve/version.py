"""The version, for the package and for the records it writes."""

__version__ = "0.1.0"
