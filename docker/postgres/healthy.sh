#!/bin/sh
# Whether PostgreSQL answers, and has all that init.sh makes: the image calls a server well whose
# first start broke off, and never runs init.sh again.
set -eu
# By TCP: while the databases are being made, the server listens on its socket only.
pg_isready --quiet --host=127.0.0.1 --username=postgres
absent=$(
    psql -v ON_ERROR_STOP=1 --no-psqlrc --username=postgres --dbname=postgres --no-align \
        --tuples-only <<'SQL'
select string_agg(role || '/' || database, ' ' order by role, database)
from (values ('prefect', 'prefect'), ('mlflow', 'mlflow'), ('mlflow', 'mlflow_auth'),
    ('monitor', 'monitor')) as needed (role, database)
where not exists (
    select from pg_database join pg_roles on pg_roles.oid = datdba
    where datname = database and rolname = role and rolcanlogin)
SQL
)
if [ -n "$absent" ]; then
    echo "absent roles/databases: $absent. init.sh broke off at the first start: its reason is in" \
        "the log of that start. If nothing is stored yet, begin anew: docker compose down," \
        "docker volume rm tidemill_postgres" >&2
    exit 1
fi
