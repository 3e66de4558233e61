/* SPDX-License-Identifier: MIT
 * Parameters, states and their updates: leaves by path, initial values, shapes taken from updates.
 * Needs front and ir. Optimizers are applied by update.c. */
#include "elab_internal.h"
#include <string.h>

/* ---- Shapes */
static bool target_shape(Elab *e, const Target *t, int *rank, int64_t *ext) {
    *rank = 0;
    for (int i = 0; i < t->indices.len; i++)
        if (!index_resolve(e, &t->indices.at[i], rank, ext)) return false;
    return true;
}

static const Name *target_axes(Elab *e, const Target *t) {
    Name *axes = NEW_ARRAY(e->arena, Name, MAX_RANK + 1);
    for (int i = 0, k = 0; i < t->indices.len; i++) {
        const Index *x = &t->indices.at[i];
        const Extents *pack = x->pack ? extents_find(e, x->name) : NULL;
        for (int n = pack ? pack->n : 1; n > 0 && k < MAX_RANK; n--)
            axes[k++] = x->name;
    }
    return axes;
}

typedef struct Search { /* for the shape of what a state is updated with */
    Elab *e;
    const StmtList *body;
    int depth, rank;
    int64_t ext[MAX_RANK];
} Search;
static bool search_expr(Search *s, const Expr *x);

static bool search_value(Search *s, const Value *v) {
    if (!v || v->kind != VAL_TENSOR || value_rank(v) == 0) return false;
    s->rank = value_rank(v);
    memcpy(s->ext, value_extent(v), sizeof *s->ext * (size_t)s->rank);
    return true;
}

static bool search_name(Search *s, Name name, bool primed) {
    if (search_value(s, primed ? find_primed(s->e, name) : find_value(s->e, name))) return true;
    if (s->depth > 8) return false;
    for (int i = 0; i < s->body->len; i++) {
        const Stmt *stmt = s->body->at[i];
        const Target *t = stmt->targets.len == 1 ? &stmt->targets.at[0] : NULL;
        if (stmt->kind != STMT_BIND || !t || t->name != name || t->primed != primed) continue;
        s->depth++;
        bool found;
        if (t->indexed) {
            s->e->quiet++;
            int failed = s->e->failed;
            found = target_shape(s->e, t, &s->rank, s->ext) && s->rank > 0;
            s->e->failed = failed;
            s->e->quiet--;
        } else
            found = search_expr(s, stmt->value);
        s->depth--;
        return found;
    }
    return false;
}

static bool search_expr(Search *s, const Expr *x) {
    if (!x || x->kind == EXPR_READ || x->kind == EXPR_REDUCE) return false;
    if (x->kind == EXPR_NAME || x->kind == EXPR_PRIMED)
        return search_name(s, x->name, x->kind == EXPR_PRIMED);
    int shape = x->kind == EXPR_CALL && x->base->kind == EXPR_NAME ? gradient_shape(x->base->name) : -1;
    if (shape >= 0) return shape < x->args.len && search_expr(s, x->args.at[shape].value);
    for (int i = 0; i < x->args.len; i++)
        if (!x->args.at[i].name && search_expr(s, x->args.at[i].value)) return true;
    return search_expr(s, x->a) || search_expr(s, x->b) || search_expr(s, x->c);
}

static void state_shape(Elab *e, Name name, int *rank, int64_t *ext) {
    *rank = 0;
    if (!e->scope->decl) return;
    Search s = {.e = e, .body = &e->scope->decl->body};
    for (int i = 0; i < s.body->len; i++) {
        const Stmt *stmt = s.body->at[i];
        if (stmt->kind != STMT_BIND || stmt->targets.len != 1 || !stmt->targets.at[0].primed ||
            stmt->targets.at[0].name != name)
            continue;
        if (!search_name(&s, name, true)) return;
        *rank = s.rank;
        memcpy(ext, s.ext, sizeof *ext * (size_t)s.rank);
    }
}

/* ---- Initial values */
/* What a node is before the first step: parameters and states are their initial values. */
static Node *at_start(Elab *e, Node *node);

