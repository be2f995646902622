#!/bin/sh
# What the official image does before its server starts: it fills an empty directory, and runs the scripts for it.
set -eu
data=/var/lib/postgresql/data
if ! [ -s "$data/PG_VERSION" ]; then
    initdb --username postgres --pwfile "$POSTGRES_PASSWORD_FILE" --auth-local trust --auth-host scram-sha-256 "$data"
    echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
    pg_ctl --pgdata "$data" --wait --options "-c listen_addresses='' -k /run/postgresql" start
    for script in /docker-entrypoint-initdb.d/*.sh; do PGHOST=/run/postgresql sh "$script"; done
    pg_ctl --pgdata "$data" --wait stop
fi
exec postgres -D "$data" -k /run/postgresql -c listen_addresses='*'
