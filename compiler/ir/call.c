/* SPDX-License-Identifier: MIT
 * Functions of whole tensors: their table, the shapes they take and give, their nodes.
 * Needs base and ir.h.
 * Computes none of them: the interpreter (eval/matrix.c) and the runtime (matrix.c) do. */
#include "intern.h"
#include <string.h>

const CallInfo call_info[CALL_COUNT] = {
#define CALL(id, text, operands, results) {text, operands, results},
#include "calls.def"
#undef CALL
};

static int64_t product(const int64_t *extent, int n) {
    int64_t count = 1;
    for (int i = 0; i < n; i++)
        count *= extent[i];
    return count;
}

/* A tensor is a matrix by its first half of dimensions against its second. */
static bool halves_equal(const Node *a) {
    int half = a->rank / 2;
    return a->rank > 0 && a->rank % 2 == 0 &&
           !memcmp(a->extent, a->extent + half, sizeof *a->extent * (size_t)half);
}

const char *call_fault(Graph *g, Call call, Node *const *operand) {
    const char *name = call_info[call].text;
    for (int i = 0; i < call_info[call].operands; i++)
        if (operand[i]->per_example)
            return arena_printf(
                g->arena,
                "`%s` takes what all examples share, this differs from example to example", name);
    const Node *a = operand[0];
    switch (call) {
    case CALL_EIGH:
        if (halves_equal(a)) return NULL;
        return "`eigh` takes a square matrix: the second half of the dimensions as the first";
    case CALL_QR:
        if (a->rank == 2 && a->extent[0] >= a->extent[1]) return NULL;
        return "`qr` takes a matrix of at least as many rows as columns";
    case CALL_COUNT:
        break;
    }
    return "there is no such function";
}

/* eigh(a[p..., q...]): value[n], vector[p..., n]. qr(a[m, n]): q[m, n], r[n, n]. */
static void call_shape(Node *key) {
    const Node *a = key->operand[0];
    if (key->call == CALL_EIGH) {
        int half = a->rank / 2;
        key->rank = key->result ? half + 1 : 1;
        memcpy(key->extent, a->extent, sizeof *a->extent * (size_t)half);
        key->extent[key->rank - 1] = product(a->extent, half);
    } else {
        key->rank = 2;
        key->extent[0] = a->extent[key->result];
        key->extent[1] = a->extent[1];
    }
}

int call_extents(const Node *node, int64_t *extent) {
    const Node *a = node->operand[0];
    extent[0] = product(a->extent, a->rank / 2);
    if (node->call == CALL_EIGH) return 1;
    extent[1] = a->extent[1];
    return 2;
}

Node *graph_call(Graph *g, Call call, Node *const *operand, int result, Name name, Span at) {
    const char *fault = call_fault(g, call, operand);
    if (fault) bug("%s", fault);
    if (result < 0 || result >= call_info[call].results) bug("result %d of a call", result);
    Node key = {.kind = NODE_CALL, .call = call, .result = result, .name = name, .at = at};
    key.wide = true;
    memcpy(key.operand, operand, sizeof *operand * (size_t)call_info[call].operands);
    call_shape(&key);
    return node_intern(g, &key);
}
