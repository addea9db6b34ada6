#!/usr/bin/env bash
# Starts a cluster on this machine in the background and prints what to type next.
set -euo pipefail
kabuki=$1 data=$2
log=$data/kabuki.log pid=$data/kabuki.pid
mkdir -p "$data"
if [ -s "$pid" ] && kill -0 "$(cat "$pid")" 2>/dev/null; then
    echo "already running, pid $(cat "$pid")"
else
    setsid "$kabuki" up --data-dir "$data" >>"$log" 2>&1 </dev/null &
    echo $! >"$pid"
fi
for _ in $(seq 1 100); do
    if ! kill -0 "$(cat "$pid")" 2>/dev/null; then
        echo "kabuki did not start; the end of $log:" >&2
        tail -n 20 "$log" >&2
        exit 1
    fi
    [ -s "$data/admin.kubeconfig" ] &&
        curl -sk --max-time 1 https://127.0.0.1:6443/readyz 2>/dev/null | grep -q '^ok' && ready=1 && break
    sleep 0.1
done
[ "${ready:-}" ] || { echo "kabuki is not ready after 10 s; see $log" >&2; exit 1; }
cat <<NEXT
Kabuki is running (pid $(cat "$pid"), log $log). Type next:

  export KUBECONFIG=$data/admin.kubeconfig PATH=$(dirname "$kabuki"):\$PATH
  kubectl get nodes -o wide
  make images DATA_DIR=$data                 # the example's images, from Debian's busybox and nginx
  kabuki image load --data-dir $data $data/examples/*.tar
  kubectl apply -f examples/guestbook/
  kubectl rollout status deployment/guestbook
  kubectl logs deployment/visitor --tail=3
  kabuki actors tree
  kubectl delete -f examples/guestbook/

Stop it with: make down
NEXT
