/* SPDX-License-Identifier: MIT
 * The elaborator's own housekeeping: messages with the chain of uses, dimensions, scopes, leaves
 * that every program shares, hyperparameters that can be set. Needs ir and front.
 * Evaluates nothing. */
#include "elab_internal.h"
#include <math.h>
#include <string.h>

Elab *elab_new(Arena *arena, const Module *module) {
    Elab *e = NEW(arena, Elab);
    e->arena = arena;
    e->module = module;
    e->g = graph_new(arena);
    e->unit = NEW(arena, Unit);
    e->unit->arena = arena;
    e->unit->graph = e->g;
    Map *maps[] = {&e->params,   &e->states,  &e->fits,       &e->settable,    &e->site_names,
                   &e->ordinals, &e->visits,  &e->has_params, &e->weight_sums, &e->weight_moves, &e->weights_done,
                   &e->metrics,  &e->targets, &e->tables,     &e->settings};
    for (int i = 0; i < LENGTH(maps); i++)
        map_init(maps[i], arena);
    e->scope = scope_new(e, NULL, NULL, NULL);
    e->frame = NEW(arena, Frame);
    *e->frame = frame_new();
    return e;
}

/* ---- Messages. The place shown first is the innermost one in the user's own text; a place inside
 * the library follows as a note. */
static bool in_library(Span at) {
    const Source *source = source_get(at.file);
    return !source || source->library;
}

static void note_uses(Elab *e, int below) {
    for (int i = below - 1, shown = 0; i >= 0 && shown < 8; i--, shown++)
        diag_note(e->uses.at[i].at, "in the use of `%s` here", e->uses.at[i].decl->name);
}

static Span place_of_use(const Elab *e, Span at, int *use) {
    Span place = at;
    *use = e->uses.len;
    while (in_library(place) && *use > 0)
        place = e->uses.at[--*use].at;
    if (!in_library(place)) return place;
    *use = e->uses.len;
    return at;
}

Span user_place(const Elab *e, Span at) {
    int use;
    return place_of_use(e, at, &use);
}

bool fail(Elab *e, Span at, const char *code, const char *format, ...) {
    e->failed++;
    if (e->quiet) return false;
    va_list args;
    va_start(args, format);
    char text[1024];
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    int use;
    Span place = place_of_use(e, at, &use);
    diag_error(place, code, "%s", text);
    if (use < e->uses.len && at.file)
        diag_note(at, "inside `%s`, here", e->uses.at[e->uses.len - 1].decl->name);
    note_uses(e, use);
    return true;
}

void fail_note(Elab *e, Span at, const char *format, ...) {
    if (e->quiet || !at.file) return;
    va_list args;
    va_start(args, format);
    char text[512];
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    diag_note(at, "%s", text);
}

void fail_help(Elab *e, const char *format, ...) {
    if (e->quiet) return;
    va_list args;
    va_start(args, format);
    char text[512];
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    diag_help("%s", text);
}

void unavailable(Elab *e, Span at, const char *what) {
    fail(e, at, "E0590", "%s is not available yet", what);
}

/* ---- Dimensions: numbers that are bound now, whatever expression or def they belong to. */
int dim_new(Elab *e, int64_t extent, Span at) {
    for (int d = 0; d < LIVE_DIMS; d++)
        if (!(e->dims_used >> d & 1)) {
            e->dims_used |= 1u << d;
            e->extent[d] = extent;
            return d;
        }
    fail(e, at, "E0312", "more than %d indices are bound at one place", LIVE_DIMS);
    return -1;
}

void dim_free(Elab *e, int dim) {
    e->dims_used &= ~(1u << dim);
}

const char *shape_text(Elab *e, int rank, const int64_t *extent) {
    const char *text = "[";
    for (int i = 0; i < rank; i++)
        text = arena_printf(e->arena, "%s%s%lld", text, i ? ", " : "", (long long)extent[i]);
    return arena_printf(e->arena, "%s]", text);
}

/* ---- Scopes and leaves */
Scope *scope_new(Elab *e, const Decl *decl, Name path, Name hyper) {
    Scope *s = NEW(e->arena, Scope);
    s->decl = decl;
    s->path = path;
    s->hyper = hyper;
    s->table = -1;
    map_init(&s->values, e->arena);
    map_init(&s->primed, e->arena);
    map_init(&s->extents, e->arena);
    map_init(&s->draws, e->arena);
    map_init(&s->gone, e->arena);
    map_init(&s->derivatives, e->arena);
    map_init(&s->references, e->arena);
    return s;
}

