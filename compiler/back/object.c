/* SPDX-License-Identifier: MIT
 * The way out: text, or objects and the linker. Needs a frozen unit. Output appears under its name
 * only when it is complete. */
#include "emit.h"
#include "pass.h"
#include "peak.h"
#include "target.h"
#include <errno.h>
#include <llvm-c/Analysis.h>
#include <llvm-c/Linker.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

static void report(const BackOptions *options, const char *stage, Clock *since) {
    if (options->time) clock_tell(since, stage);
}

static bool run_command(const char *const *argv) {
    pid_t child;
    int status;
    if (posix_spawnp(&child, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ)) {
        diag_error((Span){0}, "E0704", "cannot run the linker '%s': %s", argv[0], strerror(errno));
        if (strchr(argv[0], '-'))
            diag_help("install the cross compiler (Debian's package gcc-%.*s, as root)",
                      (int)strlen(argv[0]) - 4, argv[0]);
        else
            diag_help("install gcc (apt-get install gcc), or set CC to a C compiler");
        return false;
    }
    if (waitpid(child, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status)) {
        diag_error((Span){0}, "E0704", "the linker '%s' failed", argv[0]);
        return false;
    }
    return true;
}

typedef VEC(const char *) Words;

static void push_all(Arena *arena, Words *words, const char *const *more, int count) {
    for (int i = 0; i < count; i++)
        VEC_PUSH(arena, *words, more[i]);
}

/* cc is used as linker only: the object, the runtime, and static zlib and OpenMP. Another machine's
 * is TRIPLE-gcc, and its runtime holds zlib already. */
static bool link_output(Arena *arena, const BackOptions *options, const Words *objects,
                        const char *output, bool calls) {
    const char *cc = getenv("CC"), *extra = getenv("GRADUS_LDFLAGS");
    if (options->target)
        cc = arena_printf(arena, "%s-gcc", options->target);
    else if (!cc || !*cc)
        cc = "cc";
    Words argv = {0};
    const char *out[] = {cc, "-o", output};
    const char *lib[] = {"-shared", "-Wl,-Bsymbolic"}; /* its own runtime, whatever loads it has */
    const char *exe[] = {"-Wl,--gc-sections", "-Wl,-s", "-Wl,--as-needed"};
    const char *libraries[] = {options->runtime, "-l:libgomp.a", "-lm", "-pthread", "-l:libz.a"};
    bool shared = options->emit == EMIT_LIB;
    push_all(arena, &argv, out, LENGTH(out));
    if (shared)
        push_all(arena, &argv, lib, LENGTH(lib));
    else
        push_all(arena, &argv, exe, LENGTH(exe));
    push_all(arena, &argv, objects->at, objects->len);
    if (!shared)
        push_all(arena, &argv, libraries, LENGTH(libraries) - (options->target != NULL));
    else if (calls && options->runtime)
        push_all(arena, &argv, libraries, 1);
    char *flags = extra ? arena_printf(arena, "%s", extra) : NULL;
    for (char *flag = flags ? strtok(flags, " ") : NULL; flag; flag = strtok(NULL, " "))
        push_all(arena, &argv, (const char *[]){flag}, 1);
    VEC_PUSH(arena, argv, NULL);
    return run_command(argv.at);
}

/* A library takes from the runtime what it calls, and nothing where it calls nothing. */
static bool module_calls(LLVMModuleRef module) {
    for (LLVMValueRef f = LLVMGetFirstFunction(module); f; f = LLVMGetNextFunction(f)) {
        size_t length;
        if (LLVMIsDeclaration(f) &&
            !strncmp(LLVMGetValueName2(f, &length), CALL_PREFIX, strlen(CALL_PREFIX)))
            return true;
    }
    return false;
}

/* Parts and what is linked of them. */
enum { MOST_PARTS = OUTPUTS - 2 };

static bool file_out(const char *path, const char *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    bool ok = file && fwrite(bytes, 1, size, file) == size;
    if (file) ok = fclose(file) == 0 && ok;
    if (!ok) diag_error((Span){0}, "E0703", "cannot write %s: %s", path, strerror(errno));
    return ok;
}

