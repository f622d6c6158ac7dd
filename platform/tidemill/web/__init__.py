"""What every HTTP service of an installation has in front: bounds, the right origin, its owner.

Nothing here imports a web framework, so that a server which loads one starts no later for it.
"""

from tidemill.web.asgi import json_changed, with_headers
from tidemill.web.bounds import Bounds
from tidemill.web.heads import HeadAsGet
from tidemill.web.here import HereOnly
from tidemill.web.origins import cookies_of, header_of, host_of, is_foreign
from tidemill.web.owner_only import OwnerOnly
from tidemill.web.passes import Passes
from tidemill.web.serving import CREDENTIAL_VARIABLE, HOSTS_VARIABLE, addressed, guarded, server_for
from tidemill.web.whole_bodies import WholeBodies

__all__ = [
    "CREDENTIAL_VARIABLE",
    "HOSTS_VARIABLE",
    "Bounds",
    "HeadAsGet",
    "HereOnly",
    "OwnerOnly",
    "Passes",
    "WholeBodies",
    "addressed",
    "cookies_of",
    "guarded",
    "header_of",
    "host_of",
    "is_foreign",
    "json_changed",
    "server_for",
    "with_headers",
]
