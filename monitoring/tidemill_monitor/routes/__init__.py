"""The HTTP interface: each module a router; what they do lives in the rooms beside."""
