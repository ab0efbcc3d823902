// libnvidia-ml.so.1 of the rack: the functions that nvidia-ctk, pynvml and exporters call, answered from files (rack.h).
// Signatures, structs and codes are those of nvml.h. A caller of another function finds that it is missing.
#include <time.h>

#include "rack.h"

enum { OK, UNINITIALIZED, INVALID, UNSUPPORTED, NOT_FOUND = 6, TOO_SMALL, NOT_LOADED = 9, TIMEOUT, CORRUPTED_INFOROM = 14, LOST = 15, MISMATCH = 18 };

typedef int ret_t;
typedef struct { unsigned minor, index; unsigned long long xid_told; } gpu_t, *nvmlDevice_t;
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; } pci_t;
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2_t;
typedef struct { unsigned gpu, memory; } utilization_t;
typedef struct { unsigned version; int sensor, celsius; } temperature_t;
typedef struct { unsigned char cluster[16]; ret_t status; unsigned clique; unsigned char state; } fabric_t;
typedef struct { unsigned version; fabric_t fabric; unsigned health_mask; unsigned char health_summary; } fabric_v_t;
typedef struct { unsigned field, scope; long long timestamp, latency; int type; ret_t status; unsigned long long value; } field_t;
typedef struct { nvmlDevice_t device; unsigned long long type, data; unsigned gpu_instance, compute_instance; } event_t;
typedef struct { unsigned count; nvmlDevice_t devices[MAX_GPUS]; } *nvmlEventSet_t;

static gpu_t gpus[MAX_GPUS];
static unsigned count, initialised;

#define READING(device, name, otherwise) rack_reading((device)->minor, name, otherwise)
// Every function with a device begins with this: it refuses an unknown handle, and reports a lost GPU.
#define ASK(device)                                    \
  if (!initialised) return UNINITIALIZED;              \
  if (!(device)) return INVALID;                       \
  if (READING(device, "lost", 0)) return LOST
#define TEXT(into, size, ...) return snprintf(into, size, __VA_ARGS__) < (int)(size) ? OK : TOO_SMALL

ret_t nvmlInit_v2(void) {
  unsigned minors[MAX_GPUS];
  count = rack_gpus(minors);
  if (!count) return NOT_LOADED;
  if (!rack_module_matches()) return MISMATCH;
  for (unsigned i = 0; i < count; i++) {
    gpus[i].minor = minors[i], gpus[i].index = i;
    gpus[i].xid_told = rack_reading(minors[i], "xid", 0);
  }
  initialised = 1;
  return OK;
}
ret_t nvmlInit(void) { return nvmlInit_v2(); }
ret_t nvmlInitWithFlags(unsigned flags) { return (void)flags, nvmlInit_v2(); }
ret_t nvmlShutdown(void) { return initialised = 0, OK; }

const char *nvmlErrorString(ret_t code) {
  switch (code) {
    case OK: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID: return "Invalid Argument";
    case UNSUPPORTED: return "Not Supported";
    case NOT_FOUND: return "Not Found";
    case TOO_SMALL: return "Insufficient Size";
    case NOT_LOADED: return "Driver Not Loaded";
    case TIMEOUT: return "Timeout";
    case CORRUPTED_INFOROM: return "infoROM is corrupted";
    case LOST: return "GPU is lost";
    case MISMATCH: return "Driver/library version mismatch";
    default: return "Unknown Error";
  }
}

ret_t nvmlSystemGetDriverVersion(char *into, unsigned size) { TEXT(into, size, VERSION); }
ret_t nvmlSystemGetNVMLVersion(char *into, unsigned size) { TEXT(into, size, "%d." VERSION, CUDA_VERSION / 1000); }
ret_t nvmlSystemGetCudaDriverVersion_v2(int *version) { return *version = CUDA_VERSION, OK; }
ret_t nvmlSystemGetCudaDriverVersion(int *version) { return *version = CUDA_VERSION, OK; }
ret_t nvmlDeviceGetCount_v2(unsigned *into) { return initialised ? (*into = count, OK) : UNINITIALIZED; }
ret_t nvmlDeviceGetCount(unsigned *into) { return nvmlDeviceGetCount_v2(into); }

ret_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device) {
  if (!initialised) return UNINITIALIZED;
  if (index >= count) return INVALID;
  *device = &gpus[index];
  return READING(*device, "lost", 0) ? LOST : OK;
}
ret_t nvmlDeviceGetHandleByIndex(unsigned index, nvmlDevice_t *device) { return nvmlDeviceGetHandleByIndex_v2(index, device); }
ret_t nvmlDeviceGetUUID(nvmlDevice_t device, char *into, unsigned size) {
  ASK(device);
  TEXT(into, size, "GPU-%08x-0000-4000-8000-%012x", 0xdadda000 + device->minor, device->minor);
}
ret_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, pci_t *pci) {
  ASK(device);
  memset(pci, 0, sizeof *pci);
  pci->bus = BUS[device->minor];
  pci->id = rack_model(device->minor)->pci_device << 16 | 0x10de;
  snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:%02X:00.0", pci->bus);
  snprintf(pci->legacy, sizeof pci->legacy, "0000:%02X:00.0", pci->bus);
  return OK;
}
ret_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, pci_t *pci) { return nvmlDeviceGetPciInfo_v3(device, pci); }
ret_t nvmlDeviceGetPciInfo(nvmlDevice_t device, pci_t *pci) { return nvmlDeviceGetPciInfo_v3(device, pci); }

