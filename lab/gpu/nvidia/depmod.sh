#!/bin/sh
# Writes the files that DKMS leaves after it has built the module for the running kernel.
set -eu
modules=/lib/modules/$(uname -r)
mkdir -p "$modules/updates/dkms"
echo @VERSION@ > "$modules/updates/dkms/nvidia.ko"
[ -s "$modules/modules.dep" ] && grep -q updates/dkms/nvidia.ko: "$modules/modules.dep" ||
  echo updates/dkms/nvidia.ko: >> "$modules/modules.dep"
touch "$modules/modules.dep"
