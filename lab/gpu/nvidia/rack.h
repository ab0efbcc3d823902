// Shared by the stand-ins of this folder: the files that describe a host's GPUs and their state.
//
//   /dev/nvidia<N>                a GPU that the kernel module offers, in a container those that it was given
//   /dev/nvidiactl, -uvm          further nodes that every GPU needs
//   /opt/rack/pci/devices/        PCI devices in the form of /sys/bus/pci/devices
//   /opt/rack/gpus/<N>/<reading>  one number per file, written by a test that needs a GPU to be hot, busy or broken
//   /proc/driver/nvidia/version   version of the module that is loaded
//   /run/nvidia-fabricmanager/    version of the fabric manager that runs
//
// RACK_ROOT, for tests, is a folder that stands for "/".
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_GPUS 16

// DGX H100's own bus numbers.
static const unsigned BUS[MAX_GPUS] = {0x1b, 0x43, 0x52, 0x61, 0x9d, 0xc3, 0xd1, 0xdf,
                                       0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8};

typedef struct {
  unsigned pci_device;  // PCI id without the vendor
  const char *name;
  unsigned long long memory_mib;
  unsigned capability_major, capability_minor, architecture, nvlinks, power_limit_w;
} model_t;

static const model_t MODELS[] = {
    {0x2330, "NVIDIA H100 80GB HBM3", 81559, 9, 0, 9, 18, 700},
    {0x2335, "NVIDIA H200", 143771, 9, 0, 9, 18, 700},
    {0x20b2, "NVIDIA A100-SXM4-80GB", 81920, 8, 0, 7, 12, 400},
    {0x2901, "NVIDIA B200", 183359, 10, 0, 10, 18, 1000},
};

static inline void rack_path(char *into, size_t size, const char *format, ...) {
  const char *root = getenv("RACK_ROOT");
  int used = snprintf(into, size, "%s", root ? root : "");
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(into + used, size - used, format, arguments);
  va_end(arguments);
}

static inline int rack_exists(const char *path) {
  char full[512];
  rack_path(full, sizeof full, "%s", path);
  return access(full, F_OK) == 0;
}

// A file's first number (decimal, or hexadecimal after 0x), or `otherwise` when there is none.
static inline unsigned long long rack_number(const char *path, unsigned long long otherwise) {
  char line[64];
  FILE *file = fopen(path, "r");
  if (!file) return otherwise;
  char *end = line;
  unsigned long long value = fgets(line, sizeof line, file) ? strtoull(line, &end, 0) : 0;
  fclose(file);
  return end == line ? otherwise : value;
}

static inline unsigned long long rack_reading(unsigned minor, const char *reading, unsigned long long otherwise) {
  char path[512];
  rack_path(path, sizeof path, "/opt/rack/gpus/%u/%s", minor, reading);
  return rack_number(path, otherwise);
}

static inline const model_t *rack_model(unsigned minor) {
  char path[512];
  rack_path(path, sizeof path, "/opt/rack/pci/devices/0000:%02x:00.0/device", BUS[minor]);
  unsigned long long id = rack_number(path, MODELS[0].pci_device);
  for (size_t i = 0; i < sizeof MODELS / sizeof *MODELS; i++)
    if (MODELS[i].pci_device == id) return &MODELS[i];
  return &MODELS[0];
}

// Whether this process may use a device node. A container's cgroup refuses a node that the container was not given, even
// where the file exists. A node that it was given has no device behind it, and the kernel reports that.
static inline int rack_opens(const char *node) {
  char full[512];
  rack_path(full, sizeof full, "%s", node);
  int file = open(full, O_RDWR | O_CLOEXEC);
  if (file < 0) return errno == ENXIO || errno == ENODEV;
  close(file);
  return 1;
}

// Minor numbers of the GPUs that this process may use; returns how many.
static inline unsigned rack_gpus(unsigned minors[MAX_GPUS]) {
  unsigned count = 0;
  if (!rack_opens("/dev/nvidiactl")) return 0;
  for (unsigned minor = 0; minor < MAX_GPUS; minor++) {
    char node[32];
    snprintf(node, sizeof node, "/dev/nvidia%u", minor);
    if (rack_opens(node)) minors[count++] = minor;
  }
  return count;
}

// Whether a file contains this version as a whole word; `otherwise` when there is no such file.
static inline int rack_says(const char *path, const char *version, int otherwise) {
  char full[512], text[512] = "";
  rack_path(full, sizeof full, "%s", path);
  FILE *file = fopen(full, "r");
  if (!file) return otherwise;
  size_t length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[length] = 0;
  for (char *word = strtok(text, " \n"); word; word = strtok(NULL, " \n"))
    if (!strcmp(word, version)) return 1;
  return 0;
}

// A container sees no such file: the library then counts as the module's.
static inline int rack_module_matches(void) { return rack_says("/proc/driver/nvidia/version", VERSION, 1); }
static inline int rack_has_switches(void) { return rack_exists("/dev/nvidia-nvswitchctl"); }
// From NVLink 5 on (B200) the switches are no PCI devices and have no node: the GPUs themselves wait for the fabric.
static inline int rack_needs_fabric(void) {
  unsigned minors[MAX_GPUS];
  return rack_has_switches() || (rack_gpus(minors) && rack_model(minors[0])->capability_major >= 10);
}
static inline int rack_fabric_ready(void) { return rack_says("/run/nvidia-fabricmanager/version", VERSION, 0); }
