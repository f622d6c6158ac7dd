"""Tables and queries of databases, by SQLAlchemy's addresses: ranges of a key, in one snapshot."""
