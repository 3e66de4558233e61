/* SPDX-License-Identifier: MIT
 * Arenas (zeroed memory that is freed all at once) and the vectors that grow in them.
 * Needs libc alone.
 * Does not free single objects and never returns NULL: without memory the process ends. */
#include "base.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Block Block;
struct Block {
    Block *next;
    size_t size, used;
    _Alignas(16) char bytes[];
};

struct Arena {
    Block *blocks; /* the first is the one in use */
};

enum { FIRST_BLOCK = ROOM(1024, 16), FIRST_VECTOR = ROOM(8, 1) };
enum { ALIGNMENT = 16, LARGEST_STEP = 8 * 1024 * 1024 };

_Noreturn void out_of_memory(void) {
    fputs("gradus: error: out of memory: end other programs, or allow more (see `ulimit -v`)\n",
          stderr);
    output_drop();
    _exit(1); /* other threads may be at work in what exit() would take down under them */
}

static void *zeroed(size_t size) {
    void *memory = calloc(1, size);
    if (!memory) out_of_memory();
    return memory;
}

/** A new, empty arena. */
Arena *arena_new(void) {
    return zeroed(sizeof(Arena));
}

/** Frees the arena and everything that was allocated in it; NULL is allowed. */
void arena_free(Arena *arena) {
    if (!arena) return;
    for (Block *block = arena->blocks; block;) {
        Block *next = block->next;
        free(block);
        block = next;
    }
    free(arena);
}

/** `size` zeroed bytes, aligned for every type; distinct addresses even where `size` is 0. */
void *arena_alloc(Arena *arena, size_t size) {
    if (size > SIZE_MAX / 2) out_of_memory();
    size = size ? (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : ALIGNMENT;
    Block *block = arena->blocks;
    if (!block || block->size - block->used < size) {
        size_t room = block ? block->size * 2 : FIRST_BLOCK;
        if (room > LARGEST_STEP) room = LARGEST_STEP;
        if (room < size) room = size;
        block = zeroed(sizeof(Block) + room);
        block->size = room;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    void *memory = block->bytes + block->used;
    block->used += size;
    return memory;
}

/** A copy of `length` bytes of `text`, with a NUL added. */
char *arena_copy(Arena *arena, const char *text, size_t length) {
    char *copy = arena_alloc(arena, length + 1);
    if (length) memcpy(copy, text, length);
    return copy;
}

/** Formatted text in the arena. */
char *arena_printf(Arena *arena, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0) bug("arena_printf: a format that cannot be printed: %s", format);
    char *text = arena_alloc(arena, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

/** The larger array behind VEC_PUSH: copies `len` elements of `size` bytes, updates `cap`. */
void *vec_grow(Arena *arena, void *old, int len, int *cap, size_t size) {
    if (*cap > INT32_MAX / 2) out_of_memory();
    *cap = *cap ? *cap * 2 : FIRST_VECTOR;
    void *grown = arena_alloc(arena, (size_t)*cap * size);
    if (len) memcpy(grown, old, (size_t)len * size);
    return grown;
}
