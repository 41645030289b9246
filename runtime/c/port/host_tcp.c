#define _POSIX_C_SOURCE 200809L

#include "host_tcp.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HURRY_MS 1000

int host_tcp_listen(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    const int yes = 1;
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0) return -1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (const struct sockaddr *)&address, sizeof address) == 0 &&
        listen(listener, 1) == 0)
        return listener;
    close(listener);
    return -1;
}

int host_tcp_accept(int listener)
{
    const int yes = 1;
    const int connection = accept(listener, NULL, NULL);
    /* a reply is three short writes */
    if (connection >= 0)
        (void)setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return connection;
}

void host_tcp_close(int connection)
{
    close(connection);
}

int host_tcp_read(void *context, void *data, size_t bytes, enum odt_patience patience)
{
    struct pollfd input = {.fd = *(const int *)context, .events = POLLIN};
    uint8_t *next = (uint8_t *)data;
    while (bytes > 0) {
        ssize_t count;
        if (poll(&input, 1, patience == ODT_HURRY ? HURRY_MS : -1) == 0) return ODT_ERR_TIMEOUT;
        count = recv(input.fd, next, bytes, 0);
        if (count <= 0) return -1;
        next += count;
        bytes -= (size_t)count;
    }
    return 0;
}

int host_tcp_write(void *context, const void *data, size_t bytes)
{
    const uint8_t *next = (const uint8_t *)data;
    while (bytes > 0) {
        const ssize_t count = send(*(const int *)context, next, bytes, MSG_NOSIGNAL);
        if (count <= 0) return -1;
        next += count;
        bytes -= (size_t)count;
    }
    return 0;
}
