/* SPDX-License-Identifier: MIT
 * `gradus build`, `gradus run` and `gradus dump`: the verbs that end in code or in text.
 * Needs the stages and back. Decides names of files, nothing about code. */
#include "driver.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct EmitRow {
    const char *name, *suffix;
    Emit emit;
} EmitRow;
static const EmitRow emit_table[] = {
    {"exe", "", EMIT_EXE},      {"obj", ".o", EMIT_OBJ},  {"asm", ".s", EMIT_ASM},
    {"llvm", ".ll", EMIT_LLVM}, {"lib", ".so", EMIT_LIB},
};

static const EmitRow *emit_find(const char *name) {
    for (int i = 0; i < LENGTH(emit_table); i++)
        if (!strcmp(emit_table[i].name, name)) return &emit_table[i];
    return &emit_table[0];
}

/* The file's name without folder and suffix. */
static const char *stem_of(Arena *arena, const char *path) {
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    const char *dot = strrchr(base, '.');
    size_t length = dot && dot != base ? (size_t)(dot - base) : strlen(base);
    return arena_copy(arena, base, length);
}

static bool same_file(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int verb_build(Arena *arena, const Options *options) {
    Clock start = clock_start();
    const EmitRow *row = emit_find(options->emit ? options->emit : "exe");
    Work work = {.arena = arena,
                 .options = options,
                 .path = options->files[0],
                 .only = options->only,
                 .stop = options->stop};
    if (!stages_run(&work, STAGE_PASS) || (!options->stop && !stages_others(&work)))
        return EXIT_DIAGNOSED;
    if (options->stop) {
        graph_print(stdout, work.unit);
        return EXIT_OK;
    }
    BackOptions back;
    if (!options_back(options, arena, row->emit, &back)) return EXIT_DIAGNOSED;
    if (!back.output) {
        const char *stem = stem_of(arena, work.path);
        back.output = arena_printf(arena, "%s%s", stem, row->suffix);
    }
    if (same_file(back.output, work.path)) {
        diag_error((Span){0}, "E0713", "the output '%s' is the model file itself", back.output);
        diag_help("name another file with -o");
        return EXIT_DIAGNOSED;
    }
    bool built = back_build(work.unit, &back) && diag_errors() == 0;
    if (options->time) clock_tell(&start, "in all");
    return built ? EXIT_OK : EXIT_DIAGNOSED;
}

/* ---- dump */
static void dump_ast(const Work *work, FILE *out) {
    if (work->module) ast_print(out, work->module);
}
static void dump_graph(const Work *work, FILE *out) {
    graph_print(out, work->unit);
}
static void dump_plan(const Work *work, FILE *out) {
    BackOptions back;
    if (options_back(work->options, work->arena, EMIT_OBJ, &back))
        back_plan_print(out, work->unit, &back);
}

typedef struct DumpRow {
    const char *name;
    StageId last;
    const char *stop;                           /* pass to stop after */
    void (*print)(const Work *work, FILE *out); /* NULL: the code generator writes it */
    Emit emit;
} DumpRow;
static const DumpRow dump_table[] = {
    {"ast", STAGE_LOAD, NULL, dump_ast, EMIT_OBJ},
    {"graph", STAGE_ELAB, NULL, dump_graph, EMIT_OBJ},
    {"grad", STAGE_PASS, "gradient", dump_graph, EMIT_OBJ},
    {"plan", STAGE_PASS, NULL, dump_plan, EMIT_OBJ},
    {"llvm", STAGE_PASS, NULL, NULL, EMIT_LLVM},
    {"asm", STAGE_PASS, NULL, NULL, EMIT_ASM},
};

int verb_dump(Arena *arena, const Options *options) {
    const char *name = options->stage ? options->stage : options->stop ? "grad" : "graph";
    const DumpRow *row = &dump_table[0];
    for (int i = 0; i < LENGTH(dump_table); i++)
        if (!strcmp(dump_table[i].name, name)) row = &dump_table[i];
    Work work = {
        .arena = arena, .options = options, .path = options->files[0], .only = options->only};
    work.stop = options->stop ? options->stop : row->stop;
    bool fine = stages_run(&work, options->stop ? STAGE_PASS : row->last);
    if (!fine) return EXIT_DIAGNOSED;
    if (!row->print) {
        BackOptions back;
        if (!options_back(options, arena, row->emit, &back)) return EXIT_DIAGNOSED;
        return back_build(work.unit, &back) && diag_errors() == 0 ? EXIT_OK : EXIT_DIAGNOSED;
    }
    FILE *out = output_open(arena, options->output);
    if (!out) return EXIT_DIAGNOSED;
    row->print(&work, out);
    output_close(out, options->output);
    return diag_errors() == 0 ? EXIT_OK : EXIT_DIAGNOSED;
}

/* ---- run */
static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t length) {
    const unsigned char *p = bytes; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}
