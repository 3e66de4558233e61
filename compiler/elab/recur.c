/* SPDX-License-Identifier: MIT
 * Values that are read at their own earlier index: `h[t - 1, k; 0]` while `h` is being made, or
 * before a later statement of the same body makes it. Needs front and ir.
 * Orders nothing: what depends on what is found in the graph (ir/scan.c). */
#include "elab_internal.h"
#include <string.h>

/* ---- The reference */
/* The binding of this body that will give the name a value; NULL where there is none. */
static const Target *binding_of(const Elab *e, Name name) {
    if (e->frame->lhs_target && e->frame->lhs_target->name == name) return e->frame->lhs_target;
    const Decl *decl = e->scope->decl;
    for (int i = 0; decl && i < decl->body.len; i++) {
        const Stmt *s = decl->body.at[i];
        if (s->kind != STMT_BIND || s->targets.len != 1) continue;
        const Target *t = &s->targets.at[0];
        if (t->name == name && t->indexed && !t->primed) return t;
    }
    return NULL;
}

/* Its shape: from the ranges that are known where it is being made, else from what is written. */
static bool shape_of(Elab *e, const Target *target, int *n, int64_t *ext, Name *axes) {
    bool now = target == e->frame->lhs_target;
    *n = 0;
    for (int i = 0; i < target->indices.len; i++) {
        int first = *n;
        if (now) {
            const Bind *b = &e->binds.at[e->frame->lhs_bind + i];
            if (*n + b->n > MAX_RANK) return false;
            memcpy(ext + *n, b->ext, sizeof *ext * (size_t)b->n);
            *n += b->n;
        } else if (!index_resolve(e, &target->indices.at[i], n, ext))
            return false;
        for (int k = first; k < *n; k++)
            axes[k] = target->indices.at[i].name;
    }
    return *n > 0;
}

static bool shape_quietly(Elab *e, const Target *target, int *n, int64_t *ext, Name *axes) {
    int failed = e->failed;
    e->quiet++;
    bool ok = shape_of(e, target, n, ext, axes);
    e->quiet--;
    e->failed = failed;
    return ok;
}

Value *recur_find(Elab *e, Name name, Span at) {
    Value *v = map_get(&e->scope->references, name);
    if (v || bind_find(e, name) || find_value(e, name) || extents_find(e, name)) return v;
    const Target *target = binding_of(e, name);
    if (!target) return NULL;
    int n;
    int64_t ext[MAX_RANK];
    Name *axes = NEW_ARRAY(e->arena, Name, MAX_RANK);
    if (!shape_quietly(e, target, &n, ext, axes)) {
        if (e->quiet || !at.file) return NULL;
        if (fail(e, at, "E0351", "`%s` is read here before its shape is known", name)) {
            fail_note(e, target->at, "it is given its value here");
            fail_help(e, "write the ranges of its indices: `%s[t, u: units] = …`", name);
        }
        return value_error(e);
    }
    v = value_new(e, VAL_TENSOR, target->at);
    v->node = graph_scan(e->g, n, ext, path_join(e->scope->path, name), target->at);
    v->axes = axes;
    map_put(&e->scope->references, name, v);
    return v;
}

/* ---- Its reads */
bool recur_read(Elab *e, const Expr *x, Value *base, const Ix *const *at, Span place) {
    Name name = x->base->name;
    const Ix *ix = at[0];
    bool fixed = e->frame->time >= 0 && ix->n == 1 && ix->term[0].kind == ATOM_DIM &&
                 ix->term[0].dim == e->frame->time && ix->term[0].coef == 1;
    if (!fixed || e->extent[e->frame->time] != base->node->extent[0]) {
        if (fail(
                e, place, "E0350",
                "`%s` has no value yet: it is read only at a fixed distance before the first index "
                "of what is being made",
                name))
            fail_help(e, "as in `%s[t, …] = … %s[t - 1, …; 0]`", name, name);
        return false;
    }
    if (!ix->c) {
        if (fail(e, place, "E0350", "`%s` is read at the index at which it is being made", name))
            fail_help(e, "a value may only be read at its own earlier index: `%s[t - 1, …; 0]`",
                      name);
        return false;
    }
    double sign = ix->c < 0 ? -1 : 1; /* of the reads so far */
    if (base->num != 0 && base->num != sign) {
        if (fail(e, place, "E0350", "`%s` is read both at earlier and at later indices", name))
            fail_help(e, "it is made in one direction: all `t - 1`, or all `t + 1`");
        return false;
    }
    base->num = sign;
    return true;
}

/* ---- The value */
typedef struct Members {
    const Map *groups;
    const ScanGroup *group;
    bool examples; /* something of an example is read besides the group itself */
} Members;

static void member_read(const Scalar *read, void *context) {
    Members *m = context;
    m->examples |= read->node->per_example && map_get(m->groups, read->node) != m->group;
}

static void check_group(Elab *e, Node *node, Name name, Span at) {
    Arena *scratch = arena_new();
    Program program = {.kind = PROGRAM_KINDS};
    VEC_PUSH(scratch, program.results, (Result){.node = node});
    Map groups;
    map_init(&groups, scratch);
    program_groups(scratch, &program, &groups);
    const ScanGroup *group = map_get(&groups, node);
    Members members = {.groups = &groups, .group = group};
    for (int i = 0; group && i < group->nodes.len; i++) {
        const Scalar *body = group->nodes.at[i]->body;
        if (!body) continue;
        sc_reads(body, member_read, &members);
        members.examples |= body->draws_own;
    }
    if (group && group->fault) {
        if (fail(e, at, "E0350",
                 "`%s` depends on itself, but not on its own earlier index alone: %s", name,
                 group->fault) &&
            group->where && group->where->at.file)
            fail_note(e, group->where->at, "here");
    } else if (group && !members.examples) {
        unavailable(e, at, "a recurrence that is the same for all examples");
    }
    arena_free(scratch);
}

void recur_close(Elab *e, const Target *target, const Value *v) {
    Value *reference = map_get(&e->scope->references, target->name);
    if (!reference) return;
    map_put(&e->scope->references, target->name, NULL);
    Node *scan = reference->node;
    if (v->kind == VAL_ERROR) return;
    if (v->kind != VAL_TENSOR || v->npre || v->truth) {
        unavailable(e, target->at,
                    v->truth ? "a recurrence of conditions" : "a recurrence under another index");
        return;
    }
    if (value_rank(v) != scan->rank ||
        memcmp(value_extent(v), scan->extent, sizeof *scan->extent * (size_t)scan->rank)) {
        fail(e, target->at, "E0351", "`%s` is read above as %s, but it is %s", target->name,
             value_text(e, reference), value_text(e, v));
        return;
    }
    if (!v->node->per_example) {
        unavailable(e, target->at, "a recurrence that is the same for all examples");
        return;
    }
    scan_bind(e->g, scan, v->node);
    check_group(e, v->node, target->name, target->at);
}
