/* SPDX-License-Identifier: MIT
 * Machine code made by several threads: a module is written as bitcode, each thread reads it into a
 * context of its own and keeps the functions of one part. Needs LLVM and threads. Links nothing. */
#include "target.h"
#include <llvm-c/BitReader.h>
#include <llvm-c/BitWriter.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PART_SIZE = 25000, MOST_THREADS = 16 }; /* instructions worth a part of their own */

static void run_pass(LLVMModuleRef module, const char *name) {
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    if (LLVMRunPasses(module, name, NULL, options)) bug("LLVM has no pass %s", name);
    LLVMDisposePassBuilderOptions(options);
}

static int size_of(LLVMValueRef function) {
    int n = 0;
    for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(function); b; b = LLVMGetNextBasicBlock(b))
        for (LLVMValueRef i = LLVMGetFirstInstruction(b); i; i = LLVMGetNextInstruction(i))
            n++;
    return n;
}

typedef struct Sized {
    int index, size;
} Sized;

static int larger_first(const void *a, const void *b) {
    const Sized *x = a, *y = b;
    return x->size != y->size ? (x->size < y->size) - (x->size > y->size) : x->index - y->index;
}

/* Large functions first, each to the part that has least so far: by the module alone. */
static const int *share_out(Arena *arena, LLVMModuleRef module, int most, int *parts) {
    VEC(Sized) functions = {0};
    int64_t all = 0, *load;
    for (LLVMValueRef f = LLVMGetFirstFunction(module); f; f = LLVMGetNextFunction(f)) {
        Sized one = {functions.len, size_of(f)}; /* the length before it is pushed */
        VEC_PUSH(arena, functions, one);
        all += one.size;
    }
    *parts = (int)(1 + all / PART_SIZE < most ? 1 + all / PART_SIZE : most);
    int *owner = arena_alloc(arena, (size_t)(functions.len + 1) * sizeof *owner);
    load = arena_alloc(arena, (size_t)*parts * sizeof *load);
    if (functions.len)
        qsort(functions.at, (size_t)functions.len, sizeof *functions.at, larger_first);
    for (int i = 0; i < functions.len; i++) {
        int least = 0;
        for (int p = 1; p < *parts; p++)
            if (load[p] < load[least]) least = p;
        owner[functions.at[i].index] = least;
        load[least] += functions.at[i].size;
    }
    return owner;
}

void parts_add(Arena *arena, Parts *parts, LLVMModuleRef module, int most, bool quick) {
    int count;
    run_pass(module, "constmerge");
    const int *owner = share_out(arena, module, most, &count);
    for (LLVMValueRef f = LLVMGetFirstFunction(module); f; f = LLVMGetNextFunction(f)) {
        if (count == 1 || LLVMIsDeclaration(f)) continue;
        LLVMSetLinkage(f, LLVMExternalLinkage);
        LLVMSetVisibility(f, LLVMHiddenVisibility);
    }
    LLVMMemoryBufferRef bitcode = LLVMWriteBitcodeToMemoryBuffer(module);
    for (int i = 0; i < count; i++)
        VEC_PUSH(arena, *parts, ((Part){bitcode, owner, i, quick, NULL, NULL}));
}

static void declare_only(LLVMModuleRef module, LLVMValueRef function) {
    size_t length;
    char *name = strdup(LLVMGetValueName2(function, &length));
    if (!name) out_of_memory();
    LLVMSetValueName2(function, "", 0);
    LLVMValueRef other = LLVMAddFunction(module, name, LLVMGlobalGetValueType(function));
    LLVMSetVisibility(other, LLVMHiddenVisibility);
    LLVMReplaceAllUsesWith(function, other);
    LLVMDeleteFunction(function);
    free(name);
}

/* Tables are the first part's. Constants that code reads are in each part that needs them. */
static void drop_tables(LLVMModuleRef module) {
    for (LLVMValueRef g = LLVMGetFirstGlobal(module), next; g; g = next) {
        next = LLVMGetNextGlobal(g);
        if (!LLVMIsGlobalConstant(g)) bug("a variable in generated code");
        if (LLVMGetLinkage(g) == LLVMExternalLinkage) LLVMDeleteGlobal(g);
    }
    run_pass(module, "globaldce");
}

static void keep_own(LLVMModuleRef module, const Part *part) {
    VEC(LLVMValueRef) others = {0};
    Arena *arena = arena_new();
    int index = 0;
    for (LLVMValueRef f = LLVMGetFirstFunction(module); f; f = LLVMGetNextFunction(f), index++)
        if (!LLVMIsDeclaration(f) && part->owner[index] != part->number) VEC_PUSH(arena, others, f);
    for (int i = 0; i < others.len; i++)
        declare_only(module, others.at[i]);
    arena_free(arena);
    if (part->number) drop_tables(module);
}

static void part_compile(Part *part, const Target *target) {
    LLVMContextRef context = LLVMContextCreate();
    LLVMModuleRef module = NULL;
    LLVMMemoryBufferRef view = LLVMCreateMemoryBufferWithMemoryRange(
        LLVMGetBufferStart(part->bitcode), LLVMGetBufferSize(part->bitcode), "part", false);
    if (LLVMParseBitcodeInContext2(context, view, &module)) bug("bitcode that was just written");
    keep_own(module, part);
    LLVMTargetMachineRef machine = target_machine(target, part->quick);
    LLVMErrorRef fault = part->quick ? NULL : target_run_passes(target, module, machine);
    if (fault) {
        char *text = LLVMGetErrorMessage(fault);
        part->fault = strdup(text);
        LLVMDisposeErrorMessage(text);
    } else if (LLVMTargetMachineEmitToMemoryBuffer(machine, module, LLVMObjectFile, &part->fault,
                                                   &part->object)) {
        part->object = NULL;
    }
    LLVMDisposeTargetMachine(machine);
    LLVMDisposeModule(module);
    LLVMDisposeMemoryBuffer(view);
    LLVMContextDispose(context);
}

typedef struct Work {
    Parts *parts;
    const Target *target;
    atomic_int next;
} Work;

static void *work_on(void *context) {
    Work *work = context;
    for (int i; (i = atomic_fetch_add(&work->next, 1)) < work->parts->len;)
        part_compile(&work->parts->at[i], work->target);
    return NULL;
}

void parts_compile(Parts *parts, const Target *target) {
    Work work = {parts, target, 0};
    pthread_t thread[MOST_THREADS];
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int threads = 0;
    while (threads < MOST_THREADS && threads < processors - 1 && threads < parts->len - 1 &&
           !pthread_create(&thread[threads], NULL, work_on, &work))
        threads++;
    work_on(&work);
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < parts->len; i++)
        if (!parts->at[i].object) bug("machine code: %s", parts->at[i].fault);
}

void parts_free(Parts *parts) {
    for (int i = 0; i < parts->len; i++) {
        LLVMDisposeMemoryBuffer(parts->at[i].object);
        if (!parts->at[i].number) LLVMDisposeMemoryBuffer(parts->at[i].bitcode);
    }
}
