#!/bin/sh
# Installs the Debian packages that are named and missing, where that is allowed; else prints the line to type.
# On other systems it says what is needed and goes on: the build will tell what it misses.
set -eu

if ! command -v dpkg-query >/dev/null; then
    echo "not a Debian system: please see that these or their like are installed: $*" >&2
    exit 0
fi

missing=""
for package in "$@"; do
    # python3 with pip from elsewhere will do as well as the distribution's.
    if [ "$package" = python3-pip ] && python3 -m pip --version >/dev/null 2>&1; then continue; fi
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then sudo=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo="sudo"
else
    echo "These packages are missing. Please type, then try again:" >&2
    echo "    sudo apt-get install$missing" >&2
    exit 1
fi
echo "installing$missing"
$sudo apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
