"""Who may ask what and how much: keys, scopes, sessions, rates; admission before every route."""

from tidemill_monitor.security.admission import Admission
from tidemill_monitor.security.api_keys import Keys
from tidemill_monitor.security.credentials import leave_credentials
from tidemill_monitor.security.headers import Wrapped
from tidemill_monitor.security.rates import Rates
from tidemill_monitor.security.scopes import Identity, Scope, required_scope
from tidemill_monitor.security.sessions import Sessions, csrf_token

__all__ = [
    "Admission",
    "Identity",
    "Keys",
    "Rates",
    "Scope",
    "Sessions",
    "Wrapped",
    "csrf_token",
    "leave_credentials",
    "required_scope",
]
