#!/bin/sh
# Writes and removes what NVIDIA's kernel module has in /dev and /proc. modprobe calls this script (modprobe.conf).
set -eu
version=@VERSION@
pci=/opt/rack/pci/devices
proc=/proc/driver/nvidia

load() {
  [ -e $proc/version ] && return
  # The machine's kernel has no module that would make /proc/driver/nvidia.
  mountpoint -q /proc/driver || mount -t tmpfs -o mode=755 tmpfs /proc/driver
  mkdir -p $proc/gpus
  gpu=0 switch=0
  for device in "$pci"/*; do
    [ -e "$device/vendor" ] && [ "$(cat "$device/vendor")" = 0x10de ] || continue
    case $(cat "$device/class") in
      0x0302*)
        node /dev/nvidia$gpu 195 $gpu
        mkdir -p "$proc/gpus/${device##*/}"
        printf 'Bus Location: \t %s\nDevice Minor: \t %s\n' "${device##*/}" $gpu > "$proc/gpus/${device##*/}/information"
        gpu=$((gpu + 1)) ;;
      0x0680*)
        node /dev/nvidia-nvswitch$switch 510 $switch
        switch=$((switch + 1)) ;;
    esac
  done
  if [ $gpu = 0 ]; then
    echo "modprobe: ERROR: could not insert 'nvidia': No such device" >&2
    exit 1
  fi
  node /dev/nvidiactl 195 255
  node /dev/nvidia-uvm 511 0
  node /dev/nvidia-uvm-tools 511 1
  [ $switch = 0 ] || node /dev/nvidia-nvswitchctl 510 255
  echo "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  $version  Release Build  (stand-in)" > $proc/version
}

unload() {
  [ -e $proc/version ] || return 0
  users=$(grep -ls 'libcuda[.]so\|libnvidia-ml[.]so' /proc/[0-9]*/maps || true)
  if [ -n "$users" ] || [ -e /run/nvidia-persistenced/nvidia-persistenced.pid ] ||
     [ -e /run/nvidia-fabricmanager/version ]; then
    echo "modprobe: FATAL: Module nvidia is in use. $users" >&2
    exit 1
  fi
  rm -rf $proc /dev/nvidia[0-9]* /dev/nvidia-nvswitch* /dev/nvidiactl /dev/nvidia-uvm*
}

node() {
  [ -e "$1" ] || mknod -m 666 "$1" c "$2" "$3"
}

"$1"
