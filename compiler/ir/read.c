/* SPDX-License-Identifier: MIT
 * Reads the text form of a unit (print.c writes it) by recursive descent.
 * Needs base and ir.h.
 * Trusts nothing: the first fault is diagnosed at its place and ends the reading. */
#include "intern.h"
#include "read.h"
#include "text.h"

static void read_config(Reader *r) {
    TrainConfig *c = &r->unit->config;
    for (;;) {
        if (text_take_word(r, "batch"))
            c->batch = text_integer(r);
        else if (text_take_word(r, "epochs"))
            c->epochs = text_integer(r);
        else if (text_take_word(r, "steps"))
            c->steps = text_integer(r);
        else if (text_take_word(r, "seed"))
            c->seed = text_unsigned(r);
        else if (text_take_word(r, "leaves"))
            c->leaves = text_integer(r);
        else if (text_take_word(r, "last_drop"))
            c->last_drop = true;
        else if (text_take_word(r, "batch_all"))
            c->batch_all = true;
        else if (text_take_word(r, "wants_two"))
            c->wants_two = true;
        else if (text_take_word(r, "stages_by_step"))
            c->stages_by_step = true;
        else if (text_take_word(r, "stage")) {
            BatchStage stage = {.from = text_integer(r)};
            stage.size = text_integer(r);
            VEC_PUSH(r->arena, c->stages, stage);
        } else if (text_take_word(r, "load")) {
            Load load = {.file = text_name(r)};
            for (int64_t n = text_integer(r); n > 0; n--)
                VEC_PUSH(r->arena, load.leaves, text_name(r));
            VEC_PUSH(r->arena, c->loads, load);
        } else if (text_take_word(r, "best_max"))
            c->best_max = true;
        else if (text_take_word(r, "has_stop"))
            c->has_stop = true;
        else
            break;
    }
    if (text_take_word(r, "best")) c->best = text_name(r);
}

static void read_source(Reader *r) {
    DataSource source = {.at = r->span};
    source.format = r->kind == TOKEN_WORD ? format_find(r->text) : NULL;
    if (!source.format) text_fail(r, r->span, "unknown format of a source");
    text_next(r);
    while (text_take_word(r, "file"))
        VEC_PUSH(r->arena, source.files, text_name(r));
    if (source.files.len < source.format->least || source.files.len > source.format->most)
        text_fail(r, source.at, "as many files as the format takes");
    source.embed = text_take_word(r, "embed");
    while (text_take_word(r, "column")) {
        Column column = {.name = text_name(r)};
        column.column = text_name(r);
        VEC_PUSH(r->arena, source.columns, column);
    }
    VEC_PUSH(r->arena, r->unit->sources, source);
}

static void read_set(Reader *r) {
    DataSet set = {.name = text_name(r)};
    Span at = r->span;
    text_expect_word(r, "source");
    set.source = text_int(r);
    text_expect_word(r, "from");
    set.taken_from = text_int(r);
    text_expect_word(r, "split");
    set.split = text_int(r);
    if (set.source < 0 || set.source >= r->unit->sources.len || set.taken_from >= r->unit->sets.len)
        text_fail(r, at, "a source or set that was not written before");
    VEC_PUSH(r->arena, r->unit->sets, set);
}

static void read_layer(Reader *r) {
    LayerRow row = {.at = r->span, .path = text_name(r)};
    row.def = text_name(r);
    row.output = text_node_number(r);
    VEC_PUSH(r->arena, r->unit->layers, row);
}

static void read_result(Reader *r, Program *program, ResultKind kind) {
    Result result = {.kind = kind, .name = text_name(r)};
    if (kind == RESULT_NEXT || r->mark == '%') result.target = text_node_number(r);
    text_expect(r, '=');
    result.node = text_node_number(r);
    VEC_PUSH(r->arena, program->results, result);
}

