"""Validated rows become shards: every row in exactly one, with a role and a bucket."""

from tidemill.sharding.audit import Problem, verify
from tidemill.sharding.build import shard
from tidemill.sharding.lookup import Location, locate

__all__ = ["Location", "Problem", "locate", "shard", "verify"]
