/* SPDX-License-Identifier: MIT
 * The ground floor: arenas, interned names, vectors, maps, source text and diagnostics.
 * Needs libc alone. Does not know of trees, tensors or LLVM. */
#ifndef GRADUS_BASE_H
#define GRADUS_BASE_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* --- Arena: everything allocated is zeroed and lives until the arena is freed. */
typedef struct Arena Arena;
Arena *arena_new(void);
void arena_free(Arena *arena);
void *arena_alloc(Arena *arena, size_t size);
char *arena_copy(Arena *arena, const char *text, size_t length); /* adds a NUL */
char *arena_printf(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Says that there is no memory and what to do; for those few who need more than arenas. */
_Noreturn void out_of_memory(void);
/* The room that something which grows begins with: next to none in test builds (GRADUS_FAULT in CMake),
 * so that growth always runs there. */
#ifdef GRADUS_SMALL
#define ROOM(usual, small) (small)
#else
#define ROOM(usual, small) (usual)
#endif
#define NEW(arena, T) ((T *)arena_alloc((arena), sizeof(T)))
#define NEW_ARRAY(arena, T, n) ((T *)arena_alloc((arena), sizeof(T) * (size_t)(n)))

/* --- Interned names: equal text is the same pointer for the life of the process. */
typedef const char *Name;
Name name_intern(const char *text, size_t length);
Name name_of(const char *text);
Name name_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The nearest of `count` candidates by edit distance, or NULL where none is near. */
Name name_nearest(Name word, const Name *candidates, size_t count);

/* --- Vectors: VEC(int) v = {0}; VEC_PUSH(arena, v, 3); v.at[0]; v.len */
#define VEC(T) \
    struct {   \
        T *at; \
        int len, cap; \
    }
void *vec_grow(Arena *arena, void *old, int len, int *cap, size_t size);
#define VEC_PUSH(arena, v, ...)                                                                  \
    ((v).len == (v).cap                                                                          \
         ? (void)((v).at = vec_grow((arena), (v).at, (v).len, &(v).cap, sizeof *(v).at))         \
         : (void)0,                                                                              \
     (void)((v).at[(v).len++] = __VA_ARGS__))
#define LENGTH(array) ((int)(sizeof(array) / sizeof *(array)))

/* --- Map from pointers (interned names, nodes) to pointers; iteration in order of insertion. */
typedef struct MapSlot {
    const void *key;
    void *value;
} MapSlot;
typedef struct Map {
    Arena *arena;
    VEC(MapSlot) slots;
    int *table; /* slot number + 1, 0 where empty */
    int table_size;
} Map;
void map_init(Map *map, Arena *arena);
void *map_get(const Map *map, const void *key); /* NULL where absent */
bool map_has(const Map *map, const void *key);
void map_put(Map *map, const void *key, void *value);
void *map_new(Map *map, const void *key, size_t size); /* zeroed where it was absent */
#define MAP_NEW(map, key, T) ((T *)map_new((map), (key), sizeof(T)))

/* --- Time, for --time: seconds on the wall, and of all processors, programs that were run included. */
typedef struct Clock {
    double wall, cpu;
} Clock;
Clock clock_start(void);
void clock_tell(Clock *since, const char *stage); /* a line on stderr; starts again */

/* --- Source text. A Span is a range of byte offsets in one file; file 0 is "nowhere". */
typedef struct Span {
    uint32_t file, from, to;
} Span;
typedef struct Source {
    const char *path; /* as shown in messages */
    const char *text; /* NUL-terminated */
    size_t length;
    bool library; /* part of the embedded standard library */
} Source;
uint32_t source_add(const char *path, const char *text, size_t length, bool library);
const Source *source_get(uint32_t file); /* NULL for 0 */
void source_position(Span at, int *line, int *column); /* both from 1 */
Span span_join(Span a, Span b);

/* --- Diagnostics. The user's fault: diag_error; ours: bug. Codes are stable ("E0201").
 * At most 20 errors are printed. Notes and helps belong to the diagnostic before them. */
typedef enum DiagFormat { DIAG_TEXT, DIAG_JSON } DiagFormat;
void diag_format(DiagFormat format);
void diag_error(Span at, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));
void diag_warning(Span at, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));
void diag_note(Span at, const char *format, ...) __attribute__((format(printf, 2, 3)));
void diag_help(const char *format, ...) __attribute__((format(printf, 1, 2)));
int diag_errors(void);         /* how many so far */
const char *diag_first(void);  /* the first one's text; NULL where there is none */
void diag_flush(void);         /* prints what is pending; called at exit too */
void diag_reset(void);         /* forgets what was said */
_Noreturn void bug(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* --- Files that are there only when they are whole. All say E0703 where they cannot. */
enum { OUTPUTS = 10 };
/* A name beside the path, one of OUTPUTS; number 0 takes away what killed processes left there. */
const char *output_temporary(Arena *arena, const char *path, int number);
bool output_place(const char *temporary, const char *path);
void output_drop(void); /* what was not put in place; at exit too */
/* One at a time; what is no regular file is written straight, NULL and "-" are standard output. NULL,
 * false: said, and the old file is as it was. */
FILE *output_open(Arena *arena, const char *path);
bool output_close(FILE *file, const char *path);
/* The table behind `gradus explain`: compiler/base/codes.def, rows CODE(E0101, "title", "text"). */
const char *diag_explain(const char *code); /* NULL where unknown */
#endif
