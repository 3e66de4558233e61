/* SPDX-License-Identifier: MIT
 * Writes a unit as text: one line a node in the order in which nodes were made, renumbered.
 * Needs base and ir.h.
 * Does not write places in the source or the folder of the model: they are not part of its meaning.
 */
#include "intern.h"
#include "text.h"
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const text_reduce[REDUCES] = {
    [RED_NONE] = "map", [RED_SUM] = "sum",       [RED_PROD] = "prod",    [RED_MAX] = "max",
    [RED_MIN] = "min",  [RED_ARGMAX] = "argmax", [RED_ARGMIN] = "argmin"};
const char *const text_leaf[LEAF_KINDS] = {[NODE_INPUT] = "input",
                                           [NODE_PARAM] = "param",
                                           [NODE_STATE] = "state",
                                           [NODE_FITTED] = "fitted",
                                           [NODE_HYPER] = "hyper"};
const char *const text_draw[] = {
    [DRAW_UNIFORM] = "uniform", [DRAW_NORMAL] = "normal", [DRAW_BERNOULLI] = "bernoulli"};
const char *const text_program[] = {
    [PROGRAM_SPLIT] = "split", [PROGRAM_FIT] = "fit",   [PROGRAM_INIT] = "init",
    [PROGRAM_STEP] = "step",   [PROGRAM_EVAL] = "eval", [PROGRAM_PREDICT] = "predict",
    [PROGRAM_EPOCH] = "epoch", [PROGRAM_ORDER] = "order",
    [PROGRAM_SUMS] = "sums",   [PROGRAM_METRIC] = "metric",
    [PROGRAM_AFTER] = "after", [PROGRAM_KEPT] = "kept", [PROGRAM_SAMPLE] = "sample",
    [PROGRAM_WATCH] = "watch", [PROGRAM_CHECK] = "check", [PROGRAM_TRACE] = "trace",
    [PROGRAM_ONE] = "one"};
const char *const text_result[] = {
    [RESULT_VALUE] = "value", [RESULT_NEXT] = "next", [RESULT_STOP] = "stop"};
const char *const text_list[TEXT_LISTS] = {"inputs", "params", "states", "fitted", "params_at"};

NodeList *unit_list(Unit *unit, int list) {
    NodeList *const lists[TEXT_LISTS] = {&unit->inputs, &unit->params, &unit->states, &unit->fitted,
                                         &unit->params_at};
    return lists[list];
}

int text_find(const char *const *table, int n, const char *word) {
    for (int i = 0; i < n; i++)
        if (!strcmp(table[i], word)) return i;
    return -1;
}

typedef struct Printer {
    FILE *out;
    Arena *arena;
    Map number; /* node -> number + 1 */
    int numbers;
    Map uses;   /* scalar of the current node -> 1 where met once, 2 where more often */
    Map labels; /* scalar met more often -> $number, once it is written */
    int label;
} Printer;

/* ---- Words */
static bool plain(const char *name) {
    if (!isalpha((unsigned char)*name) && *name != '_') return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && !strchr("_.:'", *name)) return false;
    return name[-1] != ':';
}

static void print_text(Printer *p, const char *text) {
    fputc('"', p->out);
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            fprintf(p->out, "\\%c", *text);
        else if ((unsigned char)*text < ' ')
            fprintf(p->out, "\\%03o", (unsigned)*text);
        else
            fputc(*text, p->out);
    fputc('"', p->out);
}

/* ` name`, quoted where it must be, ` -` where there is none. */
static void print_name(Printer *p, const char *name) {
    fputc(' ', p->out);
    if (!name)
        fputc('-', p->out);
    else if (plain(name))
        fputs(name, p->out);
    else
        print_text(p, name);
}

