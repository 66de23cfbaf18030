#!/usr/bin/env bash
# http-check.sh PORT PATH [HOST]: succeed if GET http://127.0.0.1:PORT/PATH answers 200. The image has no curl, and
# starting a Python for each check of each node would cost more than the node itself.
exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
printf 'GET %s HTTP/1.0\r\nHost: %s\r\n\r\n' "$2" "${3:-127.0.0.1}" >&3
read -r -t 2 _ status _ <&3 && [ "$status" = 200 ]
