// libcudnn of the rack: it has a version, and no other function.
#include <stddef.h>

size_t cudnnGetVersion(void) { return CUDNN_VERSION; }
