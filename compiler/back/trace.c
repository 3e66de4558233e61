/* SPDX-License-Identifier: MIT
 * What the program "trace" stores, as a table for people: each value with its place in the source,
 * its layer, and what it is made from. Needs the plan. Computes nothing. */
#include "row.h"

typedef struct Operands {
    Emitter *e;
    const Map *number; /* Node -> trace number + 1 */
    ValueList *rows;
} Operands;

static void add_operand(Operands *operands, const Node *node) {
    intptr_t number = (intptr_t)map_get(operands->number, node_value((Node *)(uintptr_t)node));
    if (!number) return;
    LLVMValueRef value = LLVMConstInt(operands->e->i32, (unsigned long long)number - 1, false);
    for (int i = 0; i < operands->rows->len; i++) /* constants are unique */
        if (operands->rows->at[i] == value) return;
    VEC_PUSH(operands->e->arena, *operands->rows, value);
}

static void add_read(const Scalar *read, void *context) {
    add_operand(context, read->node);
}

static void put_operands(Emitter *e, Row *row, const TraceRow *trace, const Map *number) {
    ValueList rows = {0};
    Operands operands = {e, number, &rows};
    const Node *node = trace->node;
    for (int i = 0; i < trace->from.len; i++)
        add_operand(&operands, trace->from.at[i]);
    if (node->kind == NODE_COMP && !trace->part_of) sc_reads(node->body, add_read, &operands);
    for (int i = 0; node->kind == NODE_CALL && i < call_info[node->call].operands; i++)
        add_operand(&operands, node->operand[i]);
    put_array(e, row, &rows, "operands");
}

static const char *place_text(Emitter *e, Span at) {
    const Source *source = source_get(at.file);
    if (!source) return NULL;
    int line, column;
    source_position(at, &line, &column);
    return arena_printf(e->arena, "%s:%d:%d", source->path, line, column);
}

/* The line that a place stands in, without the space around it. */
static const char *line_text(Emitter *e, Span at) {
    const Source *source = source_get(at.file);
    if (!source || source->library) return NULL;
    const char *from = source->text + at.from, *to = from;
    while (from > source->text && from[-1] != '\n')
        from--;
    from += strspn(from, " \t");
    to += strcspn(to, "\n");
    while (to > from && strchr(" \t\r", to[-1]))
        to--;
    return arena_printf(e->arena, "%.*s", (int)(to - from), from);
}

static const char *what_text(const Node *node) {
    static const char *const reduces[] = {[RED_NONE] = "",      [RED_SUM] = "sum",
                                          [RED_MAX] = "max",    [RED_MIN] = "min",
                                          [RED_PROD] = "prod",  [RED_ARGMAX] = "argmax",
                                          [RED_ARGMIN] = "argmin"};
    if (node->kind == NODE_CALL) return call_info[node->call].text;
    if (node->kind != NODE_COMP) return "";
    if (node->reduce != RED_NONE) return reduces[node->reduce];
    return node->body->kind == SC_OP ? op_info[node->body->op].text : "";
}

static int trace_kind(const TraceRow *trace) {
    if (trace->part_of) return GR_PART;
    switch (trace->node->kind) {
    case NODE_INPUT:
        return GR_DATUM;
    case NODE_PARAM:
    case NODE_STATE:
    case NODE_FITTED:
        return GR_KEPT_LEAF;
    case NODE_HYPER:
        return GR_NUMBER;
    default:
        return GR_MADE;
    }
}

static LLVMValueRef trace_row(Emitter *e, const TraceRow *trace, const Map *number) {
    const Node *node = trace->node, *from = trace->part_of ? trace->part_of : node;
    Span use = from->origin.use, at = from->at;
    const Source *source = source_get(at.file);
    bool inside = use.file && (!source || source->library);
    Row row = {.n = 0};
    put(&row, buffer_row(e, node->name, plan_buffer(e->plan, e->program, node), node, 0));
    put_i32(e, &row, trace_kind(trace));
    put_i32(e, &row, trace->part_of ? (intptr_t)map_get(number, trace->part_of) - 1 : -1);
    put_i32(e, &row, from->origin.gradient);
    put_text(e, &row, trace->part_of ? op_info[trace->op].text : what_text(node));
    put_text(e, &row, from->origin.path && *from->origin.path ? from->origin.path : NULL);
    put_text(e, &row, place_text(e, at));
    put_text(e, &row, inside ? place_text(e, use) : NULL);
    put_text(e, &row, line_text(e, inside ? use : at));
    put_operands(e, &row, trace, number);
    return row_value(e, &row);
}

void emit_traces(Emitter *e, Row *model) {
    const Unit *unit = e->plan->unit;
    ValueList rows = {0};
    Map number;
    map_init(&number, e->arena);
    for (int i = 0; i < unit->traces.len; i++) /* a value of the step is known as that */
        if (!unit->traces.at[i].part_of || !map_has(&number, unit->traces.at[i].node))
            map_put(&number, unit->traces.at[i].node, (void *)(intptr_t)(i + 1));
    for (int p = 0; p < e->plan->programs.len; p++)
        if (e->plan->programs.at[p]->trace) e->program = e->plan->programs.at[p];
    for (int i = 0; i < unit->traces.len; i++)
        VEC_PUSH(e->arena, rows, trace_row(e, &unit->traces.at[i], &number));
    put_array(e, model, &rows, "traces");
    put_i64(e, model, e->plan->trace_memory);
}
