#!/bin/sh
# Whether PostgreSQL answers, and has what init.sh makes last: the image calls a server well whose
# first start broke off, and never runs init.sh again.
set -eu
# By TCP: while the databases are being made, the server listens on its socket only.
pg_isready --quiet --host=127.0.0.1 --username=postgres
query="select 1 from pg_database where datname = 'monitor'"
made=$(psql --no-psqlrc --username=postgres --dbname=postgres --no-align --tuples-only -c "$query")
if [ "$made" != 1 ]; then
    echo "init.sh broke off at the first start: its reason is in the log of that start. If nothing is" \
        "stored yet, begin anew: docker compose down, docker volume rm tidemill_postgres" >&2
    exit 1
fi
