/* SPDX-License-Identifier: MIT
 * The unit's programs: initial values, fits, one update, evaluation, prediction.
 * Needs ir. What stands in a step is train.c's and update.c's. */
#include "elab_internal.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

Program *program_new(Elab *e, ProgramKind kind, const char *name) {
    Program p = {.kind = kind, .name = name_of(name)};
    VEC_PUSH(e->arena, e->unit->programs, p);
    return &e->unit->programs.at[e->unit->programs.len - 1];
}

void program_value(Elab *e, Program *p, Name name, Node *node) {
    Result r = {.kind = RESULT_VALUE, .name = name, .node = node};
    VEC_PUSH(e->arena, p->results, r);
}

void program_next(Elab *e, Program *p, Node *target, Node *node) {
    Result r = {.kind = RESULT_NEXT, .name = target->name, .target = target, .node = node};
    VEC_PUSH(e->arena, p->results, r);
}

void program_init(Elab *e) {
    Program *p = program_new(e, PROGRAM_INIT, "init");
    for (int i = 0; i < e->param_list.len; i++)
        program_next(e, p, e->param_list.at[i]->leaf, e->param_list.at[i]->init);
    for (int i = 0; i < e->state_list.len; i++)
        program_next(e, p, e->state_list.at[i]->leaf, e->state_list.at[i]->init);
    for (int i = 0; i < e->fit_list.len; i++) {
        const FitRec *fit = e->fit_list.at[i];
        program_next(e, p, fit->leaf,
                     graph_const(e->g, fit->leaf->rank, fit->leaf->extent, fit->start));
    }
}

void program_fits(Elab *e) {
    int levels = 0;
    for (int i = 0; i < e->fit_list.len; i++)
        levels = e->fit_list.at[i]->level + 1 > levels ? e->fit_list.at[i]->level + 1 : levels;
    for (int level = 0, number = 0; level < levels; level++)
        for (int once = 0; once < 2; once++) { /* what needs no examples is not run for each */
            Program *p = NULL;
            for (int i = 0; i < e->fit_list.len; i++) {
                const FitRec *fit = e->fit_list.at[i];
                if (fit->level != level || fit->once != once) continue;
                if (!p)
                    p = program_new(e, PROGRAM_FIT, arena_printf(e->arena, "fit%d", number++));
                program_next(e, p, fit->leaf, fit->next);
            }
        }
}

/* ---- Prediction: outputs, and what the loss says of them */
void program_outputs(Elab *e, ProgramKind kind, const char *program) {
    Program *p = program_new(e, kind, program);
    for (int i = 0; i < e->model_outputs.len; i++) {
        Value *v = e->model_outputs.at[i];
        Name name = e->unit->outputs.at[i];
        Node *node = value_whole(e, v, name, v->at);
        if (node) program_value(e, p, name, node);
        for (int k = 0; node && k < e->clauses.len; k++)
            if (e->clauses.at[k].output == node)
                program_value(e, p, name_printf("%s.%s", name, e->clauses.at[k].name),
                              e->clauses.at[k].node);
    }
}

/* ---- The unit as a whole */
static void gather_leaf(Elab *e, Node *node) {
    Unit *u = e->unit;
    if (node->kind == NODE_INPUT && node->per_example && strcmp(node->name, "live")) {
        for (int i = 0; i < u->inputs.len; i++)
            if (u->inputs.at[i] == node) return;
        VEC_PUSH(e->arena, u->inputs, node);
    }
    if (node->kind == NODE_HYPER && !strncmp(node->name, "set:", 4)) {
        const Hyper *h = map_get(&e->settable, name_of(node->name + 4));
        if (h) VEC_PUSH(e->arena, u->hypers, *h);
    }
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const Hyper *)a)->name, ((const Hyper *)b)->name);
}

static void gather(Elab *e) {
    Map seen;
    map_init(&seen, e->arena);
    for (int i = 0; i < e->unit->programs.len; i++) {
        NodeList nodes = program_nodes(e->arena, &e->unit->programs.at[i]);
        for (int k = 0; k < nodes.len; k++)
            if (!map_has(&seen, nodes.at[k])) {
                map_put(&seen, nodes.at[k], nodes.at[k]);
                gather_leaf(e, nodes.at[k]);
            }
    }
    if (e->unit->hypers.len > 1)
        qsort(e->unit->hypers.at, (size_t)e->unit->hypers.len, sizeof *e->unit->hypers.at, by_name);
}

