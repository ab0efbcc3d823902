"""Check that CUDA starts and that the memory of every GPU keeps what is written; print the number of GPUs.

nvidia-smi asks only the driver, so it looks fine where CUDA fails, as without the right fabric manager (error 802).
"""

import ctypes

PATTERN, BYTES = 0xA5, 1 << 20


def call(function: str, *arguments: object) -> None:
    code = getattr(cuda, function)(*arguments)
    if code:
        name = ctypes.c_char_p(b"unknown error")
        cuda.cuGetErrorName(code, ctypes.byref(name))
        raise SystemExit(f"{function} gives {code}, {name.value.decode()}")


cuda = ctypes.CDLL("libcuda.so.1")
count = ctypes.c_int()
call("cuInit", 0)
call("cuDeviceGetCount", ctypes.byref(count))
for ordinal in range(count.value):
    device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
    back = ctypes.create_string_buffer(BYTES)
    call("cuDeviceGet", ctypes.byref(device), ordinal)
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    call("cuCtxSetCurrent", context)
    call("cuMemAlloc_v2", ctypes.byref(memory), ctypes.c_size_t(BYTES))
    call("cuMemsetD8_v2", memory, ctypes.c_ubyte(PATTERN), ctypes.c_size_t(BYTES))
    call("cuMemcpyDtoH_v2", back, memory, ctypes.c_size_t(BYTES))
    if back.raw != bytes([PATTERN]) * BYTES:
        raise SystemExit(f"GPU {ordinal} does not keep what is written to its memory")
    call("cuMemFree_v2", memory)
    call("cuDevicePrimaryCtxRelease_v2", device)
print(count.value)
