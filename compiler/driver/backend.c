/* SPDX-License-Identifier: MIT
 * The code generator is a module of its own, loaded when it is first wanted: LLVM takes longer to
 * load than `--help`, `check` or `fmt` take to run. Needs libgradus_back.so beside the executable
 * or in ../lib/gradus. Generates nothing itself. */
#include "back.h"
#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *load(const char *folder, const char *below) {
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%slibgradus_back.so", folder, below);
    return access(path, R_OK) ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

/* A function of the module, by name; ends the program where the module cannot be had. */
static void *back_function(const char *name) {
    static void *module;
    char folder[PATH_MAX] = "";
    if (!module) {
        ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
        char *slash = length > 0 ? strrchr(folder, '/') : NULL;
        if (slash) *slash = 0;
        module = load(folder, "");
        if (!module) module = load(folder, "../lib/gradus/");
    }
    void *function = module ? dlsym(module, name) : NULL;
    if (function) return function;
    const char *why = dlerror();
    fprintf(stderr, "gradus: cannot load the code generator libgradus_back.so: %s\n",
            why ? why : "it is neither beside gradus nor in ../lib/gradus");
    exit(1);
}

bool back_build(Unit *unit, const BackOptions *options) {
    bool (*call)(Unit *, const BackOptions *) = NULL;
    *(void **)&call = back_function("back_build");
    return call(unit, options);
}

void back_plan_print(FILE *out, Unit *unit, const BackOptions *options) {
    void (*call)(FILE *, Unit *, const BackOptions *) = NULL;
    *(void **)&call = back_function("back_plan_print");
    call(out, unit, options);
}

void back_work_print(FILE *out, Unit *unit, const BackOptions *options, double gflops,
                     double gigabytes) {
    void (*call)(FILE *, Unit *, const BackOptions *, double, double) = NULL;
    *(void **)&call = back_function("back_work_print");
    call(out, unit, options, gflops, gigabytes);
}

const char *back_llvm_version(void) {
    const char *(*call)(void) = NULL;
    *(void **)&call = back_function("back_llvm_version");
    return call();
}

const char *back_host_cpu(void) {
    const char *(*call)(void) = NULL;
    *(void **)&call = back_function("back_host_cpu");
    return call();
}

void back_memory(Unit *unit, const BackOptions *options, int64_t *persistent, int64_t *total) {
    void (*call)(Unit *, const BackOptions *, int64_t *, int64_t *) = NULL;
    *(void **)&call = back_function("back_memory");
    call(unit, options, persistent, total);
}
