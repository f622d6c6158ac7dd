"""Files of one format to typed batches: found, listed, sniffed, read. Knows no expectation."""
