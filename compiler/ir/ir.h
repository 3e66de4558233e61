/* SPDX-License-Identifier: MIT
 * The tensor IR: quasi-affine index forms, scalar expressions, and one kind of node, the
 * comprehension. Everything is interned (equal things are the same pointer) and immutable.
 * Needs base. Knows nothing of syntax, passes or machines. See architecture in README. */
#ifndef GRADUS_IR_H
#define GRADUS_IR_H
#include "base.h"

enum { MAX_RANK = 8, MAX_DIMS = 16 };

typedef struct Graph Graph;
typedef struct Ix Ix;
typedef struct Scalar Scalar;
typedef struct Node Node;

/* ---- Ix: an integer form  c + sum coef * atom.  An atom is a dimension of the comprehension it
 * stands in, floor(Ix / by), or a computed position (a scalar, rounded down). Canonical: atoms
 * sorted and distinct, no zero coefficients.
 *
 * Dimensions of a comprehension are numbered: 0 .. rank-1 the output's, rank .. rank+nred-1 the
 * reduced ones. The batch is not a dimension: it is implicit (see Node). */
typedef enum AtomKind { ATOM_DIM, ATOM_FLOOR, ATOM_VALUE } AtomKind;
typedef struct IxTerm {
    int64_t coef;
    AtomKind kind;
    int dim;            /* DIM */
    const Ix *inner;    /* FLOOR: floor(inner / by) */
    int64_t by;
    const Scalar *value; /* VALUE: floor of a scalar, a position computed at run time */
} IxTerm;
struct Ix {
    uint32_t id, hash;
    int64_t c;
    int n;
    IxTerm term[];
};
const Ix *ix_const(Graph *g, int64_t c);
const Ix *ix_dim(Graph *g, int dim);
const Ix *ix_value(Graph *g, const Scalar *value);
const Ix *ix_add(Graph *g, const Ix *a, const Ix *b);
const Ix *ix_sub(Graph *g, const Ix *a, const Ix *b);
const Ix *ix_scale(Graph *g, const Ix *a, int64_t k);
/* floor(a / k), k > 0. `extents` (may be NULL) lets terms with a known range vanish. */
const Ix *ix_div(Graph *g, const Ix *a, int64_t k, const int64_t *extents);
const Ix *ix_mod(Graph *g, const Ix *a, int64_t k, const int64_t *extents); /* a - k floor(a/k) */
/* Replaces dimension d by map[d] (NULL: stays); inner forms and values too. */
const Ix *ix_subst(Graph *g, const Ix *a, const Ix *const *map, int nmap, const int64_t *extents);
bool ix_is_const(const Ix *a, int64_t *value);
bool ix_is_dim(const Ix *a, int *dim);      /* exactly one dimension with coefficient 1, c = 0 */
int64_t ix_coef(const Ix *a, int dim);      /* coefficient of a dimension at top level */
uint32_t ix_dims(const Ix *a);              /* bit set of all dimensions it depends on */
bool ix_affine(const Ix *a);                /* dimensions only: no floor, no value */
/* Smallest and largest value over the box of extents; false where a VALUE makes it unknown. */
bool ix_range(const Ix *a, const int64_t *extents, int64_t *lo, int64_t *hi);
int64_t ix_eval(const Ix *a, const int64_t *dims, double (*value)(const Scalar *, void *), void *context);

/* ---- Scalar operators: ops.def */
typedef enum Op {
#define OP(id, ...) OP_##id,
#include "ops.def"
#undef OP
    OP_COUNT
} Op;
typedef struct OpInfo {
    const char *text;
    int arity;
    bool truth, costly;
    double lo, hi;
    double (*value)(double a, double b, double c);
} OpInfo;
extern const OpInfo op_info[OP_COUNT];

