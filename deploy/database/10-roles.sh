#!/bin/sh
# One role and one database for each service; no role reads another's database.
set -eu
for service in issuer wallet verifier; do
  password=$(cut -d: -f5 "/run/secrets/${service}_pgpass")
  psql -v ON_ERROR_STOP=1 -v name="$service" -v password="$password" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
