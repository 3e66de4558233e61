/* SPDX-License-Identifier: MIT
 * Phases as functions, and the constant table `gr_model` that the runtime reads: the layout is that
 * of runtime/abi.h, member by member. Needs the plan. Does not know what a kernel computes. */
#include "abi.h"
#include "row.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* GrWork */
static LLVMValueRef work_row(Emitter *e, const PlanWork *work) {
    Row row = {.n = 0};
    put_f64(e, &row, work->flops);
    put_f64(e, &row, work->flops_each);
    put_f64(e, &row, work->bytes);
    put_f64(e, &row, work->bytes_each);
    return row_value(e, &row);
}

static LLVMValueRef emit_phase(Emitter *e, const PlanPhase *phase, int number,
                               LLVMValueRef *kernels) {
    const char *program = e->program->program->name;
    int n = phase->kernels.len;
    for (int k = 0; k < n; k++) {
        Kernel *kernel = phase->kernels.at[k];
        kernels[k] =
            emit_kernel(e, kernel, arena_printf(e->arena, "%s.kernel%d", program, kernel->number));
    }
    LLVMTypeRef parameters[5] = {e->ptr, e->ptr, e->i64, e->i64, e->i64};
    LLVMTypeRef type = LLVMFunctionType(e->nothing, parameters, 5, false);
    e->function =
        LLVMAddFunction(e->module, arena_printf(e->arena, "%s.phase%d", program, number), type);
    LLVMSetLinkage(e->function, LLVMInternalLinkage);
    LLVMPositionBuilderAtEnd(e->builder,
                             LLVMAppendBasicBlockInContext(e->context, e->function, "entry"));
    LLVMValueRef arg[5];
    LLVMGetParams(e->function, arg);
    Loop loop = {0};
    if (phase->kind == KERNEL_BLOCKS) {
        loop = loop_begin(e, arg[3], arg[4], 1);
        arg[3] = loop.index;
    }
    for (int k = 0; k < n;) {
        const ScanGroup *group = phase->kernels.at[k]->group;
        LLVMValueRef end = arg[4];
        Loop steps = {0};
        if (group) {
            steps = loop_begin(e, emit_i64(e, 0), emit_i64(e, group->extent), 1);
            arg[4] = group->direction > 0 ? steps.index
                                          : LLVMBuildSub(e->builder, emit_i64(e, group->extent - 1),
                                                         steps.index, "");
        }
        do
            LLVMBuildCall2(e->builder, type, kernels[k++], arg, 5, "");
        while (group && k < n && phase->kernels.at[k]->group == group);
        if (group) loop_end(e, &steps);
        arg[4] = end;
    }
    if (phase->kind == KERNEL_BLOCKS) loop_end(e, &loop);
    LLVMBuildRetVoid(e->builder);
    return e->function;
}

/* A phase in the module for what runs once if ever; here it is declared. */
static LLVMValueRef emit_apart(Emitter *e, const PlanPhase *phase, int number,
                               LLVMValueRef *kernels) {
    LLVMModuleRef module = e->module;
    e->module = e->math.module = e->trace_module;
    LLVMValueRef function = emit_phase(e, phase, number, kernels);
    e->module = e->math.module = module;
    LLVMSetLinkage(function, LLVMExternalLinkage);
    size_t length;
    return LLVMAddFunction(module, LLVMGetValueName2(function, &length),
                           LLVMGlobalGetValueType(function));
}

static const int phase_kind[] = {
    [KERNEL_SERIAL] = GR_SERIAL, [KERNEL_BLOCKS] = GR_BLOCKS, [KERNEL_UNITS] = GR_UNITS};

/* The three members on phases of a program that has them already. */
typedef struct PhaseRows {
    LLVMValueRef array, length;
    double flops;
} PhaseRows;

static void put_kernels(Emitter *e, Row *row, const PlanPhase *phase, LLVMValueRef *functions) {
    ValueList rows = {0};
    const ScanGroup *before = NULL;
    int n = e->program->trace ? 0 : phase->kernels.len; /* those are of another module */
    for (int k = 0, group = -1; k < n; k++) {
        const Kernel *kernel = phase->kernels.at[k];
        if (kernel->group && kernel->group != before) group++;
        before = kernel->group;
        Row one = {.n = 0};
        put(&one, functions[k]);
        put_text(e, &one, kernel->name);
        put_i32(e, &one, kernel->group ? group : -1);
        put_i64(e, &one, kernel->group ? kernel->group->extent * kernel->group->direction : 0);
        put(&one, work_row(e, &kernel->work));
        VEC_PUSH(e->arena, rows, row_value(e, &one));
    }
    put_array(e, row, &rows, "kernels");
}

