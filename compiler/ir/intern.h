/* SPDX-License-Identifier: MIT
 * Interning of index forms, scalars and nodes, and the order in which sums are written.
 * Needs ir.h. Private to this folder: nothing outside includes it. */
#ifndef GRADUS_INTERN_H
#define GRADUS_INTERN_H
#include "ir.h"

/* Ix, Scalar and Node all begin so; a table holds any one of them. */
typedef struct Interned {
    uint32_t id, hash;
} Interned;
typedef struct Table {
    Interned **slot;
    uint32_t size, used; /* size is a power of two, or 0 */
} Table;
typedef struct Tables {
    Table ix, scalar, node;
} Tables;
typedef bool Same(const void *a, const void *b);

/* The thing in the table that is the `same` as key (whose hash is set), or NULL. */
void *table_find(const Table *table, const void *key, Same *same);
/* Adds a thing that table_find did not find; gives it its id. */
void table_add(Arena *arena, Table *table, void *thing);
static inline Tables *tables_of(const Graph *g) {
    return g->tables;
}

static inline uint32_t hash_mix(uint32_t hash, uint64_t more) {
    uint64_t h = (hash ^ more) * 0x9e3779b97f4a7c15ull;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9ull;
    return (uint32_t)(h >> 32) ^ (uint32_t)h;
}

/* Orders by structure, so that a graph read back from text sorts its sums in the same way; nodes
 * by id, which the text form keeps. */
int ix_compare(const Ix *a, const Ix *b);
int sc_compare(const Scalar *a, const Scalar *b);

/* What an index form takes from the scalars of its computed positions. */
typedef struct IxFacts {
    bool per_example, reads, draws, draws_own, narrow; /* narrow: holds a read or draw that is not wide */
} IxFacts;
IxFacts ix_facts(const Ix *a);
/* Calls visit for the scalar of each computed position in a. */
void ix_values(const Ix *a, void (*visit)(const Scalar *value, void *), void *context);
/* Rebuilds a with its dimensions and computed positions replaced (either may be absent). */
typedef const Scalar *ValueMap(Graph *g, const Scalar *value, void *context);
const Ix *ix_rebuild(Graph *g, const Ix *a, const Ix *const *map, int nmap, const int64_t *extents,
                     ValueMap *value, void *context);

/* The node that is the same as key, or key itself, made part of the graph. */
Node *node_intern(Graph *g, Node *key);

/* What is wrong with a leaf or a comprehension to be made, as text in the graph's arena; NULL where
 * nothing is. The constructors take it for a bug(), the reader of the text form for a fault there.
 */
const char *leaf_fault(Graph *g, const Node *key);
const char *comp_fault(Graph *g, const CompSpec *spec);
const char *grad_fault(Graph *g, const Node *of);
const char *scan_fault(Graph *g, const Node *scan, const Node *of);

/* ---- Truth values and numbers: where one stands for the other it is converted, so that every
 * operand has the type its operator takes: b as a number is select(b, 1, 0), x as a condition ne(x,
 * 0). */
bool sc_truth(const Scalar *s); /* a constant is a number, never a truth value */
const Scalar *sc_number(Graph *g, const Scalar *s);
bool op_takes_truth(Op op, int operand);
/* The operator without any folding; operands have their types. */
const Scalar *sc_plain_op(Graph *g, Op op, const Scalar *a, const Scalar *b, const Scalar *c);
#endif
