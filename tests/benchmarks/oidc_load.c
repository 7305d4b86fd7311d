/* Tokens from oidc-agent through its own library, as its clients ask: one process a client, for it is not thread-safe.
 *
 *   oidc_load ACCOUNT CLIENTS REQUESTS
 *
 * Prints what `load` prints.
 */
#define _GNU_SOURCE
#include <oidc-agent/api.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    int clients = atoi(argv[2]), each = atoi(argv[3]) / clients, total = clients * each, failed = 0;
    double *latencies =
        mmap(NULL, total * sizeof(double), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double began = now();
    for (int client = 0; client < clients; client++) {
        if (fork() != 0) continue;
        for (int i = 0; i < each; i++) {
            double asked = now();
            char *token = getAccessToken3(argv[1], 0, NULL, "bench", NULL);
            latencies[client * each + i] = token == NULL ? -1 : now() - asked;
            if (token != NULL) secFree(token);
        }
        _exit(0);
    }
    while (wait(NULL) > 0) {
    }
    double seconds = now() - began, sum = 0;
    qsort(latencies, total, sizeof *latencies, by_size);
    while (failed < total && latencies[failed] < 0) failed++;
    int answered = total - failed;
    for (int i = failed; i < total; i++) sum += latencies[i];
    if (answered == 0) return 1;
#define P(share) (1e6 * latencies[failed + (int)((share) * (answered - 1))])
    printf("{\"requests\": %d, \"failed\": %d, \"refused\": 0, \"seconds\": %.6f, \"rate\": %.1f, \"mean\": %.2f, "
           "\"p50\": %.2f, \"p99\": %.2f, \"p999\": %.2f, \"max\": %.2f}\n",
           answered, failed, seconds, answered / seconds, 1e6 * sum / answered, P(0.5), P(0.99), P(0.999), P(1));
    return 0;
}