static double put_phases(Emitter *e, Row *row) {
    ValueList rows = {0};
    double all = 0;
    for (int p = 0; p < e->program->phases.len; p++) {
        const PlanPhase *phase = &e->program->phases.at[p];
        const PlanWork *work = &phase->work;
        int examples = phase->kind == KERNEL_BLOCKS ? LANES : e->program->batch;
        all += work->flops + work->flops_each * e->program->batch;
        LLVMValueRef *kernels = NEW_ARRAY(e->arena, LLVMValueRef, phase->kernels.len);
        Row one = {.n = 0};
        put(&one, e->program->trace ? emit_apart(e, phase, p, kernels)
                                    : emit_phase(e, phase, p, kernels));
        put_text(e, &one, arena_printf(e->arena, "%s.phase%d", e->program->program->name, p));
        put_i32(e, &one, phase_kind[phase->kind]);
        put_i64(e, &one, phase->kind == KERNEL_UNITS ? SHARES : 1);
        put_f64(e, &one, work->flops + work->flops_each * examples);
        put_f64(e, &one, work->bytes + work->bytes_each * examples);
        put(&one, work_row(e, work));
        put_kernels(e, &one, phase, kernels);
        VEC_PUSH(e->arena, rows, row_value(e, &one));
    }
    put_array(e, row, &rows, "phases");
    return all;
}

static void put_inputs(Emitter *e, Row *row) {
    ValueList rows = {0};
    for (int i = 0; i < e->program->nodes.len; i++) {
        const Node *node = e->program->nodes.at[i];
        if (node->kind != NODE_INPUT) continue;
        const Buffer *buffer = map_get(&e->program->of_node, node);
        const Node *one = map_get(&e->program->ones, node); /* it is bound by the name of that */
        VEC_PUSH(e->arena, rows,
                 buffer_row(e, one ? one->name : node->name, buffer, node, node->classes));
    }
    put_array(e, row, &rows, "inputs");
}

static void put_results(Emitter *e, Row *row) {
    ValueList rows = {0};
    const Program *program = e->program->program;
    for (int i = 0; i < program->results.len; i++) {
        const Result *result = &program->results.at[i];
        if (result->kind == RESULT_NEXT || !*result->name) continue;
        const Buffer *buffer = plan_buffer(e->plan, e->program, result->node);
        VEC_PUSH(e->arena, rows, buffer_row(e, result->name, buffer, result->node, 0));
    }
    put_array(e, row, &rows, "results");
}

static const int program_kind[PROGRAM_KINDS] = {
    [PROGRAM_SPLIT] = GR_SPLIT, [PROGRAM_FIT] = GR_FIT,   [PROGRAM_INIT] = GR_INIT,
    [PROGRAM_STEP] = GR_STEP,   [PROGRAM_EVAL] = GR_EVAL, [PROGRAM_PREDICT] = GR_PREDICT,
    [PROGRAM_EPOCH] = GR_EPOCH, [PROGRAM_ORDER] = GR_ORDER,
    [PROGRAM_SUMS] = GR_SUMS,   [PROGRAM_METRIC] = GR_METRIC,
    [PROGRAM_AFTER] = GR_AFTER, [PROGRAM_KEPT] = GR_KEPT, [PROGRAM_SAMPLE] = GR_SAMPLE,
    [PROGRAM_WATCH] = GR_WATCH, [PROGRAM_CHECK] = GR_CHECK, [PROGRAM_TRACE] = GR_TRACE,
    [PROGRAM_ONE] = GR_ONE};

static void put_programs(Emitter *e, Row *model) {
    ValueList rows = {0};
    PhaseRows *phases = NEW_ARRAY(e->arena, PhaseRows, e->plan->programs.len);
    for (int i = 0; i < e->plan->programs.len; i++) {
        e->program = e->plan->programs.at[i];
        Row row = {.n = 0};
        put_text(e, &row, e->program->program->name);
        put_i32(e, &row, program_kind[e->program->program->kind]);
        put_i32(e, &row, e->program->batch);
        if (e->program->alias >= 0) {
            phases[i] = phases[e->program->alias];
            put(&row, phases[i].array);
            put(&row, phases[i].length);
        } else {
            phases[i].flops = put_phases(e, &row);
            phases[i].array = row.at[row.n - 2];
            phases[i].length = row.at[row.n - 1];
        }
        put_i32(e, &row, e->program->ready);
        put_inputs(e, &row);
        put_results(e, &row);
        put_i64(e, &row, e->program->number ? e->program->number->offset : -1);
        put_i64(e, &row, e->program->presentation ? e->program->presentation->offset : -1);
        put_f64(e, &row, phases[i].flops);
        emit_guards(e, &row);
        VEC_PUSH(e->arena, rows, row_value(e, &row));
    }
    put_array(e, model, &rows, "programs");
}

