/* SPDX-License-Identifier: MIT
 * How many threads this process should use. Needs Linux: sched_getaffinity and the cgroup files.
 * Starts none. */
#define _GNU_SOURCE
#include "team.h"
#include <sched.h>
#include <stdlib.h>
#include <string.h>

static bool read_line(const char *path, char *line, int size) {
    FILE *file = fopen(path, "r");
    if (!file) return false;
    bool ok = fgets(line, size, file) != NULL;
    fclose(file);
    return ok;
}

/* CPUs by the quota of one cgroup folder, rounded up; 0 where it sets none. */
static int folder_quota(const char *folder) {
    char line[128];
    char *path = io_format("%s/cpu.max", folder); /* version 2: "QUOTA PERIOD" or "max PERIOD" */
    double quota = -1, period = 0;
    if (read_line(path, line, sizeof line)) {
        char *end;
        quota = strtod(line, &end);
        if (end == line || sscanf(end, "%lf", &period) != 1) quota = -1;
    }
    free(path);
    if (quota < 0) { /* version 1: two files, -1 for none */
        char *quota_path = io_format("%s/cpu.cfs_quota_us", folder);
        char *period_path = io_format("%s/cpu.cfs_period_us", folder);
        char other[128];
        if (read_line(quota_path, line, sizeof line) &&
            read_line(period_path, other, sizeof other)) {
            quota = strtod(line, NULL);
            period = strtod(other, NULL);
        }
        free(quota_path);
        free(period_path);
    }
    if (quota <= 0 || period <= 0) return 0;
    int count = (int)(quota / period);
    return count < quota / period ? count + 1 : count;
}

/* The least quota of this process's cgroup and all above it; 0 where there is none. */
static int cgroup_quota(void) {
    int least = folder_quota("/sys/fs/cgroup/cpu");
    FILE *file = fopen("/proc/self/cgroup", "r");
    char line[4096];
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "0::", 3)) continue;
        line[strcspn(line, "\n")] = 0;
        char *path = io_format("/sys/fs/cgroup%s", line + 3);
        for (;;) {
            int count = folder_quota(path);
            if (count && (!least || count < least)) least = count;
            char *slash = strrchr(path, '/');
            if (!slash || slash <= path + strlen("/sys/fs")) break;
            *slash = 0;
        }
        free(path);
    }
    if (file) fclose(file);
    return least;
}

static int affinity_count(void) {
    int count = 0;
    for (int room = 1024; room <= 1 << 16 && !count; room *= 4) {
        cpu_set_t *set = CPU_ALLOC((size_t)room);
        size_t size = CPU_ALLOC_SIZE((size_t)room);
        if (set && !sched_getaffinity(0, size, set)) count = CPU_COUNT_S(size, set);
        CPU_FREE(set);
    }
    return count ? count : 1;
}

int team_count(int asked) {
    if (asked > 0) return asked;
    const char *wish = getenv("OMP_NUM_THREADS");
    if (wish && *wish) {
        char *end;
        long count = strtol(wish, &end, 10);
        if (end != wish && count > 0 && count < 4096) return (int)count;
    }
    int count = affinity_count(), quota = cgroup_quota();
    return quota && quota < count ? quota : count;
}
