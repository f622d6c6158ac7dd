"""Parquet of unknown origin, parsed in a process apart."""