static const int leaf_kind[] = {
    [NODE_PARAM] = GR_PARAM, [NODE_STATE] = GR_STATE, [NODE_FITTED] = GR_FITTED};

static int64_t put_leaves(Emitter *e, Row *model) {
    ValueList rows = {0};
    int64_t learned = 0;
    for (int i = 0; i < e->plan->persistent.len; i++) {
        const Buffer *buffer = e->plan->persistent.at[i];
        Row row = {.n = 0};
        put(&row, buffer_row(e, buffer->node->name, buffer, buffer->node, 0));
        put_i32(e, &row, leaf_kind[buffer->node->kind]);
        VEC_PUSH(e->arena, rows, row_value(e, &row));
        if (buffer->node->kind == NODE_PARAM) learned += node_count(buffer->node);
    }
    put_array(e, model, &rows, "leaves");
    return learned;
}

static double hyper_default(const Unit *unit, Name name) {
    for (int i = 0; i < unit->hypers.len; i++)
        if (unit->hypers.at[i].name == name) return unit->hypers.at[i].value;
    return 0;
}

static void put_hypers(Emitter *e, Row *model) {
    ValueList rows = {0};
    bool step = false;
    for (int i = 0; i < e->plan->hyper.slots.len; i++) {
        const Buffer *buffer = e->plan->hyper.slots.at[i].value;
        Row row = {.n = 0};
        put_text(e, &row, buffer->node->name);
        put_i64(e, &row, buffer->offset);
        put_f64(e, &row, hyper_default(e->plan->unit, buffer->node->name));
        VEC_PUSH(e->arena, rows, row_value(e, &row));
        step |= buffer->offset == e->plan->step_offset;
    }
    if (!step) { /* draws look at it even where no formula does */
        Row row = {.n = 0};
        put_text(e, &row, "step");
        put_i64(e, &row, e->plan->step_offset);
        put_f64(e, &row, 0);
        VEC_PUSH(e->arena, rows, row_value(e, &row));
    }
    put_array(e, model, &rows, "hypers");
}

/* The bytes of a file, to travel in the executable; diagnosed where it cannot be read. */
static LLVMValueRef file_bytes(Emitter *e, const DataSource *source, const char *path,
                               int64_t *size) {
    if (source->bytes) {
        *size = source->size;
        LLVMValueRef made =
            LLVMConstStringInContext(e->context, source->bytes, (unsigned)source->size, true);
        return constant_global(e, made, "embedded");
    }
    if (path[0] != '/') path = arena_printf(e->arena, "%s/%s", e->plan->unit->model_dir, path);
    FILE *file = fopen(path, "rb");
    *size = 0;
    if (!file) {
        diag_error(source->at, "E0601", "cannot read %s, whose data are to be embedded", path);
        return LLVMConstNull(e->ptr);
    }
    size_t room = ROOM(1 << 16, 2), have = 0;
    char *bytes = malloc(room);
    while (bytes) {
        size_t got = fread(bytes + have, 1, room - have, file);
        if (!got) break;
        have += got;
        if (have == room) {
            char *more = realloc(bytes, room *= 2);
            if (!more) free(bytes);
            bytes = more;
        }
    }
    bool whole = !ferror(file);
    fclose(file);
    if (!bytes) out_of_memory();
    if (!whole) {
        diag_error(source->at, "E0601", "cannot read %s, whose data are to be embedded", path);
        free(bytes);
        return LLVMConstNull(e->ptr);
    }
    LLVMValueRef text = LLVMConstStringInContext(e->context, bytes, (unsigned)have, true);
    free(bytes);
    *size = (int64_t)have;
    return constant_global(e, text, "embedded");
}

static void put_sources(Emitter *e, Row *model) {
    const Unit *unit = e->plan->unit;
    ValueList rows = {0};
    for (int i = 0; i < unit->sources.len; i++) {
        const DataSource *source = &unit->sources.at[i];
        Row row = {.n = 0};
        put_text(e, &row, source->format->name);
        ValueList files = {0}, columns = {0};
        for (int f = 0; f < source->files.len; f++) {
            Row file = {.n = 0};
            int64_t size = 0;
            put_text(e, &file, source->files.at[f]);
            put(&file, source->embed ? file_bytes(e, source, source->files.at[f], &size)
                                     : LLVMConstNull(e->ptr));
            put_i64(e, &file, size);
            VEC_PUSH(e->arena, files, row_value(e, &file));
        }
        put_array(e, &row, &files, "files");
        for (int c = 0; c < source->columns.len; c++) {
            Row column = {.n = 0};
            put_text(e, &column, source->columns.at[c].name);
            put_text(e, &column, source->columns.at[c].column);
            VEC_PUSH(e->arena, columns, row_value(e, &column));
        }
        put_array(e, &row, &columns, "columns");
        VEC_PUSH(e->arena, rows, row_value(e, &row));
    }
    put_array(e, model, &rows, "sources");
    rows = (ValueList){0};
    for (int i = 0; i < unit->sets.len; i++) {
        const DataSet *set = &unit->sets.at[i];
        Row row = {.n = 0};
        put_text(e, &row, set->name);
        put_i32(e, &row, set->source);
        put_i32(e, &row, set->taken_from);
        put_i32(e, &row, set->split);
        VEC_PUSH(e->arena, rows, row_value(e, &row));
    }
    put_array(e, model, &rows, "sets");
}

