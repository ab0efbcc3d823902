#!/bin/sh
# Runs like the fabric manager, and refuses what that refuses. GPUs read its version in /run/nvidia-fabricmanager.
set -eu
version=@VERSION@
if [ "${1-}" = --version ]; then
  echo "Fabric Manager version is : $version"
  exit
fi
loaded=$(sed -n 's/.*Module for x86_64 *\([0-9.]*\) .*/\1/p' /proc/driver/nvidia/version 2> /dev/null || true)
if grep -qs 0x2901 /opt/rack/pci/devices/*/device && ! [ -d /sys/module/ib_umad ]; then
  echo 'Detected NVL5+ system
Kernel module "ib_umad" has not been loaded, fabric manager cannot be started' >&2
  exit 1
fi
if [ ! -e /dev/nvidia-nvswitchctl ]; then
  echo "Request to query NVSwitch device information from NVSwitch driver failed with error: NV_WARN_NOTHING_TO_DO" >&2
  exit 1
fi
if [ "$loaded" != "$version" ]; then
  echo "Fabric Manager version $version doesn't match with driver version $loaded. Please update with matching NVIDIA driver package." >&2
  exit 1
fi
echo "Successfully configured all the available NVSwitches to route GPU NVLink traffic. NVLink Peer-to-Peer support will be enabled once the GPUs are successfully registered with the NVLink fabric."
echo "$version" > /run/nvidia-fabricmanager/version
exec sleep infinity
