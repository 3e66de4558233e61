/* SPDX-License-Identifier: MIT
 * Faults, checked files, and numbers as text: what every other file of the runtime stands on.
 * Needs libc and zlib. Knows nothing of models. */
#ifndef GRADUS_IO_H
#define GRADUS_IO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes of an executable; 128 + n stands for signal n. */
enum { GR_OK = 0, GR_FAILED = 1, GR_USAGE = 2, GR_DIVERGED = 3, GR_BAD_DATA = 5 };

/* What went wrong: the exit code that it asks for, and a text that says what to do. */
typedef struct Fault {
    int code;
    char text[2000];
} Fault;

/* Fills `fault` and returns false, so that a function can `return fault_set(…)`. */
bool fault_set(Fault *fault, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Zeroed memory; ends the process with a message where there is none left. */
void *io_alloc(size_t count, size_t size);
void *io_more(void *old, size_t size); /* realloc, which ends the process likewise */
/* The room that something which grows begins with: see ROOM in the compiler's base.h. */
#ifdef GRADUS_SMALL
#define ROOM(usual, small) (small)
#else
#define ROOM(usual, small) (usual)
#endif
char *io_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool io_exists(const char *path);
const char *io_advice(int error); /* what a user can do about an errno */
double io_now(void); /* seconds on a clock that only goes forward */

/* The whole file; `*bytes` is malloc'd and has one zero byte more than `*size`. */
bool io_read_file(const char *path, unsigned char **bytes, size_t *size, Fault *fault);
/* Where `*bytes` is gzip, puts the unpacked bytes in its place. `name` is for messages. */
bool io_gunzip(const char *name, unsigned char **bytes, size_t *size, Fault *fault);
/* A member of a zip archive, stored (method 0) or deflated (8): `size` bytes, malloc'd, with one zero
 * byte more, whose checksum is `crc`; NULL where it is damaged. */
unsigned char *io_unzip(const char *name, const unsigned char *packed, size_t packed_size,
                        int method, size_t size, uint32_t crc, Fault *fault);
bool io_make_folder(const char *path, Fault *fault); /* the one above it must be there */
/* False, with what to do, where a file could not be made in the folder. */
bool io_check_folder(const char *path, Fault *fault);

/* A file that appears whole or not at all: written beside `path`, then renamed over it; what is no
 * regular file (a device, a pipe) is written straight. What went wrong with `file`, commit says. */
typedef struct Writer {
    FILE *file;
    char *path, *temporary; /* NULL: written straight */
} Writer;
bool writer_open(Writer *writer, const char *path, Fault *fault); /* NULL: standard output */
/* fsync, rename, fsync of the folder. After a failure the old file is still there. */
bool writer_commit(Writer *writer, Fault *fault);
void writer_abandon(Writer *writer);

/* A decimal number that fills text[0, size), whatever the locale. No inf, nan or hexadecimal. */
bool number_parse(const char *text, size_t size, double *value);
enum { NUMBER_TEXT = 40 };
/* The shortest text that reads back as the same double, or float where bytes is 4. */
const char *number_text(double value, int bytes, char text[NUMBER_TEXT]);

/* Distance in insertions, deletions, replacements and swaps of neighbours. */
int text_distance(const char *a, const char *b);
/* Which of `names` is near enough to `wanted` to be meant, or NULL. */
const char *text_nearest(const char *wanted, const char *const *names, int count);
#endif