static void put_names(Emitter *e, Row *model, const Name *names, int n) {
    ValueList rows = {0};
    for (int i = 0; i < n; i++) {
        Row text = {.n = 0};
        put_text(e, &text, names[i]);
        VEC_PUSH(e->arena, rows, text.at[0]);
    }
    put_array(e, model, &rows, "names");
}

/* Model inputs: per-example leaves whose name is no target, column or mark of the runtime. */
static void put_model_inputs(Emitter *e, Row *model) {
    const Unit *unit = e->plan->unit;
    Name names[64];
    int n = 0;
    for (int i = 0; i < unit->inputs.len && n < LENGTH(names); i++)
        if (!strchr(unit->inputs.at[i]->name, '.') && unit->inputs.at[i]->name != name_of("live"))
            names[n++] = unit->inputs.at[i]->name;
    put_names(e, model, names, n);
}

static void put_stages(Emitter *e, Row *model, const TrainConfig *config) {
    ValueList rows = {0};
    for (int i = 0; i < config->stages.len; i++) {
        Row row = {.n = 0};
        put_i64(e, &row, config->stages.at[i].from);
        put_i64(e, &row, config->stages.at[i].size);
        VEC_PUSH(e->arena, rows, row_value(e, &row));
    }
    put_array(e, model, &rows, "stages");
}

static void put_loads(Emitter *e, Row *model, const TrainConfig *config) {
    ValueList rows = {0};
    for (int i = 0; i < config->loads.len; i++) {
        Row row = {.n = 0};
        put_text(e, &row, config->loads.at[i].file);
        put_names(e, &row, config->loads.at[i].leaves.at, config->loads.at[i].leaves.len);
        VEC_PUSH(e->arena, rows, row_value(e, &row));
    }
    put_array(e, model, &rows, "loads");
}

LLVMValueRef emit_model(Emitter *e, const BackOptions *options, LLVMValueRef next,
                        bool first) {
    const Unit *unit = e->plan->unit;
    const TrainConfig *config = &unit->config;
    Row row = {.n = 0};
    put_i32(e, &row, GR_ABI);
    put_text(e, &row, unit->model);
    put_text(e, &row, unit->train_name ? unit->train_name : "");
    put_text(e, &row,
             arena_printf(e->arena, "gradus %s (LLVM %s)", GRADUS_VERSION, back_llvm_version()));
    put_text(e, &row, options->cpu ? options->cpu : "native");
    put_text(e, &row, unit->model_path);
    put_text(e, &row, unit->model_dir);
    put_i64(e, &row, (int64_t)unit->model_hash);
    put_i32(e, &row, e->plan->target.float_bytes);
    put_i64(e, &row, e->plan->memory);
    put_i64(e, &row, e->plan->scratch);
    put_i64(e, &row, e->plan->persistent_size);
    int64_t learned = put_leaves(e, &row);
    put_hypers(e, &row);
    put_programs(e, &row);
    put_sources(e, &row);
    put_model_inputs(e, &row);
    put_names(e, &row, unit->outputs.at, unit->outputs.len);
    put_i64(e, &row, e->plan->seed_offset);
    put_i64(e, &row, config->batch);
    put_i64(e, &row, config->epochs);
    put_i64(e, &row, config->steps);
    put_i64(e, &row, (int64_t)config->seed);
    put_i32(e, &row, config->last_drop);
    put_i32(e, &row, config->best_max);
    put_i32(e, &row, config->has_stop);
    put_text(e, &row, config->best);
    put_i64(e, &row, learned);
    put_stages(e, &row, config);
    put_i32(e, &row, config->stages_by_step);
    put_i32(e, &row, config->batch_all);
    put_i32(e, &row, config->wants_two ? 2 : 1);
    put_loads(e, &row, config);
    emit_traces(e, &row);
    put(&row, next ? next : LLVMConstNull(e->ptr));
    LLVMValueRef table = row_value(e, &row);
    LLVMValueRef global = LLVMAddGlobal(e->module, LLVMTypeOf(table), first ? "gr_model" : "gr_next");
    LLVMSetInitializer(global, table);
    LLVMSetGlobalConstant(global, true);
    if (!first) LLVMSetLinkage(global, LLVMInternalLinkage);
    return global;
}
