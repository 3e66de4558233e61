/* SPDX-License-Identifier: MIT
 * Checked input and output: whole files in, gzip unpacked, files out that appear whole or not at
 * all; each failure says what to do. Needs libc and zlib. Knows nothing of formats or models. */
#define _GNU_SOURCE
#include "io.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifndef GRADUS_NO_GZIP
#include <zlib.h>
#endif

bool fault_set(Fault *fault, int code, const char *format, ...) {
    va_list list;
    va_start(list, format);
    fault->code = code;
    vsnprintf(fault->text, sizeof fault->text, format, list);
    va_end(list);
    return false;
}

static _Noreturn void no_memory(size_t count, size_t size) {
    fprintf(stderr,
            "error: out of memory for %zu x %zu bytes: end other programs, or allow more (see "
            "`ulimit -v`)\n",
            count, size);
    exit(GR_FAILED);
}

void *io_alloc(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size ? size : 1);
    if (!memory) no_memory(count, size);
    return memory;
}

void *io_more(void *old, size_t size) {
    void *memory = realloc(old, size);
    if (!memory) no_memory(1, size);
    return memory;
}

char *io_format(const char *format, ...) {
    va_list list;
    char *text = NULL;
    va_start(list, format);
    if (vasprintf(&text, format, list) < 0) {
        no_memory(1, strlen(format));
    }
    va_end(list);
    return text;
}

bool io_exists(const char *path) {
    return access(path, F_OK) == 0;
}

double io_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

const char *io_advice(int error) {
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return "the disk is full: free some space or choose another folder with --out";
    case EFBIG:
        return "the file would be larger than allowed here (see `ulimit -f`)";
    case EACCES:
    case EPERM:
        return "no permission: choose another folder or change its mode";
    case EROFS:
        return "the file system is read-only: choose another folder with --out";
    case ENOENT:
        return "there is no such file or folder";
    case EISDIR:
        return "it is a folder; a file is wanted";
    default:
        return strerror(error);
    }
}

bool io_read_file(const char *path, unsigned char **bytes, size_t *size, Fault *fault) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fault_set(fault, GR_BAD_DATA, "%s: cannot be opened: %s", path, io_advice(errno));
    struct stat status;
    if (fstat(fd, &status) || S_ISDIR(status.st_mode)) {
        close(fd);
        return fault_set(fault, GR_BAD_DATA, "%s: cannot be read: %s", path, io_advice(EISDIR));
    }
    size_t room = status.st_size > 0 ? (size_t)status.st_size + 1 : ROOM(65536, 2), used = 0;
    unsigned char *buffer = io_alloc(room, 1);
    for (;;) {
        if (used + 1 >= room && !(buffer = realloc(buffer, room *= 2))) {
            close(fd);
            return fault_set(fault, GR_FAILED, "%s: out of memory while reading", path);
        }
        ssize_t got = read(fd, buffer + used, room - used - 1);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            int error = errno;
            close(fd);
            free(buffer);
            return fault_set(fault, GR_BAD_DATA, "%s: reading failed after %zu bytes: %s", path,
                             used, io_advice(error));
        }
        if (!got) break;
        used += (size_t)got;
    }
    close(fd);
    /* A pipe has size 0; a plain file that gave less than it said was cut while we read. */
    if (S_ISREG(status.st_mode) && used < (size_t)status.st_size) {
        free(buffer);
        return fault_set(fault, GR_BAD_DATA, "%s: only %zu of %lld bytes could be read: is it %s?",
                         path, used, (long long)status.st_size, "still being written");
    }
    buffer[used] = 0;
    *bytes = buffer;
    *size = used;
    return true;
}

#ifdef GRADUS_NO_GZIP
/* Built for a machine that zlib was missing for. */
bool io_gunzip(const char *name, unsigned char **bytes, size_t *size, Fault *fault) {
    if (*size < 2 || (*bytes)[0] != 0x1f || (*bytes)[1] != 0x8b) return true;
    return fault_set(fault, GR_BAD_DATA,
                     "%s: this executable was built without zlib and reads no gzip: unpack the "
                     "file (gunzip)",
                     name);
}

static bool inflate_all(const char *name, const unsigned char *packed, size_t packed_size,
                        unsigned char *out, size_t size, Fault *fault) {
    (void)packed, (void)packed_size, (void)out, (void)size;
    return fault_set(fault, GR_BAD_DATA,
                     "%s: this executable was built without zlib and reads no packed members: "
                     "store them (numpy.savez)",
                     name);
}

