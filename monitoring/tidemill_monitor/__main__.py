"""``python -m tidemill_monitor``: the service, as its environment says."""

from tidemill_monitor.http_server import serve

if __name__ == "__main__":
    serve()
