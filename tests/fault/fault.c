/* SPDX-License-Identifier: MIT
 * Faults on demand, for the compiler and for executables: a library for LD_PRELOAD that lets the n-th
 * allocation, write or read of the program fail. Needs glibc and Linux. Changes nothing else.
 *
 * GRADUS_FAULT_IN=NAME   the program by its file's name; what it calls is left alone (LLVM, the linker)
 * GRADUS_FAULT=alloc=N   allocation number N fails      all=N   that one and all after it
 *              write=N   write N fails, the disk is full (opening to write, fsync, rename, mkdir count)
 *              full=N    every one from the N-th on      read=N  read N fails (opening to read counts)
 *              eof=N     read N finds the end of the file    short=1  all reads and writes take a few bytes
 * GRADUS_FAULT_COUNT=FILE   appends "allocations writes reads" at exit */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t),
    *__libc_memalign(size_t, size_t);

typedef enum Kind { ALLOC, WRITE, READ, KINDS } Kind;
static atomic_long counted[KINDS];
static long at[KINDS];  /* which one fails; 0: none */
static bool on[KINDS];  /* and all after it */
static bool eof, few, ready, ours;
static struct { uintptr_t from, to; } range[8]; /* code of the program */
static int ranges;

static int find_ranges(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    int *n = context;
    bool mine = !*info->dlpi_name || strstr(info->dlpi_name, "libgradus_back");
    for (int i = 0; mine && i < info->dlpi_phnum && *n < 8; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X)) continue;
        range[*n].from = info->dlpi_addr + p->p_vaddr;
        range[*n].to = range[*n].from + p->p_memsz;
        ++*n;
    }
    return 0;
}

/* Called again whenever a library was loaded. */
static void look_around(void) {
    int n = 0;
    dl_iterate_phdr(find_ranges, &n);
    ranges = n;
}

void *dlopen(const char *file, int mode) {
    static void *(*real)(const char *, int);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "dlopen");
    void *library = real(file, mode);
    look_around();
    return library;
}

__attribute__((constructor)) static void start(void) {
    const char *name = getenv("GRADUS_FAULT_IN"), *what = getenv("GRADUS_FAULT");
    ours = name && !strcmp(name, program_invocation_short_name);
    static const struct { const char *word; Kind kind; bool on; } words[] = {
        {"alloc=", ALLOC, false}, {"all=", ALLOC, true}, {"write=", WRITE, false},
        {"full=", WRITE, true},   {"read=", READ, false}, {"eof=", READ, false}};
    for (size_t i = 0; what && i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i].word);
        if (strncmp(what, words[i].word, length)) continue;
        at[words[i].kind] = atol(what + length);
        on[words[i].kind] = words[i].on;
        eof = words[i].word[0] == 'e';
    }
    few = what && !strncmp(what, "short=", 6);
    look_around();
    ready = true;
}

__attribute__((destructor)) static void stop(void) {
    const char *path = ours ? getenv("GRADUS_FAULT_COUNT") : NULL;
    char text[100];
    if (!path) return;
    long fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    int n = snprintf(text, sizeof text, "%ld %ld %ld\n", counted[ALLOC], counted[WRITE], counted[READ]);
    syscall(SYS_write, fd, text, n);
    syscall(SYS_close, fd);
}

/* Counts; is it this one's turn to fail? */
static bool fails(Kind kind, void *caller) {
    bool inside = false;
    for (int i = 0; ready && ours && i < ranges; i++)
        inside |= (uintptr_t)caller >= range[i].from && (uintptr_t)caller < range[i].to;
    if (!inside) return false;
    long number = ++counted[kind];
    return at[kind] && (on[kind] ? number >= at[kind] : number == at[kind]);
}
#define FAILS(kind) fails(kind, __builtin_return_address(0))
#define NO_MEMORY(result) if (FAILS(ALLOC)) { errno = ENOMEM; return result; }
#define FULL(result) if (FAILS(WRITE)) { errno = ENOSPC; return result; }
#define UNREADABLE(result) if (FAILS(READ)) { errno = EIO; return result; }

/* ---- Memory */
void *malloc(size_t size) { NO_MEMORY(NULL) return __libc_malloc(size); }
void *calloc(size_t n, size_t size) { NO_MEMORY(NULL) return __libc_calloc(n, size); }
void *realloc(void *old, size_t size) { NO_MEMORY(NULL) return __libc_realloc(old, size); }
void *aligned_alloc(size_t to, size_t size) { NO_MEMORY(NULL) return __libc_memalign(to, size); }
char *strdup(const char *text) {
    NO_MEMORY(NULL)
    size_t size = strlen(text) + 1;
    char *copy = __libc_malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}