/* ---- Draws. A draw is a pure function of seed, place, element and (example, presentation) or step.
 * UNIFORM gives the open interval (0, 1); NORMAL mean 0, sd 1; BERNOULLI is UNIFORM16 < p by 16 bits.
 *
 * The definition. Philox4x32-10, key = (low, high 32 bits of the seed). Words of a block are numbered
 * 0 .. 3, fields of 16 bits 0 .. 7 (field f is the low half of word f / 2 where f is even).
 *   example draws:  counter = (block, example number, presentation, place)
 *   shared draws:   counter = (block, step, 0, place)
 *   UNIFORM    block = element / 4, w = word element % 4:  ((w >> 9) + 0.5) * 2^-23
 *   NORMAL     the inverse normal distribution function (AS 241, PPND16, Wichura 1988) of UNIFORM
 *   BERNOULLI  block = element / 8, f = field element % 8:  1 where (f + 0.5) / 65536 < p, else 0
 * A draw that is not shared makes its scalar per example; initial values use shared draws. */
typedef enum Draw { DRAW_UNIFORM, DRAW_NORMAL, DRAW_BERNOULLI } Draw;

typedef enum ScalarKind { SC_CONST, SC_INDEX, SC_READ, SC_OP, SC_DRAW } ScalarKind;
struct Scalar {
    uint32_t id, hash;
    ScalarKind kind;
    bool per_example;      /* depends on the example */
    bool wide;             /* made of wide reads and constants only, at least one read */
    bool reads;            /* holds a read or a draw */
    bool draws, draws_own; /* holds a draw, one of the example; in computed positions and outside too */
    uint32_t dims;         /* dimensions it depends on */
    double value;          /* CONST */
    const Ix *ix;          /* INDEX: its value as a number; DRAW: element number over the left-hand side */
    Node *node;            /* READ */
    const Ix *const *at;   /* READ: node->rank coordinates */
    const Scalar *outside; /* READ: value where a coordinate leaves its extent; NULL: cannot */
    Op op;
    const Scalar *arg[3];  /* OP; DRAW BERNOULLI: arg[0] = probability of 1 */
    Draw draw;
    uint32_t place;        /* DRAW: hash of the path of names */
    bool shared;           /* DRAW: counter uses the step, not the example */
};
const Scalar *sc_const(Graph *g, double value);
const Scalar *sc_index(Graph *g, const Ix *ix);
const Scalar *sc_read(Graph *g, Node *node, const Ix *const *at, const Scalar *outside);
/* Reads `node` at its own dimensions 0 .. rank-1. */
const Scalar *sc_read_all(Graph *g, Node *node);
/* Builds an operator, folding constants and identities (x + 0, x * 1, x * 0, select of a constant,
 * pow by a constant 1..8 as repeated multiplication, by -8..-1 as 1 over that, by 0.5 as sqrt, …).
 * x - x, x / x and comparisons of equal reads stay (NaN). The order of operands is kept. Types come
 * out right: a number where a truth value is wanted becomes ne(x, 0), a truth value where a number is
 * wanted select(b, 1, 0), so that and, or, not and the first operand of select always are truth values
 * (constants never stand there: they fold) and everything else, bodies of nodes too, is a number. */
const Scalar *sc_op(Graph *g, Op op, const Scalar *a, const Scalar *b, const Scalar *c);
const Scalar *sc_draw(Graph *g, Draw draw, const Scalar *p, const Ix *element, uint32_t place, bool shared);
/* Replaces dimensions as ix_subst does, in every leaf. */
const Scalar *sc_subst(Graph *g, const Scalar *s, const Ix *const *map, int nmap, const int64_t *extents);
/* Replaces leaves (READ, DRAW) by what `leaf` returns (NULL: stays); interior is rebuilt. Inside a
 * leaf (outside value, computed positions, probability) leaves are replaced first: `leaf` sees it with
 * those rebuilt, which is the same pointer where nothing in it changed. */
const Scalar *sc_rewrite(Graph *g, const Scalar *s,
                         const Scalar *(*leaf)(Graph *, const Scalar *, void *), void *context);
/* Calls `visit` once for each distinct READ in s (outside values and computed positions included). */
void sc_reads(const Scalar *s, void (*visit)(const Scalar *read, void *), void *context);
bool sc_is_const(const Scalar *s, double *value);

