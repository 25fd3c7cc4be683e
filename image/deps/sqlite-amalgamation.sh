#!/bin/sh
# Makes SQLite's amalgamation (sqlite3.c, sqlite3.h) in SOURCE/amalgamation with its own tools.
set -eu
source=$1
log=$PWD/out/deps/sqlite-amalgamation.log
mkdir -p "$source/amalgamation"
cd "$source/amalgamation"
if ! {
  ../configure --disable-tcl --disable-readline --disable-load-extension && make -j1 sqlite3.c
} >"$log" 2>&1; then
  echo "deps: SQLite's amalgamation cannot be made (see ${log#"$PWD"/}); is tcl installed?" >&2
  exit 1
fi
