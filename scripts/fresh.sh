#!/bin/sh
# Runs the commands of the README on a fresh Debian: a root made by debootstrap, an ordinary user in it, a clone of HEAD.
# Used by `make fresh`, as root on Debian. Nothing is written into the checkout, and nothing of this machine into the root but
# what reaches the package index: variables (PIP_*, UV_*, certificates, proxies) and, read-only, the files they name.
#
#   SUITE    the release: trixie (Python 3.13; the default) or bookworm (Python 3.11)
#   PYTHON   an interpreter of this machine to use instead of the release's, e.g. /opt/python3.12/bin/python3.12
#   STEPS    the targets to make there, in order; by default "demo demo-stop test"
#   ARGS     given to pytest by "unit", for a part of the tests: STEPS=unit ARGS=tests/security
#   NAMESPACES  0: a machine on which users may make no namespaces, as in many containers
#   CACHE    where the root is kept: about 0.5 GB, and 1.5 GB more while a run lasts
#   MIRROR   the Debian mirror
#   KEEP     1: leave the machine's folder for a look afterwards
set -eu

SUITE=${SUITE:-trixie}
STEPS=${STEPS:-demo demo-stop test}
NAMESPACES=${NAMESPACES:-1}
CACHE=${CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/pearlstreet-fresh}
PACKAGES=python3,python3-venv,make,git,ca-certificates
# not a number of this machine's users: the kernel counts a user's processes over all containers
USER_ID=${USER_ID:-$((30000 + $$ % 30000))}
PASSED='^(PIP_[A-Z_]*|UV_[A-Z_]*|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(https?|no|all)_proxy|(HTTPS?|NO|ALL)_PROXY)$'

fail() {
    echo "fresh: $1" >&2
    exit 1
}

# -- the second half: in namespaces of its own, $1 the machine's root, which becomes /

boot() {
    root=$1
    mount --make-rprivate /
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t tmpfs -o mode=755,size=1m dev "$root/dev"
    mount -t tmpfs -o mode=755,size=64m run "$root/run"
    mkdir "$root/dev/pts" "$root/dev/shm"
    for node in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do
        # shellcheck disable=SC2086  name, major and minor
        set -- $node
        mknod -m 666 "$root/dev/$1" c "$2" "$3"
    done
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    ln -s /proc/self/fd/0 "$root/dev/stdin"
    ln -s /proc/self/fd/1 "$root/dev/stdout"
    ln -s /proc/self/fd/2 "$root/dev/stderr"
    mount -t tmpfs -o mode=1777,nosuid,nodev shm "$root/dev/shm"
    while IFS= read -r path; do
        show "$root" "$path"
    done <"$root.shown"
    # the kernel allows nobody in a chroot a user namespace; most real machines do
    enter="chroot $root"
    if [ "$NAMESPACES" != 0 ]; then
        cd "$root"
        mkdir -p .host
        pivot_root . .host
        umount -l /.host
        rmdir /.host
        enter=""
    fi
    # shellcheck disable=SC2086  a command and its argument, or nothing
    exec $enter setpriv --reuid "$USER_ID" --regid "$USER_ID" --clear-groups env -i /bin/sh -c '
            set -a; . /etc/fresh.env; set +a
            cd "$HOME/pearlstreet"
            for step in $STEPS; do
                echo "fresh: make $step"
                begun=$(date +%s)
                make "$step" || { echo "fresh: make $step failed after $(($(date +%s) - begun)) s" >&2; exit 1; }
                echo "fresh: make $step took $(($(date +%s) - begun)) s"
            done'
}

show() {
    # $2 of this machine, read-only at the same place beneath $1
    if [ -d "$2" ]; then
        mkdir -p "$1$2"
    else
        mkdir -p "$1$(dirname "$2")"
        [ -e "$1$2" ] || : >"$1$2"
    fi
    mount --bind "$2" "$1$2"
    mount -o remount,ro,bind "$1$2"
}

if [ "${1:-}" = boot ]; then
    boot "$2"
