/* SPDX-License-Identifier: MIT
 * Compiles a unit to a shared object, loads it and runs its programs.
 * Needs the compiler and the runtime's abi. Knows nothing of samples, recordings or bounds. */
#include "native.h"
#include <dlfcn.h>
#include <libgen.h>
#include <pthread.h>
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
    if (!n->mem) bug("no memory of %lld bytes", (long long)n->model->memory);
    for (int i = 0; i < NATIVE_THREADS; i++) {
        n->scratch[i] = aligned_alloc(64, (size_t)(n->model->scratch + 64) / 64 * 64);
        if (!n->scratch[i]) bug("no memory of %lld bytes", (long long)n->model->scratch);
    }
}

static void memory_free(Native *n) {
    free(n->mem);
    for (int i = 0; i < NATIVE_THREADS; i++)
        free(n->scratch[i]);
}

bool native_open(Native *n, Arena *arena, Unit *unit, const BackOptions *how) {
    *n = (Native){.bytes = how->float_bytes};
    if (!library_open(n, arena, unit, how)) return false;
    memory_make(n);
    return true;
}

void native_next(Native *n) {
    memory_free(n);
    n->model = n->model->next;
    if (!n->model) bug("the library holds fewer units");
    memory_make(n);
}

void native_close(Native *n) {
    memory_free(n);
    if (n->library) dlclose(n->library);
    *n = (Native){0};
}

void native_clear(Native *n) {
    const GrModel *m = n->model;
    memset(n->mem, 0xff, (size_t)m->memory);
    for (int i = 0; i < NATIVE_THREADS; i++)
        memset(n->scratch[i], 0xff, (size_t)m->scratch);
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

typedef struct Share { /* of a phase, for one thread */
    const Native *native;
    const GrPhase *phase;
    int64_t blocks, from, to;
    int thread;
} Share;

static void *share_run(void *context) {
    const Share *s = context;
    if (s->from < s->to)
        s->phase->fn(s->native->mem, s->native->scratch[s->thread], s->blocks, s->from, s->to);
    return NULL;
}

static void phase_run(Native *n, const GrPhase *p, int64_t blocks, int threads) {
    int64_t units = p->kind == GR_BLOCKS ? blocks : p->kind == GR_UNITS ? p->units : 1;
    if (units == 1 && threads) threads = 1;
    int64_t parts = threads ? threads : units;
    pthread_t helper[NATIVE_THREADS];
    Share share[NATIVE_THREADS];
    for (int64_t i = parts - 1; i >= 0; i--) { /* thread 0 is this one */
        int64_t from = units * i / parts, to = units * (i + 1) / parts;
        int thread = threads ? (int)i : 0;
        share[thread] = (Share){n, p, blocks, from, to, thread};
        if (!thread)
            share_run(&share[0]);
        else if (pthread_create(&helper[thread], NULL, share_run, &share[thread]))
            bug("no thread could be started");
    }
    for (int i = 1; i < threads; i++)
        pthread_join(helper[i], NULL);
}

void native_run(Native *n, const GrProgram *program, int64_t examples, int threads) {
    int64_t blocks = (examples + GR_LANES - 1) / GR_LANES;
    for (int i = 0; i < program->nphases; i++)
        phase_run(n, &program->phases[i], blocks, threads);
}
