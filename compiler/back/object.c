/* SPDX-License-Identifier: MIT
 * The way out: target machine, LLVM's passes (a short list; none may change a value), text or
 * object, and the linker. Needs a frozen unit. Output appears under its name only when it is
 * complete. */
#include "emit.h"
#include "pass.h"
#include "peak.h"
#include <errno.h>
#include <llvm-c/Analysis.h>
#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

const char *back_llvm_version(void) {
    unsigned major, minor, patch;
    static char text[32];
    LLVMGetVersion(&major, &minor, &patch);
    snprintf(text, sizeof text, "%u.%u.%u", major, minor, patch);
    return text;
}

const char *back_host_cpu(void) {
    static char *name;
    if (!name) name = LLVMGetHostCPUName();
    return name;
}

static char *copy_of(const char *text) {
    char *copy = strdup(text);
    if (!copy) out_of_memory();
    return copy;
}

typedef struct Target {
    LLVMTargetMachineRef machine, quick; /* quick: for code that runs once if ever */
    char *cpu, *features, *triple;
} Target;

static bool is_native(const BackOptions *options) {
    return !options->target && (!options->cpu || strcmp(options->cpu, "native") == 0);
}

static bool target_open(Target *target, const BackOptions *options) {
    LLVMInitializeAllTargetInfos();
    LLVMInitializeAllTargets();
    LLVMInitializeAllTargetMCs();
    LLVMInitializeAllAsmPrinters();
    bool native = is_native(options);
    target->triple = options->target ? copy_of(options->target) : LLVMGetDefaultTargetTriple();
    target->cpu =
        native ? LLVMGetHostCPUName()
               : copy_of(options->cpu && strcmp(options->cpu, "native") ? options->cpu : "generic");
    target->features = native ? LLVMGetHostCPUFeatures() : copy_of("");
    if (!target->triple || !target->cpu || !target->features) out_of_memory();
    LLVMTargetRef found;
    char *fault = NULL;
    if (LLVMGetTargetFromTriple(target->triple, &found, &fault)) {
        diag_error((Span){0}, "E0702", "no target '%s': %s", target->triple, fault);
        LLVMDisposeMessage(fault);
        return false;
    }
    LLVMCodeGenOptLevel level = options->level >= 2   ? LLVMCodeGenLevelDefault
                                : options->level == 1 ? LLVMCodeGenLevelLess
                                                      : LLVMCodeGenLevelNone;
    target->machine = LLVMCreateTargetMachine(found, target->triple, target->cpu, target->features,
                                              level, LLVMRelocPIC, LLVMCodeModelDefault);
    target->quick =
        LLVMCreateTargetMachine(found, target->triple, target->cpu, target->features,
                                LLVMCodeGenLevelNone, LLVMRelocPIC, LLVMCodeModelDefault);
    return target->machine && target->quick;
}

static void target_close(Target *target) {
    if (target->machine) LLVMDisposeTargetMachine(target->machine);
    if (target->quick) LLVMDisposeTargetMachine(target->quick);
    free(target->triple);
    free(target->cpu);
    free(target->features);
}

/* Widest vectors the machine has: by name of the level, or by the features of this machine. */
static bool has_avx512(const Target *target) {
    if (strstr(target->features, "+avx512f")) return true;
    return strcmp(target->cpu, "x86-64-v4") == 0 || strstr(target->cpu, "avx512") ||
           strcmp(target->cpu, "znver4") == 0 || strcmp(target->cpu, "znver5") == 0 ||
           strcmp(target->cpu, "sapphirerapids") == 0 || strcmp(target->cpu, "icelake-server") == 0;
}

static void fma_function(LLVMContextRef context, LLVMModuleRef module) {
    LLVMTypeRef number = LLVMFloatTypeInContext(context), three[] = {number, number, number};
    LLVMTypeRef type = LLVMFunctionType(number, three, 3, false);
    LLVMValueRef f = LLVMAddFunction(module, "probe", type), args[3];
    LLVMGetParams(f, args);
    LLVMBuilderRef builder = LLVMCreateBuilderInContext(context);
    LLVMPositionBuilderAtEnd(builder, LLVMAppendBasicBlockInContext(context, f, ""));
    LLVMValueRef fma = LLVMAddFunction(module, "llvm.fma.f32", type);
    LLVMBuildRet(builder, LLVMBuildCall2(builder, type, fma, args, 3, ""));
    LLVMDisposeBuilder(builder);
}