/* The shortest decimal that reads back as the same number. */
static void print_number(Printer *p, double value) {
    char text[40];
    if (isnan(value) || isinf(value)) {
        fputs(isnan(value) ? "nan" : value < 0 ? "-inf" : "inf", p->out);
        return;
    }
    if (value == floor(value) && fabs(value) < 1e15) { /* 10, not 1e+01 */
        fprintf(p->out, "%.0f", value);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    fputs(text, p->out);
}

static void print_node_number(Printer *p, const Node *node) {
    fprintf(p->out, "%%%d", (int)(intptr_t)map_get(&p->number, node) - 1);
}

/* ---- Index forms and scalars */
static void print_scalar(Printer *p, const Scalar *s);
static void print_ix(Printer *p, const Ix *ix);

static void print_atom(Printer *p, const IxTerm *t) {
    switch (t->kind) {
    case ATOM_DIM:
        fprintf(p->out, "d%d", t->dim);
        break;
    case ATOM_FLOOR:
        fputs("floor((", p->out);
        print_ix(p, t->inner);
        fprintf(p->out, ")/%" PRId64 ")", t->by);
        break;
    case ATOM_VALUE:
        fputs("at(", p->out);
        print_scalar(p, t->value);
        fputc(')', p->out);
    }
}

static void print_ix(Printer *p, const Ix *ix) {
    if (!ix->n) fprintf(p->out, "%" PRId64, ix->c);
    for (int i = 0; i < ix->n; i++) {
        const IxTerm *t = &ix->term[i];
        fputs(i == 0 ? t->coef < 0 ? "-" : "" : t->coef < 0 ? " - " : " + ", p->out);
        if (llabs(t->coef) != 1) fprintf(p->out, "%lld*", llabs(t->coef));
        print_atom(p, t);
    }
    if (ix->n && ix->c) fprintf(p->out, " %c %lld", ix->c < 0 ? '-' : '+', llabs(ix->c));
}

static void print_read(Printer *p, const Scalar *s) {
    print_node_number(p, s->node);
    if (!s->node->rank) return;
    for (int i = 0; i < s->node->rank; i++) {
        fputs(i ? ", " : "[", p->out);
        print_ix(p, s->at[i]);
    }
    if (s->outside) {
        fputs("; ", p->out);
        print_scalar(p, s->outside);
    }
    fputc(']', p->out);
}

static void print_draw(Printer *p, const Scalar *s) {
    fprintf(p->out, "%s%s(0x%08" PRIx32 ", ", s->shared ? "shared " : "", text_draw[s->draw],
            s->place);
    print_ix(p, s->ix);
    if (s->arg[0]) {
        fputs(", ", p->out);
        print_scalar(p, s->arg[0]);
    }
    fputc(')', p->out);
}

/* Short enough to be written again wherever it occurs. */
static bool is_short(const Scalar *s) {
    if (s->kind == SC_CONST || s->kind == SC_INDEX) return true;
    bool nested = s->kind != SC_READ || s->outside;
    for (int i = 0; !nested && i < s->node->rank; i++)
        nested = ix_facts(s->at[i]).reads;
    return !nested;
}

/* A part that occurs more than once is labelled where it is first written: `$1 = exp(%3[d0])`. */
static void print_scalar(Printer *p, const Scalar *s) {
    intptr_t label = (intptr_t)map_get(&p->labels, s);
    if (label) {
        fprintf(p->out, "$%d", (int)label);
        return;
    }
    if (!is_short(s) && (intptr_t)map_get(&p->uses, s) > 1) {
        map_put(&p->labels, s, (void *)(intptr_t)++p->label);
        fprintf(p->out, "$%d = ", p->label);
    }
    switch (s->kind) {
    case SC_CONST:
        print_number(p, s->value);
        break;
    case SC_READ:
        print_read(p, s);
        break;
    case SC_DRAW:
        print_draw(p, s);
        break;
    case SC_INDEX:
        fputs("index(", p->out);
        print_ix(p, s->ix);
        fputc(')', p->out);
        break;
    case SC_OP:
        fputs(op_info[s->op].text, p->out);
        for (int i = 0; i < op_info[s->op].arity; i++) {
            fputs(i ? ", " : "(", p->out);
            print_scalar(p, s->arg[i]);
        }
        fputc(')', p->out);
    }
}

static void count_uses(const Scalar *s, void *context) {
    Printer *p = context;
    if (!s) return;
    intptr_t uses = (intptr_t)map_get(&p->uses, s);
    map_put(&p->uses, s, (void *)(uses ? (intptr_t)2 : (intptr_t)1));
    if (uses) return;
    if (s->ix) ix_values(s->ix, count_uses, p);
    for (int i = 0; s->kind == SC_READ && i < s->node->rank; i++)
        ix_values(s->at[i], count_uses, p);
    for (int i = 0; i < 3; i++)
        count_uses(s->arg[i], p);
    count_uses(s->outside, p);
}

/* ---- Nodes */
static void print_extents(Printer *p, const Node *node, int from, int to, bool dims) {
    fputc('[', p->out);
    for (int i = from; i < to; i++) {
        fputs(i > from ? ", " : "", p->out);
        if (dims) fprintf(p->out, "d%d: ", i);
        fprintf(p->out, "%" PRId64, node->extent[i]);
    }
    fputc(']', p->out);
}

static void print_comp(Printer *p, const Node *node) {
    fputs(text_reduce[node->reduce], p->out);
    if (node->reduce != RED_NONE) print_extents(p, node, node->rank, node_dims(node), true);
    fputs(node->over_batch ? " over batch -> " : " -> ", p->out);
    print_extents(p, node, 0, node->rank, true);
    fputs(node->per_example ? " per example" : "", p->out);
    fputs(node->wide ? " wide : " : " : ", p->out);
    map_init(&p->uses, p->arena);
    map_init(&p->labels, p->arena);
    p->label = 0;
    count_uses(node->body, p);
    print_scalar(p, node->body);
}

static void print_node(Printer *p, const Node *node) {
    print_node_number(p, node);
    if (node->name) print_name(p, node->name);
    fputs(" = ", p->out);
    if (node->kind == NODE_GRAD) {
        fputs("grad ", p->out);
        print_node_number(p, node->of);
        fputs(" by ", p->out);
        print_node_number(p, node->wrt);
    } else if (node->kind == NODE_CALL) {
        fprintf(p->out, "call %s %d of", call_info[node->call].text, node->result);
        for (int i = 0; i < call_info[node->call].operands; i++) {
            fputc(' ', p->out);
            print_node_number(p, node->operand[i]);
        }
    } else if (node->kind == NODE_COMP) {
        print_comp(p, node);
    } else {
        fprintf(p->out, "%s ", node->kind == NODE_SCAN ? "scan" : text_leaf[node->kind]);
        print_extents(p, node, 0, node->rank, false);
        fputs(node->per_example ? " per example" : "", p->out);
        if (node->classes) fprintf(p->out, " classes %" PRId64, node->classes);
    }
    fputc('\n', p->out);
}

static void want(Printer *p, Program *all, Node *node) {
    if (node) VEC_PUSH(p->arena, all->results, ((Result){.node = node}));
}

/* Every node that the unit holds or reaches. */
static NodeList unit_nodes(Printer *p, const Unit *unit) {
    Program all = {0};
    for (int i = 0; i < TEXT_LISTS; i++) {
        const NodeList *list = unit_list((Unit *)unit, i);
        for (int k = 0; k < list->len; k++)
            want(p, &all, list->at[k]);
    }
    for (int i = 0; i < unit->layers.len; i++)
        want(p, &all, unit->layers.at[i].output);
    for (int i = 0; i < unit->programs.len; i++)
        for (int k = 0; k < unit->programs.at[i].results.len; k++) {
            want(p, &all, unit->programs.at[i].results.at[k].node);
            want(p, &all, unit->programs.at[i].results.at[k].target);
        }
    return program_nodes(p->arena, &all);
}

static void print_nodes(Printer *p, const Unit *unit) {
    NodeList nodes = unit_nodes(p, unit);
    Map wanted;
    map_init(&wanted, p->arena);
    for (int i = 0; i < nodes.len; i++)
        map_put(&wanted, nodes.at[i], nodes.at[i]);
    for (int i = 0; i < unit->graph->nodes.len; i++) {
        Node *node = unit->graph->nodes.at[i];
        if (!map_has(&wanted, node)) continue;
        map_put(&p->number, node, (void *)(intptr_t)++p->numbers);
        print_node(p, node);
    }
    for (int i = 0; i < unit->graph->nodes.len; i++) { /* only now are they all numbered */
        Node *node = unit->graph->nodes.at[i];
        if (node->kind != NODE_SCAN || !map_has(&wanted, node)) continue;
        fputs("scan ", p->out);
        print_node_number(p, node);
        fputs(" of ", p->out);
        print_node_number(p, node->of);
        fputc('\n', p->out);
    }
}

/* ---- The unit around the nodes */
static void print_config(Printer *p, const TrainConfig *c) {
    fprintf(p->out,
            "config batch %" PRId64 " epochs %" PRId64 " steps %" PRId64 " seed %" PRIu64
            " leaves %" PRId64,
            c->batch, c->epochs, c->steps, c->seed, c->leaves);
    fputs(c->last_drop ? " last_drop" : "", p->out);
    fputs(c->batch_all ? " batch_all" : "", p->out);
    fputs(c->wants_two ? " wants_two" : "", p->out);
    fputs(c->stages_by_step ? " stages_by_step" : "", p->out);
    for (int i = 0; i < c->stages.len; i++)
        fprintf(p->out, " stage %" PRId64 " %" PRId64, c->stages.at[i].from, c->stages.at[i].size);
    for (int i = 0; i < c->loads.len; i++) {
        fputs(" load", p->out);
        print_name(p, c->loads.at[i].file);
        fprintf(p->out, " %d", c->loads.at[i].leaves.len);
        for (int k = 0; k < c->loads.at[i].leaves.len; k++)
            print_name(p, c->loads.at[i].leaves.at[k]);
    }
    fputs(c->best_max ? " best_max" : "", p->out);
    fputs(c->has_stop ? " has_stop" : "", p->out);
    if (c->best) {
        fputs(" best", p->out);
        print_name(p, c->best);
    }
    fputc('\n', p->out);
}

static void print_source(Printer *p, const DataSource *source) {
    fprintf(p->out, "source %s", source->format->name);
    for (int i = 0; i < source->files.len; i++) {
        fputs(" file", p->out);
        print_name(p, source->files.at[i]);
    }
    fputs(source->embed ? " embed" : "", p->out);
    for (int i = 0; i < source->columns.len; i++) {
        fputs(" column", p->out);
        print_name(p, source->columns.at[i].name);
        print_name(p, source->columns.at[i].column);
    }
    fputc('\n', p->out);
}

static void print_word(Printer *p, const char *key, const char *value) {
    fputs(key, p->out);
    print_name(p, value);
    fputc('\n', p->out);
}

static void print_head(Printer *p, const Unit *unit) {
    fprintf(p->out, "gradus graph %d\n", TEXT_VERSION);
    print_word(p, "model", unit->model);
    print_word(p, "train", unit->train_name);
    print_word(p, "file", unit->model_path);
    fprintf(p->out, "hash 0x%016" PRIx64 "\n", unit->model_hash);
    print_config(p, &unit->config);
    for (int i = 0; i < unit->sources.len; i++)
        print_source(p, &unit->sources.at[i]);
    for (int i = 0; i < unit->sets.len; i++) {
        const DataSet *set = &unit->sets.at[i];
        fputs("set", p->out);
        print_name(p, set->name);
        fprintf(p->out, " source %d from %d split %d\n", set->source, set->taken_from, set->split);
    }
    for (int i = 0; i < unit->hypers.len; i++) {
        fputs("hyper", p->out);
        print_name(p, unit->hypers.at[i].name);
        fputc(' ', p->out);
        print_number(p, unit->hypers.at[i].value);
        fputc('\n', p->out);
    }
    for (int i = 0; i < unit->outputs.len; i++)
        print_word(p, "output", unit->outputs.at[i]);
}

static void print_program(Printer *p, const Program *program) {
    fprintf(p->out, "program %s", text_program[program->kind]);
    print_name(p, program->name);
    fputc('\n', p->out);
    for (int i = 0; i < program->results.len; i++) {
        const Result *r = &program->results.at[i];
        fprintf(p->out, "  %s", text_result[r->kind]);
        print_name(p, r->name);
        if (r->target) {
            fputc(' ', p->out);
            print_node_number(p, r->target);
        }
        fputs(" = ", p->out);
        print_node_number(p, r->node);
        fputc('\n', p->out);
    }
}

void graph_print(FILE *out, const Unit *unit) {
    Printer p = {.out = out, .arena = arena_new()};
    map_init(&p.number, p.arena);
    print_head(&p, unit);
    print_nodes(&p, unit);
    for (int i = 0; i < TEXT_LISTS; i++) {
        const NodeList *list = unit_list((Unit *)unit, i);
        fputs(list->len ? text_list[i] : "", out);
        for (int k = 0; k < list->len; k++) {
            fputc(' ', out);
            print_node_number(&p, list->at[k]);
        }
        fputs(list->len ? "\n" : "", out);
    }
    for (int i = 0; i < unit->layers.len; i++) {
        fputs("layer", out);
        print_name(&p, unit->layers.at[i].path);
        print_name(&p, unit->layers.at[i].def);
        fputc(' ', out);
        print_node_number(&p, unit->layers.at[i].output);
        fputc('\n', out);
    }
    for (int i = 0; i < unit->programs.len; i++)
        print_program(&p, &unit->programs.at[i]);
    arena_free(p.arena);
}
