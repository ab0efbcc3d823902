#!/bin/sh
# What DKMS leaves when it has built the module for the kernel that runs.
set -eu
modules=/lib/modules/$(uname -r)
mkdir -p "$modules/updates/dkms"
echo @VERSION@ > "$modules/updates/dkms/nvidia.ko"
[ -s "$modules/modules.dep" ] && grep -q updates/dkms/nvidia.ko: "$modules/modules.dep" ||
  echo updates/dkms/nvidia.ko: >> "$modules/modules.dep"
touch "$modules/modules.dep"
