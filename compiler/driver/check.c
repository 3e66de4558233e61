/* SPDX-License-Identifier: MIT
 * `gradus check`: the table of layers, parameters, arithmetic and memory, and what data headers
 * say. Needs the stages, back's plan for memory. Builds and runs nothing. */
#include "driver.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct Tally { /* what one layer adds to what came before it */
    Map *seen;
    int64_t parameters;
    double flops; /* of one example, forward */
} Tally;

static int64_t ops_of(Map *seen, const Scalar *s) {
    if (!s || map_has(seen, s)) return 0;
    map_put(seen, s, NULL);
    if (s->kind == SC_READ) return ops_of(seen, s->outside);
    int64_t count = s->kind == SC_OP ? 1 : 0;
    for (int i = 0; i < 3; i++)
        count += ops_of(seen, s->arg[i]);
    return count;
}

static void tally_node(Tally *tally, Node *node);
static void tally_read(const Scalar *read, void *context) {
    tally_node(context, read->node);
}

static void tally_node(Tally *tally, Node *node) {
    if (map_has(tally->seen, node)) return;
    map_put(tally->seen, node, node);
    if (node->kind == NODE_PARAM) tally->parameters += node_count(node);
    if (node->kind != NODE_COMP) return;
    sc_reads(node->body, tally_read, tally);
    Map seen;
    map_init(&seen, tally->seen->arena);
    if (node->per_example || node->over_batch)
        tally->flops += (double)node_count(node) * (double)node_terms(node) *
                        (double)(ops_of(&seen, node->body) + (node->reduce != RED_NONE ? 1 : 0));
}

static const char *shape_text(Arena *arena, const Node *node) {
    const char *text = "[";
    for (int i = 0; i < node->rank; i++)
        text = arena_printf(arena, "%s%s%" PRId64, text, i ? ", " : "", node->extent[i]);
    return node->rank == 0 ? "number" : arena_printf(arena, "%s]", text);
}

/* 1234567 as 1 234 567 */
static const char *grouped(Arena *arena, int64_t value) {
    char digits[32], out[48];
    int length = snprintf(digits, sizeof digits, "%" PRId64, value), used = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) out[used++] = ' ';
        out[used++] = digits[i];
    }
    return arena_copy(arena, out, (size_t)used);
}

static const char *quantity(Arena *arena, double value, const char *unit, double base) {
    static const char *const prefix[] = {"", "k", "M", "G", "T"};
    int step = 0;
    while (value >= base && step < LENGTH(prefix) - 1) {
        value /= base;
        step++;
    }
    return arena_printf(arena, "%.*f %s%s%s", step == 0 || value >= 100 ? 0 : 1, value,
                        prefix[step], base == 1024 && step > 0 ? "i" : "", unit);
}

