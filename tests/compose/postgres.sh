#!/bin/sh
# What the public image does with POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB.
set -e
export PGDATA=/var/lib/postgresql/data
chown postgres "$PGDATA"
as_postgres="setpriv --reuid=postgres --regid=postgres --clear-groups"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  printf '%s' "$POSTGRES_PASSWORD" >/tmp/password
  chown postgres /tmp/password
  $as_postgres initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth=scram-sha-256 --no-sync
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
  echo "CREATE DATABASE $POSTGRES_DB" | $as_postgres postgres --single -j postgres
fi
exec $as_postgres postgres -c listen_addresses='*' -c unix_socket_directories=/tmp -c fsync=off
