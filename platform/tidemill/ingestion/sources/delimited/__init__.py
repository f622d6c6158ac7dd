"""Delimited text: its dialect, its records and fields, and its lines that are no rows."""
