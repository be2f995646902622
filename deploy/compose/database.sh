#!/bin/sh
# Makes the role and the database of the product, when the volume is new. Row-level security limits this role.
set -eu
# The password goes through psql's standard input, so that it is in no list of processes.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<SQL
\set password \`cat /run/secrets/database_password\`
CREATE ROLE lockbox LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'password';
CREATE DATABASE lockbox OWNER lockbox;
SQL
