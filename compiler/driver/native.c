/* SPDX-License-Identifier: MIT
 * Compiles a unit to a shared object, loads it and runs its programs on one thread.
 * Needs the compiler and the runtime's abi. Knows nothing of samples, recordings or bounds. */
#include "native.h"
#include <dlfcn.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *runtime_path(Arena *arena, const char *given) {
    if (!given) given = getenv("GRADUS_RUNTIME");
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (given || length <= 0) return given;
    self[length] = '\0';
    return arena_printf(arena, "%s/libgradus_runtime.a", dirname(self));
}

static bool library_open(Native *n, Arena *arena, Unit *unit, const BackOptions *how) {
    const char *folder = getenv("TMPDIR") ? getenv("TMPDIR") : P_tmpdir;
    char *path = arena_printf(arena, "%s/gradus-native-XXXXXX", folder);
    int file = mkstemp(path);
    if (file < 0) return false;
    close(file);
    BackOptions back = *how;
    back.emit = EMIT_LIB;
    back.output = path;
    back.runtime = runtime_path(arena, how->runtime);
    bool built = back_build(unit, &back) && diag_errors() == 0;
    n->library = built ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (built && !n->library) fprintf(stderr, "%s\n", dlerror());
    unlink(path);
    n->model = n->library ? dlsym(n->library, "gr_model") : NULL;
    if (n->model && n->model->abi != GR_ABI)
        fprintf(stderr, "the library has ABI %d, not %d\n", n->model->abi, GR_ABI);
    return n->model && n->model->abi == GR_ABI;
}

static void memory_make(Native *n) {
    n->mem = aligned_alloc(64, (size_t)(n->model->memory + 64) / 64 * 64);
    n->scratch = aligned_alloc(64, (size_t)(n->model->scratch + 64) / 64 * 64);
    if (!n->mem || !n->scratch) bug("no memory of %lld bytes", (long long)n->model->memory);
}

bool native_open(Native *n, Arena *arena, Unit *unit, const BackOptions *how) {
    *n = (Native){.bytes = how->float_bytes};
    if (!library_open(n, arena, unit, how)) return false;
    memory_make(n);
    return true;
}

void native_next(Native *n) {
    free(n->mem);
    free(n->scratch);
    n->model = n->model->next;
    if (!n->model) bug("the library holds fewer units");
    memory_make(n);
}

void native_close(Native *n) {
    free(n->mem);
    free(n->scratch);
    if (n->library) dlclose(n->library);
    *n = (Native){0};
}

void native_clear(Native *n) {
    const GrModel *m = n->model;
    memset(n->mem, 0xff, (size_t)m->memory);
    memset(n->scratch, 0xff, (size_t)m->scratch);
    for (int i = 0; i < m->nfills; i++)
        for (int64_t k = 0; k < m->fills[i].count; k++)
            native_put(n, m->fills[i].offset, k, m->fills[i].bytes, m->fills[i].value);
}

const GrProgram *native_program(const Native *n, const char *name) {
    for (int i = 0; i < n->model->nprograms; i++)
        if (!strcmp(n->model->programs[i].name, name)) return &n->model->programs[i];
    return NULL;
}

void native_put(Native *n, int64_t offset, int64_t index, int bytes, double value) {
    if (bytes == 8)
        memcpy(n->mem + offset + 8 * index, &value, 8);
    else
        memcpy(n->mem + offset + 4 * index, &(float){(float)value}, 4);
}

double native_get(const Native *n, int64_t offset, int64_t index, int bytes) {
    double wide;
    float narrow;
    if (bytes == 8) {
        memcpy(&wide, n->mem + offset + 8 * index, 8);
        return wide;
    }
    memcpy(&narrow, n->mem + offset + 4 * index, 4);
    return (double)narrow;
}

/* [block][element][16] or row-major. */
int64_t native_place(const GrBuffer *buffer, int64_t example, int64_t element) {
    if (!buffer->per_example) return element;
    return (example / GR_LANES * buffer->count + element) * GR_LANES + example % GR_LANES;
}

void native_fill(Native *n, const GrBuffer *buffer, const double *values, int64_t count,
                 int64_t examples) {
    if (!buffer->per_example) {
        for (int64_t i = 0; i < buffer->count && i < count; i++)
            native_put(n, buffer->offset, i, buffer->bytes, values[i]);
        return;
    }
    bool live = !strcmp(buffer->name, "live");
    int64_t lanes = (examples + GR_LANES - 1) / GR_LANES * GR_LANES;
    for (int64_t example = 0; example < lanes; example++) {
        int64_t from = example < examples ? example : examples - 1;
        for (int64_t i = 0; i < buffer->count; i++)
            native_put(n, buffer->offset, native_place(buffer, example, i), buffer->bytes,
                       live ? (double)(example < examples) : values[from * buffer->count + i]);
    }
}

void native_run(Native *n, const GrProgram *program, int64_t examples, bool split) {
    int64_t blocks = (examples + GR_LANES - 1) / GR_LANES;
    for (int i = 0; i < program->nphases; i++) {
        const GrPhase *p = &program->phases[i];
        int64_t units = p->kind == GR_BLOCKS ? blocks : p->kind == GR_UNITS ? p->units : 1;
        int64_t grain = !split ? units : p->kind == GR_UNITS && p->grain > 0 ? p->grain : 1;
        for (int64_t from = 0; from < units; from += grain)
            p->fn(n->mem, n->scratch, blocks, from, from + grain < units ? from + grain : units);
    }
}
