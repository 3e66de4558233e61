/* SPDX-License-Identifier: MIT
 * Files that appear under their names only when they are whole: written beside them, then renamed;
 * what is unfinished goes with the process, what a killed one left with the next for the same file.
 * Needs POSIX and the arena. Knows no contents. */
#include "base.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *unfinished[OUTPUTS];

void output_drop(void) {
    for (int i = 0; i < OUTPUTS; i++) {
        if (unfinished[i]) unlink(unfinished[i]);
        unfinished[i] = NULL;
    }
}

/* "NAME.PROCESS.NUMBER.tmp" of a process that is no more. */
static bool is_stale(const char *file, const char *name) {
    size_t length = strlen(name);
    if (strncmp(file, name, length) || file[length] != '.' ||
        !isdigit((unsigned char)file[length + 1]))
        return false;
    char *end;
    long process = strtol(file + length + 1, &end, 10);
    if (*end != '.' || !isdigit((unsigned char)end[1])) return false;
    strtol(end + 1, &end, 10);
    return !strcmp(end, ".tmp") && kill((pid_t)process, 0) && errno == ESRCH;
}

static void remove_stale(Arena *arena, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    DIR *folder = opendir(slash ? arena_copy(arena, path, (size_t)(name - path)) : ".");
    if (!folder) return;
    for (const struct dirent *file; (file = readdir(folder));)
        if (is_stale(file->d_name, name)) unlinkat(dirfd(folder), file->d_name, 0);
    closedir(folder);
}

const char *output_temporary(Arena *arena, const char *path, int number) {
    static bool asked;
    if (!asked) asked = !atexit(output_drop);
    if (!number) remove_stale(arena, path);
    return unfinished[number] = arena_printf(arena, "%s.%d.%d.tmp", path, (int)getpid(), number);
}

/* A device or pipe is nothing to be replaced (root would lose /dev/null), nor is the system's name of
 * an open file (/dev/stdout). As runtime/io.c has it. */
static bool replaceable(const char *path, mode_t *mode) {
    struct stat there, name;
    if (stat(path, &there)) return true;
    if (!S_ISREG(there.st_mode)) return false;
    *mode = there.st_mode & 0777;
    return lstat(path, &name) || !S_ISLNK(name.st_mode) ||
           (strncmp(path, "/dev/", 5) != 0 && strncmp(path, "/proc/", 6) != 0);
}

bool output_place(const char *temporary, const char *path) {
    mode_t mode;
    if (!replaceable(path, &mode)) {
        diag_error((Span){0}, "E0703", "cannot write '%s': it is no regular file", path);
        return false;
    }
    if (rename(temporary, path) == 0) return true;
    diag_error((Span){0}, "E0703", "cannot write '%s': %s", path, strerror(errno));
    return false;
}

/* Under whatever name: what was written before and will be behind stays in its place. */
static bool is_standard_output(const char *path) {
    struct stat there, out;
    return !path || !strcmp(path, "-") ||
           (!stat(path, &there) && !fstat(STDOUT_FILENO, &out) && there.st_dev == out.st_dev &&
            there.st_ino == out.st_ino);
}

FILE *output_open(Arena *arena, const char *path) {
    if (is_standard_output(path)) return stdout;
    mode_t mode = 0; /* of the old file, which the new one keeps */
    bool beside = replaceable(path, &mode);
    FILE *file = fopen(beside ? output_temporary(arena, path, 0) : path, beside ? "we" : "ae");
    if (file && beside && mode) fchmod(fileno(file), mode);
    if (!file) diag_error((Span){0}, "E0703", "cannot write '%s': %s", path, strerror(errno));
    return file;
}

bool output_close(FILE *file, const char *path) {
    if (file == stdout) return !ferror(file); /* flushed, and said, where the process ends */
    bool ok = !fflush(file) && !ferror(file) && (!unfinished[0] || !fsync(fileno(file)));
    int fault = errno;
    if (fclose(file) && ok) ok = false, fault = errno;
    if (!ok) diag_error((Span){0}, "E0703", "cannot write '%s': %s", path, strerror(fault));
    if (ok && unfinished[0]) ok = output_place(unfinished[0], path);
    output_drop();
    return ok;
}