static uint64_t hash_text(uint64_t hash, const char *text) {
    return text ? hash_bytes(hash, text, strlen(text) + 1) : hash_bytes(hash, "\1", 1);
}
static uint64_t hash_stamp(uint64_t hash, const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) return hash_text(hash, "absent");
    int64_t stamp[] = {(int64_t)info.st_size, (int64_t)info.st_mtim.tv_sec,
                       (int64_t)info.st_mtim.tv_nsec, (int64_t)info.st_ino};
    return hash_bytes(hash, stamp, sizeof stamp);
}

/* All that the executable depends on: texts, options, the compiler, its runtime, embedded data. */
static uint64_t cache_key(const Work *work, const BackOptions *back) {
    const Options *o = work->options;
    char absolute[PATH_MAX];
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (uint32_t file = 1; source_get(file); file++)
        if (!source_get(file)->library)
            hash = hash_bytes(hash, source_get(file)->text, source_get(file)->length);
    hash = hash_text(hash, realpath(work->path, absolute) ? absolute : work->path);
    const char *words[] = {GRADUS_VERSION, o->cpu,  o->target,           o->level,
                           o->float_bits,  o->only, o->fuse, back_llvm_version(), back_host_cpu()};
    for (int i = 0; i < LENGTH(words); i++)
        hash = hash_text(hash, words[i]);
    hash = hash_stamp(hash_stamp(hash, "/proc/self/exe"), back->runtime);
    hash = hash_bytes(hash, &work->unit->config.batch, sizeof work->unit->config.batch);
    for (int i = 0; i < work->unit->sources.len; i++) {
        const DataSource *source = &work->unit->sources.at[i];
        for (int f = 0; f < source->files.len && source->embed; f++) {
            const char *path = source->files.at[f];
            if (path[0] != '/')
                path = arena_printf(work->arena, "%s/%s", work->unit->model_dir, path);
            hash = hash_stamp(hash, path);
        }
    }
    return hash;
}

static bool make_folders(Arena *arena, const char *path) {
    char *copy = arena_copy(arena, path, strlen(path));
    for (char *p = copy + 1;; p++) {
        if (*p != '/' && *p != '\0') continue;
        char saved = *p;
        *p = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST) {
            diag_error((Span){0}, "E0703", "cannot make the folder '%s': %s", copy,
                       strerror(errno));
            return false;
        }
        *p = saved;
        if (saved == '\0') return true;
    }
}

static const char *cache_folder(Arena *arena) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && cache[0] == '/') return arena_printf(arena, "%s/gradus", cache);
    return home && *home ? arena_printf(arena, "%s/.cache/gradus", home)
                         : arena_printf(arena, P_tmpdir "/gradus-%u", (unsigned)getuid());
}

int verb_run(Arena *arena, const Options *options) {
    Work work = {
        .arena = arena, .options = options, .path = options->files[0], .only = options->only};
    BackOptions back;
    if (!stages_run(&work, STAGE_ELAB) || !options_back(options, arena, EMIT_EXE, &back))
        return EXIT_DIAGNOSED;
    const char *folder = arena_printf(arena, "%s/%016llx", cache_folder(arena),
                                      (unsigned long long)cache_key(&work, &back));
    back.output = arena_printf(arena, "%s/%s", folder, stem_of(arena, work.path));
    if (access(back.output, X_OK) != 0) {
        if (!make_folders(arena, folder) || !stages_run(&work, STAGE_PASS) ||
            !stages_others(&work) || !back_build(work.unit, &back))
            return EXIT_DIAGNOSED;
    }
    int count = 0;
    while (options->rest && options->rest[count])
        count++;
    char **words = NEW_ARRAY(arena, char *, count + 2);
    words[0] = arena_copy(arena, back.output, strlen(back.output));
    for (int i = 0; i < count; i++)
        words[i + 1] = options->rest[i];
    diag_flush();
    fflush(NULL);
    execv(back.output, words);
    diag_error((Span){0}, "E0703", "cannot run '%s': %s", back.output, strerror(errno));
    return EXIT_DIAGNOSED;
}