static const Scalar *read_at_start(Graph *g, const Scalar *leaf, void *context) {
    if (leaf->kind != SC_READ) return NULL;
    Node *node = at_start(context, leaf->node);
    return node == leaf->node ? NULL : sc_read(g, node, leaf->at, leaf->outside);
}

static Node *at_start(Elab *e, Node *node) {
    const ParamRec *param = node->kind == NODE_PARAM ? map_get(&e->params, node->name) : NULL;
    const StateRec *state = node->kind == NODE_STATE ? map_get(&e->states, node->name) : NULL;
    if (param && param->init) return param->init;
    if (state) return state->init;
    if (node->kind != NODE_COMP) return node;
    CompSpec spec = node_spec(node);
    spec.body = sc_rewrite(e->g, node->body, read_at_start, e);
    return spec.body == node->body ? node : graph_comp(e->g, &spec);
}

/* A matrix [rows, columns] gives a parameter of more dimensions its rows one after the other. */
static bool is_matrix_of(const Node *matrix, int rank, const int64_t *ext) {
    int64_t columns = 1;
    for (int i = 1; i < rank; i++)
        columns *= ext[i];
    return rank > 2 && matrix->rank == 2 && matrix->extent[0] == ext[0] &&
           matrix->extent[1] == columns;
}

static Node *matrix_rows(Elab *e, Node *matrix, int rank, const int64_t *ext, Name path, Span at) {
    const Ix *within = ix_const(e->g, 0);
    for (int i = 1; i < rank; i++)
        within = ix_add(e->g, ix_scale(e->g, within, ext[i]), ix_dim(e->g, i));
    const Ix *place[2] = {ix_dim(e->g, 0), within};
    return graph_map(e->g, rank, ext, sc_read(e->g, matrix, place, NULL), path, at);
}

static Node *init_node(Elab *e, const Value *v, const int *dims, int rank, Name path, Span at) {
    int64_t ext[MAX_RANK];
    for (int i = 0; i < rank; i++)
        ext[i] = e->extent[dims[i]];
    Node *node = NULL;
    if (v->kind == VAL_NUMBER)
        node = make_node(e, v->s, rank, 0, dims, RED_NONE, false, path, at);
    else if (v->kind == VAL_TENSOR && v->npre == 0 && v->node->rank == rank &&
             !memcmp(v->node->extent, ext, sizeof *ext * (size_t)rank))
        node = v->node;
    else if (v->kind == VAL_TENSOR && v->npre == 0 && is_matrix_of(v->node, rank, ext))
        node = matrix_rows(e, v->node, rank, ext, path, at);
    if (!node && v->kind != VAL_ERROR && v->kind != VAL_NUMBER)
        fail(e, at, "E0423", "the initial value of `%s` of shape %s is %s", path,
             shape_text(e, rank, ext), value_text(e, v));
    if (node) node = at_start(e, node);
    if (node && node->per_example) {
        fail(e, at, "E0424", "the initial value of `%s` depends on the example", path);
        return NULL;
    }
    return node;
}

