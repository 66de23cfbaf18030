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
# The timeout of one failover; the next one begins after twice as much.
awk -v down_after="$DOWN_AFTER" '
  !/^sentinel (down-after-milliseconds|failover-timeout) / { print }
  END {
    milliseconds = int(down_after * 1000)
    print "sentinel down-after-milliseconds sessions " milliseconds
    print "sentinel failover-timeout sessions " (milliseconds > 2500 ? 2 * milliseconds : 5000)
  }' sentinel.conf > sentinel.conf.new
chmod 600 sentinel.conf.new
mv sentinel.conf.new sentinel.conf
exec redis-server "/data/$name/sentinel.conf" --sentinel
