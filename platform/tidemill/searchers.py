"""Samplers and pruners of searches; packages add theirs as entry points of their groups."""

from __future__ import annotations

from tidemill.addresses import Implementations
from tidemill.contracts import Pruner, Sampler

__all__ = ["PRUNERS", "SAMPLERS"]

SAMPLERS: Implementations[type[Sampler]] = Implementations(
    {
        "tpe": "tidemill.tuning.samplers:TpeSampler",
        "random": "tidemill.tuning.samplers:RandomSampler",
        "grid": "tidemill.tuning.samplers:GridSampler",
        "gp": "tidemill.tuning.gaussian:GpSampler",
    },
    port=Sampler,
    group="tidemill.samplers",
    setting="tuning.sampler",
)

PRUNERS: Implementations[type[Pruner]] = Implementations(
    {
        "median": "tidemill.tuning.pruning:MedianPruner",
        "halving": "tidemill.tuning.halving:HalvingPruner",
    },
    port=Pruner,
    group="tidemill.pruners",
    setting="tuning.pruner",
)
