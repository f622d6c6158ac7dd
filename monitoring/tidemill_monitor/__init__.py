"""The monitor: keeps every event, judges each window, and says when to retrain."""
