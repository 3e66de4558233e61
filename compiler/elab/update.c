/* SPDX-License-Identifier: MIT
 * What happens to parameters in a step: penalties, gradients and their chain, optimizers with their
 * states, constraints; and which parameters each is for. Needs front and ir.
 * Differentiates nothing: a gradient is a NODE_GRAD. */
#include "elab_internal.h"
#include <string.h>

typedef struct Part { /* `f(…) on W`; selector NULL: the rest */
    Value *def;
    const Expr *selector;
    bool *chosen; /* by parameter */
    Name hyper;
    Span at;
} Part;
typedef VEC(Part) PartList;

/* ---- Selection: a path's components in a row, from its beginning or to its end; `*` is any run */
static bool match_parts(const char *pattern, const char *path, bool prefix) {
    size_t n = strcspn(pattern, "."), m = strcspn(path, ".");
    bool star = n == 1 && *pattern == '*', last = !pattern[n], end = !path[m];
    bool equal = star || (n == m && !strncmp(pattern, path, n));
    if (equal && last && (end || prefix)) return true;
    if (equal && !last && !end && match_parts(pattern + n + 1, path + m + 1, prefix)) return true;
    return star && !end && match_parts(pattern, path + m + 1, prefix);
}

bool path_selected(const char *pattern, const char *path) {
    if (match_parts(pattern, path, true)) return true;
    for (const char *at = path; (at = strchr(at, '.')); at++)
        if (match_parts(pattern, at + 1, false)) return true;
    return false;
}

bool path_ends(const char *pattern, const char *path) {
    if (match_parts(pattern, path, false)) return true;
    for (const char *at = path; (at = strchr(at, '.')); at++)
        if (match_parts(pattern, at + 1, false)) return true;
    return false;
}

int select_params(Elab *e, const Expr *x, bool *chosen) {
    int n = 0;
    if (x->kind == EXPR_TUPLE) {
        for (int i = 0; i < x->args.len; i++)
            n += select_params(e, x->args.at[i].value, chosen);
        return n;
    }
    const char *pattern = field_text(e, x);
    if (!pattern) {
        fail(e, x->at, "E0570",
             "parameters are selected by a name or a path: `W`, `trunk`, `trunk.*.b`");
        return 0;
    }
    for (int i = 0; i < e->param_list.len; i++)
        if (path_selected(pattern, e->param_list.at[i]->leaf->name)) chosen[i] = true, n++;
    if (n) return n;
    VEC(Name) names = {0};
    const char *all = "";
    for (int i = 0; i < e->param_list.len; i++) {
        Name name = e->param_list.at[i]->leaf->name;
        VEC_PUSH(e->arena, names, name);
        if (i < 12) all = arena_printf(e->arena, "%s%s%s", all, i ? ", " : "", name);
    }
    if (fail(e, x->at, "E0571", "`%s` selects no parameter", pattern)) {
        Name near = name_nearest(name_of(pattern), names.at, (size_t)names.len);
        fail_help(e, "the parameters are %s%s", all, names.len > 12 ? ", …" : "");
        if (near) fail_help(e, "did you mean `%s`?", near);
    }
    return 0;
}

/* ---- Keys of parts */
static void part_add(Elab *e, PartList *parts, const Expr *x, Name key) {
    if (x->kind == EXPR_TUPLE) {
        for (int i = 0; i < x->args.len; i++)
            part_add(e, parts, x->args.at[i].value, key);
        return;
    }
    Part p = {.at = x->at, .chosen = NEW_ARRAY(e->arena, bool, e->param_list.len + 1)};
    const Expr *def = x;
    if (x->kind == EXPR_ON) {
        def = x->a;
        p.selector = x->b;
        if (!select_params(e, p.selector, p.chosen)) return;
    }
    p.def = schedule_callable(e, def);
    if (p.def->kind == VAL_ERROR) return;
    if (p.def->kind != VAL_DEF) {
        fail(e, def->at, "E0572", "`%s` wants a def, this is %s", key, value_text(e, p.def));
        return;
    }
    VEC_PUSH(e->arena, *parts, p);
}

