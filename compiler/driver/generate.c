/* SPDX-License-Identifier: MIT
 * The examples of `generate(200, def)`, evaluated by the interpreter and kept as CSV, which travels
 * in the executable as a file would. Needs elaborated units and eval. */
#include "driver.h"
#include "eval.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void put_rows(FILE *out, const DataSource *s, Eval *eval) {
    for (int64_t k = 0; k < node_count(s->made.at[0]); k++)
        fprintf(out, "%sinput%lld", k ? "," : "", (long long)k);
    for (int i = 0; i < s->columns.len; i++)
        fprintf(out, ",%s", s->columns.at[i].column);
    for (int64_t example = 0; example < s->count; example++)
        for (int i = 0; i < s->made.len; i++) {
            Node *node = s->made.at[i];
            const double *values = eval_node(eval, node);
            int64_t n = node_count(node), from = node->per_example ? example * n : 0;
            for (int64_t k = 0; k < n; k++)
                fprintf(out, "%s%.17g", i || k ? "," : "\n", values[from + k]);
        }
    fputc('\n', out);
}

/* What is not known here: settings are as the file says, numbers of a run those before it; columns
 * of a file there are none. */
static void set_leaves(Arena *arena, const DataSource *s, Eval *eval) {
    Program made = {0};
    for (int i = 0; i < s->made.len; i++)
        VEC_PUSH(arena, made.results, ((Result){.node = s->made.at[i]}));
    NodeList nodes = program_nodes(arena, &made);
    for (int i = 0; i < nodes.len; i++) {
        Node *leaf = nodes.at[i];
        bool number = !strcmp(leaf->name ? leaf->name : "", "example.number");
        if ((leaf->kind != NODE_HYPER && leaf->kind != NODE_INPUT) || number) continue;
        int64_t count = node_count(leaf) * (leaf->per_example ? s->count : 1);
        double *values = NEW_ARRAY(arena, double, count);
        bool run = leaf->kind == NODE_HYPER && strncmp(leaf->name, "set:", 4);
        for (int64_t k = 0; k < count && !run; k++)
            values[k] = NAN;
        eval_set(eval, leaf, values);
    }
}

void sources_generate(Unit *unit) {
    for (int i = 0; i < unit->sources.len; i++) {
        DataSource *s = &unit->sources.at[i];
        if (!s->made.len || s->bytes) continue;
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        Arena *arena = arena_new();
        Eval *eval = eval_new(arena, s->count, unit->config.seed);
        if (!out) bug("out of memory for generated examples");
        set_leaves(arena, s, eval);
        put_rows(out, s, eval);
        fclose(out);
        eval_free(eval);
        arena_free(arena);
        s->bytes = arena_copy(unit->arena, text, size);
        s->size = (int64_t)size;
        free(text);
    }
}
