/* SPDX-License-Identifier: MIT
 * Where the compiler's own time goes, for --time: on the wall, and on processors, which is what
 * counts on a machine that does other things too. Needs libc. Decides nothing. */
#include "base.h"
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

static double cpu_of(int who) {
    struct rusage use;
    getrusage(who, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

Clock clock_start(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (Clock){(double)t.tv_sec + 1e-9 * (double)t.tv_nsec,
                   cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN)};
}

void clock_tell(Clock *since, const char *stage) {
    Clock now = clock_start();
    fprintf(stderr, "%9.1f ms %9.1f ms cpu  %s\n", 1e3 * (now.wall - since->wall),
            1e3 * (now.cpu - since->cpu), stage);
    *since = now;
}
