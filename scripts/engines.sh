#!/bin/sh
# Installs the real parts some suites run against, from Debian's packages, as root. No daemon is started.
set -eu

[ "$(id -u)" = 0 ] || { echo "engines: run as root (sudo make engines); everything else needs no root" >&2; exit 1; }
command -v apt-get >/dev/null || {
    echo "engines: this is for Debian and Ubuntu. Elsewhere install PostgreSQL, bubblewrap, Chromium, Noto CJK fonts, Slurm, Ceph's radosgw, skopeo, umoci, docker-registry and Node.js by hand" >&2
    exit 1
}

PACKAGES="postgresql bubblewrap chromium libatomic1 fonts-noto-cjk slurmctld slurmd slurmrestd slurm-wlm-jwt-plugin openssh-server slurmdbd slurm-client munge nodejs npm radosgw ceph-mon ceph-mgr ceph-osd ceph-common skopeo umoci docker-registry"

missing=""
for package in $PACKAGES; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
# A Node.js that came from elsewhere is as good, and may conflict with Debian's.
if command -v node >/dev/null && command -v npm >/dev/null; then
    missing=$(echo "$missing" | sed 's/ nodejs//; s/ npm//')
fi
[ -n "$missing" ] || { echo "engines: everything is here"; exit 0; }

# Packages start their daemons on installation unless this script says 101 (forbidden by policy).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi

echo "engines: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2086  a list of names
apt-get install -y -q --no-install-recommends $missing
