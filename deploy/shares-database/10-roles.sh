#!/bin/sh
# The wallets' shares: a role and a database on a server of their own.
set -eu
password=$(grep ':shares:' /run/secrets/wallet_pgpass | cut -d: -f5)
psql -v ON_ERROR_STOP=1 -v password="$password" <<'SQL'
CREATE ROLE shares LOGIN PASSWORD :'password';
CREATE DATABASE shares OWNER shares;
REVOKE ALL ON DATABASE shares FROM PUBLIC;
SQL
