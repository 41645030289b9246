/* Other work between the kernels of a model: it counts. */
#ifndef COUNT_YIELDS_H
#define COUNT_YIELDS_H

extern unsigned yields_seen;
#define ODT_YIELD() ((void)++yields_seen)

#endif
