"""Serving: the champion in memory, and predictions that are durable before they are answered."""

from tidemill_monitor.serving.champion import Champion, ChampionHolder, Reloaded
from tidemill_monitor.serving.scored_events import Scored, score_rows
from tidemill_monitor.serving.scorer import Scorer

__all__ = ["Champion", "ChampionHolder", "Reloaded", "Scored", "Scorer", "score_rows"]
