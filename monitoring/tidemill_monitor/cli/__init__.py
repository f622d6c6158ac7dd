"""``tidemill monitor ...``: serve, replay, and what people do with keys, decisions and alerts.

Commands that look into a running monitor speak HTTP to it, with a key.
"""

from tidemill_monitor.cli.monitor import app

__all__ = ["app"]
