/* SPDX-License-Identifier: MIT
 * The machine that code is for: LLVM's description of it, what the plan wants to know of it, and
 * the passes (a short list; none may change a value). Needs LLVM. Emits nothing. */
#include "target.h"
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdlib.h>
#include <string.h>

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

static const char *const pass_list[] = {
    "function(sroa)",
    "function(sroa,early-cse<memssa>,simplifycfg,instcombine<no-verify-fixpoint>,loop-mssa(licm),"
    "early-cse)",
    "function(sroa,early-cse<memssa>,simplifycfg,instcombine<no-verify-fixpoint>,loop-mssa(licm),"
    "gvn,instcombine<no-verify-fixpoint>)",
    "function(sroa,early-cse<memssa>,simplifycfg,instcombine<no-verify-fixpoint>,loop-mssa(licm),"
    "gvn,loop-mssa(licm),instcombine<no-verify-fixpoint>)",
};

static char *copy_of(const char *text) {
    char *copy = strdup(text);
    if (!copy) out_of_memory();
    return copy;
}

static bool is_native(const BackOptions *options) {
    return !options->target && (!options->cpu || strcmp(options->cpu, "native") == 0);
}

LLVMTargetMachineRef target_machine(const Target *target, bool quick) {
    return LLVMCreateTargetMachine(target->found, target->triple, target->cpu, target->features,
                                   quick ? LLVMCodeGenLevelNone : target->level, LLVMRelocPIC,
                                   LLVMCodeModelDefault);
}

bool target_open(Target *target, const BackOptions *options) {
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
    char *fault = NULL;
    if (LLVMGetTargetFromTriple(target->triple, &target->found, &fault)) {
        diag_error((Span){0}, "E0702", "no target '%s': %s", target->triple, fault);
        LLVMDisposeMessage(fault);
        return false;
    }
    target->level = options->level >= 2   ? LLVMCodeGenLevelDefault
                    : options->level == 1 ? LLVMCodeGenLevelLess
                                          : LLVMCodeGenLevelNone;
    target->passes = pass_list[options->level < 0 ? 0 : options->level > 3 ? 3 : options->level];
    target->machine = target_machine(target, false);
    return target->machine;
}

void target_close(Target *target) {
    if (target->machine) LLVMDisposeTargetMachine(target->machine);
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
void target_warn_without_fma(const Target *target, LLVMContextRef context) {
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

PlanTarget target_plan(const Target *target, const BackOptions *options) {
    bool wide = has_avx512(target), arm = strncmp(target->triple, "aarch64", 7) == 0;
    return (PlanTarget){.float_bytes = options->float_bytes == 8 ? 8 : 4,
                        .registers = wide || arm ? 29 : 14,
                        .register_bytes = wide  ? 64
                                          : arm ? 16
                                                : 32,
                        .l1_bytes = 32 << 10,
                        .shared_limit = 512 << 10,
                        .apart = options->apart,
                        .one = options->one};
}

static bool is_pointer(LLVMValueRef value) {
    return LLVMGetTypeKind(LLVMTypeOf(value)) == LLVMPointerTypeKind;
}

/* mem and scratch never overlap; "min-legal-vector-width" lets the backend use 512-bit registers
 * where the target prefers 256. */
void target_mark_functions(LLVMContextRef context, LLVMModuleRef module, const Target *target) {
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

LLVMErrorRef target_run_passes(const Target *target, LLVMModuleRef module,
                               LLVMTargetMachineRef machine) {
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef fault = LLVMRunPasses(module, target->passes, machine, options);
    LLVMDisposePassBuilderOptions(options);
    return fault;
}

LLVMModuleRef target_module(const char *name, LLVMContextRef context, const Target *target) {
    LLVMModuleRef module = LLVMModuleCreateWithNameInContext(name, context);
    LLVMSetTarget(module, target->triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(target->machine);
    LLVMSetModuleDataLayout(module, layout);
    LLVMDisposeTargetData(layout);
    return module;
}