static bool text_out(Arena *arena, const char *text, const char *path) {
    FILE *file = output_open(arena, path);
    if (!file) return false;
    fputs(text, file);
    return output_close(file, path);
}

/* By way of memory: LLVM itself ends the process where a disk is full. */
static bool write_objects(Arena *arena, Parts *parts, const char *path, Words *objects) {
    for (int i = 0; i < parts->len; i++) {
        LLVMMemoryBufferRef object = parts->at[i].object;
        const char *made = output_temporary(arena, path, objects->len);
        if (!file_out(made, LLVMGetBufferStart(object), LLVMGetBufferSize(object))) return false;
        VEC_PUSH(arena, *objects, made);
    }
    return true;
}

static bool write_binary(Arena *arena, LLVMModuleRef module, LLVMModuleRef trace,
                         const Target *target, const BackOptions *options) {
    Clock clock = clock_start();
    Parts parts = {0};
    Words objects = {0};
    parts_add(arena, &parts, module, options->emit == EMIT_OBJ ? 1 : MOST_PARTS, false);
    if (options->emit == EMIT_EXE) parts_add(arena, &parts, trace, 1, true);
    parts_compile(&parts, target);
    bool ok = write_objects(arena, &parts, options->output, &objects);
    parts_free(&parts);
    report(options, "machine code", &clock);
    if (ok && options->emit == EMIT_OBJ) {
        ok = output_place(objects.at[0], options->output);
    } else if (ok) {
        const char *made = output_temporary(arena, options->output, OUTPUTS - 1);
        ok = link_output(arena, options, &objects, made, module_calls(module)) &&
             output_place(made, options->output);
        report(options, "link", &clock);
    }
    output_drop();
    return ok;
}

static bool write_text(Arena *arena, LLVMModuleRef module, const Target *target,
                       const BackOptions *options) {
    LLVMErrorRef unmade = target_run_passes(target, module, target->machine);
    if (unmade) bug("LLVM passes: %s", LLVMGetErrorMessage(unmade));
    if (options->emit == EMIT_LLVM) {
        char *text = LLVMPrintModuleToString(module);
        bool ok = text_out(arena, text, options->output);
        LLVMDisposeMessage(text);
        return ok;
    }
    LLVMMemoryBufferRef buffer = NULL;
    char *fault = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(target->machine, module, LLVMAssemblyFile, &fault,
                                            &buffer))
        bug("assembly: %s", fault);
    bool ok = text_out(arena, LLVMGetBufferStart(buffer), options->output);
    LLVMDisposeMemoryBuffer(buffer);
    return ok;
}

typedef VEC(Emitter *) Emitters;

/* Each training with its own plan. */
static void plan_units(Arena *arena, Unit *first, const Target *target, const BackOptions *options,
                       LLVMContextRef context, LLVMModuleRef module, LLVMModuleRef trace,
                       Emitters *emitters) {
    Clock clock = clock_start();
    Sharing *sharing = share_new(arena);
    PlanTarget constants = target_plan(target, options);
    for (Unit *unit = first; unit; unit = unit->next) {
        if (options->emit == EMIT_EXE || options->emit == EMIT_OBJ) pass_trace(unit);
        Emitter *emitter = NEW(arena, Emitter);
        emit_init(emitter, plan_make(arena, unit, &constants), sharing, context, module);
        emitter->trace_module = trace;
        VEC_PUSH(arena, *emitters, emitter);
    }
    report(options, "plan", &clock);
}

/* The last one first: a table points to the next. */
static void emit_units(const Emitters *emitters, const BackOptions *options) {
    Clock clock = clock_start();
    for (int i = 0; i < emitters->len; i++)
        share_find(emitters->at[i]);
    LLVMValueRef table = NULL;
    for (int i = emitters->len - 1; i >= 0; i--) {
        table = emit_model(emitters->at[i], options, table, i == 0);
        LLVMDisposeBuilder(emitters->at[i]->builder);
    }
    report(options, "LLVM code", &clock);
}

