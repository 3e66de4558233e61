/* SPDX-License-Identifier: MIT
 * libFuzzer target: a model's text through lexer, parser, checks, elaboration and all passes.
 * Needs the compiler without its code generator. What is accepted verifies after each pass. */
#include "elab.h"
#include "pass.h"
#include "target.h"

static void verify(const Pass *pass, Unit *unit, void *context) {
    (void)pass, (void)context;
    graph_verify(unit, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Arena *arena = arena_new();
    Module *module =
        module_load_text(arena, "fuzz.gr", arena_copy(arena, (const char *)data, size));
    bool fine = module && !diag_errors();
    Unit *unit = fine ? elab_unit(arena, module, NULL) : NULL;
    if (fine && !unit && !diag_errors()) bug("refused without a diagnostic");
    for (; unit && !diag_errors(); unit = unit->next) {
        graph_verify(unit, 0);
        pass_run(unit, NULL, verify, NULL);
    }
    fuzz_end(arena);
    return 0;
}
