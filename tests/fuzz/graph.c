/* SPDX-License-Identifier: MIT
 * libFuzzer target: the text form of graphs. What is read verifies, prints as a text that reads
 * back the same, and goes through all passes. Needs ir and pass. */
#include "pass.h"
#include "target.h"
#include <stdlib.h>
#include <string.h>

static char *text_of(const Unit *unit, size_t *size) {
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    if (!out) bug("no memory for a graph's text");
    graph_print(out, unit);
    fclose(out);
    return text;
}

static void verify(const Pass *pass, Unit *unit, void *context) {
    (void)pass, (void)context;
    graph_verify(unit, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Arena *arena = arena_new();
    Unit *unit = graph_read(arena, source_add("fuzz.graph", (const char *)data, size, false));
    if (!unit && !diag_errors()) bug("refused without a diagnostic");
    if (unit && !diag_errors()) {
        graph_verify(unit, 0);
        size_t length, again;
        char *text = text_of(unit, &length);
        Unit *back = graph_read(arena, source_add("again.graph", text, length, false));
        if (!back || diag_errors()) bug("what was printed does not read back:\n%s", text);
        char *other = text_of(back, &again);
        if (again != length || memcmp(text, other, length))
            bug("reads back as another graph:\n%s", text);
        free(text);
        free(other);
        pass_run(unit, NULL, verify, NULL);
    }
    fuzz_end(arena);
    return 0;
}
