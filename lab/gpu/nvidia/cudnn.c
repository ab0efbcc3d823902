// libcudnn of the rack: it knows its version, and nothing else.
#include <stddef.h>

size_t cudnnGetVersion(void) { return CUDNN_VERSION; }
