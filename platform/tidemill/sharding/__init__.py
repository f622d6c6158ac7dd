"""Validated rows become shards: every row in exactly one, with a role and a bucket."""

from tidemill.sharding.append import append_sets, appended_folder, live_config, sound_shards
from tidemill.sharding.audit import ShardProblem, verify
from tidemill.sharding.borders import REBALANCE, borders_serve, said_of_balance
from tidemill.sharding.build import shard
from tidemill.sharding.copies import Copies, count_copies
from tidemill.sharding.lookup import Location, locate

__all__ = [
    "REBALANCE",
    "Copies",
    "Location",
    "ShardProblem",
    "append_sets",
    "appended_folder",
    "borders_serve",
    "count_copies",
    "live_config",
    "locate",
    "said_of_balance",
    "shard",
    "sound_shards",
    "verify",
]