static PartList parts_of(Elab *e, const char *key) {
    PartList parts = {0};
    const Stmt *s = train_key(e, key);
    if (!s) return parts;
    Scope *outer = e->scope;
    Frame frame = frame_new(), *outer_frame = e->frame;
    frame.shared = true;
    e->scope = train_scope(e); /* `gauss_newton(y)` looks at an output */
    e->frame = &frame;
    run_where(e, s);
    part_add(e, &parts, s->value, name_of(key));
    e->frame = outer_frame;
    e->scope = outer;
    for (int i = 0; i < parts.len; i++)
        parts.at[i].hyper = parts.len == 1 ? name_of(key) : name_printf("%s%d", key, i + 1);
    return parts;
}

/* A part without `on` is for what no other one takes. */
static void parts_rest(Elab *e, PartList *parts) {
    for (int i = 0; i < e->param_list.len; i++) {
        bool taken = false;
        for (int k = 0; k < parts->len; k++)
            taken = taken || parts->at[k].chosen[i];
        for (int k = 0; k < parts->len && !taken; k++)
            if (!parts->at[k].selector) {
                parts->at[k].chosen[i] = taken = true;
            }
    }
}

static Value *apply_part(Elab *e, const Part *part, Value **args, int n, Name path) {
    Scope *outer = e->scope;
    Frame frame = frame_new(), *outer_frame = e->frame;
    frame.shared = true;
    e->scope = scope_new(e, NULL, NULL, NULL);
    e->frame = &frame;
    Value *v = apply(e, part->def, args, n, part->at, path, part->hyper);
    e->frame = outer_frame;
    e->scope = outer;
    return v;
}

static Node *param_node(const ParamRec *rec) {
    return rec->forward ? rec->forward : rec->leaf;
}

static Value *param_value(Elab *e, Node *node) {
    return value_node(e, node, node->at);
}

/* ---- Penalties: added to the loss */
Node *train_penalty(Elab *e) {
    PartList parts = parts_of(e, "penalty");
    const Scalar *sum = NULL;
    parts_rest(e, &parts);
    for (int k = 0; k < parts.len; k++)
        for (int i = 0; i < e->param_list.len; i++) {
            const ParamRec *rec = e->param_list.at[i];
            if (!parts.at[k].chosen[i]) continue;
            Value *w = param_value(e, param_node(rec));
            Value *v = apply_part(e, &parts.at[k], &w, 1,
                                  name_printf("%s.%s", rec->leaf->name, parts.at[k].hyper));
            if (v->kind == VAL_ERROR) break;
            if (v->kind != VAL_NUMBER || v->s->dims || v->s->per_example) {
                fail(e, parts.at[k].at, "E0573", "a penalty is one number, this is %s",
                     value_text(e, v));
                break;
            }
            sum = sum ? sc_op(e->g, OP_ADD, sum, v->s, NULL) : v->s;
        }
    return sum ? graph_map(e->g, 0, NULL, sum, name_of("penalty"), (Span){0}) : NULL;
}

/* ---- Gradients: through a chain that may look at all of them */
static Value **gradient_values(Elab *e, Node *loss) {
    int n = e->param_list.len;
    Value **g = NEW_ARRAY(e->arena, Value *, n + 1);
    for (int i = 0; i < n; i++) {
        ParamRec *rec = e->param_list.at[i];
        g[i] = rec->frozen ? value_error(e)
                           : value_node(e, graph_grad(e->g, loss, param_node(rec)), rec->leaf->at);
    }
    return g;
}

static bool gradient_fits(Elab *e, const Part *part, const Node *leaf, const Value *v) {
    if (v->kind == VAL_ERROR) return false;
    if (value_rank(v) == leaf->rank &&
        (!leaf->rank ||
         !memcmp(value_extent(v), leaf->extent, sizeof *leaf->extent * (size_t)leaf->rank)))
        return true;
    fail(e, part->at, "E0574", "the gradient of `%s`, %s, becomes %s", leaf->name,
         shape_text(e, leaf->rank, leaf->extent), value_text(e, v));
    return false;
}

