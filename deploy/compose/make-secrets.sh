#!/bin/sh
# Makes the secrets of deploy/compose.yaml in compose/secrets. It never replaces one that is there.
# Run it as root, so that the containers' user (LOCKBOX_UID, 10001) can read them and no other account can.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
cd secrets
[ "$(id -u)" = 0 ] || { echo "Run this as root: the secrets must belong to the containers' user." >&2; exit 2; }

# secret NAME BYTES: writes random letters and digits, which need no quotes in an address.
secret() { [ -s "$1" ] || head -c "$2" /dev/urandom | od -An -vtx1 | tr -d ' \n' >"$1"; }

for name in secret_key task_signing_key webhook_key second_factor_key; do secret "$name" 48; done
for name in database_password postgres_password metrics_token; do secret "$name" 24; done
[ -s database_url ] || printf 'postgres://lockbox:%s@database/lockbox' "$(cat database_password)" >database_url
chmod 0400 ./*
chown "${LOCKBOX_UID:-10001}" ./*
chown "${POSTGRES_UID:-999}" database_password postgres_password
if ! [ -s email_url ]; then
    echo "Now write the address of your mail server into $(pwd)/email_url, like smtp+tls://user:password@mail.example.com:587"
    echo "Then run this again: it gives the file to the containers' user."
    exit 1
fi
