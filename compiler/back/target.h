/* SPDX-License-Identifier: MIT
 * Inside back/: the machine that code is for, and modules made for it, compiled in parts.
 * Needs LLVM's C API. Not seen outside of back/. */
#ifndef GRADUS_TARGET_H
#define GRADUS_TARGET_H
#include "back.h"
#include "plan.h"
#include <llvm-c/Core.h>
#include <llvm-c/Error.h>
#include <llvm-c/TargetMachine.h>

typedef struct Target {
    LLVMTargetRef found;
    LLVMTargetMachineRef machine;
    LLVMCodeGenOptLevel level;
    const char *passes; /* LLVM's, for the level */
    char *cpu, *features, *triple;
} Target;

/* False where LLVM has no such target (diagnosed). Close it all the same. */
bool target_open(Target *target, const BackOptions *options);
void target_close(Target *target);
/* One more machine, for code that runs often, or quickly made for code that runs once if ever. */
LLVMTargetMachineRef target_machine(const Target *target, bool quick);
LLVMModuleRef target_module(const char *name, LLVMContextRef context, const Target *target);
/* The attributes that every function with a body needs. */
void target_mark_functions(LLVMContextRef context, LLVMModuleRef module, const Target *target);
/* Warns of a machine without fused multiply-add. */
void target_warn_without_fma(const Target *target, LLVMContextRef context);
/* LLVM's passes for the level, none for a value to change by; NULL, or the fault. */
LLVMErrorRef target_run_passes(const Target *target, LLVMModuleRef module,
                               LLVMTargetMachineRef machine);
PlanTarget target_plan(const Target *target, const BackOptions *options);

/* Some functions of a module, on their way to an object. */
typedef struct Part {
    LLVMMemoryBufferRef bitcode; /* the whole module's, shared by its parts */
    const int *owner;            /* of each of its functions, in their order: the part's number */
    int number;
    bool quick; /* no passes, and the fastest machine code */
    LLVMMemoryBufferRef object;
    char *fault; /* LLVM's, where there is no object */
} Part;
typedef VEC(Part) Parts;

/* Adds a module, cut into as many parts as its size is worth but at most `most`; functions that
 * others need become visible to the linker there. */
void parts_add(Arena *arena, Parts *parts, LLVMModuleRef module, int most, bool quick);
/* Passes and machine code of all parts, as many side by side as there are processors. The objects
 * do not depend on how many there are. */
void parts_compile(Parts *parts, const Target *target);
void parts_free(Parts *parts);
#endif