fi

# -- the first half

here=$(cd "$(dirname "$0")/.." && pwd)
[ "$(uname -s)" = Linux ] || fail "this needs Linux"
[ "$(id -u)" = 0 ] || fail "run as root (sudo make fresh): it makes a Debian root and mounts into it. make demo and make test need no root"
for program in debootstrap unshare setpriv pivot_root git; do
    command -v "$program" >/dev/null || fail "$program is absent. On Debian: apt-get install debootstrap util-linux git"
done
mkdir -p "$CACHE"
CACHE=$(cd "$CACHE" && pwd -P)
case "$CACHE/" in "$here"/*) fail "CACHE lies in the checkout ($CACHE): choose a folder outside it" ;; esac
[ -z "${PYTHON:-}" ] || [ -x "$PYTHON" ] || fail "PYTHON=$PYTHON cannot be executed"

base=$CACHE/$SUITE
if [ ! -e "$base.done" ]; then
    # the mirror this machine's apt uses, else debootstrap's own
    mirror=${MIRROR:-$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | grep -m1 -E '/debian/?$' || true)}
    rm -rf "$base"
    echo "fresh: making a root of Debian $SUITE in $base"
    debootstrap --variant=minbase "--include=$PACKAGES" "$SUITE" "$base" ${mirror:+"$mirror"} >"$base.log" 2>&1 ||
        fail "debootstrap failed; $base.log says why"
    rm -rf "$base"/var/cache/apt/archives/*.deb
    touch "$base.done"
fi

machine=$(mktemp -d "$CACHE/machine.XXXXXX")
clean_up() {
    [ "${KEEP:-}" = 1 ] && echo "fresh: the machine is left in $machine" || rm -rf "$machine" "$machine.shown"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
cp -a --reflink=auto "$base/." "$machine"
chmod 755 "$machine"
: >"$machine.shown"
cp -L /etc/resolv.conf /etc/hosts "$machine/etc/" 2>/dev/null || true
chroot "$machine" useradd --create-home --uid "$USER_ID" --shell /bin/bash ada
git -c safe.directory='*' clone -q --no-local "$here" "$machine/home/ada/pearlstreet"
git -C "$machine/home/ada/pearlstreet" remote remove origin
chown -R "$USER_ID:$USER_ID" "$machine/home/ada"

# Variables with the way to the package index, quoted for a shell, and the files and folders they name.
{
    echo "HOME=/home/ada USER=ada LOGNAME=ada SHELL=/bin/bash LANG=C.UTF-8 TERM=dumb"
    echo "PATH=/usr/local/bin:/usr/bin:/bin"
    echo "STEPS='$STEPS' ${JOBS:+JOBS=$JOBS} ${ARGS:+ARGS=\"$ARGS\"}"
    env | sed 's/=.*//' | grep -E "$PASSED" | while IFS= read -r name; do
        value=$(printenv "$name")
        printf "%s='%s'\n" "$name" "$(printf %s "$value" | sed "s/'/'\\\\''/g")"
        case $value in
        /*) [ ! -e "$value" ] || (cd / && realpath "$value") >>"$machine.shown" ;;
        esac
    done
    if [ -n "${PYTHON:-}" ]; then
        echo "PYTHON='$PYTHON'"
        "$PYTHON" -c 'import os, sys; print(os.path.realpath(sys.base_prefix))' >>"$machine.shown"
    fi
} >"$machine/etc/fresh.env"
sort -u -o "$machine.shown" "$machine.shown"

echo "fresh: Debian $(cat "$machine/etc/debian_version"), an ordinary user, $(git -C "$here" log -1 --format='%h %s')"
# Own processes too: all of them end with the script, whatever the commands left running.
NAMESPACES=$NAMESPACES USER_ID=$USER_ID unshare --mount --pid --fork --kill-child --ipc --uts "$0" boot "$machine"
echo "fresh: all of it passed: make $(echo "$STEPS" | sed 's/ /, make /g')"