/* A machine without the instruction calls libm for each fused multiply-add: the same bits, slowly.
 * LLVM's C interface tells no features of a processor: ask what code a function becomes. */
static void warn_without_fma(const Target *target, LLVMContextRef context) {
    LLVMModuleRef module = LLVMModuleCreateWithNameInContext("probe", context);
    LLVMSetTarget(module, target->triple);
    fma_function(context, module);
    LLVMMemoryBufferRef code = NULL;
    char *fault = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(target->machine, module, LLVMAssemblyFile, &fault,
                                            &code))
        bug("assembly: %s", fault);
    if (strstr(LLVMGetBufferStart(code), "fmaf")) {
        diag_warning((Span){0}, "W0701", "the processor '%s' has no fused multiply-add",
                     target->cpu);
        diag_help("each one is a call of libm: the same bits, many times slower; --cpu=x86-64-v3 "
                  "or native has the instruction");
    }
    LLVMDisposeMemoryBuffer(code);
    LLVMDisposeModule(module);
}

static PlanTarget plan_target(const Target *target, const BackOptions *options) {
    bool wide = has_avx512(target), arm = strncmp(target->triple, "aarch64", 7) == 0;
    return (PlanTarget){.float_bytes = options->float_bytes == 8 ? 8 : 4,
                        .registers = wide || arm ? 29 : 14,
                        .register_bytes = wide  ? 64
                                          : arm ? 16
                                                : 32,
                        .l1_bytes = 32 << 10,
                        .shared_limit = 512 << 10,
                        .apart = options->apart};
}

static bool is_pointer(LLVMValueRef value) {
    return LLVMGetTypeKind(LLVMTypeOf(value)) == LLVMPointerTypeKind;
}

/* mem and scratch never overlap; "min-legal-vector-width" lets the backend use 512-bit registers
 * where the target prefers 256. */
static void mark_functions(LLVMContextRef context, LLVMModuleRef module, const Target *target) {
    const char *pairs[][2] = {{"prefer-vector-width", "512"}, {"min-legal-vector-width", "512"},
                              {"target-cpu", target->cpu},    {"target-features", target->features},
                              {"frame-pointer", "none"},      {"no-trapping-math", "true"}};
    for (LLVMValueRef f = LLVMGetFirstFunction(module); f; f = LLVMGetNextFunction(f)) {
        if (LLVMIsDeclaration(f)) continue;
        for (int i = 0; i < LENGTH(pairs); i++) {
            if (!*pairs[i][1]) continue;
            LLVMAttributeRef attribute =
                LLVMCreateStringAttribute(context, pairs[i][0], (unsigned)strlen(pairs[i][0]),
                                          pairs[i][1], (unsigned)strlen(pairs[i][1]));
            LLVMAddAttributeAtIndex(f, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, attribute);
        }
        for (unsigned p = 0; p < 2 && LLVMCountParams(f) >= 5 && is_pointer(LLVMGetParam(f, p));
             p++)
            LLVMAddAttributeAtIndex(
                f, p + 1,
                LLVMCreateEnumAttribute(context, LLVMGetEnumAttributeKindForName("noalias", 7), 0));
    }
}

static const char *const pass_list[] = {
    "function(sroa)",
    "function(sroa,early-cse<memssa>,simplifycfg,instcombine<no-verify-fixpoint>,loop-mssa(licm),"
    "early-cse)",
    "function(sroa,early-cse<memssa>,simplifycfg,instcombine<no-verify-fixpoint>,loop-mssa(licm),"
    "gvn,instcombine<no-verify-fixpoint>)",
    "function(sroa,early-cse<memssa>,simplifycfg,instcombine<no-verify-fixpoint>,loop-mssa(licm),"
    "gvn,loop-mssa(licm),instcombine<no-verify-fixpoint>)",
};