/* Evaluated where it stands, as a left-hand side of the whole shape, for the program `init`. */
static Value *init_value(Elab *e, const Stmt *stmt, Name path, int rank, const int64_t *ext,
                         Node **init) {
    const Target *t = &stmt->targets.at[0];
    Scope *scope = e->scope;
    Name outer_path = scope->path, outer_hyper = scope->hyper;
    Mode mode = e->mode;
    bool training = e->training;
    Frame frame = frame_new(), *outer = e->frame;
    int first = e->binds.len, n = 0;
    bool ok = true;
    *init = NULL;
    for (int i = 0; i < rank; i++)
        ok = (frame.lhs[frame.nlhs++] = dim_new(e, ext[i], stmt->at)) >= 0 && ok;
    for (int i = 0; i < t->indices.len && ok; i++) { /* `i: n` binds i; a name alone is an extent */
        const Index *x = &t->indices.at[i];
        const Extents *pack = x->pack ? extents_find(e, x->name) : NULL;
        if (x->name && (x->pack || x->extent)) {
            Bind b = {.name = x->name, .pack = x->pack, .known = true, .placed = true, .at = x->at};
            for (b.n = 0; b.n < (pack ? pack->n : 1); b.n++) {
                b.ext[b.n] = ext[n + b.n];
                b.dim[b.n] = frame.lhs[n + b.n];
            }
            VEC_PUSH(e->arena, e->binds, b);
        }
        n += pack ? pack->n : 1;
    }
    Value *v = value_error(e);
    if (ok) {
        frame.anon_ok = false;
        e->frame = &frame;
        e->mode = MODE_INIT;
        e->training = false;
        scope->path = path;
        scope->hyper = path_join(outer_hyper, t->name);
        v = eval_arg(e, stmt->value);
        if (v->kind == VAL_DEF) v = apply_init(e, v, NULL, 0, stmt->value->at);
        if (v->kind == VAL_TENSOR && v->axes && value_rank(v) != rank &&
            (v->npre || !is_matrix_of(v->node, rank, ext)))
            v = value_number(e, v, stmt->value->at); /* the same along the indices that it lacks */
        if (v->kind != VAL_NONE) *init = init_node(e, v, frame.lhs, rank, path, stmt->value->at);
    }
    e->binds.len = first;
    for (int i = 0; i < frame.nlhs; i++)
        if (frame.lhs[i] >= 0) dim_free(e, frame.lhs[i]);
    scope->path = outer_path;
    scope->hyper = outer_hyper;
    e->frame = outer;
    e->mode = mode;
    e->training = training;
    return v;
}

static Value *leaf_value(Elab *e, Node *node, const Target *t, Span at) {
    Value *v = value_node(e, node, at);
    if (v->kind == VAL_TENSOR && t->indexed) v->axes = target_axes(e, t);
    return v;
}

static bool same_shape(const Node *node, int rank, const int64_t *ext) {
    return node->rank == rank && !memcmp(node->extent, ext, sizeof *ext * (size_t)rank);
}

/* ---- param */
void run_param(Elab *e, const Stmt *stmt) {
    const Target *t = &stmt->targets.at[0];
    int rank = 0;
    int64_t ext[MAX_RANK];
    map_put(&e->scope->values, t->name, value_error(e));
    if (e->mode == MODE_EPOCH || e->mode == MODE_UPDATE || e->mode == MODE_SPLIT) {
        fail(e, stmt->at, "E0425", "a parameter belongs to a model, not to its training");
        return;
    }
    if (!target_shape(e, t, &rank, ext)) return;
    Name path = path_join(e->scope->path, t->name);
    ParamRec *rec = map_get(&e->params, path);
    if (!rec) {
        Node *init;
        Value *v = init_value(e, stmt, path, rank, ext, &init);
        if (v->kind != VAL_NONE && !init) return;
        rec = NEW(e->arena, ParamRec);
        rec->init = init;
        map_put(&e->params, path, rec);
        if (init) {
            rec->leaf = graph_leaf(e->g, NODE_PARAM, path, false, rank, ext, 0, t->at);
            VEC_PUSH(e->arena, e->param_list, rec);
        }
    }
    if (!rec->leaf) {
        map_put(&e->scope->values, t->name, value_new(e, VAL_NONE, stmt->at));
        return;
    }
    if (!same_shape(rec->leaf, rank, ext)) {
        fail(e, stmt->at, "E0426", "`%s` is shared by uses of different shapes: %s and %s", path,
             shape_text(e, rec->leaf->rank, rec->leaf->extent), shape_text(e, rank, ext));
        return;
    }
    Node *node = e->mode == MODE_STEP && rec->forward                    ? rec->forward
                 : ((e->mode == MODE_EVAL && !e->training) || e->mode >= MODE_AFTER) && rec->evaluate
                     ? rec->evaluate
                                                                         : rec->leaf;
    map_put(&e->scope->values, t->name, leaf_value(e, node, t, t->at));
}

