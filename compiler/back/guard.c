/* SPDX-License-Identifier: MIT
 * The guards behind leaves and buffers, which test builds plan (GUARD in plan.h): a table of where they
 * are, for the runtime to look at. Needs the plan. Writes to none of them. */
#include "row.h"

static void add_guard(Emitter *e, ValueList *rows, const Buffer *buffer) {
    Row row = {.n = 0};
    const Node *node = buffer->node;
    const char *name = !node        ? "draws"
                       : node->name ? node->name
                                    : arena_printf(e->arena, "%%%u", node->id);
    put_text(e, &row, name);
    put_i64(e, &row, buffer->offset + (buffer->scratch ? buffer->block_stride : buffer->size));
    put_i32(e, &row, buffer->scratch);
    VEC_PUSH(e->arena, *rows, row_value(e, &row));
}

void emit_guards(Emitter *e, Row *program) {
    ValueList rows = {0};
    for (int i = 0; GUARD > 0 && i < e->plan->persistent.len; i++)
        add_guard(e, &rows, e->plan->persistent.at[i]);
    for (int i = 0; GUARD > 0 && i < e->program->buffers.len; i++)
        add_guard(e, &rows, e->program->buffers.at[i]);
    put_array(e, program, &rows, "guards");
}
