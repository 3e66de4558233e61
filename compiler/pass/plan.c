/* SPDX-License-Identifier: MIT
 * Makes the plan of a unit: persistent leaves first, then every program's kernels, phases and
 * buffers over one shared working area. Prints it. Needs the frozen unit. */
#include "plan.h"

static Buffer *leaf_buffer(Plan *plan, Node *node, int bytes) {
    Buffer *buffer = NEW(plan->arena, Buffer);
    buffer->node = node;
    buffer->persistent = true;
    buffer->bytes = bytes;
    buffer->elements = node_count(node);
    buffer->size = (buffer->elements * bytes + 63) & ~(int64_t)63;
    buffer->offset = plan->persistent_size;
    plan->persistent_size += buffer->size + GUARD;
    map_put(&plan->leaf, node, buffer);
    return buffer;
}

static void place_leaves(Plan *plan) {
    Unit *unit = plan->unit;
    for (int i = 0; i < unit->params.len; i++)
        VEC_PUSH(plan->arena, plan->persistent,
                 leaf_buffer(plan, unit->params.at[i], plan->target.float_bytes));
    for (int i = 0; i < unit->states.len; i++)
        VEC_PUSH(plan->arena, plan->persistent,
                 leaf_buffer(plan, unit->states.at[i], plan->target.float_bytes));
    for (int i = 0; i < unit->fitted.len; i++)
        VEC_PUSH(plan->arena, plan->persistent, leaf_buffer(plan, unit->fitted.at[i], 8));
}

/* Numbers of a run: the seed, then every hyperparameter any program reads. */
static void place_hypers(Plan *plan) {
    plan->seed_offset = plan->persistent_size;
    plan->memory = plan->persistent_size + 64;
    for (int i = 0; i < plan->unit->graph->nodes.len; i++) {
        Node *node = plan->unit->graph->nodes.at[i];
        if (node->kind != NODE_HYPER) continue;
        Buffer *buffer = NEW(plan->arena, Buffer);
        *buffer = (Buffer){.node = node,
                           .persistent = true,
                           .bytes = 8,
                           .elements = 1,
                           .size = 8,
                           .offset = plan->memory};
        plan->memory += 8;
        map_put(&plan->leaf, node, buffer);
        map_put(&plan->hyper, node, buffer);
        if (node->name == name_of("step")) plan->step_offset = buffer->offset;
    }
    if (!plan->step_offset) plan->step_offset = plan->memory, plan->memory += 8;
    plan->memory = (plan->memory + 63) & ~(int64_t)63;
}

enum { WHOLE_SET_BATCH = 128 }; /* examples at a time where a program walks over a data set */

static ProgramPlan *plan_program(Plan *plan, const Program *source, const Map *ones) {
    ProgramPlan *program = NEW(plan->arena, ProgramPlan);
    program->program = source;
    program->alias = -1;
    if (ones)
        program->ones = *ones;
    else
        map_init(&program->ones, plan->arena);
    program->wide = source->kind == PROGRAM_FIT || source->kind == PROGRAM_METRIC ||
                    source->kind == PROGRAM_AFTER;
    program->trace = source->kind == PROGRAM_TRACE;
    program->batch = source->kind == PROGRAM_STEP || source->kind == PROGRAM_AFTER ||
                             source->kind == PROGRAM_WATCH || program->trace
                         ? (int)plan->unit->config.batch
                         : WHOLE_SET_BATCH;
    if (program->batch < 1 || ones) program->batch = 1;
    program->blocks = (program->batch + LANES - 1) / LANES;
    int64_t leaves = plan->unit->config.leaves > 0 ? plan->unit->config.leaves : 16;
    program->leaf_blocks = 1;
    while ((program->blocks + program->leaf_blocks - 1) / program->leaf_blocks > leaves)
        program->leaf_blocks *= 2;
    map_init(&program->groups, plan->arena);
    program->nodes = program_groups(plan->arena, source, &program->groups);
    map_init(&program->doubles, plan->arena);
    for (int i = 0; i < program->nodes.len; i++) {
        const Node *node = program->nodes.at[i];
        for (int k = 0; node->kind == NODE_CALL && k < call_info[node->call].operands; k++)
            map_put(&program->doubles, node->operand[k], node->operand[k]);
    }
    plan_pad(plan, program);
    plan_group(plan, program);
    for (int k = 0; k < program->kernels.len; k++) {
        plan_tile(plan, program, program->kernels.at[k]);
        plan_order(plan, program, program->kernels.at[k]);
    }
    plan_schedule(plan, program);
    plan_rematerialize(plan, program);
    plan_memory(plan, program);
    plan_work(plan, program);
    return program;
}

