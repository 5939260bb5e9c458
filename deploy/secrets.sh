#!/bin/sh
# Makes deploy/secrets/ once, with random passwords; never overwrites one.
set -eu
cd "$(dirname "$0")"
mkdir -p secrets
random() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
put() { [ -e "secrets/$1" ] || (umask 077 && printf '%s\n' "$2" > "secrets/$1"); }
for name in postgres_password shares_postgres_password \
            issuer_key_password wallet_key_password verifier_key_password; do
  put "$name" "$(random)"
done
for service in issuer wallet verifier; do
  put "${service}_database_url" "postgresql://$service:$(random)@database/$service"
done
put shares_database_url "postgresql://shares:$(random)@shares_database/shares"
# Services and databases run as user 999 and must be able to read them.
if [ "$(id -u)" = 0 ]; then chown 999 secrets/*; fi
echo "deploy/secrets is complete. Keep a copy of the key passwords where the backups are not."
