/* The floor under everybody: an epoll server that sends back what it receives, or one answer read from a file.
 *
 *   floor SOCKET [ANSWER_FILE]
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char answer[65536];
static ssize_t answer_bytes;

static void serve(int queue, int client) {
    char chunk[65536];
    ssize_t count = read(client, chunk, sizeof chunk);
    if (count > 0) {
        ssize_t wanted = answer_bytes > 0 ? answer_bytes : count;
        if (write(client, answer_bytes > 0 ? answer : chunk, wanted) == wanted) return;
    }
    epoll_ctl(queue, EPOLL_CTL_DEL, client, NULL);
    close(client);
}

int main(int argc, char **argv) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
    if (argc > 2) {
        FILE *file = fopen(argv[2], "rb");
        if (file == NULL) return 1;
        answer_bytes = fread(answer, 1, sizeof answer, file);
        fclose(file);
    }
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), queue = epoll_create1(0);
    unlink(argv[1]);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1024) < 0) {
        perror(argv[1]);
        return 1;
    }
    struct epoll_event events[64], event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(queue, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(queue, events, 64, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd != listener) {
                serve(queue, events[i].data.fd);
                continue;
            }
            event.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            if (event.data.fd >= 0) epoll_ctl(queue, EPOLL_CTL_ADD, event.data.fd, &event);
        }
    }
}
