/* SPDX-License-Identifier: MIT
 * The texts that were read, and byte offsets turned into lines and columns.
 * Needs the arena. Texts live as long as the process.
 * Does not read files and does not print. */
#include "base.h"
#include <string.h>

static Arena *arena;
static VEC(Source *) sources;

/** Registers a copy of a text; the result is the `file` of spans in it. */
uint32_t source_add(const char *path, const char *text, size_t length, bool library) {
    if (!arena) arena = arena_new();
    Source *source = NEW(arena, Source);
    source->path = arena_copy(arena, path, strlen(path));
    source->text = arena_copy(arena, text, length);
    source->length = length;
    source->library = library;
    VEC_PUSH(arena, sources, source);
    return (uint32_t)sources.len;
}

/** The text of a file number; NULL for 0 and for numbers that were never given. */
const Source *source_get(uint32_t file) {
    if (file == 0 || file > (uint32_t)sources.len) return NULL;
    return sources.at[file - 1];
}

/** Line and column (in bytes) of the first byte of `at`, both from 1; 0, 0 for nowhere. */
void source_position(Span at, int *line, int *column) {
    const Source *source = source_get(at.file);
    *line = *column = 0;
    if (!source) return;
    size_t end = at.from < source->length ? at.from : source->length;
    size_t start = 0;
    *line = 1;
    for (size_t i = 0; i < end; i++) {
        if (source->text[i] != '\n') continue;
        ++*line;
        start = i + 1;
    }
    *column = (int)(end - start) + 1;
}

/** The smallest span that holds both; where the files differ or one is nowhere, the known first. */
Span span_join(Span a, Span b) {
    if (a.file == 0) return b;
    if (b.file != a.file) return a;
    return (Span){a.file, a.from < b.from ? a.from : b.from, a.to > b.to ? a.to : b.to};
}
