/* SPDX-License-Identifier: MIT
 * For tests of emitted arithmetic: a loop over vectors, compiled in memory for several machines.
 * Needs back's mathops and LLVM's C API with ORC. Compares nothing itself. */
#ifndef GRADUS_TEST_MATH_JIT_H
#define GRADUS_TEST_MATH_JIT_H
#include "mathops.h"
#include <criterion/criterion.h>
#include <llvm-c/Analysis.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdlib.h>
#include <string.h>

/* Machines and levels that must all give the same bits. */
typedef struct Variant {
    const char *name, *cpu; /* cpu NULL: this machine's */
    LLVMCodeGenOptLevel level;
    bool passes; /* run the optimizer's scalar passes first */
} Variant;
static const Variant variants[] = {
    {"native", NULL, LLVMCodeGenLevelDefault, false},
    {"native, passes", NULL, LLVMCodeGenLevelDefault, true},
    {"native, unoptimized", NULL, LLVMCodeGenLevelNone, false},
#ifdef __x86_64__
    {"x86-64-v3", "x86-64-v3", LLVMCodeGenLevelDefault, true},
    {"x86-64-v3, unoptimized", "x86-64-v3", LLVMCodeGenLevelNone, false},
    {"x86-64", "x86-64", LLVMCodeGenLevelDefault, true}, /* fma by the C library, slowly */
#endif
};

static inline bool jit_runs_here(const Variant *v) {
#ifdef __x86_64__
    if (v->cpu && strcmp(v->cpu, "x86-64-v3") == 0)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return v != NULL;
}

/* Emits the body: operands in, result out. */
typedef LLVMValueRef (*Body)(const MathEmit *m, LLVMTypeRef type, LLVMValueRef *operand,
                             const void *context);
/* out[i] = body(a[i], b[i], c[i]) for `n` vectors. */
typedef void (*Loop)(const void *a, const void *b, const void *c, void *out, int64_t n);

static inline void jit_check(LLVMErrorRef error) {
    if (error) cr_assert_fail("%s", LLVMGetErrorMessage(error));
}

static inline LLVMTargetMachineRef jit_machine(const Variant *v) {
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
    char *triple = LLVMGetDefaultTargetTriple(), *message = NULL;
    LLVMTargetRef target;
    if (LLVMGetTargetFromTriple(triple, &target, &message)) cr_assert_fail("%s", message);
    char *cpu = LLVMGetHostCPUName(), *features = LLVMGetHostCPUFeatures();
    LLVMTargetMachineRef machine =
        LLVMCreateTargetMachine(target, triple, v->cpu ? v->cpu : cpu, v->cpu ? "" : features,
                                v->level, LLVMRelocPIC, LLVMCodeModelDefault);
    LLVMDisposeMessage(triple);
    LLVMDisposeMessage(cpu);
    LLVMDisposeMessage(features);
    return machine;
}

static inline void jit_attribute(LLVMContextRef context, LLVMValueRef function, const char *key,
                                 const char *value) {
    LLVMAttributeRef attribute = LLVMCreateStringAttribute(context, key, (unsigned)strlen(key),
                                                           value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, attribute);
}