static bool gradient_stage(Elab *e, const Part *part, const Stage *stage, int number, Value **g) {
    int n = e->param_list.len, failed = e->failed;
    Value *one = value_new(e, VAL_DEF, part->at), **next = NEW_ARRAY(e->arena, Value *, n + 1);
    VEC_PUSH(e->arena, one->stages, *stage);
    bool many = part->def->stages.len > 1;
    Name name = stage->decl ? stage->decl->name : stage->builtin;
    Part single = {.def = one,
                   .at = stage->at,
                   .hyper =
                       many ? name_printf("%s.%s%d", part->hyper, name, number + 1) : part->hyper};
    weights_begin(e);
    for (int i = 0; i < n && e->failed == failed; i++) {
        const Node *leaf = e->param_list.at[i]->leaf;
        if (!part->chosen[i] || g[i]->kind == VAL_ERROR) continue;
        weights_member(e);
        next[i] = apply_part(e, &single, &g[i], 1, name_printf("%s.%s", leaf->name, single.hyper));
        gradient_fits(e, part, leaf, next[i]);
    }
    if (!weights_end(e) || e->failed > failed) return false;
    for (int i = 0; i < n; i++)
        if (next[i]) g[i] = weights_value(e, next[i]);
    return true;
}

static void gradient_chain(Elab *e, Value **g) {
    PartList parts = parts_of(e, "gradients");
    parts_rest(e, &parts);
    for (int k = 0; k < parts.len; k++)
        for (int s = 0; s < parts.at[k].def->stages.len; s++)
            if (!gradient_stage(e, &parts.at[k], &parts.at[k].def->stages.at[s], s, g)) return;
}

/* ---- Optimizers */
static void freeze(Elab *e) {
    const Stmt *s = train_key(e, "freeze");
    bool *chosen = NEW_ARRAY(e->arena, bool, e->param_list.len + 1);
    if (s) select_params(e, s->value, chosen);
    for (int i = 0; i < e->param_list.len; i++)
        e->param_list.at[i]->frozen = chosen[i];
}

static PartList optimizers(Elab *e) {
    PartList parts = parts_of(e, "optimizer");
    parts_rest(e, &parts);
    return parts;
}

static const Part *part_for(const PartList *parts, int param) {
    for (int k = 0; k < parts->len; k++)
        if (parts->at[k].chosen[param]) return &parts->at[k];
    return NULL;
}

/* `at` is known before the step: it may depend on parameters, states and numbers of the run. */
typedef struct LookFor {
    Map seen;
    bool input;
} LookFor;

static void look_for(const Scalar *read, void *context) {
    LookFor *look = context;
    look->input = look->input || read->node->kind == NODE_INPUT || read->node->kind == NODE_GRAD;
    if (!read->node->body || map_has(&look->seen, read->node)) return;
    map_put(&look->seen, read->node, NULL);
    sc_reads(read->node->body, look_for, look);
}

/* The node of an `at` for a parameter; NULL where there is none, or it is the parameter itself. */
static Node *place_of(Elab *e, const Value *v, ParamRec *rec, Span at) {
    Node *node = v && v->kind != VAL_ERROR ? update_fits(e, v, rec->leaf, at) : NULL;
    if (node) node = weights_resolve(e, node);
    LookFor look = {.input = node && (node->kind == NODE_INPUT || node->kind == NODE_GRAD)};
    map_init(&look.seen, e->arena);
    if (node && node->body) sc_reads(node->body, look_for, &look);
    bool blind = look.input;
    rec->blind = rec->blind || blind; /* said when the optimizer is run in full */
    return !node || blind || node == rec->leaf ? NULL : node;
}

typedef struct Looked {
    Value *at, *evaluate;
} Looked;

static void look_at_param(Elab *e, const Part *part, int i, Looked *looked) {
    const ParamRec *rec = e->param_list.at[i];
    Node *g = graph_leaf(e->g, NODE_INPUT, name_printf("%s.gradient", rec->leaf->name), false,
                         rec->leaf->rank, rec->leaf->extent, 0, (Span){0});
    Value *args[2] = {param_value(e, rec->leaf), param_value(e, g)};
    e->look_at = e->look_eval = NULL;
    e->updates.len = 0;
    weights_member(e);
    apply_part(e, part, args, 2, name_printf("%s.optimizer", rec->leaf->name));
    *looked = (Looked){e->look_at, e->look_eval};
}

/* Where each gradient is wanted (`at e`) and what is evaluated (`evaluate at e`): found before the
 * model is run, which then reads that. */
