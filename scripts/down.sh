#!/usr/bin/env bash
# Stops the cluster that `make up` started and everything that runs on it.
set -euo pipefail
kabuki=$1 data=$2
pid=$data/kabuki.pid
if [ -s "$pid" ] && kill -0 "$(cat "$pid")" 2>/dev/null; then
    kill "$(cat "$pid")"
    for _ in $(seq 1 100); do kill -0 "$(cat "$pid")" 2>/dev/null || break; sleep 0.1; done
fi
rm -f "$pid"
"$kabuki" reset --data-dir "$data"
echo "stopped; the data stays in $data"