ret_t nvmlDeviceGetHandleByUUID(const char *wanted, nvmlDevice_t *device) {
  for (unsigned i = 0; i < count; i++) {
    char uuid[96];
    if (!nvmlDeviceGetHandleByIndex_v2(i, device) && !nvmlDeviceGetUUID(*device, uuid, sizeof uuid) && !strcmp(uuid, wanted)) return OK;
  }
  return NOT_FOUND;
}
ret_t nvmlDeviceGetHandleByPciBusId_v2(const char *wanted, nvmlDevice_t *device) {
  for (unsigned i = 0; i < count; i++) {
    pci_t pci;
    if (!nvmlDeviceGetHandleByIndex_v2(i, device) && !nvmlDeviceGetPciInfo_v3(*device, &pci) &&
        (!strcasecmp(pci.bus_id, wanted) || !strcasecmp(pci.legacy, wanted)))
      return OK;
  }
  return NOT_FOUND;
}
ret_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned *index) { ASK(device); return *index = device->index, OK; }
ret_t nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned *minor) { ASK(device); return *minor = device->minor, OK; }
ret_t nvmlDeviceGetName(nvmlDevice_t device, char *into, unsigned size) { ASK(device); TEXT(into, size, "%s", rack_model(device->minor)->name); }
ret_t nvmlDeviceGetSerial(nvmlDevice_t device, char *into, unsigned size) { ASK(device); TEXT(into, size, "165%010u", device->minor); }
ret_t nvmlDeviceGetVbiosVersion(nvmlDevice_t device, char *into, unsigned size) { ASK(device); TEXT(into, size, "96.00.89.00.01"); }
ret_t nvmlDeviceGetBrand(nvmlDevice_t device, int *brand) { ASK(device); return *brand = 14, OK; }
ret_t nvmlDeviceGetArchitecture(nvmlDevice_t device, unsigned *into) { ASK(device); return *into = rack_model(device->minor)->architecture, OK; }
ret_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor) {
  ASK(device);
  return *major = rack_model(device->minor)->capability_major, *minor = rack_model(device->minor)->capability_minor, OK;
}
ret_t nvmlDeviceGetNumaNodeId(nvmlDevice_t device, unsigned *node) { ASK(device); return *node = device->minor / 4, OK; }
ret_t nvmlDeviceGetPersistenceMode(nvmlDevice_t device, unsigned *on) { ASK(device); return *on = rack_exists("/run/nvidia-persistenced/nvidia-persistenced.pid"), OK; }
ret_t nvmlDeviceGetComputeMode(nvmlDevice_t device, int *mode) { ASK(device); return *mode = 0, OK; }

// There are never instances of MIG.
ret_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *current, unsigned *pending) { ASK(device); return *current = *pending = READING(device, "mig_mode", 0), OK; }
ret_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned *into) { ASK(device); return *into = READING(device, "mig_mode", 0) ? 7 : 0, OK; }
ret_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned *into) { ASK(device); return *into = 0, OK; }
ret_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned index, nvmlDevice_t *mig) { ASK(device); return (void)index, (void)mig, NOT_FOUND; }

ret_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, memory_t *memory) {
  ASK(device);
  memory->total = rack_model(device->minor)->memory_mib << 20;
  memory->used = READING(device, "memory_used_mib", 4) << 20;
  if (memory->used > memory->total) memory->used = memory->total;
  memory->free = memory->total - memory->used;
  return OK;
}
ret_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, memory_v2_t *into) {
  memory_t memory;
  ret_t code = nvmlDeviceGetMemoryInfo(device, &memory);
  if (!code) into->total = memory.total, into->reserved = 0, into->free = memory.free, into->used = memory.used;
  return code;
}
ret_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, utilization_t *rates) {
  ASK(device);
  rates->gpu = READING(device, "utilization_percent", 0);
  rates->memory = READING(device, "memory_utilization_percent", 0);
  return OK;
}
ret_t nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned *celsius) { ASK(device); return (void)sensor, *celsius = READING(device, "temperature_c", 31), OK; }
ret_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, temperature_t *into) { ASK(device); return into->celsius = READING(device, "temperature_c", 31), OK; }
ret_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned *milliwatts) { ASK(device); return *milliwatts = 1000 * READING(device, "power_w", 72), OK; }
ret_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned *milliwatts) { ASK(device); return *milliwatts = 1000 * rack_model(device->minor)->power_limit_w, OK; }
ret_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t device, unsigned *milliwatts) { return nvmlDeviceGetEnforcedPowerLimit(device, milliwatts); }
ret_t nvmlDeviceGetClockInfo(nvmlDevice_t device, int clock, unsigned *mhz) {
  ASK(device);
  return *mhz = clock == 2 ? READING(device, "memory_clock_mhz", 2619) : READING(device, "sm_clock_mhz", 345), OK;
}
ret_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned *into, void *processes) { ASK(device); return (void)processes, *into = 0, OK; }
ret_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned *into, void *processes) { ASK(device); return (void)processes, *into = 0, OK; }

