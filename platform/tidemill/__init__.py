"""tidemill: tables larger than memory into models that stay right."""

__all__ = ["__version__"]

__version__ = "0.1.0"
