#!/usr/bin/env bash
# Installs the Debian packages that building, running and testing need, if any is missing.
set -euo pipefail

# Build: libclang-dev (bindings of RocksDB), libseccomp-dev, pkg-config, g++, make, ccache.
# Run: nftables (services), iproute2. Test: busybox-static, nginx (their files become images),
# docker-registry (serves them).
packages=(g++ make ccache curl clang libclang-dev libseccomp-dev pkg-config nftables iproute2
    busybox-static nginx-light docker-registry)

missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' ||
        missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "installing: ${missing[*]}"
    sudo=""
    [ "$(id -u)" -eq 0 ] || sudo=sudo
    # Package scripts must not start nginx or a registry on this machine: only their files are wanted.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
        $sudo chmod +x $policy
        trap '$sudo rm -f $policy' EXIT
    fi
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null
fi
