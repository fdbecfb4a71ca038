#!/bin/sh
# Twice does no harm: it runs again on what is there when its inputs change.
set -eu
db=$PWD/data/$SHIPWAY_TARGET.db
mkdir -p data
python3 - "$db" <<'PY'
import sqlite3, sys
with sqlite3.connect(sys.argv[1]) as db:
    db.execute("create table if not exists items (name text primary key)")
    db.execute("insert or ignore into items values ('apple')")
PY
echo "FILE=$db" >> "$SHIPWAY_OUTPUT"