static void read_program(Reader *r) {
    int kind = r->kind == TOKEN_WORD ? text_find(text_program, PROGRAM_KINDS, r->text) : -1;
    if (kind < 0) text_fail(r, r->span, "unknown kind of program");
    text_next(r);
    Program program = {.kind = (ProgramKind)kind, .name = text_name(r)};
    if (!program.name) text_fail(r, r->span, "a program needs a name");
    for (;;) {
        int result = r->kind == TOKEN_WORD ? text_find(text_result, RESULT_STOP + 1, r->text) : -1;
        if (result < 0) break;
        text_next(r);
        read_result(r, &program, (ResultKind)result);
    }
    VEC_PUSH(r->arena, r->unit->programs, program);
}

static void read_hyper(Reader *r) {
    Hyper hyper = {.name = text_name(r)};
    hyper.value = text_number(r);
    VEC_PUSH(r->arena, r->unit->hypers, hyper);
}

static void read_list(Reader *r) {
    int list = r->kind == TOKEN_WORD ? text_find(text_list, TEXT_LISTS, r->text) : -1;
    if (list < 0)
        text_fail(r, r->span,
                  "expected a node, a list of leaves, a program or another part of a unit");
    text_next(r);
    while (r->mark == '%') {
        Node *node = text_node_number(r);
        VEC_PUSH(r->arena, *unit_list(r->unit, list), node);
    }
}

/* `scan %3 of %9` */
static void read_scan(Reader *r) {
    Span at = r->span;
    Node *scan = text_node_number(r);
    text_expect_word(r, "of");
    Node *of = text_node_number(r);
    const char *fault = scan_fault(r->g, scan, of);
    if (fault) text_fail(r, at, fault);
    scan_bind(r->g, scan, of);
}

static void read_part(Reader *r) {
    Unit *unit = r->unit;
    if (r->mark == '%')
        text_node(r);
    else if (text_take_word(r, "model"))
        unit->model = text_name(r);
    else if (text_take_word(r, "train"))
        unit->train_name = text_name(r);
    else if (text_take_word(r, "file"))
        unit->model_path = text_name(r);
    else if (text_take_word(r, "hash"))
        unit->model_hash = text_unsigned(r);
    else if (text_take_word(r, "config"))
        read_config(r);
    else if (text_take_word(r, "source"))
        read_source(r);
    else if (text_take_word(r, "set"))
        read_set(r);
    else if (text_take_word(r, "hyper"))
        read_hyper(r);
    else if (text_take_word(r, "output"))
        VEC_PUSH(r->arena, unit->outputs, text_name(r));
    else if (text_take_word(r, "scan"))
        read_scan(r);
    else if (text_take_word(r, "layer"))
        read_layer(r);
    else if (text_take_word(r, "program"))
        read_program(r);
    else
        read_list(r);
}

Unit *graph_read(Arena *arena, uint32_t file) {
    const Source *source = source_get(file);
    if (!source) bug("graph_read of no file");
    Reader *r = NEW(arena, Reader);
    r->arena = arena, r->file = file, r->start = r->at = source->text;
    r->unit = NEW(arena, Unit);
    r->unit->arena = arena;
    r->unit->graph = r->g = graph_new(arena);
    if (setjmp(r->fault)) return NULL;
    text_next(r);
    text_expect_word(r, "gradus"), text_expect_word(r, "graph");
    Span at = r->span;
    if (text_int(r) != TEXT_VERSION) text_fail(r, at, "another version of the text form");
    while (r->kind != TOKEN_END)
        read_part(r);
    for (int i = 0; i < r->unit->sets.len; i++)
        if (r->unit->sets.at[i].split >= r->unit->programs.len)
            text_fail(r, r->span, "a set is split by a program that is not there");
    for (int i = 0; i < r->nodes.len; i++)
        if (r->nodes.at[i]->kind == NODE_SCAN && !r->nodes.at[i]->of)
            text_fail(r, r->span, "a reference that stands for nothing");
    const char *wrong = graph_fault(r->unit, 0);
    if (wrong) text_fail(r, r->span, wrong);
    return r->unit;
}
