/* zephyr_yield: what stands between two kernels of the model; see ODT_PORT_HEADER in model.h. */
#ifndef ZEPHYR_YIELD_H
#define ZEPHYR_YIELD_H

#include <zephyr/kernel.h>

#define ODT_YIELD() k_yield()

#endif
