/* host_tcp: a stream over TCP, for a device that is a program of this computer. POSIX sockets. */
#ifndef HOST_TCP_H
#define HOST_TCP_H

#include "odt_protocol.h"

/* Listens on 127.0.0.1, where only this computer gets in: a device has no password. Returns a file
 * descriptor, or negative. */
int host_tcp_listen(uint16_t port);

/* Waits for the next host. Returns the file descriptor of its connection, or negative. */
int host_tcp_accept(int listener);

/* Ends a connection. */
void host_tcp_close(int connection);

/* The functions of odt_io_t; `context` points to the connection's file descriptor. */
int host_tcp_read(void *context, void *data, size_t bytes, enum odt_patience patience);
int host_tcp_write(void *context, const void *data, size_t bytes);

#endif
