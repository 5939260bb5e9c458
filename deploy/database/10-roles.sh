#!/bin/sh
# One role and one database for each URL in /run/secrets; no role reads another's database.
set -eu
for file in /run/secrets/*_database_url; do
  login=$(sed -E 's#^postgresql://([^@]+)@.*#\1#' "$file")
  psql -v ON_ERROR_STOP=1 -v name="${login%%:*}" -v password="${login#*:}" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