static uint64_t hash_text(uint64_t hash, const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) /* FNV-1a */
        hash = (hash ^ (unsigned char)text[i]) * 1099511628211u;
    return hash;
}

/* Of the file and of those that it uses, in the order of their declarations. */
static uint64_t hash_files(const Module *m) {
    const Source *own = source_get(m->file);
    uint64_t hash = hash_text(14695981039346656037u, own->text, own->length);
    for (int i = 0; i < m->decls.len; i++) {
        uint32_t file = m->decls.at[i]->at.file;
        const Source *source = source_get(file);
        bool first = i == 0 || m->decls.at[i - 1]->at.file != file;
        if (first && source && !source->library && file != m->file)
            hash = hash_text(hash, source->text, source->length);
    }
    return hash;
}

void unit_finish(Elab *e) {
    Unit *u = e->unit;
    require_program(e);
    const Source *source = source_get(e->module->file);
    if (source) {
        char folder[PATH_MAX], path[PATH_MAX];
        snprintf(path, sizeof path, "%s", source->path);
        char *slash = strrchr(path, '/');
        if (slash) slash[slash == path] = 0;
        u->model_path = source->path;
        u->model_dir =
            arena_printf(e->arena, "%s", realpath(slash ? path : ".", folder) ? folder : ".");
        u->model_hash = hash_files(e->module);
    }
    for (int i = 0; i < e->param_list.len; i++)
        VEC_PUSH(e->arena, u->params, e->param_list.at[i]->leaf);
    for (int i = 0; i < e->state_list.len; i++)
        VEC_PUSH(e->arena, u->states, e->state_list.at[i]->leaf);
    for (int i = 0; i < e->fit_list.len; i++)
        VEC_PUSH(e->arena, u->fitted, e->fit_list.at[i]->leaf);
    for (int i = 0; i < e->after_list.len; i++)
        VEC_PUSH(e->arena, u->fitted, e->after_list.at[i]->leaf);
    gather(e);
}

static const Decl *choose_train(Elab *e, Name name) {
    const Module *m = e->module;
    for (int i = 0; i < m->trains.len; i++)
        if (!name || m->trains.at[i]->name == name) return m->trains.at[i];
    if (name) fail(e, (Span){.file = m->file}, "E0504", "no training is called `%s`", name);
    return NULL;
}

static const Decl *choose_model(Elab *e, const Decl *train) {
    const Module *m = e->module;
    if (train) {
        const Decl *model = map_get(&m->models, train->model);
        if (!model)
            fail(e, train->at, "E0504", "unknown model `%s`", train->model ? train->model : "");
        return model;
    }
    for (int i = m->decls.len - 1; i >= 0; i--)
        if (m->decls.at[i]->kind == DECL_MODEL && !m->decls.at[i]->library) return m->decls.at[i];
    fail(e, (Span){.file = m->file}, "E0505", "the file has no model");
    return NULL;
}

Unit *elab_unit(Arena *arena, const Module *module, Name train_name) {
    if (!module || diag_errors() > 0) return NULL;
    Elab *e = elab_new(arena, module);
    e->train = choose_train(e, train_name);
    if (e->failed || !(e->model = choose_model(e, e->train))) return NULL;
    if (e->train && e->train->data && !(e->data = map_get(&module->datas, e->train->data)))
        fail(e, e->train->at, "E0504", "unknown data `%s`", e->train->data);
    e->unit->model = e->model->name;
    e->unit->train_name = e->train ? e->train->name : NULL;
    e->unit->config.leaves = 16;
    e->unit->config.best = name_of("loss");
    if (!model_inputs_make(e)) return NULL;
    data_elaborate(e);
    if (e->train) train_config(e);
    if (e->train && !e->failed) order_elaborate(e);
    e->mode = MODE_EVAL;
    bool ran = model_run(e, e->model_inputs.at);
    if (e->train && ran) train_programs(e);
    if (e->failed) return NULL;
    program_outputs(e, PROGRAM_PREDICT, "predict");
    program_sample(e);
    program_fits(e);
    program_init(e);
    unit_finish(e);
    return e->failed ? NULL : e->unit;
}