static bool run_passes(LLVMModuleRef module, const Target *target, int level) {
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef fault = LLVMRunPasses(module, pass_list[level], target->machine, options);
    LLVMDisposePassBuilderOptions(options);
    if (!fault) return true;
    char *text = LLVMGetErrorMessage(fault);
    bug("LLVM passes: %s", text);
}

static void report(const BackOptions *options, const char *stage, Clock *since) {
    if (options->time) clock_tell(since, stage);
}


static bool run_command(char *const *argv) {
    pid_t child;
    int status;
    if (posix_spawnp(&child, argv[0], NULL, NULL, argv, environ)) {
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

/* cc is used as linker only: the object, the runtime, and static zlib and OpenMP. Another machine's
 * is TRIPLE-gcc, and its runtime holds zlib already. */
static bool link_output(Arena *arena, const BackOptions *options, const char *object,
                        const char *second, const char *output, bool calls) {
    const char *cc = getenv("CC"), *extra = getenv("GRADUS_LDFLAGS");
    if (options->target)
        cc = arena_printf(arena, "%s-gcc", options->target);
    else if (!cc || !*cc)
        cc = "cc";
    VEC(char *) argv = {0};
    const char *exe[] = {"-Wl,--gc-sections", "-Wl,-s",         "-Wl,--as-needed", object,
                         second,              options->runtime, "-l:libgomp.a",    "-lm",
                         "-pthread",          "-l:libz.a"};
    VEC_PUSH(arena, argv, (char *)(uintptr_t)cc);
    VEC_PUSH(arena, argv, "-o");
    VEC_PUSH(arena, argv, (char *)(uintptr_t)output);
    if (options->emit == EMIT_LIB) {
        VEC_PUSH(arena, argv, "-shared");
        VEC_PUSH(arena, argv, "-Wl,-Bsymbolic"); /* its own runtime, whatever loads it has */
        VEC_PUSH(arena, argv, (char *)(uintptr_t)object);
        if (calls && options->runtime) VEC_PUSH(arena, argv, (char *)(uintptr_t)options->runtime);
    } else {
        for (int i = 0; i < LENGTH(exe) - (options->target != NULL); i++)
            VEC_PUSH(arena, argv, (char *)(uintptr_t)exe[i]);
    }
    char *flags = extra ? arena_printf(arena, "%s", extra) : NULL;
    for (char *flag = flags ? strtok(flags, " ") : NULL; flag; flag = strtok(NULL, " "))
        VEC_PUSH(arena, argv, flag);
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

/* Files on the way, taken away where the process ends in between. */
static const char *unfinished[3];

static void remove_unfinished(void) {
    for (int i = 0; i < LENGTH(unfinished); i++) {
        if (unfinished[i]) unlink(unfinished[i]);
        unfinished[i] = NULL;
    }
}

static const char *temporary(Arena *arena, int number, const char *path, const char *suffix) {
    static bool asked;
    if (!asked) asked = !atexit(remove_unfinished);
    return unfinished[number] = arena_printf(arena, "%s.%d%s", path, (int)getpid(), suffix);
}

static bool file_out(const char *path, const char *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    bool ok = file && fwrite(bytes, 1, size, file) == size;
    if (file) ok = fclose(file) == 0 && ok;
    if (!ok) diag_error((Span){0}, "E0703", "cannot write %s: %s", path, strerror(errno));
    return ok;
}

static bool move_out(const char *from, const char *to) {
    if (rename(from, to) == 0) return true;
    diag_error((Span){0}, "E0703", "cannot write %s: %s", to, strerror(errno));
    return false;
}

/* By way of memory: LLVM itself ends the process where a disk is full. */
static bool emit_object(LLVMModuleRef module, LLVMTargetMachineRef machine, const char *path) {
    LLVMMemoryBufferRef buffer = NULL;
    char *fault = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, module, LLVMObjectFile, &fault, &buffer))
        bug("machine code: %s", fault);
    bool ok = file_out(path, LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer));
    LLVMDisposeMemoryBuffer(buffer);
    return ok;
}

