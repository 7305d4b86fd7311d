/* The load client of the benchmarks: one thread, epoll, a Unix socket, as many connections as asked for.
 *
 *   load SOCKET REQUEST_FILE FRAMING CONNECTIONS REQUESTS keep|new RATE
 *
 * FRAMING says when an answer is complete: `http` (head and Content-Length), `echo` (as long as the request) or `eof`
 * (the server closes). RATE 0 is a closed loop: a connection asks again when it is answered. RATE > 0 is an open loop:
 * request i is due at i / RATE seconds, and its latency counts from then, whether or not a connection was free to send
 * it (corrected for coordinated omission). Prints one JSON object; latencies in microseconds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum framing { HTTP, ECHO, TO_EOF };

struct connection {
    int fd;              /* -1: none open */
    int asking;          /* a request is under way */
    double due;          /* when it was due: its latency counts from here */
    size_t got;          /* bytes of the answer so far */
    size_t whole;        /* its length once known; 0 before */
    char head[4096];     /* its beginning, where Content-Length is found */
};

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static char request[65536];
static size_t request_bytes;
static enum framing framing;
static int keep, queue;
static long total, sent, answered, failed, refused;
static double rate, began, *latencies;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void hang_up(struct connection *c) {
    close(c->fd);
    c->fd = -1;
}

static int open_connection(struct connection *c) {
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket");
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0) {
        hang_up(c);
        return -1;
    }
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(queue, EPOLL_CTL_ADD, c->fd, &event) < 0) die("epoll_ctl");
    return 0;
}

static void ask(struct connection *c, double due) {
    sent++;
    c->asking = 1;
    c->due = due;
    c->got = c->whole = 0;
    if ((c->fd < 0 && open_connection(c) < 0) || write(c->fd, request, request_bytes) != (ssize_t)request_bytes) {
        failed++;
        c->asking = 0;
        if (c->fd >= 0) hang_up(c);
    }
}

static void answer_complete(struct connection *c) {
    latencies[answered++] = now() - c->due;
    c->asking = 0;
    if (framing == HTTP && memcmp(c->head, "HTTP/1.1 200", 12) != 0) refused++;
    if (!keep) hang_up(c);
}

static void find_length(struct connection *c) {
    size_t had = c->got < sizeof c->head ? c->got : sizeof c->head - 1;
    c->head[had] = 0;
    char *end = strstr(c->head, "\r\n\r\n"), *field = strcasestr(c->head, "\r\ncontent-length:");
    if (end != NULL && field != NULL && field < end) c->whole = end + 4 - c->head + strtoul(field + 17, NULL, 10);
}

static void hear(struct connection *c) {
    static char chunk[65536];
    ssize_t count = read(c->fd, chunk, sizeof chunk);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
        int complete = framing == TO_EOF && count == 0 && c->got > 0;
        hang_up(c);
        c->fd = -1;
        if (!c->asking) return;
        if (complete) {
            latencies[answered++] = now() - c->due;
            c->asking = 0;
        } else {
            failed++;
            c->asking = 0;
        }
        return;
    }
    if (c->got < sizeof c->head - 1) {
        size_t room = sizeof c->head - 1 - c->got, part = (size_t)count < room ? (size_t)count : room;
        memcpy(c->head + c->got, chunk, part);
    }
    c->got += count;
    if (framing == ECHO) c->whole = request_bytes;
    if (framing == HTTP && c->whole == 0) find_length(c);
    if (c->asking && c->whole != 0 && c->got >= c->whole) answer_complete(c);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(double share) {
    return answered == 0 ? 0 : 1e6 * latencies[(long)(share * (answered - 1))];
}

static void feed(struct connection *all, int connections) {
    for (int i = 0; i < connections && sent < total; i++) {
        if (all[i].asking) continue;
        double due = now();
        if (rate > 0) {
            double planned = began + sent / rate;
            if (planned > due) return;
            due = planned;
        }
        ask(&all[i], due);
    }
}

int main(int argc, char **argv) {
    if (argc != 8) {
        fprintf(stderr, "usage: load SOCKET REQUEST_FILE http|echo|eof CONNECTIONS REQUESTS keep|new RATE\n");
        return 2;
    }
    strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
    FILE *file = fopen(argv[2], "rb");
    if (file == NULL) die(argv[2]);
    request_bytes = fread(request, 1, sizeof request, file);
    fclose(file);
    framing = strcmp(argv[3], "http") == 0 ? HTTP : strcmp(argv[3], "echo") == 0 ? ECHO : TO_EOF;
    int connections = atoi(argv[4]);
    total = atol(argv[5]);
    keep = strcmp(argv[6], "keep") == 0;
    rate = atof(argv[7]);
    latencies = calloc(total + 1, sizeof *latencies);
    struct connection *all = calloc(connections, sizeof *all);
    for (int i = 0; i < connections; i++) all[i].fd = -1;
    queue = epoll_create1(EPOLL_CLOEXEC);
    if (keep)
        for (int i = 0; i < connections; i++)
            if (open_connection(&all[i]) < 0) die("connect");
    began = now();
    double heard = began;
    while (answered + failed < total) {
        feed(all, connections);
        if (answered + failed >= total) break;
        struct epoll_event events[64];
        int count = epoll_wait(queue, events, 64, rate > 0 ? 0 : 2000); /* the open loop spins: it has a core to itself */
        if (count < 0 && errno != EINTR) die("epoll_wait");
        if (count > 0) heard = now();
        else if (now() - heard > 10) break; /* nobody answers any more */
        for (int i = 0; i < count; i++) hear(events[i].data.ptr);
    }
    double seconds = now() - began;
    qsort(latencies, answered, sizeof *latencies, by_size);
    double sum = 0;
    for (long i = 0; i < answered; i++) sum += latencies[i];
    printf("{\"requests\": %ld, \"failed\": %ld, \"refused\": %ld, \"seconds\": %.6f, \"rate\": %.1f, \"mean\": %.2f, "
           "\"p50\": %.2f, \"p99\": %.2f, \"p999\": %.2f, \"max\": %.2f}\n",
           answered, failed + total - sent, refused, seconds, answered / seconds, 1e6 * sum / (answered ? answered : 1),
           percentile(0.5), percentile(0.99), percentile(0.999), percentile(1));
    return 0;
}