/* Appends a function `name` to the module; `in` and `type` are the operands' and result's types. */
static inline void jit_loop(const MathEmit *m, const char *name, LLVMTypeRef in, LLVMTypeRef type,
                            Body body, const void *context) {
    LLVMTypeRef pointer = LLVMPointerTypeInContext(m->context, 0);
    LLVMTypeRef i64 = LLVMInt64TypeInContext(m->context);
    LLVMTypeRef args[5] = {pointer, pointer, pointer, pointer, i64};
    LLVMTypeRef signature = LLVMFunctionType(LLVMVoidTypeInContext(m->context), args, 5, 0);
    LLVMValueRef f = LLVMAddFunction(m->module, name, signature);
    jit_attribute(m->context, f, "prefer-vector-width", "512");
    jit_attribute(m->context, f, "min-legal-vector-width", "512");
    LLVMBasicBlockRef entry = LLVMAppendBasicBlockInContext(m->context, f, "");
    LLVMBasicBlockRef loop = LLVMAppendBasicBlockInContext(m->context, f, "");
    LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(m->context, f, "");
    LLVMPositionBuilderAtEnd(m->builder, entry);
    LLVMBuildBr(m->builder, loop);
    LLVMPositionBuilderAtEnd(m->builder, loop);
    LLVMValueRef i = LLVMBuildPhi(m->builder, i64, "");
    LLVMValueRef operand[3];
    for (unsigned k = 0; k < 3; k++) {
        LLVMValueRef at = LLVMBuildGEP2(m->builder, in, LLVMGetParam(f, k), &i, 1, "");
        operand[k] = LLVMBuildLoad2(m->builder, in, at, "");
        LLVMSetAlignment(operand[k], 4);
    }
    LLVMValueRef result = body(m, type, operand, context);
    LLVMValueRef at = LLVMBuildGEP2(m->builder, type, LLVMGetParam(f, 3), &i, 1, "");
    LLVMSetAlignment(LLVMBuildStore(m->builder, result, at), 4);
    LLVMValueRef next = LLVMBuildAdd(m->builder, i, LLVMConstInt(i64, 1, 0), "");
    LLVMValueRef more = LLVMBuildICmp(m->builder, LLVMIntSLT, next, LLVMGetParam(f, 4), "");
    LLVMBuildCondBr(m->builder, more, loop, done);
    LLVMValueRef from[2] = {LLVMConstInt(i64, 0, 0), next};
    LLVMBasicBlockRef blocks[2] = {entry, loop};
    LLVMAddIncoming(i, from, blocks, 2);
    LLVMPositionBuilderAtEnd(m->builder, done);
    LLVMBuildRetVoid(m->builder);
}

static inline MathEmit jit_module(void) {
    LLVMContextRef context = LLVMContextCreate();
    return (MathEmit){context, LLVMModuleCreateWithNameInContext("test", context),
                      LLVMCreateBuilderInContext(context)};
}

static inline void jit_finish(const MathEmit *m, const Variant *v, LLVMTargetMachineRef machine) {
    char *message = NULL;
    if (LLVMVerifyModule(m->module, LLVMReturnStatusAction, &message))
        cr_assert_fail("%s", message);
    LLVMDisposeMessage(message);
    LLVMSetTarget(m->module, LLVMGetTargetMachineTriple(machine));
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    LLVMSetModuleDataLayout(m->module, layout);
    LLVMDisposeTargetData(layout);
    if (!v->passes) return;
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    const char *passes =
        "function(early-cse,instcombine,reassociate,gvn,loop-mssa(licm),instcombine)";
    jit_check(LLVMRunPasses(m->module, passes, machine, options));
    LLVMDisposePassBuilderOptions(options);
}

/* Compiles the module (which is used up) and gives the JIT to look functions up in. */
static inline LLVMOrcLLJITRef jit_compile(const MathEmit *m, const Variant *v) {
    LLVMTargetMachineRef machine = jit_machine(v);
    jit_finish(m, v, machine);
    LLVMMemoryBufferRef object;
    char *message = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, m->module, LLVMObjectFile, &message, &object))
        cr_assert_fail("%s", message);
    LLVMDisposeTargetMachine(machine);
    LLVMDisposeBuilder(m->builder);
    LLVMDisposeModule(m->module);
    LLVMContextDispose(m->context);
    LLVMOrcLLJITRef jit;
    jit_check(LLVMOrcCreateLLJIT(&jit, NULL));
    jit_check(LLVMOrcLLJITAddObjectFile(jit, LLVMOrcLLJITGetMainJITDylib(jit), object));
    return jit;
}

static inline Loop jit_find(LLVMOrcLLJITRef jit, const char *name) {
    LLVMOrcExecutorAddress address = 0;
    jit_check(LLVMOrcLLJITLookup(jit, &address, name));
    return (Loop)(uintptr_t)address;
}

/* Assembly of the module (which is used up), to look for calls; free with LLVMDisposeMemoryBuffer.
 */
static inline LLVMMemoryBufferRef jit_assembly(const MathEmit *m, const Variant *v) {
    LLVMTargetMachineRef machine = jit_machine(v);
    jit_finish(m, v, machine);
    LLVMMemoryBufferRef text;
    char *message = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, m->module, LLVMAssemblyFile, &message, &text))
        cr_assert_fail("%s", message);
    return text;
}
#endif
