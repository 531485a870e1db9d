/* A server that is never the bottleneck: answers every HTTP/1.1 request with one and the same yes.
 *
 * Rule: it reads as little of a request as keep-alive needs (where the head ends, and how long the
 * body is), and does no more work for it than one read and one write.
 *
 *   cc -O2 -o loopback_server loopback_server.c && ./loopback_server
 *
 * It prints its port, serves until its standard input is closed, then prints what it did as JSON:
 * {"requests": 1000, "cpu_seconds": 0.004, "connections": 50}
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, ROOM = 65536, FILES = 65536 };

static const char ANSWER[] =
    "HTTP/1.1 200 OK\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 68\r\n"
    "\r\n"
    "{\"status\": true, \"codigo\": 0, \"message\": \"Message sent\", \"data\": 32}";

/* What has come of a request so far, by file descriptor. */
static struct { size_t have; char *bytes; } connections[FILES];

static long requests, accepted;

static void close_connection(int fd) {
    free(connections[fd].bytes);
    connections[fd].bytes = NULL;
    close(fd);
}

/* The length of the first whole request in a buffer; 0 while it is not all there. */
static size_t whole_request(const char *bytes, size_t have) {
    const char *end = memmem(bytes, have, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head = (size_t)(end - bytes) + 4, body = 0;
    for (const char *line = bytes; line < end; line = (char *)memchr(line, '\n', head) + 1)
        if (!strncasecmp(line, "content-length:", 15)) body = strtoul(line + 15, NULL, 10);
    return have >= head + body ? head + body : 0;
}

static void serve(int fd) {
    char *bytes = connections[fd].bytes;
    size_t *have = &connections[fd].have, length;
    ssize_t got = read(fd, bytes + *have, ROOM - *have);
    if (got <= 0) {
        close_connection(fd);
        return;
    }
    *have += (size_t)got;
    while ((length = whole_request(bytes, *have))) {
        requests++;
        memmove(bytes, bytes + length, *have -= length);
        if (write(fd, ANSWER, sizeof ANSWER - 1) < 0) {
            close_connection(fd);
            return;
        }
    }
}

static void welcome(int epoll, int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), on = 1;
    if (fd < 0 || fd >= FILES) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connections[fd].have = 0;
    connections[fd].bytes = malloc(ROOM);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    accepted++;
}

static void report(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("{\"requests\": %ld, \"cpu_seconds\": %.6f, \"connections\": %ld}\n", requests, cpu, accepted);
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096)) return 1;
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int doors[] = {listener, STDIN_FILENO};
    for (int i = 0; i < 2; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = doors[i]};
        epoll_ctl(epoll, EPOLL_CTL_ADD, doors[i], &event);
    }
    struct epoll_event events[EVENTS];
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == STDIN_FILENO) return report(), 0;
            if (fd == listener) welcome(epoll, listener);
            else serve(fd);
        }
    }
}
