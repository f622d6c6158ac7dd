"""Serving: the champion in memory, and predictions that are durable before they are answered."""

from tidemill_monitor.serving.champion import Champion, ChampionHolder, Reloaded
from tidemill_monitor.serving.scorer import Scorer
from tidemill_monitor.serving.scores import Scored, score_rows

__all__ = ["Champion", "ChampionHolder", "Reloaded", "Scored", "Scorer", "score_rows"]
