"""The dashboard: pages that show what /v1 tells, without outside assets or a build step."""

from tidemill_monitor.dashboard.pages import add_dashboard, login_page

__all__ = ["add_dashboard", "login_page"]