int vasprintf(char **text, const char *format, va_list list) {
    NO_MEMORY(-1)
    va_list again;
    va_copy(again, list);
    int size = vsnprintf(NULL, 0, format, list);
    *text = __libc_malloc((size_t)size + 1);
    vsnprintf(*text, (size_t)size + 1, format, again);
    va_end(again);
    return size;
}
void *mmap(void *where, size_t size, int protection, int flags, int fd, off_t from) {
    if (fd < 0) NO_MEMORY(MAP_FAILED)
    return (void *)syscall(SYS_mmap, where, size, protection, flags, fd, from);
}

/* ---- Files */
static size_t part(size_t size) {
    return few && size > 3 ? 1 + (size * 7 + (size_t)(counted[READ] + counted[WRITE])) % 3 : size;
}
static ssize_t read_part(int fd, void *bytes, size_t size) {
    return (ssize_t)syscall(SYS_read, fd, bytes, part(size));
}
ssize_t read(int fd, void *bytes, size_t size) {
    if (FAILS(READ)) {
        errno = EIO;
        return eof ? 0 : -1;
    }
    return read_part(fd, bytes, size);
}
ssize_t write(int fd, const void *bytes, size_t size) {
    FULL(-1)
    return (ssize_t)syscall(SYS_write, fd, bytes, part(size));
}
int fsync(int fd) { FULL(-1) return fd < 0 ? 0 : (int)syscall(SYS_fsync, fd); } /* -1: a stream of ours */
int rename(const char *from, const char *to) {
    FULL(-1)
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}
int mkdir(const char *path, mode_t mode) { FULL(-1) return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode); }
static int open_real(const char *path, int flags, mode_t mode) {
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
int open(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? (mode_t)va_arg(list, int) : 0;
    va_end(list);
    if (flags & (O_WRONLY | O_RDWR)) { FULL(-1) }
    else UNREADABLE(-1)
    return open_real(path, flags, mode);
}
int open64(const char *path, int flags, ...) __attribute__((alias("open")));

/* stdio by a stream of our own, whose reads and writes count as the program's. */
typedef struct Stream { int fd; void *caller; } Stream;
static ssize_t stream_read(void *cookie, char *bytes, size_t size) {
    Stream *s = cookie;
    if (fails(READ, s->caller)) {
        errno = EIO;
        return eof ? 0 : -1;
    }
    return read_part(s->fd, bytes, size);
}
static ssize_t stream_write(void *cookie, const char *bytes, size_t size) {
    Stream *s = cookie;
    if (fails(WRITE, s->caller)) {
        errno = ENOSPC;
        return 0;
    }
    size_t put = 0;
    while (put < size) {
        ssize_t n = (ssize_t)syscall(SYS_write, s->fd, bytes + put, part(size - put));
        if (n <= 0) return 0;
        put += (size_t)n;
    }
    return (ssize_t)size;
}
static int stream_seek(void *cookie, off64_t *to, int whence) {
    off_t where = lseek(((Stream *)cookie)->fd, *to, whence);
    *to = where;
    return where < 0 ? -1 : 0;
}
static int stream_close(void *cookie) {
    int fd = ((Stream *)cookie)->fd;
    free(cookie);
    return (int)syscall(SYS_close, fd);
}
FILE *fopen(const char *path, const char *mode) {
    void *caller = __builtin_return_address(0);
    if (!ours) {
        static FILE *(*real)(const char *, const char *);
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, "fopen");
        return real(path, mode);
    }
    bool writes = *mode != 'r';
    if (fails(writes ? WRITE : READ, caller)) {
        errno = writes ? ENOSPC : EIO;
        return NULL;
    }
    int flags = !writes ? O_RDONLY : O_WRONLY | O_CREAT | (*mode == 'a' ? O_APPEND : O_TRUNC);
    if (strchr(mode, 'x')) flags |= O_EXCL;
    int fd = open_real(path, flags | O_CLOEXEC, 0666);
    if (fd < 0) return NULL;
    Stream *s = __libc_malloc(sizeof *s);
    *s = (Stream){fd, caller};
    FILE *file = fopencookie(s, mode, (cookie_io_functions_t){stream_read, stream_write, stream_seek, stream_close});
    return file;
}
FILE *fopen64(const char *path, const char *mode) __attribute__((alias("fopen")));