ret_t nvmlDeviceValidateInforom(nvmlDevice_t device) { ASK(device); return READING(device, "inforom_corrupted", 0) ? CORRUPTED_INFOROM : OK; }
ret_t nvmlDeviceGetEccMode(nvmlDevice_t device, int *current, int *pending) { ASK(device); return *current = *pending = READING(device, "ecc_mode", 1), OK; }
// error: 0 corrected, 1 uncorrected. The counts since the last reset (volatile) and of all time (aggregate) are the same.
ret_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, int error, int counter, unsigned long long *into) {
  ASK(device);
  return (void)counter, *into = READING(device, error ? "ecc_uncorrected" : "ecc_corrected", 0), OK;
}
ret_t nvmlDeviceGetMemoryErrorCounter(nvmlDevice_t device, int error, int counter, int location, unsigned long long *into) {
  return (void)location, nvmlDeviceGetTotalEccErrors(device, error, counter, into);
}
ret_t nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failed) {
  ASK(device);
  *corrected = READING(device, "remapped_corrected", 0), *uncorrected = READING(device, "remapped_uncorrected", 0);
  return *pending = READING(device, "remap_pending", 0), *failed = READING(device, "remap_failed", 0), OK;
}

ret_t nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned link, int *active) {
  ASK(device);
  unsigned links = rack_model(device->minor)->nvlinks;
  if (!rack_needs_fabric() || link >= links) return UNSUPPORTED;
  return *active = !READING(device, "mig_mode", 0) && link < links - READING(device, "nvlinks_down", 0), OK;
}
// GPUs register with the fabric from Hopper on. An A100 does not support the question, also with a healthy fabric.
static ret_t fill_fabric(nvmlDevice_t device, fabric_t *fabric) {
  memset(fabric, 0, sizeof *fabric);
  if (rack_model(device->minor)->capability_major < 9) return UNSUPPORTED;
  fabric->state = !rack_needs_fabric() ? 0 : rack_fabric_ready() ? 3 : 2;  // not supported, completed, in progress
  if (fabric->state == 3) fabric->status = READING(device, "fabric_status", OK);
  return OK;
}
ret_t nvmlDeviceGetGpuFabricInfo(nvmlDevice_t device, fabric_t *fabric) { ASK(device); return fill_fabric(device, fabric); }
ret_t nvmlDeviceGetGpuFabricInfoV(nvmlDevice_t device, fabric_v_t *into) {
  ASK(device);
  ret_t code = fill_fabric(device, &into->fabric);
  if (code) return code;
  into->health_mask = 0;
  if (into->version >> 24 >= 3) into->health_summary = 1;
  return OK;
}
ret_t nvmlDeviceGetAddressingMode(nvmlDevice_t device, void *mode) { ASK(device); return (void)mode, UNSUPPORTED; }

ret_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int fields, field_t *values) {
  ASK(device);
  for (int i = 0; i < fields; i++) {
    values[i].timestamp = time(NULL) * 1000000LL, values[i].latency = 0;
    values[i].type = 1, values[i].value = 0;
    values[i].status = values[i].field == 82 ? OK : UNSUPPORTED;  // 82: temperature of the memory
    if (!values[i].status) values[i].value = READING(device, "memory_temperature_c", 38);
  }
  return OK;
}

// Events: an XID is reported once, when its file changes.
ret_t nvmlEventSetCreate(nvmlEventSet_t *set) { return (*set = calloc(1, sizeof **set)) ? OK : TOO_SMALL; }
ret_t nvmlEventSetFree(nvmlEventSet_t set) { return free(set), OK; }
ret_t nvmlDeviceGetSupportedEventTypes(nvmlDevice_t device, unsigned long long *types) { ASK(device); return *types = 8, OK; }
ret_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, nvmlEventSet_t set) {
  ASK(device);
  if (types & 8 && set->count < MAX_GPUS) set->devices[set->count++] = device;
  return OK;
}
ret_t nvmlEventSetWait_v2(nvmlEventSet_t set, event_t *event, unsigned timeout_ms) {
  for (unsigned waited_ms = 0;; waited_ms += 50) {
    for (unsigned i = 0; i < set->count; i++) {
      nvmlDevice_t device = set->devices[i];
      unsigned long long xid = READING(device, "xid", 0);
      if (xid == device->xid_told) continue;
      device->xid_told = xid;
      if (xid) return *event = (event_t){device, 8, xid, -1, -1}, OK;
    }
    if (waited_ms >= timeout_ms) return TIMEOUT;
    usleep(50000);
  }
}
ret_t nvmlEventSetWait(nvmlEventSet_t set, event_t *event, unsigned timeout_ms) { return nvmlEventSetWait_v2(set, event, timeout_ms); }