/* ---- Nodes */
typedef enum NodeKind {
    NODE_INPUT,  /* per example (an image, a label, `live`, `example.number`) or shared; by name */
    NODE_PARAM,  /* learned, shared; by path */
    NODE_STATE,  /* kept from step to step, shared; by path */
    NODE_FITTED, /* value of a `data` reduction: wide, shared, stored with the weights; by path */
    NODE_HYPER,  /* wide, rank 0: step, epoch, `set:optimizer.lr`, `count`, metrics … by name */
    NODE_COMP,   /* comprehension */
    NODE_GRAD,   /* gradient of rank-0 `of` by `wrt`; removed by the gradient pass */
    NODE_SCAN,   /* the value of `of`, which is made later and may read this: a recurrence */
    NODE_CALL    /* a result of a function of whole tensors (calls.def): wide, shared */
} NodeKind;
/* Order of the terms: the examples outermost where over_batch, then the reduced dimensions row-major.
 * SUM starts at +0, PROD at 1. MAX, MIN: the first term stands until a later one is greater (less).
 * ARGMAX, ARGMIN: row-major index over the reduced dimensions (the batch not counted) of that term. */
typedef enum Reduce { RED_NONE, RED_SUM, RED_PROD, RED_MAX, RED_MIN, RED_ARGMAX, RED_ARGMIN } Reduce;

/* Functions of whole tensors: calls.def. */
typedef enum Call {
#define CALL(id, ...) CALL_##id,
#include "calls.def"
#undef CALL
    CALL_COUNT
} Call;
enum { CALL_OPERANDS = 2, CALL_RESULTS = 2, CALL_EXTENTS = 2 * MAX_RANK };
typedef struct CallInfo {
    const char *text;
    int operands, results;
} CallInfo;
extern const CallInfo call_info[CALL_COUNT];

/* Where a node comes from, for messages (not part of identity): the layer whose def it stands in, and
 * where the user's own file uses that def; both may be empty. */
typedef struct Origin {
    Name path;
    Span use;
    bool gradient; /* made by differentiation */
} Origin;
struct Node {
    uint32_t id, hash;
    NodeKind kind;
    Name name;        /* leaves: path or name; else the label of the first binding (may be NULL) */
    bool per_example; /* has the implicit batch */
    bool wide;        /* float64 in every program */
    int rank;
    int64_t extent[MAX_DIMS]; /* output dimensions, then reduced ones */
    Reduce reduce;
    int nred;
    bool over_batch;  /* reduces over the examples too; then per_example is false */
    const Scalar *body;
    Node *of, *wrt;   /* GRAD; SCAN: of, the value it stands for */
    Call call;        /* CALL: its function, */
    int result;       /* which of its results, */
    Node *operand[CALL_OPERANDS]; /* and its operands, NULL beyond the last */
    int64_t classes;  /* INPUT holding a class: their number; 0 otherwise */
    Span at;          /* where it was written (not part of identity) */
    Origin origin;
};
struct Graph {
    Arena *arena;
    VEC(Node *) nodes; /* in order of making: operands come first */
    Span at;           /* of nodes made now that say nothing of their own; */
    Origin origin;     /* likewise */
    bool differentiating; /* they are of a gradient */
    void *tables;      /* interning */
};
Graph *graph_new(Arena *arena);
Node *graph_leaf(Graph *g, NodeKind kind, Name name, bool per_example, int rank, const int64_t *extent, int64_t classes, Span at);
/* The one constructor. Checks: every dimension used is bound; every affine coordinate stays inside
 * its operand or has an outside value (else a bug(): elaboration has diagnosed it before);
 * per-example bodies make per-example nodes unless over_batch. A body that is a plain read at the
 * node's own dimensions gives back the node read. */
typedef struct CompSpec {
    int rank, nred;
    int64_t extent[MAX_DIMS];
    Reduce reduce;
    bool over_batch;
    const Scalar *body;
    Name name;
    Span at;
    Origin origin;
} CompSpec;
/* Nodes made from now on come from where `node` does, unless they say otherwise. */
void graph_from(Graph *g, const Node *node);
Node *graph_comp(Graph *g, const CompSpec *spec);
CompSpec node_spec(const Node *node); /* what a comprehension was made from, to be made anew */
Node *graph_map(Graph *g, int rank, const int64_t *extent, const Scalar *body, Name name, Span at);
Node *graph_const(Graph *g, int rank, const int64_t *extent, double value);
Node *graph_grad(Graph *g, Node *of, Node *wrt);
/* Result number `result` of a call; operands shared and of the right shapes (call_fault). */
Node *graph_call(Graph *g, Call call, Node *const *operand, int result, Name name, Span at);
/* What is wrong with the operands of a call, in the user's words; NULL where nothing is. */
const char *call_fault(Graph *g, Call call, Node *const *operand);
/* The integers that the runtime's function takes; returns how many. */
int call_extents(const Node *node, int64_t *extent);

