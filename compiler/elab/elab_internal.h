/* SPDX-License-Identifier: MIT
 * What the files of elab/ share: values of the language at compile time and the elaborator's state.
 * Needs elab.h. Not seen outside this folder. */
#ifndef GRADUS_ELAB_INTERNAL_H
#define GRADUS_ELAB_INTERNAL_H
#include "elab.h"

enum { LIVE_DIMS = 30, USE_DEPTH = 64, USES_AT_MOST = 200000 };

/* ---- Values. A NUMBER is a scalar over the dimensions that are bound where it stands; `known`
 * says that it is a compile-time constant as well (`num`), even where its run-time form `s` can be
 * set. A TENSOR is a node, of which the first `npre` coordinates are fixed by dimensions bound
 * outside. */
typedef enum ValueKind {
    VAL_ERROR, /* already diagnosed: everything made of it is silent */
    VAL_NONE,
    VAL_STRING,
    VAL_NUMBER,
    VAL_TENSOR,
    VAL_DEF, /* defs waiting for arguments, in a chain */
    VAL_TUPLE,
    VAL_EXAMPLE /* `example` */
} ValueKind;

typedef struct Value Value;
typedef struct Offer { /* a named argument */
    Name name;
    Value *value;
    Span at;
    bool seen; /* matched by a formal argument */
} Offer;
typedef struct Stage { /* a def, model or built-in function and the arguments given so far */
    const Decl *decl;
    Name builtin; /* where decl is NULL */
    VEC(Value *) given;
    VEC(Offer) named;
    const Expr *site;
    Span at;
} Stage;
struct Value {
    ValueKind kind;
    bool known, truth;
    bool fixed; /* a number offered by a def (fan_in): no hyperparameter of its own */
    Span at;
    double num;
    int64_t classes; /* of a number that is one of so many classes; else 0 */
    const Scalar *s;
    Node *node;
    int npre;
    const Ix *pre[MAX_RANK];
    const Name *axes; /* declared index names, or NULL; a pack's are all its name */
    const char *text;
    VEC(Stage) stages;
    VEC(Value *) items;
};
typedef VEC(Value *) ValueList;

typedef struct Extents { /* what a name in a header stands for */
    bool pack;
    int n;
    int64_t ext[MAX_RANK];
    Span at;           /* the header */
    const char *whose; /* "x" */
} Extents;

typedef struct Bind { /* a bound index, or a run of them */
    Name name;
    bool pack, known, masked, placed, written, weak, bad; /* placed: has dimensions;
                         written: by its own extent; weak: by a read that may leave */
    int n;
    int64_t ext[MAX_RANK];
    int dim[MAX_RANK];
    Span at;
    Span from; /* what decided its range */
    const char *whose;
} Bind;

/* One use of a def or model: its names. */
typedef struct Scope {
    const Decl *decl;
    Map values, primed, extents; /* Name -> Value*, Value*, Extents* */
    Map draws;                   /* text of a place -> count */
    Map derivatives;             /* Name -> Value*[2], argument and what is stated */
    Map gone;                    /* indices that were bound before, for messages */
    Map references;              /* Name -> Value* of what is read before it is made */
    Name path, hyper;            /* prefixes of parameters and of hyperparameters */
    Value *result;
    int table; /* depth at which uses are rows of the layer table */
} Scope;

/* The statement or argument being evaluated. */
typedef struct Frame {
    int nlhs, lhs[LIVE_DIMS]; /* dimensions of the left-hand side (outer ones first) */
    bool anon_ok;             /* a tensor without brackets may stand for all its elements */
    int nanon;                /* -1: not known yet */
    int anon[MAX_RANK];
    Span anon_from;
    Name target;
    bool shared;
    const Stmt *stmt;      /* whose targets a call of several values names */
    Name use;              /* name of the value that is being made, for paths */
    int uses, with_params; /* defs used in making it, and those with parameters */
    const Target *lhs_target; /* the binding whose indices are bound, the first of them by */
    int lhs_bind, time;       /* binds[lhs_bind], as dimension `time`; -1: none */
} Frame;

typedef struct Use {
    const Decl *decl;
    Span at;
} Use;