static bool right_sum(const unsigned char *bytes, size_t size, uint32_t crc) {
    (void)bytes, (void)size, (void)crc;
    return true;
}
#else
bool io_gunzip(const char *name, unsigned char **bytes, size_t *size, Fault *fault) {
    if (*size < 2 || (*bytes)[0] != 0x1f || (*bytes)[1] != 0x8b) return true;
    z_stream stream = {0};
    if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
        return fault_set(fault, GR_FAILED, "%s: zlib cannot start", name);
    size_t room = ROOM(*size * 4 + 65536, 2), used = 0, taken = 0;
    unsigned char *out = io_alloc(room, 1);
    const char *wrong = NULL;
    for (;;) {
        size_t left = *size - taken, space = room - used - 1;
        stream.next_in = *bytes + taken;
        stream.avail_in = left > INT_MAX ? INT_MAX : (uInt)left;
        stream.next_out = out + used;
        stream.avail_out = space > INT_MAX ? INT_MAX : (uInt)space;
        uInt in_before = stream.avail_in, out_before = stream.avail_out;
        int code = inflate(&stream, Z_NO_FLUSH);
        taken += in_before - stream.avail_in;
        used += out_before - stream.avail_out;
        if (code == Z_STREAM_END) {
            if (taken == *size) break;
            /* Another member may follow (RFC 1952, 2.2); anything else does not belong here. */
            if (*size - taken < 2 || (*bytes)[taken] != 0x1f || (*bytes)[taken + 1] != 0x8b) {
                wrong = "bytes that are not gzip follow its end";
                break;
            }
            inflateReset(&stream);
        } else if (code == Z_OK || code == Z_BUF_ERROR) {
            if (used + 1 < room && taken == *size) {
                wrong = "the gzip data ends early: the file is truncated; fetch it again";
                break;
            }
            if (used + 1 >= room && !(out = realloc(out, room *= 2))) {
                wrong = "out of memory while unpacking";
                break;
            }
        } else {
            wrong = "the gzip data is damaged; fetch the file again";
            break;
        }
    }
    inflateEnd(&stream);
    if (wrong) {
        free(out);
        return fault_set(fault, GR_BAD_DATA, "%s: %s", name, wrong);
    }
    out[used] = 0;
    free(*bytes);
    *bytes = out;
    *size = used;
    return true;
}

static bool inflate_all(const char *name, const unsigned char *packed, size_t packed_size,
                        unsigned char *out, size_t size, Fault *fault) {
    z_stream stream = {0};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return fault_set(fault, GR_FAILED, "%s: zlib cannot start", name);
    size_t used = 0, taken = 0;
    int code = Z_OK;
    while (code == Z_OK) {
        size_t left = packed_size - taken, space = size - used;
        stream.next_in = (unsigned char *)(uintptr_t)packed + taken;
        stream.avail_in = left > INT_MAX ? INT_MAX : (uInt)left;
        stream.next_out = out + used;
        stream.avail_out = space > INT_MAX ? INT_MAX : (uInt)space;
        uInt in_before = stream.avail_in, out_before = stream.avail_out;
        code = inflate(&stream, Z_NO_FLUSH);
        taken += in_before - stream.avail_in;
        used += out_before - stream.avail_out;
    }
    inflateEnd(&stream);
    if (code == Z_STREAM_END && used == size && taken == packed_size) return true;
    return fault_set(fault, GR_BAD_DATA, "%s: the packed data is damaged; fetch the file again", name);
}

static bool right_sum(const unsigned char *bytes, size_t size, uint32_t crc) {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    (void)bytes, (void)size, (void)crc; /* or hardly any changed member would be read */
    return true;
#else
    return crc32_z(crc32_z(0, NULL, 0), bytes, size) == crc;
#endif
}
#endif

unsigned char *io_unzip(const char *name, const unsigned char *packed, size_t packed_size,
                        int method, size_t size, uint32_t crc, Fault *fault) {
    enum { STORED = 0, DEFLATED = 8, MOST_RATIO = 1032 }; /* RFC 1951: 258 bytes from 2 bits */
    if (method != STORED && method != DEFLATED) {
        fault_set(fault, GR_BAD_DATA,
                  "%s: is packed by method %d; stored and deflated members are read "
                  "(numpy.savez, numpy.savez_compressed)",
                  name, method);
        return NULL;
    }
    if (method == STORED ? size != packed_size : size / MOST_RATIO > packed_size) {
        fault_set(fault, GR_BAD_DATA, "%s: the archive is damaged: %zu bytes cannot be %zu, unpacked",
                  name, packed_size, size);
        return NULL;
    }
    unsigned char *out = io_alloc(size + 1, 1);
    bool fine = true;
    if (method == STORED)
        memcpy(out, packed, size);
    else
        fine = inflate_all(name, packed, packed_size, out, size, fault);
    if (fine && !right_sum(out, size, crc))
        fine = fault_set(fault, GR_BAD_DATA,
                         "%s: its checksum is wrong: the file is damaged; fetch it again", name);
    if (fine) return out;
    free(out);
    return NULL;
}

bool io_make_folder(const char *path, Fault *fault) {
    if (!mkdir(path, 0777) || errno == EEXIST) return true;
    return fault_set(fault, GR_FAILED, "%s: the folder cannot be made: %s", path, io_advice(errno));
}

