// libcuda.so.1 of the rack: enough of the driver's interface to see whether CUDA would start, and to store bytes.
// It fails as the real one does: no module, a module of another version, no node for unified memory, a fabric that no
// manager has set up.
#include "rack.h"

enum { OK, INVALID_VALUE, OUT_OF_MEMORY, NOT_INITIALIZED, NO_DEVICE = 100, INVALID_DEVICE, SYSTEM_NOT_READY = 802, DRIVER_MISMATCH, UNKNOWN = 999 };

static unsigned minors[MAX_GPUS], count, initialised;

int cuInit(unsigned flags) {
  if (flags) return INVALID_VALUE;
  unsigned present[MAX_GPUS], found = rack_gpus(present);
  if (found && !rack_module_matches()) return DRIVER_MISMATCH;
  // A GPU in MIG mode is not a device itself, and there are never instances of it.
  count = 0;
  for (unsigned i = 0; i < found; i++)
    if (!rack_reading(present[i], "mig_mode", 0)) minors[count++] = present[i];
  if (!count) return NO_DEVICE;
  if (!rack_opens("/dev/nvidia-uvm")) return UNKNOWN;
  if (rack_needs_fabric() && !rack_fabric_ready()) return SYSTEM_NOT_READY;
  initialised = 1;
  return OK;
}

int cuGetErrorName(int code, const char **name) {
  switch (code) {
    case OK: return *name = "CUDA_SUCCESS", OK;
    case INVALID_VALUE: return *name = "CUDA_ERROR_INVALID_VALUE", OK;
    case OUT_OF_MEMORY: return *name = "CUDA_ERROR_OUT_OF_MEMORY", OK;
    case NOT_INITIALIZED: return *name = "CUDA_ERROR_NOT_INITIALIZED", OK;
    case NO_DEVICE: return *name = "CUDA_ERROR_NO_DEVICE", OK;
    case INVALID_DEVICE: return *name = "CUDA_ERROR_INVALID_DEVICE", OK;
    case SYSTEM_NOT_READY: return *name = "CUDA_ERROR_SYSTEM_NOT_READY", OK;
    case DRIVER_MISMATCH: return *name = "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", OK;
    case UNKNOWN: return *name = "CUDA_ERROR_UNKNOWN", OK;
    default: return INVALID_VALUE;
  }
}

int cuDriverGetVersion(int *version) { return *version = CUDA_VERSION, OK; }
int cuDeviceGetCount(int *into) { return initialised ? (*into = count, OK) : NOT_INITIALIZED; }
int cuDeviceGet(int *device, int ordinal) {
  if (!initialised) return NOT_INITIALIZED;
  return ordinal >= 0 && ordinal < (int)count ? (*device = ordinal, OK) : INVALID_DEVICE;
}
int cuDeviceGetName(char *into, int size, int device) { return snprintf(into, size, "%s", rack_model(minors[device])->name), OK; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { return *bytes = rack_model(minors[device])->memory_mib << 20, OK; }

int cuDevicePrimaryCtxRetain(void **context, int device) {
  if (device < 0 || device >= (int)count) return INVALID_DEVICE;
  if (rack_reading(minors[device], "lost", 0)) return NO_DEVICE;
  return *context = &minors[device], OK;
}
int cuDevicePrimaryCtxRelease_v2(int device) { return device < (int)count ? OK : INVALID_DEVICE; }
int cuCtxSetCurrent(void *context) { return context ? OK : INVALID_VALUE; }
int cuMemAlloc_v2(void **memory, size_t bytes) { return (*memory = malloc(bytes)) ? OK : OUT_OF_MEMORY; }
int cuMemFree_v2(void *memory) { return free(memory), OK; }
int cuMemsetD8_v2(void *memory, unsigned char value, size_t bytes) { return memset(memory, value, bytes), OK; }
int cuMemcpyDtoH_v2(void *to, const void *from, size_t bytes) { return memcpy(to, from, bytes), OK; }