/* ---- Recurrences. A value that reads its own earlier index is written with a reference: a leaf of its
 * shape (per example), bound to the value once that is made. Nodes that depend on each other through
 * references are a group: ordinary comprehensions with the step as dimension 0, which read each other at
 * fixed distances along it: 0 within a step; else all of one sign, values of earlier steps. */
Node *graph_scan(Graph *g, int rank, const int64_t *extent, Name name, Span at);
void scan_bind(Graph *g, Node *scan, Node *of); /* anew where a pass has rebuilt `of` */
Node *node_value(Node *node);                   /* what a reference stands for; else the node itself */
/* The distance of a read along dimension 0; false where it is not fixed. */
bool scan_offset(const Scalar *read, int64_t *offset);
typedef VEC(Node *) NodeList;
typedef struct ScanGroup {
    NodeList nodes;    /* in the order of one step, references among them */
    int64_t extent;    /* steps */
    int direction;     /* 1: from step 0 up; -1: from the last one down */
    const char *fault; /* why it cannot run, or NULL */
    const Node *where;
} ScanGroup;
int64_t node_count(const Node *node);      /* product of the output extents */
int64_t node_terms(const Node *node);      /* product of the reduced extents, batch not counted */
int node_dims(const Node *node);           /* rank + nred */
/* Row-major element number of the output dimensions, as an index form. */
const Ix *node_element(Graph *g, int rank, const int64_t *extent);

/* ---- Unit: one compiled model with all its programs */
typedef enum ProgramKind {
    PROGRAM_SPLIT,   /* per example of a source: 1 where it belongs to a derived set */
    PROGRAM_FIT,     /* one per level: reductions over `data`, in float64 */
    PROGRAM_INIT,    /* parameters and states */
    PROGRAM_STEP,    /* one update */
    PROGRAM_EVAL,    /* per example: loss and metrics */
    PROGRAM_PREDICT, /* per example: outputs and their `predict` clauses */
    PROGRAM_EPOCH,   /* after an evaluation: stop rules, reactive schedules */
    PROGRAM_ORDER,   /* per example of the training split: its sort key or sampling weight */
    PROGRAM_SUMS,    /* sums over the evaluated set that need those of `eval`, one a level */
    PROGRAM_AFTER,   /* over the training minibatches, after training: what they add, in float64 */
    PROGRAM_KEPT,    /* then, once: states made of that */
    PROGRAM_SAMPLE,  /* predict with the draws of training */
    PROGRAM_METRIC,  /* metrics of the whole evaluated set, from its sums */
    PROGRAM_WATCH,   /* one update, and what is watched of it */
    PROGRAM_CHECK,   /* without examples: 1 where what a def requires is so; see require.c */
    PROGRAM_TRACE,   /* one update with every value stored, to find where a bad number came from */
    PROGRAM_ONE,     /* predict, of one example alone: its values have no axis of examples */
    PROGRAM_KINDS
} ProgramKind;
typedef enum ResultKind {
    RESULT_VALUE,  /* read by the runtime under its name ("loss", "error_rate", "digit", "digit.p") */
    RESULT_NEXT,   /* new value of the leaf `target` */
    RESULT_STOP    /* nonzero: stop */
} ResultKind;
typedef struct Result {
    ResultKind kind;
    Name name;
    Node *target; /* NEXT: PARAM, STATE or FITTED leaf */
    Node *node;
} Result;
typedef struct Program {
    ProgramKind kind;
    Name name; /* "init", "step", "eval", "predict", "fit0", "split:test", "epoch" */
    VEC(Result) results;
} Program;

