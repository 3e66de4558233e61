/* SPDX-License-Identifier: MIT
 * Files that appear whole or not at all: a full disk, what killed processes left, modes, devices.
 * Needs base, POSIX and Criterion. */
#include "base.h"
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static Arena *arena;
static char folder[] = "/tmp/gradus-output-XXXXXX";
static const char *path;

static void begin(void) {
    arena = arena_new();
    cr_assert(mkdtemp(folder));
    path = arena_printf(arena, "%s/file", folder);
}
static void end(void) {
    diag_reset();
    (void)!system(arena_printf(arena, "rm -r '%s'", folder));
    arena_free(arena);
}
TestSuite(output, .init = begin, .fini = end);

static void put(const char *at, const char *text) {
    FILE *file = fopen(at, "w");
    cr_assert(file && fputs(text, file) >= 0 && !fclose(file));
}

static const char *got(const char *at) {
    char *text = NEW_ARRAY(arena, char, 100);
    FILE *file = fopen(at, "r");
    if (!file) return NULL;
    cr_assert_lt(fread(text, 1, 99, file), 99);
    fclose(file);
    return text;
}

/* Files in the folder. */
static int files(void) {
    FILE *list = popen(arena_printf(arena, "ls '%s' | wc -l", folder), "r");
    int n = -1;
    cr_assert(list && fscanf(list, "%d", &n) == 1);
    pclose(list);
    return n;
}

static bool write_out(const char *text) {
    FILE *file = output_open(arena, path);
    if (file) fputs(text, file);
    return file && output_close(file, path);
}

Test(output, appears_under_its_name_at_the_end) {
    put(path, "old");
    chmod(path, 0640);
    FILE *file = output_open(arena, path);
    fputs("new", file);
    fflush(file);
    cr_assert_str_eq(got(path), "old");
    cr_assert(output_close(file, path));
    cr_assert_str_eq(got(path), "new");
    struct stat there;
    cr_assert(!stat(path, &there) && (there.st_mode & 0777) == 0640);
    cr_assert_eq(files(), 1);
}

Test(output, full_disk_keeps_the_old_file) {
    put(path, "old");
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {100, 100};
    setrlimit(RLIMIT_FSIZE, &limit);
    cr_assert_not(write_out(arena_printf(arena, "%01000d", 7)));
    cr_assert_eq(diag_errors(), 1);
    cr_assert_str_eq(got(path), "old");
    cr_assert_eq(files(), 1);
}

Test(output, what_a_killed_process_left_goes) {
    pid_t gone = fork();
    if (!gone) _exit(0);
    waitpid(gone, NULL, 0);
    const char *stale = arena_printf(arena, "%s.%d.9.tmp", path, (int)gone),
               *alive = arena_printf(arena, "%s.%d.9.tmp", path, (int)getppid()),
               *other = arena_printf(arena, "%s2.%d.9.tmp", path, (int)gone);
    put(stale, "half"), put(alive, "half"), put(other, "half");
    cr_assert(write_out("new"));
    cr_assert_null(got(stale));
    cr_assert(got(alive) && got(other), "of a process that lives, of another file");
}

Test(output, a_device_is_written_straight) {
    path = "/dev/null";
    cr_assert(write_out("gone"));
    struct stat there;
    cr_assert(!stat(path, &there) && S_ISCHR(there.st_mode));
    path = "/dev/full";
    cr_assert_not(write_out("gone"));
}
