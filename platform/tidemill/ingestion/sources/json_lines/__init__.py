"""JSON lines: an object a line, its members the columns."""