typedef struct ParamRec {
    Node *leaf, *init;
    Node *forward;      /* what the model reads in a step instead (`at e`), or NULL */
    Node *evaluate;     /* what it reads out of training (`evaluate at e`), or NULL */
    bool frozen, blind; /* blind: an `at` that depends on the gradient */
} ParamRec;
typedef struct StateRec {
    Node *leaf, *init;
    bool of_training; /* of an optimizer or a schedule, not of the model */
} StateRec;
typedef struct FitRec {
    Node *leaf, *next;
    double start;
    int level;
    bool once; /* a function of whole tensors: `next` is the value, without examples */
} FitRec;
typedef struct Clause { /* a `predict` clause of a loss */
    Name name;
    Node *node, *output; /* output: the first argument of the def it stands in */
} Clause;

typedef struct SeenLayer { /* what a use of a def gave in a step */
    Name path, def;
    Node *output;
    int64_t classes; /* of a class; else 0 */
    Value *input;    /* what it was given first, or NULL */
    bool inside;     /* of another def or the loss, not of the model itself */
    Span at;
} SeenLayer;

typedef struct Weights Weights;
typedef struct SumRec { /* a sum over the evaluated set, and what a batch adds to it */
    Node *leaf, *part;
    int level; /* of a sum that needs others: one more than theirs */
} SumRec;
typedef enum Mode {
    MODE_EVAL,
    MODE_STEP,
    MODE_INIT,
    MODE_UPDATE,
    MODE_EPOCH,
    MODE_SPLIT,
    MODE_ORDER,
    MODE_AFTER, /* as a step, on the weights that are kept */
    MODE_SAMPLE /* as a prediction, with draws */
} Mode;

typedef struct Elab {
    Arena *arena;
    Graph *g;
    const Module *module;
    Unit *unit;
    Mode mode;
    bool training;
    Scope *scope;
    Frame *frame;
    VEC(Bind) binds;
    int bind_base;
    VEC(Use) uses;
    int64_t nuses;
    uint32_t dims_used;
    int64_t extent[32];
    bool saw_error;           /* while ranges were looked for */
    int quiet;                /* > 0: no messages */
    int failed;               /* errors since the start */
    Map params, states, fits; /* path -> record */
    VEC(ParamRec *) param_list;
    VEC(StateRec *) state_list;
    VEC(FitRec *) fit_list;
    VEC(Result) updates; /* NEXT of states in this mode */
    VEC(FitRec *) after_list; /* collected over the training minibatches */
    bool has_after, in_after;
    int training_decides; /* > 0: in a branch of an `if` that asks for `training` */
    bool warned_batch;
    Map sample_true; /* the names `training` that are true in MODE_SAMPLE */
    VEC(const Scalar *) stops;
    VEC(Result) checks; /* what is required of settings and schedules */
    VEC(Result) epoch_updates; /* NEXT of states after an evaluation */
    bool scheduling;           /* a hyperparameter is being evaluated */
    bool looks_at_test;        /* a metric of the test set stands for one of validation */
    VEC(Clause) clauses;
    Map settable;                     /* path -> Hyper* */
    Map site_names, ordinals, visits; /* paths of uses; see name_use */
    Map has_params;                   /* Decl* -> 1 no, 2 yes, 3 being looked at */
    Weights *weights; /* of the def that is run for each parameter, or NULL */
    Map weight_sums, weight_moves;    /* leaf -> what it stands for */
    Map weights_done;                 /* Node -> Node without such leaves */
    Node *loss;                       /* of the step, for optimizers; NULL where there is none */
    bool full_batch;                  /* `batch = all` */
    /* the training */
    const Decl *model, *train, *data;
    Scope *model_scope;
    ValueList model_inputs, model_outputs;
    Value *look_at, *look_eval; /* the last `at e`, `evaluate at e` of a look ahead */
    Map targets;                /* Param* of an output -> Node* */
    Map metrics;                /* names known to `validation.NAME` */
    Map tables;                 /* those that are no single number -> their Node */
    /* what is known of each example, and sums over the evaluated set */
    Map settings;              /* names of a data block -> Value* */
    ExprKind order_form;       /* EXPR_ORDER or EXPR_SAMPLE once it was said */
    bool sampled, keeps_loss;  /* `sample with`; `example.loss` is looked at */
    int stages;                /* ranks and quantiles so far */
    VEC(Result) stage_results; /* what those of this program are made from */
    VEC(SumRec *) sums;
    bool in_metric;
    const Claim *claim; /* of a test, or NULL */
    /* what is watched */
    enum { SEES_NOTHING, SEES_MODEL, SEES_LOSS } seeing;
    VEC(SeenLayer) seen;
    VEC(Result) epoch_watched; /* of evaluations, not of steps */
} Elab;