bool update_look_ahead(Elab *e) {
    e->mode = MODE_UPDATE;
    e->training = true;
    map_init(&e->visits, e->arena);
    freeze(e);
    int before = e->failed, n = e->param_list.len;
    bool evaluates = false;
    e->quiet++; /* faults are said when the optimizer is run in full */
    PartList parts = optimizers(e);
    Looked *looked = NEW_ARRAY(e->arena, Looked, n + 1);
    e->loss = graph_leaf(e->g, NODE_INPUT, name_of("loss"), false, 0, NULL, 0, (Span){0});
    for (int k = 0; k < parts.len; k++) {
        weights_begin(e);
        for (int i = 0; i < n; i++)
            if (part_for(&parts, i) == &parts.at[k] && !e->param_list.at[i]->frozen)
                look_at_param(e, &parts.at[k], i, &looked[i]);
        weights_end(e);
    }
    for (int i = 0; i < n; i++) {
        ParamRec *rec = e->param_list.at[i];
        const Part *part = part_for(&parts, i);
        if (!part || rec->frozen) continue;
        rec->forward = place_of(e, looked[i].at, rec, part->at);
        rec->evaluate = place_of(e, looked[i].evaluate, rec, part->at);
        evaluates = evaluates || rec->evaluate;
    }
    e->loss = NULL;
    e->quiet--;
    e->failed = before;
    e->training = false;
    e->mode = MODE_EVAL;
    return evaluates;
}

static Value *constrain(Elab *e, const PartList *constraints, int param, Value *w) {
    Weights *weights = e->weights; /* of the optimizer, which may be for other parameters */
    e->weights = NULL;
    for (int k = 0; k < constraints->len; k++)
        if (constraints->at[k].chosen[param]) {
            Name name = e->param_list.at[param]->leaf->name;
            w = apply_part(e, &constraints->at[k], &w, 1,
                           name_printf("%s.%s", name, constraints->at[k].hyper));
        }
    e->weights = weights;
    return w;
}

static Value *update_param(Elab *e, const Part *part, const PartList *constraints, int i,
                           Value *g) {
    const ParamRec *rec = e->param_list.at[i];
    Value *args[2] = {param_value(e, rec->leaf), g};
    weights_member(e);
    Value *w = apply_part(e, part, args, 2, name_printf("%s.optimizer", rec->leaf->name));
    if (rec->blind)
        fail(e, part->at, "E0577", "`at` says where the gradient is taken: it cannot depend on it");
    return w->kind != VAL_ERROR ? constrain(e, constraints, i, w) : w;
}

/* One part after the other: a reduction over `weights` is over those of its part. */
static void update_params(Elab *e, Program *step, const PartList *parts, Value **g) {
    int n = e->param_list.len, failed = e->failed;
    PartList constraints = parts_of(e, "constraint");
    Value **w = NEW_ARRAY(e->arena, Value *, n + 1);
    parts_rest(e, &constraints);
    for (int k = 0; k < parts->len && e->failed == failed; k++) {
        weights_begin(e);
        for (int i = 0; i < n && e->failed == failed; i++)
            if (part_for(parts, i) == &parts->at[k] && !e->param_list.at[i]->frozen)
                w[i] = update_param(e, &parts->at[k], &constraints, i, g[i]);
        weights_end(e);
    }
    for (int i = 0; i < n && e->failed == failed; i++) {
        if (!w[i] || w[i]->kind == VAL_ERROR) continue;
        Node *leaf = e->param_list.at[i]->leaf;
        Node *node = update_fits(e, w[i], leaf, part_for(parts, i)->at);
        if (node) program_next(e, step, leaf, weights_resolve(e, node));
    }
    for (int i = 0; i < e->updates.len && e->failed == failed; i++)
        program_next(e, step, e->updates.at[i].target, weights_resolve(e, e->updates.at[i].node));
}

void update_program(Elab *e, Program *step, Node *loss) {
    e->mode = MODE_UPDATE;
    map_init(&e->visits, e->arena);
    const Stmt *key = train_key(e, "optimizer");
    if (!key) {
        if (fail(e, e->train->at, "E0575", "this training has no optimizer"))
            fail_help(e, "a key `optimizer = …` says how parameters are updated");
        return;
    }
    int failed = e->failed;
    PartList parts = optimizers(e);
    Value **g = gradient_values(e, loss);
    gradient_chain(e, g);
    for (int i = 0; i < e->param_list.len && e->failed == failed; i++)
        if (!e->param_list.at[i]->frozen && !part_for(&parts, i))
            fail(e, key->at, "E0576", "`%s` has no optimizer", e->param_list.at[i]->leaf->name);
    e->loss = loss;
    if (e->failed == failed) update_params(e, step, &parts, g);
    if (e->failed == failed) show_gradients(e, step, loss);
    e->loss = NULL;
    e->mode = MODE_STEP;
}
