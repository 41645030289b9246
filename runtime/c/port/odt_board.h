/*
 * odt_board: what you may add for a board of your own.
 *
 * Define one of these in a file of yours and name it when you build the project:
 *
 *     make BOARD_SOURCES=my_board.c
 *
 * Yours then counts instead of the one that the project brings.
 */
#ifndef ODT_BOARD_H
#define ODT_BOARD_H

#include "odt_store.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Called once, before anything else of the board is used and before the guard of the memory is
 * up; raises the clock, for instance. Returns the clock in Hz that the UART then divides. The one
 * that the project brings leaves the board at its reset clock. */
uint32_t odt_board_init(void);

/* Called once, after odt_board_init(). Returns the flash that ODT_SAVE and ODT_LOAD use, or NULL
 * if there is none. */
const odt_flash_t *odt_board_flash(void);

#ifdef __cplusplus
}
#endif

#endif