/* ---- context.c: messages, dimensions, names */
bool fail(Elab *e, Span at, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5))); /* false where kept quiet */
Span user_place(const Elab *e, Span at); /* the innermost one in the user's own text */
void fail_note(Elab *e, Span at, const char *format, ...) __attribute__((format(printf, 3, 4)));
void fail_help(Elab *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
int dim_new(Elab *e, int64_t extent, Span at); /* -1 where there are too many */
void dim_free(Elab *e, int dim);
const char *shape_text(Elab *e, int rank, const int64_t *extent);
Name path_join(Name prefix, Name name);
/* The path of a use of `kind` at `site`: kind and ordinal, or the name of the value. */
Name name_use(Elab *e, const void *site, Name kind);
void count_uses(Elab *e, const Expr *expr, int *uses, int *with_params);
bool decl_has_params(Elab *e, const Decl *decl);
bool decl_structural(const Decl *decl, Name arg, bool integer);
uint32_t hash_place(const char *text);
Scope *scope_new(Elab *e, const Decl *decl, Name path, Name hyper);
Frame frame_new(void);
Node *hyper_leaf(Elab *e, const char *name);
Value *hyper_value(Elab *e, const char *name, Span at);
Node *live_leaf(Elab *e);
Value *settable_value(Elab *e, Value *v, Name path);
double scalar_at_start(const Scalar *s); /* value of a wide scalar before the first step */

/* ---- value.c */
Value *value_new(Elab *e, ValueKind kind, Span at);
Value *value_error(Elab *e);
Value *value_const(Elab *e, double x, Span at);
Value *value_scalar(Elab *e, const Scalar *s, Span at);
Value *value_truth(Elab *e, bool x, Span at);
Value *value_node(Elab *e, Node *node, Span at); /* tensor, or number where its rank is 0 */
int value_rank(const Value *v);
const int64_t *value_extent(const Value *v);
const char *value_text(Elab *e, const Value *v); /* "[20, 24, 24]", "a number", "a def" */
/* As one number at the bound indices; an error elsewhere. */
Value *value_number(Elab *e, Value *v, Span at);
Value *value_condition(Elab *e, Value *v, Span at);
bool value_integer(const Value *v, int64_t *out);
Value *num_op(Elab *e, Op op, Value *a, Value *b, Value *c, Span at);
const Scalar *op_hoisted(Elab *e, Op op, const Scalar *a, const Scalar *b, const Scalar *c);
const Scalar *scalar_once(Elab *e, const Scalar *s); /* as a node where examples share it */
/* The node of `s` over the given dimensions in order, a reduction over the next ones. */
Node *make_node(Elab *e, const Scalar *s, int rank, int nred, const int *dims, Reduce reduce,
                bool over_batch, Name label, Span at);
const Scalar *read_dims(Elab *e, Node *node, const int *dims);
/* What an unbracketed binding or a def's value keeps: a node of its own over what it depends on. */
Value *value_settle(Elab *e, Value *v, Name label, Span at);
/* The whole value as a node without free dimensions; NULL after an error. */
Node *value_whole(Elab *e, Value *v, Name label, Span at);

/* ---- index.c */
bool extent_eval(Elab *e, const Expr *expr, int64_t *out);
const Ix *ix_expr(Elab *e, const Expr *expr);
Bind *bind_find(Elab *e, Name name);
bool bind_push(Elab *e, const Index *index); /* false after an error; the range may be unknown */
bool check_size(Elab *e, Span at, int n, const int64_t *ext); /* diagnoses what no memory holds */
void bind_infer(Elab *e, int first, const Expr *expr);
bool bind_finish(Elab *e, int first); /* ranges left open, dimensions */
void bind_pop(Elab *e, int first);    /* frees dimensions */
bool index_resolve(Elab *e, const Index *index, int *n, int64_t *ext); /* in params and states */
Extents *extents_find(Elab *e, Name name);
int static_truth(Elab *e, const Expr *expr); /* 1, 0, or -1 where not known */

/* ---- expr.c, read.c, reduce.c */
Value *eval(Elab *e, const Expr *expr);
Value *eval_number(Elab *e, const Expr *expr);
Value *eval_arg(Elab *e, const Expr *expr); /* a value on its own: argument, chain, tuple item */
Value *eval_callable(Elab *e, const Expr *expr); /* always the def, never its value */
Value *eval_with(Elab *e, const Expr *expr, Frame frame, Name label); /* settled, in this frame */
void frame_end(Elab *e, Frame *outer); /* frees the unnamed dimensions */
Value *find_value(Elab *e, Name name); /* locals; NULL where absent */
Value *find_primed(Elab *e, Name name);
Value *eval_field(Elab *e, const Expr *expr);
const char *field_text(Elab *e, const Expr *expr); /* "trunk.*.b"; NULL where it is no path */
void anon_prepare(Elab *e, const Expr *expr);
Value *eval_read(Elab *e, const Expr *expr);
Value *eval_reduce(Elab *e, const Expr *expr);
Value *reduce_data(Elab *e, const Expr *expr, Reduce reduce, const Scalar *body, uint32_t reduced,
                   double terms);
/* Functions of whole tensors (calls.def), at fit time and in initializers. */
bool tensor_call_known(Name name);
Value *tensor_call(Elab *e, Name name, Value **args, int n, Span at);
/* gradient.c: `gradient(e, x)` */
/* For these, the argument that they have the shape of; else -1. */
int gradient_shape(Name name);
Value *gradient_call(Elab *e, const Expr *x);
double reduce_identity(Reduce reduce);
uint32_t reduced_dims(const Elab *e, int first);
int free_dims(const Scalar *s, uint32_t reduced, int *dims);

/* ---- weights.c: reductions over `weights` */
void weights_begin(Elab *e);  /* a def is going to be run for each of some parameters */
void weights_member(Elab *e); /* before it is run for the next one */
bool weights_end(Elab *e);    /* it was run for all; false after an error */
Node *weights_resolve(Elab *e, Node *node); /* with what reductions over `weights` came to */
Value *weights_value(Elab *e, Value *v);
/* What `node`, a shared value, would be where each parameter, this one `from`, is `to`. */
Value *weights_moved(Elab *e, const Expr *x, Node *node, Node *from, Node *to);
/* Adds this parameter's part, of `terms` terms, to the reduction `x`; gives the whole. */
Value *weights_add(Elab *e, const Expr *x, Reduce reduce, Value *part, double terms);

/* ---- order.c: the order of examples; `rank` and `quantile` over them */
void order_elaborate(Elab *e);
Value *order_form(Elab *e, const Expr *x);            /* `order by`, `sample with` */
bool order_function(Name name);                       /* rank, quantile */
Value *order_call(Elab *e, const Expr *x);            /* their calls */
void order_stages(Elab *e, Program *p);               /* results that they are made from */
Value *order_weight(Elab *e, Span at);                /* `example.weight` of a sampled order */
Node *order_plain_loss(Elab *e, Node *loss);          /* the loss without that weight */

/* ---- examples.c: sums over the evaluated set and metrics made of them */
Value *reduce_examples(Elab *e, const Expr *expr, Reduce reduce, const Scalar *body,
                       uint32_t reduced, double terms);
bool examples_metric(Elab *e, Name name, Value *v, Span at); /* false: it is one of each example */
void examples_programs(Elab *e);

/* ---- call.c, builtin.c */
Value *eval_call(Elab *e, const Expr *expr, bool delay, bool callable);
Value *eval_chain(Elab *e, const Expr *expr);
Value *def_value(Elab *e, const Decl *decl, const Expr *site, Span at);
Value *builtin_value(Elab *e, Name name, const Expr *site, Span at);
bool builtin_known(Name name);
bool builtin_draws(Name name);
Value *builtin_call(Elab *e, Name name, Value **args, int n, Span at);
/* Applies a VAL_DEF to leading arguments. path NULL: named by its place. */
Value *apply(Elab *e, Value *def, Value **supplied, int n, Span at, Name path, Name hyper);
Value *apply_init(Elab *e, Value *def, Offer *offers, int n, Span at);
/* The same with named values that it takes where it declares them. */
Value *apply_offered(Elab *e, Value *def, Offer *offers, int noffers, Value **supplied, int n,
                     Span at, Name path, Name hyper);
int stage_missing(const Stage *stage, int supplied); /* required arguments not yet given */
bool value_is_generator(const Value *v); /* wants nothing more: can be called as it stands */

/* ---- def.c, state.c */
Value *run_decl(Elab *e, const Decl *decl, Value **args, Span at, Name path, Name hyper);
bool bind_header(Elab *e, const Param *param, Value *value, Span at);
void run_body(Elab *e, const StmtList *body);
Scope *last_scope(Elab *e);
void run_param(Elab *e, const Stmt *stmt);
void run_state(Elab *e, const Stmt *stmt);
void run_update(Elab *e, const Stmt *stmt);
void run_where(Elab *e, const Stmt *stmt);

/* ---- require.c: `v` is the condition, which stands at `at` */
bool require_run(Elab *e, const Stmt *stmt, Value *v, Span at);
void require_program(Elab *e);
/* The new value of a leaf as a node of its shape; NULL after an error. */
Node *update_fits(Elab *e, const Value *v, const Node *leaf, Span at);
Value *run_indexed(Elab *e, const Target *target, const Stmt *stmt, Name label);
void unavailable(Elab *e, Span at, const char *what);

/* ---- recur.c: values read at their own earlier index */
/* A reference to what a binding of this body is going to make; NULL where the name is no such. Faults
 * are said where `at` is given. */
Value *recur_find(Elab *e, Name name, Span at);
/* Is this read of a reference, at these coordinates, one of an earlier index? */
bool recur_read(Elab *e, const Expr *x, Value *base, const Ix *const *at, Span place);
/* The binding is made: what was read before stands for it. */
void recur_close(Elab *e, const Target *target, const Value *v);

/* ---- model.c, train.c, update.c, data.c, program.c */
bool model_inputs_make(Elab *e);
/* Runs the model on `inputs`; its outputs and names in e->model_outputs, e->model_scope. */
bool model_run(Elab *e, Value **inputs);
Node *target_leaf(Elab *e, const Param *output);
Value *model_call(Elab *e, const Decl *decl, Value **args, Span at);
const Stmt *train_key(const Elab *e, const char *key);
void train_config(Elab *e);
void train_batch(Elab *e);
void train_programs(Elab *e);
Scope *train_scope(Elab *e);
Value *train_value(Elab *e, const Stmt *stmt, Name label);
Node *train_loss(Elab *e); /* per example, rank 0; NULL after an error */
void train_metrics(Elab *e, Program *program);
void train_epoch(Elab *e);
/* ---- generate.c: false after an error */
bool generate_source(Elab *e, const Expr *expr, Name set, DataSource *source);
/* ---- probe.c, claim.c */
void probe_results(Elab *e, Program *p, Node *y, bool gradients);
/* What an expression of a test means beyond the language; NULL where it is nothing special. */
Value *claim_eval(Elab *e, const Expr *expr);
bool claim_updates(const Elab *e, const Decl *decl); /* a test calls an optimizer as a function */
/* ---- watch.c */
/* After each use of a def: what it gave, and what it was given first. */
void watch_see(Elab *e, const Stage *stage, const Value *v, Name path, Value *input);
/* What is watched of an evaluation, as results of the program "epoch". */
void watch_epoch(Elab *e);
/* The program "watch": what program number `step` does, and the numbers of the key. */
void watch_program(Elab *e, int step, Node *loss);
/* ---- load.c */
void train_load(Elab *e);
bool path_selected(const char *pattern, const char *path);
bool path_ends(const char *pattern, const char *path); /* the pattern is the path or its end */
/* ---- after.c, stated.c, sampled.c */
Value *reduce_batches(Elab *e, const Expr *x, Reduce reduce, const Scalar *body, bool mean);
void run_after(Elab *e, const Stmt *stmt);
void after_programs(Elab *e);
void stated_begin(Elab *e, const Decl *decl);
void run_derivative(Elab *e, const Stmt *stmt);
Value *stated_end(Elab *e, const Decl *decl, Value *y); /* y with what was stated */
void program_sample(Elab *e);
void program_outputs(Elab *e, ProgramKind kind, const char *name);
/* ---- schedule.c */
Value *schedule_callable(Elab *e, const Expr *expr); /* a def with its hyperparameters */
void schedule_take(Elab *e, int updates); /* e->updates from there on are of the epoch */
void schedule_stop(Elab *e, const Scalar *condition);
void stop_check(Elab *e, const Program *epoch, Span at); /* warns of a rule that cannot fire */
Node *train_penalty(Elab *e);
bool update_look_ahead(Elab *e); /* true where `evaluate at` changes what is evaluated */
void update_program(Elab *e, Program *step, Node *loss);
/* A gradient that is no number takes the place of a new weight that would not show it. */
void show_gradients(Elab *e, Program *step, Node *loss);
int select_params(Elab *e, const Expr *selector, bool *chosen);
void data_elaborate(Elab *e);
Program *program_new(Elab *e, ProgramKind kind, const char *name);
void program_value(Elab *e, Program *p, Name name, Node *node);
void program_next(Elab *e, Program *p, Node *target, Node *node);
void program_init(Elab *e);
void program_fits(Elab *e);
void unit_finish(Elab *e);
Elab *elab_new(Arena *arena, const Module *module);
#endif
