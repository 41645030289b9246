/*
 * zephyr_server: a thread of Zephyr that trains the model for a host.
 *
 * Its stack, its priority and the UART are configured; see the Kconfig of this module. The arena
 * lies in a section of its own, .arena, which start-up neither clears nor loads.
 */
#ifndef ZEPHYR_SERVER_H
#define ZEPHYR_SERVER_H

/* Starts the thread. Called once. 0, or negative: the UART is not ready. */
int zephyr_server_start(void);

#endif
