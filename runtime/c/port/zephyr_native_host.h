/* zephyr_native_host: what the simulated part of Zephyr's native_sim asks of the computer. */
#ifndef ZEPHYR_NATIVE_HOST_H
#define ZEPHYR_NATIVE_HOST_H

/* Reads what has come on standard input, at most `bytes`. Their number, 0 if nothing waits, or
 * negative at the end. */
long native_host_read(void *data, unsigned long bytes);

/* Writes all to standard output. 0, or negative. */
int native_host_write(const void *data, unsigned long bytes);

#endif