static int find_kind(const Unit *unit, ProgramKind kind) {
    for (int i = 0; i < unit->programs.len; i++)
        if (unit->programs.at[i].kind == kind) return i;
    return -1;
}

/* Prediction is most of evaluation: one set of phases computes the results of both. */
static const Program *with_prediction(Plan *plan, const Program *eval, int predict) {
    Program *both = NEW(plan->arena, Program);
    both->kind = eval->kind;
    both->name = eval->name;
    for (int i = 0; i < eval->results.len; i++)
        VEC_PUSH(plan->arena, both->results, eval->results.at[i]);
    const Program *more = &plan->unit->programs.at[predict];
    for (int i = 0; i < more->results.len; i++)
        VEC_PUSH(plan->arena, both->results, more->results.at[i]);
    return both;
}

static ProgramPlan *alias_program(Plan *plan, const Program *source, int of) {
    ProgramPlan *program = NEW(plan->arena, ProgramPlan);
    *program = *plan->programs.at[of];
    program->program = source;
    program->nodes = program_nodes(plan->arena, source);
    program->alias = of;
    return program;
}

static void add_program(Plan *plan, ProgramPlan *program, int64_t work, int64_t *most) {
    for (int b = 0; b < program->buffers.len; b++)
        if (!program->buffers.at[b]->scratch) program->buffers.at[b]->offset += work;
    if (program->trace)
        plan->trace_memory = work + program->mem + 4096;
    else if (program->mem > *most)
        *most = program->mem;
    if (program->scratch > plan->scratch) plan->scratch = program->scratch;
    VEC_PUSH(plan->arena, plan->programs, program);
}

Plan *plan_make(Arena *arena, Unit *unit, const PlanTarget *target) {
    Plan *plan = NEW(arena, Plan);
    plan->arena = arena;
    plan->unit = unit;
    plan->target = *target;
    map_init(&plan->leaf, arena);
    map_init(&plan->hyper, arena);
    place_leaves(plan);
    place_hypers(plan);
    int64_t work = plan->memory, most = 0;
    int eval = find_kind(unit, PROGRAM_EVAL), predict = find_kind(unit, PROGRAM_PREDICT);
    for (int i = 0; i < unit->programs.len; i++) {
        const Program *source = &unit->programs.at[i];
        if (i == predict && eval >= 0 && eval < predict) {
            VEC_PUSH(arena, plan->programs, alias_program(plan, source, eval));
            continue;
        }
        if (i == eval && eval < predict) source = with_prediction(plan, source, predict);
        ProgramPlan *program = plan_program(plan, source, NULL);
        program->program = &unit->programs.at[i];
        add_program(plan, program, work, &most);
    }
    Map ones;
    map_init(&ones, arena);
    int of = predict < 0 && plan->target.one ? eval : predict;
    const Program *one =
        of < 0 || plan->target.apart ? NULL : plan_one(plan, &unit->programs.at[of], &ones);
    if (one) add_program(plan, plan_program(plan, one, &ones), work, &most);
    plan->memory = work + most + 4096; /* a last vector may be read past the end of a row */
    plan->scratch += 4096;
    return plan;
}

static const char *kernel_text[] = {"serial", "blocks", "units"};
static const char *carrier_text[] = {"scalar", "batch", "dim"};

static void print_node(FILE *out, const ProgramPlan *program, const Plan *plan, const Node *node) {
    fprintf(out, "      %%%u %s", node->id, node->name ? node->name : "-");
    const Buffer *buffer = plan_buffer(plan, program, node);
    if (!map_has(&program->stored, node))
        fprintf(out, " in registers");
    else if (map_has(&program->in_place, node))
        fprintf(out, " overwrites %s", buffer->node->name);
    else if (buffer)
        fprintf(out, "%s in %s+%lld", map_has(&program->padded, node) ? " padded" : "", buffer->scratch ? "scratch" : "mem", (long long)buffer->offset);
    if (map_has(&program->bodies, node)) fprintf(out, ", makes again what it reads");
    fputc('\n', out);
}

