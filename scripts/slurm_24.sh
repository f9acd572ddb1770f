#!/bin/sh
# Makes a root with Slurm 24.11 (Debian 13) and prints its path; exits with 77 and a reason where that cannot be done.
#
#   ROOT    folder of the root; it is kept and used again (default: the user's cache folder)
#   MIRROR  Debian's mirror (default: the one that this machine's apt uses, else debootstrap's own)
set -eu
ROOT=${ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/pearlstreet/slurm-24}
PACKAGES=slurmctld,slurmd,slurm-client,slurmrestd,munge,slurm-wlm-jwt-plugin,slurm-wlm-basic-plugins,python3,bubblewrap,procps

skip() {
    echo "slurm-24 skipped: $1" >&2
    exit 77
}

[ "$(id -u)" = 0 ] || skip "Slurm starts jobs as other users, so it needs root"
for program in debootstrap unshare pivot_root; do
    command -v "$program" >/dev/null || skip "$program is absent. On Debian: apt-get install debootstrap util-linux"
done
if [ ! -e "$ROOT/.complete" ]; then
    mirror=${MIRROR:-$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null |
        grep -m1 -E '/debian/?$' || true)}
    rm -rf --one-file-system "$ROOT"
    mkdir -p "$ROOT"
    debootstrap --variant=minbase "--include=$PACKAGES" trixie "$ROOT" ${mirror:+"$mirror"} >"$ROOT.log" 2>&1 ||
        skip "debootstrap failed; $ROOT.log says why"
    touch "$ROOT/.complete"
fi
cp /etc/hosts "$ROOT/etc/hosts"
echo "$ROOT"