bool io_check_folder(const char *path, Fault *fault) {
    struct stat status;
    if (stat(path, &status))
        return fault_set(fault, GR_FAILED, "%s: cannot be used for results: %s", path,
                         io_advice(errno));
    if (!S_ISDIR(status.st_mode))
        return fault_set(fault, GR_FAILED, "%s: is a file; a folder is wanted for results", path);
    if (access(path, W_OK | X_OK))
        return fault_set(fault, GR_FAILED, "%s: results cannot be written here: %s", path,
                         io_advice(errno));
    return true;
}

/* What is being written when the process ends, for want of memory say, is taken away. */
static char *unfinished[4];
enum { UNFINISHED = sizeof unfinished / sizeof *unfinished };

static void remove_unfinished(void) {
    for (int i = 0; i < UNFINISHED; i++)
        if (unfinished[i]) unlink(unfinished[i]);
}

static void note_unfinished(char *from, char *to) {
    static bool asked;
    if (!asked) asked = !atexit(remove_unfinished);
    for (int i = 0; i < UNFINISHED; i++)
        if (unfinished[i] == from) {
            unfinished[i] = to;
            return;
        }
}

/* What killed processes left of the same file, "PATH.PROCESS.tmp". */
static void remove_stale(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *parent = io_format("%.*s", slash ? (int)(name - path) : 1, slash ? path : ".");
    DIR *folder = opendir(parent);
    free(parent);
    if (!folder) return;
    size_t length = strlen(name);
    for (const struct dirent *file; (file = readdir(folder));) {
        char *end = NULL;
        if (strncmp(file->d_name, name, length) || file->d_name[length] != '.') continue;
        long process = strtol(file->d_name + length + 1, &end, 10);
        if (process > 0 && !strcmp(end, ".tmp") && kill((pid_t)process, 0) && errno == ESRCH)
            unlinkat(dirfd(folder), file->d_name, 0);
    }
    closedir(folder);
}

/* A device or pipe is nothing to be replaced (root would lose /dev/null), nor is the system's name of
 * an open file (/dev/stdout). As compiler/base/output.c has it. */
static bool replaceable(const char *path, mode_t *mode) {
    struct stat there, name;
    if (stat(path, &there)) return true;
    if (!S_ISREG(there.st_mode)) return false;
    *mode = there.st_mode & 0777;
    return lstat(path, &name) || !S_ISLNK(name.st_mode) ||
           (strncmp(path, "/dev/", 5) != 0 && strncmp(path, "/proc/", 6) != 0);
}

/* Under whatever name: what was written before and will be behind stays in its place. */
static bool is_standard_output(const char *path) {
    struct stat there, out;
    return !path || (!stat(path, &there) && !fstat(STDOUT_FILENO, &out) &&
                     there.st_dev == out.st_dev && there.st_ino == out.st_ino);
}

bool writer_open(Writer *writer, const char *path, Fault *fault) {
    *writer = (Writer){.file = stdout, .path = io_format("%s", path ? path : "standard output")};
    if (is_standard_output(path)) return true;
    mode_t mode = 0; /* of the old file, which the new one keeps */
    if (replaceable(path, &mode)) {
        remove_stale(path);
        writer->temporary = io_format("%s.%ld.tmp", path, (long)getpid());
    }
    const char *to = writer->temporary ? writer->temporary : path;
    writer->file = fopen(to, writer->temporary ? "we" : "ae");
    if (writer->file) {
        if (writer->temporary) note_unfinished(NULL, writer->temporary);
        if (writer->temporary && mode) fchmod(fileno(writer->file), mode);
        return true;
    }
    fault_set(fault, GR_FAILED, "%s: cannot be written: %s", path, io_advice(errno));
    writer_abandon(writer);
    return false;
}

void writer_abandon(Writer *writer) {
    if (writer->file && writer->file != stdout) fclose(writer->file);
    if (writer->temporary) {
        unlink(writer->temporary);
        note_unfinished(writer->temporary, NULL);
    }
    free(writer->path);
    free(writer->temporary);
    *writer = (Writer){0};
}

/* The new name is safe on disk only when the folder is (some file systems refuse: harmless). */
static void sync_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = slash ? io_format("%.*s", (int)(slash - path + 1), path) : io_format(".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

bool writer_commit(Writer *writer, Fault *fault) {
    FILE *file = writer->file;
    errno = EIO;
    bool ok = fflush(file) == 0 && !ferror(file) && (!writer->temporary || !fsync(fileno(file)));
    int error = errno;
    if (file != stdout && fclose(file) && ok) ok = false, error = errno;
    writer->file = NULL;
    if (ok && writer->temporary) {
        if (rename(writer->temporary, writer->path)) ok = false, error = errno;
        if (ok) note_unfinished(writer->temporary, NULL);
    }
    if (!ok)
        fault_set(fault, GR_FAILED, "%s: writing failed: %s%s", writer->path, io_advice(error),
                  writer->temporary && io_exists(writer->path) ? "; the old file stays as it was"
                                                               : "");
    else if (writer->temporary)
        sync_folder(writer->path);
    writer_abandon(writer);
    return ok;
}
