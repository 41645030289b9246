/*
 * link: how a bare-metal device reaches the host, and its last words.
 *
 * A project has one of two: link_semihosting.c, through the emulator or debugger, or link_uart.c,
 * over a serial line. Text that is no frame is one line that begins with "odt: "; it comes only
 * when the device gives up.
 */
#ifndef LINK_H
#define LINK_H

#include <stddef.h>

#include "odt_protocol.h"

/* Opens the stream. `clock_hz` is what odt_board_init() returned. 0, or negative on failure. */
int link_open(uint32_t clock_hz);

/* The functions of odt_io_t. */
int link_read(void *context, void *data, size_t bytes, enum odt_patience patience);
int link_write(void *context, const void *data, size_t bytes);

/* Prints text where a person sees it. */
void link_print(const char *text);

/* Ends the program, as far as this kind of link can; `status` is 0 if all went well. */
__attribute__((noreturn)) void link_end(int status);

#endif
