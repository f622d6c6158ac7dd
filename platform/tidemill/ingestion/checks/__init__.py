"""A suite's expectations, judged batch by batch; what takes more, Great Expectations judges."""