/* The shortest decimal that reads back as the same number. */
static const char *shortest(Arena *arena, double value) {
    const char *text = "";
    for (int digits = 15; digits <= 17; digits++) {
        text = arena_printf(arena, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    return text;
}

/* Rows are strings before they are printed, so that columns are as wide as they must be. */
enum { COLUMNS = 5 };
typedef struct Row {
    const char *cell[COLUMNS];
} Row;
typedef VEC(Row) RowList;

static void table_print(const RowList *rows) {
    int width[COLUMNS] = {0};
    for (int i = 0; i < rows->len; i++)
        for (int k = 0; k < COLUMNS; k++) {
            int length = (int)strlen(rows->at[i].cell[k]);
            width[k] = length > width[k] ? length : width[k];
        }
    for (int i = 0; i < rows->len; i++) {
        const Row *r = &rows->at[i];
        printf("%-*s  %-*s  %-*s  %*s  %*s\n", width[0], r->cell[0], width[1], r->cell[1], width[2],
               r->cell[2], width[3], r->cell[3], width[4], r->cell[4]);
    }
}

static double layers_collect(Arena *arena, const Unit *unit, RowList *rows) {
    Map seen;
    map_init(&seen, arena);
    double flops = 0;
    VEC_PUSH(arena, *rows, (Row){{"layer", "def", "output", "parameters", "FLOPs/example"}});
    for (int i = 0; i < unit->inputs.len; i++) {
        const Node *in = unit->inputs.at[i];
        if (!strncmp(in->name, "example.rank", 12) || !strcmp(in->name, "example.loss"))
            continue; /* the runtime's own */
        const char *shape = in->classes ? arena_printf(arena, "class[%" PRId64 "]", in->classes)
                                        : shape_text(arena, in);
        const char *tail = strstr(in->name, ".target"); /* the datum of an output is data under its name */
        const char *name = tail ? arena_copy(arena, in->name, (size_t)(tail - in->name)) : in->name;
        VEC_PUSH(arena, *rows, (Row){{name, "data", shape, "", ""}});
    }
    for (int i = 0; i < unit->layers.len; i++) {
        const LayerRow *layer = &unit->layers.at[i];
        Tally tally = {&seen, 0, 0};
        tally_node(&tally, layer->output);
        flops += tally.flops;
        VEC_PUSH(arena, *rows,
                 (Row){{layer->path ? layer->path : "", layer->def ? layer->def : "",
                        shape_text(arena, layer->output),
                        tally.parameters ? grouped(arena, tally.parameters) : "",
                        tally.flops > 0 ? quantity(arena, tally.flops, "", 1000) : ""}});
    }
    int64_t total = 0;
    for (int i = 0; i < unit->params.len; i++)
        total += node_count(unit->params.at[i]);
    VEC_PUSH(arena, *rows,
             (Row){{"total", "", "", grouped(arena, total), quantity(arena, flops, "", 1000)}});
    return flops;
}

static void training_print(Arena *arena, const Unit *unit) {
    const TrainConfig *c = &unit->config;
    if (!unit_program(unit, "step")) return;
    if (c->steps > 0)
        printf("training: batch %" PRId64 ", %" PRId64 " steps, seed %" PRIu64 "\n", c->batch,
               c->steps, c->seed);
    else
        printf("training: batch %" PRId64 ", %" PRId64 " epochs, seed %" PRIu64 "\n", c->batch,
               c->epochs, c->seed);
    if (c->batch_all) printf("note: batch = all: the whole training set in every update\n");
    for (int i = 0; i < c->stages.len && i < 8; i++)
        printf("%s%" PRId64 " from %s %" PRId64 "%s", i ? ", " : "note: the batch is ",
               c->stages.at[i].size, c->stages_by_step ? "step" : "epoch", c->stages.at[i].from,
               i == c->stages.len - 1 ? "\n" : i == 7 ? ", …\n" : "");
    int64_t lanes = (c->batch + 15) / 16 * 16;
    if (lanes != c->batch)
        printf("note: a batch of %" PRId64 " runs as %" PRId64
               ", in blocks of 16: %.0f%% of the arithmetic is wasted\n",
               c->batch, lanes, 100.0 * (double)(lanes - c->batch) / (double)lanes);
    bool first = true;
    for (int i = 0; i < unit->hypers.len; i++) {
        const Hyper *h = &unit->hypers.at[i];
        if (strncmp(h->name, "set:", 4)) continue;
        printf("%s%s=%s", first ? "settable with --set: " : ", ", h->name + 4,
               shortest(arena, h->value));
        first = false;
    }
    printf("%s", first ? "" : "\n");
}

/* ---- Draws: where each example has its own for every weight, they cost more than the layers */
static void draws_print(Arena *arena, const Unit *unit, double flops) {
    const double each = 90; /* as many floating-point operations cost what one draw does */
    const Program *step = unit_program(unit, "step");
    double all = 0, most = 0;
    Name name = NULL;
    NodeList nodes = {0};
    if (step) nodes = program_nodes(arena, step);
    for (int i = 0; i < nodes.len; i++) {
        const Node *node = nodes.at[i];
        if (node->kind != NODE_COMP || !node->body->draws_own) continue;
        double count = (double)node_count(node) * (double)node_terms(node);
        all += count;
        if (count <= most) continue;
        most = count;
        name = node->name;
    }
    if (all * each <= flops) return;
    printf("note: %s random numbers for each example of a step%s%s%s: about %.0f times the "
           "arithmetic of its forward pass\n",
           grouped(arena, (int64_t)all), name ? ", most of them in `" : "", name ? name : "",
           name ? "`" : "", all * each / flops);
}

static int check_file(Arena *arena, const Options *options, const char *path) {
    Work work = {.arena = arena, .options = options, .path = path, .only = options->only};
    if (!stages_run(&work, STAGE_ELAB)) return EXIT_DIAGNOSED;
    const Unit *unit = work.unit;
    printf("%s: model %s%s%s\n", path, unit->model ? unit->model : "(none)",
           unit->train_name ? ", training " : "", unit->train_name ? unit->train_name : "");
    RowList rows = {0};
    double flops = layers_collect(arena, unit, &rows); /* before the passes: the rows hold elaboration's nodes */
    if (!stages_run(&work, STAGE_PASS)) return EXIT_DIAGNOSED;
    table_print(&rows);
    training_print(arena, unit);
    draws_print(arena, unit, flops);
    BackOptions back;
    int64_t persistent = 0, total = 0;
    if (!options_back(options, arena, EMIT_OBJ, &back)) return EXIT_DIAGNOSED;
    back_memory(work.unit, &back, &persistent, &total);
    printf("memory: %s, of which weights and states %s\n",
           quantity(arena, (double)total, "B", 1024),
           quantity(arena, (double)persistent, "B", 1024));
    if (options->plan)
        back_work_print(stdout, work.unit, &back, options->peak, options->bandwidth);
    return headers_check(arena, unit, options->data) ? EXIT_OK : EXIT_DATA;
}

int verb_check(Arena *arena, const Options *options) {
    int status = EXIT_OK;
    for (int i = 0; i < options->nfiles; i++) {
        int one = check_file(arena, options, options->files[i]);
        status = status == EXIT_OK ? one : status;
        if (diag_errors() > 0 && status != EXIT_OK)
            break; /* errors are counted for the whole run: what follows could not tell its own */
    }
    return status;
}