Frame frame_new(void) {
    return (Frame){.anon_ok = true, .nanon = -1, .time = -1};
}

Node *hyper_leaf(Elab *e, const char *name) {
    return graph_leaf(e->g, NODE_HYPER, name_of(name), false, 0, NULL, 0, (Span){0});
}

Value *hyper_value(Elab *e, const char *name, Span at) {
    return value_scalar(e, sc_read(e->g, hyper_leaf(e, name), NULL, NULL), at);
}

Node *live_leaf(Elab *e) {
    return graph_leaf(e->g, NODE_INPUT, name_of("live"), true, 0, NULL, 0, (Span){0});
}

uint32_t hash_place(const char *text) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    return hash;
}

/* ---- Hyperparameters that `--set PATH=…` may change */
typedef struct FindSet {
    Map seen; /* nodes: an expression may reach one in many ways */
    bool found;
} FindSet;

static void find_set(const Scalar *read, void *context) {
    FindSet *find = context;
    const Node *node = read->node; /* a metric is no choice of the user's either */
    if (node->kind == NODE_HYPER && (!strncmp(node->name, "set:", 4) || strchr(node->name, '.'))) {
        find->found = true;
    } else if (node->kind == NODE_COMP && node->rank == 0 && node->wide &&
               !map_has(&find->seen, node)) {
        map_put(&find->seen, node, NULL);
        sc_reads(node->body, find_set, find);
    }
}

static bool has_set(const Scalar *s) {
    if (!s->reads) return false;
    FindSet find = {.found = false};
    Arena *scratch = arena_new();
    map_init(&find.seen, scratch);
    sc_reads(s, find_set, &find);
    arena_free(scratch);
    return find.found;
}

/* NaN where it takes more than `steps`: the number is only shown. */
static double value_at_start(const Scalar *s, int *steps) {
    if (--*steps < 0) return NAN;
    switch (s->kind) {
    case SC_CONST:
        return s->value;
    case SC_READ:
        if (s->node->kind == NODE_COMP && s->node->rank == 0 && s->node->reduce == RED_NONE)
            return value_at_start(s->node->body, steps);
        return s->node->kind == NODE_HYPER && !strncmp(s->node->name, "set:", 4) ? NAN
               : s->node->kind == NODE_HYPER && s->node->name == name_of("step") ? 1
               : s->node->kind == NODE_HYPER &&
                       (s->node->name == name_of("epoch") || s->node->name == name_of("progress"))
                   ? 0
                   : NAN;
    case SC_OP: {
        double v[3] = {0};
        for (int i = 0; i < op_info[s->op].arity; i++)
            v[i] = value_at_start(s->arg[i], steps);
        return op_info[s->op].value(v[0], v[1], v[2]);
    }
    default:
        return NAN;
    }
}

double scalar_at_start(const Scalar *s) {
    int steps = 10000;
    return value_at_start(s, &steps);
}

Value *settable_value(Elab *e, Value *v, Name path) {
    if (v->kind != VAL_NUMBER || v->truth || v->fixed || !path || v->s->dims ||
        (!v->known && !v->s->wide))
        return v;
    if (has_set(v->s)) return v;
    const char *name = arena_printf(e->arena, "set:%s", path);
    const Scalar *set = sc_read(e->g, hyper_leaf(e, name), NULL, NULL);
    const Scalar *given = sc_op(e->g, OP_EQ, set, set, NULL); /* not NaN */
    const Scalar *body = sc_op(e->g, OP_SELECT, given, set, v->s);
    Node *node = graph_map(e->g, 0, NULL, body, path, v->at);
    if (!map_has(&e->settable, path)) {
        Hyper *hyper = NEW(e->arena, Hyper);
        hyper->name = name_of(name);
        hyper->value = v->known ? v->num : scalar_at_start(v->s);
        map_put(&e->settable, path, hyper);
    }
    Value *settable = value_new(e, VAL_NUMBER, v->at);
    *settable = *v;
    settable->s = sc_read(e->g, node, NULL, NULL);
    return settable;
}