static void print_kernel(FILE *out, const ProgramPlan *program, const Plan *plan,
                         const Kernel *kernel) {
    fprintf(out, "    kernel %d %s [", kernel->number, kernel_text[kernel->kind]);
    for (int d = 0; d < kernel->axes; d++)
        fprintf(out, "%s%lld", d ? ", " : "", (long long)kernel->axis[d]);
    fprintf(out, "]");
    if (kernel->group)
        fprintf(out, " step by step %s", kernel->group->direction < 0 ? "down" : "up");
    if (kernel->calls.len) fprintf(out, " call %s", call_info[kernel->calls.at[0]->call].text);
    if (kernel->transpose) fprintf(out, " transpose %%%u", kernel->transpose->node->id);
    if (kernel->copy_to)
        fprintf(out, " copy %%%u to %s", kernel->copy_from->id, kernel->copy_to->name);
    fprintf(out, " lanes %s", carrier_text[kernel->carrier]);
    if (kernel->carrier == CARRY_DIM) fprintf(out, " %d", kernel->lane_axis);
    if (kernel->makes_leaves)
        fprintf(out, " sum over a block by lanes");
    else if (kernel->batch_sum)
        fprintf(out, " sum over batch %s",
                kernel->batch_sum == BATCH_LANES    ? "by lanes"
                : kernel->batch_sum == BATCH_LEAVES ? "of what its blocks left"
                                                    : "in sequence");
    for (int d = 0; d < kernel->axes; d++)
        if (kernel->tile[d] > 1) fprintf(out, " tile a%d x %d", d, kernel->tile[d]);
    for (int d = 0; d < kernel->axes; d++)
        if (kernel->apart[d]) fprintf(out, " every a%d / %d", d, kernel->apart[d]);
    if (kernel->block_tile > 1) fprintf(out, " blocks x %d", kernel->block_tile);
    if (kernel->split >= 0) fprintf(out, " split a%d", kernel->split);
    if (kernel->loops > 1) fprintf(out, " loops");
    for (int i = 0; kernel->loops > 1 && i < kernel->loops; i++)
        if (kernel->loop[i] == BLOCK_AXIS)
            fprintf(out, " blocks");
        else
            fprintf(out, " a%d", kernel->loop[i]);
    fputc('\n', out);
    for (int i = 0; i < kernel->leaves.len; i++)
        print_node(out, program, plan, kernel->leaves.at[i]);
    for (int i = 0; i < kernel->reductions.len && !kernel->makes_leaves; i++)
        print_node(out, program, plan, kernel->reductions.at[i]);
    for (int i = 0; i < kernel->maps.len; i++)
        print_node(out, program, plan, kernel->maps.at[i]);
    for (int i = 0; i < kernel->calls.len; i++)
        print_node(out, program, plan, kernel->calls.at[i]);
}

static const char *unit_name(const Plan *plan, int program) {
    return plan->unit->programs.at[program].name;
}

void plan_print(FILE *out, const Plan *plan) {
    fprintf(out, "plan of %s: state %lld bytes, memory %lld, scratch %lld a thread\n",
            plan->unit->model, (long long)plan->persistent_size, (long long)plan->memory,
            (long long)plan->scratch);
    for (int i = 0; i < plan->programs.len; i++) {
        const ProgramPlan *program = plan->programs.at[i];
        fprintf(out, "program %s: batch %d, %d blocks, %d a leaf\n", program->program->name,
                program->batch, program->blocks, program->leaf_blocks);
        if (program->alias >= 0) {
            fprintf(out, "  the phases of %s\n", unit_name(plan, program->alias));
            continue;
        }
        for (int p = 0; p < program->phases.len; p++) {
            const PlanPhase *phase = &program->phases.at[p];
            fprintf(out, "  phase %d %s\n", p, kernel_text[phase->kind]);
            for (int k = 0; k < phase->kernels.len; k++)
                print_kernel(out, program, plan, phase->kernels.at[k]);
        }
    }
}