static bool text_out(Arena *arena, const char *text, const char *path) {
    if (!path || strcmp(path, "-") == 0) return fputs(text, stdout) >= 0 && fflush(stdout) == 0;
    const char *made = temporary(arena, 0, path, ".tmp");
    bool ok = file_out(made, text, strlen(text)) && move_out(made, path);
    remove_unfinished();
    return ok;
}

static bool write_binary(Arena *arena, LLVMModuleRef module, LLVMModuleRef trace,
                         const Target *target, const BackOptions *options) {
    const char *path = options->output;
    const char *object = temporary(arena, 0, path, ".o");
    const char *second = temporary(arena, 1, path, ".trace.o");
    Clock clock = clock_start();
    bool ok = emit_object(module, target->machine, object) &&
              (options->emit != EMIT_EXE || emit_object(trace, target->quick, second));
    report(options, "machine code", &clock);
    if (ok && options->emit == EMIT_OBJ) {
        ok = move_out(object, path);
    } else if (ok) {
        const char *made = temporary(arena, 2, path, ".tmp");
        ok = link_output(arena, options, object, second, made, module_calls(module)) &&
             move_out(made, path);
        report(options, "link", &clock);
    }
    remove_unfinished();
    return ok;
}

static bool write_text(Arena *arena, LLVMModuleRef module, const Target *target, const BackOptions *options) {
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

/* Each training with its own plan, the last one first: a table points to the next. */
static LLVMValueRef emit_units(Arena *arena, Unit *unit, bool first, const Target *target,
                               const BackOptions *options, LLVMContextRef context,
                               LLVMModuleRef module, LLVMModuleRef trace) {
    LLVMValueRef next = NULL;
    if (unit->next)
        next = emit_units(arena, unit->next, false, target, options, context, module, trace);
    Clock clock = clock_start();
    if (options->emit == EMIT_EXE) pass_trace(unit); /* the one that is linked of two objects */
    PlanTarget constants = plan_target(target, options);
    Plan *plan = plan_make(arena, unit, &constants);
    report(options, "plan", &clock);
    Emitter *emitter = NEW(arena, Emitter);
    emit_init(emitter, plan, context, module);
    emitter->trace_module = trace;
    LLVMValueRef table = emit_model(emitter, options, next, first);
    LLVMDisposeBuilder(emitter->builder);
    report(options, "LLVM code", &clock);
    return table;
}

static LLVMModuleRef module_new(const char *name, LLVMContextRef context, const Target *target) {
    LLVMModuleRef module = LLVMModuleCreateWithNameInContext(name, context);
    LLVMSetTarget(module, target->triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(target->machine);
    LLVMSetModuleDataLayout(module, layout);
    LLVMDisposeTargetData(layout);
    return module;
}

bool back_build(Unit *unit, const BackOptions *options) {
    Target target = {0};
    if (!target_open(&target, options)) return false;
    Clock clock = clock_start();
    Arena *arena = arena_new();
    LLVMContextRef context = LLVMContextCreate();
    LLVMModuleRef module = module_new(unit->model, context, &target);
    LLVMModuleRef trace = module_new("trace", context, &target);
    if (options->emit != EMIT_LLVM) warn_without_fma(&target, context);
    emit_units(arena, unit, true, &target, options, context, module, trace);
    mark_functions(context, module, &target);
    mark_functions(context, trace, &target);
    clock = clock_start();
    char *fault = NULL;
    if (LLVMVerifyModule(module, LLVMReturnStatusAction, &fault)) bug("LLVM verifier: %s", fault);
    LLVMDisposeMessage(fault);
    int level = options->level < 0 ? 0 : options->level > 3 ? 3 : options->level;
    bool ok = !diag_errors() && run_passes(module, &target, level);
    report(options, "LLVM passes", &clock);
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
    PlanTarget constants = plan_target(&target, options);
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
    for (int width = 0; plan && !gflops && width < PEAK_WIDTHS; width++) {
        double one = peak_bits[width] > 8 * plan->target.register_bytes
                         ? 0
                         : 1e-9 * peak_fma(width, plan->target.float_bytes);
        best = one > best ? one : best;
    }
    if (plan && !gflops) gflops = best;
    if (plan && !gigabytes) gigabytes = 1e-9 * memory_speed(plan);
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
