#!/bin/sh
# sentinel.sh NAME: one Sentinel, in its container. It writes what it learns into its configuration, so it gets a copy in
# its volume.
set -eu
name=$1
cd /data
if [ ! -d "$name" ]; then
  rm -rf "draft-$name"
  mkdir "draft-$name"
  cp "/cluster/sentinels/$name.conf" "draft-$name/sentinel.conf"
  chmod 600 "draft-$name/sentinel.conf"
  mv "draft-$name" "$name"
fi
cd "$name"
# DOWN_AFTER may differ from that of an earlier start.
timeouts='^sentinel (down-after-milliseconds|failover-timeout) '
{
  grep -vE "$timeouts" sentinel.conf
  grep -E "$timeouts" "/cluster/sentinels/$name.conf"
} > sentinel.conf.new
chmod 600 sentinel.conf.new
mv sentinel.conf.new sentinel.conf
exec redis-server "/data/$name/sentinel.conf" --sentinel
