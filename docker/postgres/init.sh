#!/bin/sh
# Run once, by the image of PostgreSQL, on an empty data folder: for each service a role and its
# databases. Passwords are read by psql itself, so they are on no command line.
# The image sources a file that lost its executable bit: in brackets nothing of it stays behind.
(
set -eu

role() {
    name=$1
    file="${TIDEMILL_SECRETS%/}/db_$name"
    shift
    # psql would go on, and make a role without a password.
    [ -s "$file" ] || { echo "$file is absent or empty" >&2 && exit 1; }
    psql -v ON_ERROR_STOP=1 --quiet --no-psqlrc --username "$POSTGRES_USER" --dbname postgres \
        -v "role=$name" -v "file=$file" <<'SQL'
\set password `cat :'file'`
CREATE ROLE :"role" LOGIN PASSWORD :'password';
SQL
    for database in "$@"; do
        psql -v ON_ERROR_STOP=1 --quiet --no-psqlrc --username "$POSTGRES_USER" --dbname postgres \
            -v "role=$name" -v "database=$database" <<'SQL'
CREATE DATABASE :"database" OWNER :"role";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
SQL
    done
}

role prefect prefect
role mlflow mlflow mlflow_auth
role monitor monitor
)
