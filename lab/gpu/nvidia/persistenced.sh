#!/bin/sh
# Keeps the GPUs initialised, as nvidia-smi shows it: persistence mode is on while this program's file exists.
set -eu
if [ ! -e /dev/nvidiactl ]; then
  echo "Failed to query NVIDIA devices. Please ensure that the NVIDIA device files (/dev/nvidia*) exist." >&2
  exit 1
fi
echo $$ > /run/nvidia-persistenced/nvidia-persistenced.pid
exec sleep infinity
