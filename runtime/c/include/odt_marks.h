/*
 * odt_marks: empty functions whose only use is their address.
 *
 * The server calls a begin/end pair around every odt_train_step() and every
 * odt_predict(). An emulator plugin (or a debugger, or a trace probe) that
 * watches the four addresses can count exactly what is executed in between.
 * On a device nobody watches they cost one call and one return each.
 */
#ifndef ODT_MARKS_H
#define ODT_MARKS_H

#ifdef __cplusplus
extern "C" {
#endif

void odt_mark_train_begin(void);
void odt_mark_train_end(void);
void odt_mark_predict_begin(void);
void odt_mark_predict_end(void);

#ifdef __cplusplus
}
#endif

#endif
