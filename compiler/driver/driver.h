/* SPDX-License-Identifier: MIT
 * The command line's own header: options, verbs and the list of stages.
 * Needs every part's public header. Holds no algorithm of the compiler. */
#ifndef GRADUS_DRIVER_H
#define GRADUS_DRIVER_H
#include "back.h"
#include "elab.h"
#include "pass.h"

enum { EXIT_OK = 0, EXIT_DIAGNOSED = 1, EXIT_USAGE = 2, EXIT_MISMATCH = 4, EXIT_DATA = 5 };

/* ---- options.c */
enum {
    FOR_BUILD = 1,
    FOR_RUN = 2,
    FOR_CHECK = 4,
    FOR_TEST = 8,
    FOR_FMT = 16,
    FOR_DOC = 32,
    FOR_EXPLAIN = 64,
    FOR_DUMP = 128,
    FOR_NEW = 256,
    FOR_DIFF = 512,
    FOR_CODE = FOR_BUILD | FOR_RUN | FOR_DUMP,
    FOR_UNIT = FOR_CODE | FOR_CHECK | FOR_TEST,
    FOR_FILES = FOR_UNIT | FOR_FMT,
    FOR_ALL = 1023
};
typedef struct Options {
    const char *output, *emit, *cpu, *target, *level, *float_bits, *only,
        *data, *fuse; /* NULL: not given */
    const char *diagnostics, *dump, *stop, *stage;
    const char *filter, *jobs, *junit, *against, *curves, *element; /* of test */
    bool time, check, help, table, update, plan;
    double peak, bandwidth; /* 0: not given */
    const char **files; /* what is no option, in order */
    int nfiles;
    char **rest; /* run: what follows the file, for the executable; NULL at the end */
} Options;
typedef struct Verb {
    const char *name, *operands, *purpose;
    unsigned bit;
    int least, most; /* operands; most -1: any number */
    int (*run)(Arena *arena, const Options *options);
} Verb;
extern const Verb verb_table[];
extern const int verb_count;
/* Fills `options` from the words after the verb; false where one is wrong (said on stderr). */
bool options_parse(Options *options, Arena *arena, const Verb *verb, int argc, char **argv);
/* Prints the help of one verb, or of all where `verb` is NULL, from the tables. */
void options_help(FILE *out, const Verb *verb);
/* What the code generator is told. The runtime is looked for where it is needed: false where an
 * executable is wanted and no runtime is found (diagnosed). */
bool options_back(const Options *options, Arena *arena, Emit emit, BackOptions *back);

/* ---- stages.c */
typedef enum StageId { STAGE_LOAD, STAGE_ELAB, STAGE_PASS, STAGE_COUNT } StageId;
typedef struct Work { /* one file on its way through the stages */
    Arena *arena;
    const Options *options;
    const char *path, *only, *stop; /* stop: the pass to stop after, or NULL */
    int done;                       /* stages behind it */
    Module *module;
    Unit *unit;
    void (*elaborated)(Unit *unit); /* called between elaboration and the passes, or NULL */
} Work;
/* Runs the stages that are not done yet, `last` included. False where errors were diagnosed. */
bool stages_run(Work *work, StageId last);
/* After all stages: the other trainings of the file too, where none was chosen. */
bool stages_others(Work *work);
/* True where the path names a file that can be read; diagnoses otherwise. */
bool file_check(const char *path);
/* The whole file, NUL-terminated, or NULL where it cannot be read (diagnosed). */
char *file_read(Arena *arena, const char *path, size_t *length);

/* ---- generate.c: the examples that defs make, as the bytes of their sources */
void sources_generate(Unit *unit);

/* ---- verbs, a file each */
int verb_build(Arena *arena, const Options *options);
int verb_run(Arena *arena, const Options *options);
int verb_check(Arena *arena, const Options *options);
int verb_test(Arena *arena, const Options *options);
int verb_fmt(Arena *arena, const Options *options);
int verb_doc(Arena *arena, const Options *options);
/* table.c: the Markdown table of all techniques, from the source tree in the current folder. */
int techniques_print(Arena *arena, const Module *module);
int verb_explain(Arena *arena, const Options *options);
int verb_dump(Arena *arena, const Options *options);
int verb_diff(Arena *arena, const Options *options);
int verb_new(Arena *arena, const Options *options);

/* ---- headers.c: data files as the runtime reads them. False where one contradicts the model. */
bool headers_check(Arena *arena, const Unit *unit, const char *data_dir);
/* Examples in a source's files; -1 where one is not found or cannot be read (diagnosed). */
int64_t headers_count(Arena *arena, const Unit *unit, const char *data_dir,
                      const DataSource *source);
#endif
