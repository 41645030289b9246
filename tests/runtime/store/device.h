/* device: a model whose whole state follows from one number, and its store on a nor. */
#ifndef DEVICE_H
#define DEVICE_H

#include "nor.h"

#define GARBAGE (-1000) /* what device_load() says of a state that was never saved */

/* Saves the state of this number. */
int device_save(nor_t *nor, uint32_t state, odt_store_info_t *info);

/* Starts anew and loads: what odt_load() returned, and the number in *state; 0 is the state that
 * odt_init() leaves, which has to be there after every failure. */
int device_load(nor_t *nor, uint32_t *state, odt_store_info_t *info);

/* Forgets, with RAM that holds something: what odt_forget() returned, GARBAGE if RAM holds it yet. */
int device_forget(nor_t *nor);

#endif
