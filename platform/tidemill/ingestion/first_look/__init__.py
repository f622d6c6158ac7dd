"""A bounded sample's tale: types, purposes, edges, prospects of the target, a first suite."""
