/* SPDX-License-Identifier: MIT
 * libFuzzer target: `gradus fmt`. What parses is laid out as a text of the same tree, which laying
 * out once more does not change. Needs front. */
#include "ast.h"
#include "target.h"
#include <stdlib.h>
#include <string.h>

static char *text_end(FILE *out, char **text) {
    fclose(out);
    return *text;
}

static char *formatted(const char *text) {
    char *to = NULL;
    size_t size;
    FILE *out = open_memstream(&to, &size);
    if (!out) bug("no memory for a text");
    layout_print(out, text);
    return text_end(out, &to);
}

/* The tree of a text as text; NULL where it does not parse. */
static char *tree(Arena *arena, const char *text) {
    char *to = NULL;
    size_t size;
    Module module = {.arena = arena, .file = source_add("fuzz.gr", text, strlen(text), false)};
    parse_text(arena, module.file, &module.decls);
    if (diag_errors()) return NULL;
    FILE *out = open_memstream(&to, &size);
    if (!out) bug("no memory for a tree");
    ast_print(out, &module);
    return text_end(out, &to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Arena *arena = arena_new();
    const char *text = arena_copy(arena, (const char *)data, size);
    char *before = tree(arena, text);
    if (before) {
        char *once = formatted(text), *twice = formatted(once), *after = tree(arena, once);
        if (strcmp(once, twice)) bug("laid out once more it changes:\n%s----\n%s", once, twice);
        if (!after || strcmp(before, after)) bug("laid out it is another tree:\n%s", once);
        free(once), free(twice), free(after);
    }
    free(before);
    fuzz_end(arena);
    return 0;
}