/* Formats of data files: runtime/data/formats.def says what the members are. */
typedef struct DataFormat {
    const char *name;
    int least, most;
    const char *named, *use, *doc;
} DataFormat;
extern const DataFormat format_table[];
extern const int format_count;
const DataFormat *format_find(const char *name); /* NULL where there is none */
typedef struct Column { /* what a format names in a file, bound to a name */
    Name name, column;
} Column;
typedef struct DataSource {
    const DataFormat *format;
    VEC(Name) files;
    VEC(Column) columns; /* outputs and others that are bound; the rest is the input */
    bool embed;          /* the files' bytes travel in the executable */
    NodeList made;       /* of a set that a def makes: its values, in order of the columns */
    int64_t count;       /* so many examples of it */
    const char *bytes;   /* what it made, once that was evaluated; else NULL */
    int64_t size;
    Span at;
} DataSource;
typedef struct DataSet { /* train, validation, test */
    Name name;
    int source;          /* into sources */
    int taken_from;      /* set it was taken from with `when`, or -1 */
    int split;           /* program number of its condition, or -1 */
} DataSet;
typedef struct Hyper { /* a HYPER leaf and what `--set` may do */
    Name name;           /* "set:optimizer.lr" is set by --set optimizer.lr=… */
    double value;        /* default, shown by info */
} Hyper;
typedef struct LayerRow { /* a row of the table of `check` */
    Name path, def;
    Node *output;
    Span at;
} LayerRow;
typedef struct BatchStage {
    int64_t from, size;  /* from this epoch (step) on, so many examples per update */
} BatchStage;
typedef struct Load { /* leaves that start as a file of weights has them */
    Name file;
    VEC(Name) leaves;
} Load;
typedef struct TrainConfig {
    int64_t batch;       /* examples per update; its buffers are planned for this many */
    bool batch_all;      /* the whole training set: `batch` is its number once a file told it */
    VEC(BatchStage) stages; /* a batch that changes; else none */
    bool stages_by_step;
    int64_t epochs, steps; /* steps 0: by epochs */
    uint64_t seed;
    int64_t leaves;
    bool last_drop;      /* last = "drop" */
    bool wants_two;      /* an update takes a mean over the examples alone: one is not enough */
    Name best;           /* "loss" or a metric's name, "train.loss" of a set */
    bool best_max;
    bool has_stop;
    VEC(Load) loads;
} TrainConfig;
typedef struct TraceRow { /* a value of the program "trace" */
    Node *node;
    Node *part_of; /* of a part of this node's expression, operands first; or NULL */
    Op op;         /* then: what the part does, */
    NodeList from; /* and to what */
} TraceRow;
typedef struct Unit {
    Arena *arena;
    Graph *graph;
    Name model, train_name;
    const char *model_path, *model_dir; /* as given; its folder, absolute */
    uint64_t model_hash;
    NodeList inputs;      /* per-example INPUT leaves bound to data: inputs, targets, columns */
    NodeList params, states, fitted; /* in order of path of use */
    NodeList params_at; /* what `evaluate at` puts in place of params (same order), or empty */
    VEC(Hyper) hypers;
    VEC(Program) programs;
    VEC(DataSource) sources;
    VEC(DataSet) sets;
    VEC(Name) outputs;    /* model outputs in order */
    VEC(LayerRow) layers;
    VEC(TraceRow) traces;
    TrainConfig config;
    struct Unit *next;    /* the next training of the same file, or NULL */
} Unit;
const Program *unit_program(const Unit *unit, const char *name); /* NULL where absent */

/* ---- Text form, written and read back; the verifier.
 * Nodes are written in the order in which they were made, renumbered from 0. Places in the source and
 * the model's folder are not written: after reading, spans are those of the text, model_dir is NULL. */
void graph_print(FILE *out, const Unit *unit);
/* Reads what graph_print wrote; faults are diagnosed with their place; NULL then. */
Unit *graph_read(Arena *arena, uint32_t file);
/* Checks every node reachable from a program; bug() on the first fault. `stage` says which node
 * kinds are legal: 0 after elaboration (GRAD may stand), 1 after the gradient pass. */
void graph_verify(const Unit *unit, int stage);
const char *graph_fault(const Unit *unit, int stage); /* the same as a text; NULL where there is none */
/* Nodes reachable from a program's results, operands first. */
NodeList program_nodes(Arena *arena, const Program *program);
/* The same; groups (may be NULL) gets Node -> ScanGroup of those in a recurrence. The nodes of a group
 * follow each other, after all that they read and before all others that read them. */
NodeList program_groups(Arena *arena, const Program *program, Map *groups);
#endif
