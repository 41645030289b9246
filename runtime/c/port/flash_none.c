/* A board whose flash this project cannot write: nothing is kept. */
#include "odt_board.h"

__attribute__((weak)) const odt_flash_t *odt_board_flash(void)
{
    return NULL;
}
