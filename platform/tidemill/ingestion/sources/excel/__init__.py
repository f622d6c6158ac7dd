"""Excel workbooks: a sheet of each."""