/* An object is one file: what an executable's second object holds is in it, as quickly compiled. */
static void join(LLVMContextRef context, LLVMModuleRef module, LLVMModuleRef trace) {
    static const char *const names[] = {"optnone", "noinline"};
    for (LLVMValueRef f = LLVMGetFirstFunction(trace); f; f = LLVMGetNextFunction(f))
        for (int i = 0; i < LENGTH(names) && !LLVMIsDeclaration(f); i++) {
            unsigned kind = LLVMGetEnumAttributeKindForName(names[i], strlen(names[i]));
            LLVMAddAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                                    LLVMCreateEnumAttribute(context, kind, 0));
        }
    if (LLVMLinkModules2(module, trace)) bug("two modules of one model do not fit");
}

bool back_build(Unit *unit, const BackOptions *options) {
    Target target = {0};
    if (!target_open(&target, options)) return false;
    Arena *arena = arena_new();
    LLVMContextRef context = LLVMContextCreate();
    LLVMModuleRef module = target_module(unit->model, context, &target);
    LLVMModuleRef trace = target_module("trace", context, &target);
    if (options->emit != EMIT_LLVM) target_warn_without_fma(&target, context);
    Emitters emitters = {0};
    plan_units(arena, unit, &target, options, context, module, trace, &emitters);
    emit_units(&emitters, options);
    target_mark_functions(context, module, &target);
    target_mark_functions(context, trace, &target);
    if (options->emit == EMIT_OBJ) {
        join(context, module, trace);
        trace = target_module("trace", context, &target);
    }
    char *fault = NULL;
    if (LLVMVerifyModule(module, LLVMReturnStatusAction, &fault)) bug("LLVM verifier: %s", fault);
    LLVMDisposeMessage(fault);
    bool ok = !diag_errors();
    bool text = options->emit == EMIT_LLVM || options->emit == EMIT_ASM;
    if (ok)
        ok = text ? write_text(arena, module, &target, options)
                  : write_binary(arena, module, trace, &target, options);
    LLVMDisposeModule(trace);
    LLVMDisposeModule(module);
    LLVMContextDispose(context);
    target_close(&target);
    arena_free(arena);
    return ok;
}

static Plan *plan_for(Arena *arena, Unit *unit, const BackOptions *options) {
    Target target = {0};
    if (!target_open(&target, options)) return NULL;
    PlanTarget constants = target_plan(&target, options);
    target_close(&target);
    return plan_make(arena, unit, &constants);
}

void back_plan_print(FILE *out, Unit *unit, const BackOptions *options) {
    Arena *arena = arena_new();
    Plan *plan = plan_for(arena, unit, options);
    if (plan) plan_print(out, plan);
    arena_free(arena);
}

/* Bytes/s over as much memory as the plan has. */
static double memory_speed(const Plan *plan) {
    size_t size = ((size_t)plan->memory + 4095) / 4096 * 4096;
    char *memory = aligned_alloc(4096, size);
    if (!memory) bug("out of memory");
    memset(memory, 1, size);
    double speed = peak_update(memory, size);
    free(memory);
    return speed;
}

void back_work_print(FILE *out, Unit *unit, const BackOptions *options, double gflops,
                     double gigabytes) {
    Arena *arena = arena_new();
    Plan *plan = plan_for(arena, unit, options);
    double best = 0; /* of the widths that the code may use */
    for (int width = 0; plan && gflops == 0 && width < PEAK_WIDTHS; width++) {
        double one = peak_bits[width] > 8 * plan->target.register_bytes
                         ? 0
                         : 1e-9 * peak_fma(width, plan->target.float_bytes);
        best = one > best ? one : best;
    }
    if (plan && gflops == 0) gflops = best;
    if (plan && gigabytes == 0) gigabytes = 1e-9 * memory_speed(plan);
    if (plan) plan_work_print(out, plan, gflops, gigabytes);
    arena_free(arena);
}

void back_memory(Unit *unit, const BackOptions *options, int64_t *persistent, int64_t *total) {
    Arena *arena = arena_new();
    Plan *plan = plan_for(arena, unit, options);
    *persistent = plan ? plan->persistent_size : 0;
    *total = plan ? plan->memory + plan->scratch : 0;
    arena_free(arena);
}
