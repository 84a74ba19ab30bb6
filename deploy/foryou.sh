#!/bin/sh
# /usr/local/bin/foryou: any foryou command with the installation's settings, as its own user. Run it as root.
while IFS= read -r line; do
  case $line in [A-Z]*=*) export "$line" ;; esac
done < /etc/foryou/foryou.env
cd /var/lib/foryou || exit 1
exec runuser -u foryou -- /opt/foryou/bin/foryou "$@"