/* ---- state */
void run_state(Elab *e, const Stmt *stmt) {
    const Target *t = &stmt->targets.at[0];
    int rank = 0;
    int64_t ext[MAX_RANK];
    map_put(&e->scope->values, t->name, value_error(e));
    Name path = path_join(e->scope->path, t->name);
    StateRec *rec = map_get(&e->states, path);
    if (rec) {
        map_put(&e->scope->values, t->name, leaf_value(e, rec->leaf, t, t->at));
        return;
    }
    if (t->indexed && !target_shape(e, t, &rank, ext)) return;
    if (!t->indexed) state_shape(e, t->name, &rank, ext);
    Node *init;
    init_value(e, stmt, path, rank, ext, &init);
    if (!init) return;
    rec = NEW(e->arena, StateRec);
    rec->init = init;
    rec->of_training = e->scheduling || e->mode == MODE_UPDATE || e->mode == MODE_EPOCH;
    rec->leaf = graph_leaf(e->g, NODE_STATE, path, false, rank, ext, 0, t->at);
    map_put(&e->states, path, rec);
    VEC_PUSH(e->arena, e->state_list, rec);
    map_put(&e->scope->values, t->name, leaf_value(e, rec->leaf, t, t->at));
}

/* ---- name' = ... */
Node *update_fits(Elab *e, const Value *v, const Node *leaf, Span at) {
    Node *node = NULL;
    if (v->kind == VAL_NUMBER && !v->s->dims)
        node = graph_map(e->g, leaf->rank, leaf->extent, v->s, NULL, at);
    else if (v->kind == VAL_TENSOR && v->npre == 0)
        node = v->node;
    if (!node || !same_shape(node, leaf->rank, leaf->extent)) {
        if (fail(e, at, "E0427", "`%s` of shape %s is updated with %s", leaf->name,
                 shape_text(e, leaf->rank, leaf->extent), value_text(e, v)))
            fail_note(e, leaf->at, "`%s` is declared here", leaf->name);
        return NULL;
    }
    if (node->per_example) {
        if (fail(e, at, "E0428", "`%s` is given a value that differs from example to example",
                 leaf->name))
            fail_help(e, "a state is shared: reduce over the batch, `mean[batch] …`");
        return NULL;
    }
    return node;
}

static void push_update(Elab *e, Node *leaf, Node *node) {
    for (int i = 0; i < e->updates.len; i++)
        if (e->updates.at[i].target == leaf) {
            e->updates.at[i].node = node;
            return;
        }
    Result r = {.kind = RESULT_NEXT, .name = leaf->name, .target = leaf, .node = node};
    VEC_PUSH(e->arena, e->updates, r);
}

void run_update(Elab *e, const Stmt *stmt) {
    const Target *t = &stmt->targets.at[0];
    if ((e->mode == MODE_EVAL || e->mode == MODE_SAMPLE) && !e->training) return; /* prediction changes nothing */
    Value *old = find_value(e, t->name);
    const Decl *decl = e->scope->decl;
    bool argument = decl && decl->params.len && decl->params.at[0].name == t->name;
    Node *leaf = NULL;
    StateRec *rec = map_get(&e->states, path_join(e->scope->path, t->name));
    if (rec) leaf = rec->leaf;
    if (!leaf && !argument) {
        if (!old || old->kind != VAL_ERROR)
            fail(e, t->at, "E0209", "`%s` is not a state of this def", t->name);
        return;
    }
    Frame f = *e->frame;
    f.anon_ok = true;
    f.nanon = -1;
    f.target = t->name;
    f.use = t->name;
    f.uses = f.with_params = 0;
    count_uses(e, stmt->value, &f.uses, &f.with_params);
    Name label = name_printf("%s'", path_join(e->scope->path, t->name));
    if (!t->indexed) run_where(e, stmt);
    Value *v = t->indexed ? run_indexed(e, t, stmt, label) : eval_with(e, stmt->value, f, label);
    map_put(&e->scope->primed, t->name, v);
    if (v->kind == VAL_ERROR || !leaf) return;
    Node *node = update_fits(e, v, leaf, stmt->value->at);
    if (!node) return;
    map_put(&e->scope->primed, t->name, leaf_value(e, node, t, stmt->at));
    if (e->mode == MODE_AFTER && !e->in_after) return; /* training is over */
    push_update(e, leaf, node);
}
