#!/bin/sh
# redis.sh NAME MIN_REPLICAS: one server of a replicated Redis, in its container. MIN_REPLICAS is the default of the
# setting of that name. The server rewrites its configuration, so it gets a copy beside its data. Settings that a user
# can change are arguments, which win over the copy of an earlier start.
set -eu
name=$1
ask() { REDISCLI_AUTH=$(cat /cluster/servers/operator-password) timeout 1 redis-cli -t 0.5 --user operator "$@"; }

# A server that was replaced while it was down would believe that it is still the primary until the Sentinels correct it,
# which takes them seconds. So it asks them for the primary, and uses the latest epoch.
primary() {
  for sentinel in $SENTINELS; do
    ask -h "$sentinel" -p 26379 sentinel master sessions 2>/dev/null | awk '
      before == "ip" { ip = $0 }
      before == "config-epoch" { print $0, ip }
      { before = $0 }' || true
  done | sort -n | tail -n 1 | cut -d " " -f 2
}

cd /data
is_first=false
if [ ! -d "$name" ]; then
  is_first=true
  rm -rf "draft-$name"
  mkdir "draft-$name"
  cp "/cluster/servers/$name.conf" "draft-$name/server.conf"
  if [ -f "/cluster/servers/$name.nodes.conf" ]; then
    cp "/cluster/servers/$name.nodes.conf" "draft-$name/nodes.conf"
  fi
  chmod 600 "draft-$name"/*
  mv "draft-$name" "$name"
fi
cd "$name"
set -- --maxmemory "$REDIS_MAXMEMORY" --min-replicas-to-write "${MIN_REPLICAS:-$2}"
if grep -q '^cluster-enabled yes' server.conf; then
  set -- "$@" --cluster-node-timeout "$(awk "BEGIN { print int($DOWN_AFTER * 1000) }")"
elif ! $is_first; then
  found=$(primary)
  if [ -n "$found" ] && [ "$found" != "$(hostname -i)" ]; then
    set -- "$@" --replicaof "$found" 6379
  fi
fi
exec redis-server "/data/$name/server.conf" "$@"
