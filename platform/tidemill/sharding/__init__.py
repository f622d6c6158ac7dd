"""Validated rows become shards: every row in exactly one, with a role and a bucket."""

from tidemill.sharding.append import append_sets, appended_folder, live_config, sound_shards
from tidemill.sharding.audit import Problem, verify
from tidemill.sharding.build import shard
from tidemill.sharding.lookup import Location, locate

__all__ = [
    "Location",
    "Problem",
    "append_sets",
    "appended_folder",
    "live_config",
    "locate",
    "shard",
    "sound_shards",
    "verify",
]
