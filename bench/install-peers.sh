#!/bin/sh
# The programs that the benchmark compares ramet with, as Debian 12 ships them. Needs root.
set -eu
export DEBIAN_FRONTEND=noninteractive
# The bench starts servers of its own: the packages' services are not wanted.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
  # A shell that a signal ends does not come by there.
  trap 'exit 1' HUP INT TERM
fi
apt-get update
apt-get install -y --no-install-recommends \
  openssh-client openssh-server dropbear-bin python3-mitogen clustershell pssh ansible ansible-mitogen util-linux
