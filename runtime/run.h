/* SPDX-License-Identifier: MIT
 * One run of an executable: its options, memory, data and what the verbs share. Needs all below it.
 * The verbs are in train.c, predict.c, bench.c, info.c; the command line in cli.c. */
#ifndef GRADUS_RUN_H
#define GRADUS_RUN_H
#include "abi.h"
#include "batch.h"
#include "data.h"
#include "io.h"
#include "safetensors.h"
#include "team.h"

enum { MOST_SETTINGS = 64, MOST_METRICS = 64 };

/* --set NAME=VALUE. */
typedef struct Setting {
    char *name;
    double value;
} Setting;

typedef struct Options {
    int64_t epochs, steps; /* 0: as the model says */
    int threads;           /* 0: found out */
    bool has_seed, resume, no_progress, quiet, verbose, profile;
    uint64_t seed;
    const char *resume_file, *data, *weights, *log, *out, *input, *output, *set_name;
    Setting settings[MOST_SETTINGS];
    int nsettings;
    int argc;
    char **argv;
} Options;

typedef struct Run {
    const GrModel *model;
    Options *options;
    Team *team;
    char *mem;
    Data *sources; /* by the model's sources; count 0: not read */
    Set *sets;     /* by the model's sets */
    DataPlaces places;
    int64_t data_count; /* examples of the training split */
    uint64_t seed;
    char *best_path, *last_path; /* weights files */
} Run;

/* Memory, fills, seed and settings. Reads no data. */
bool run_open(Run *run, const GrModel *model, Options *options, Team *team, Fault *fault);
void run_close(Run *run);
/* Reads the sources that the wanted sets need, and divides them. wanted NULL: all sets. */
bool run_read_data(Run *run, const char *wanted, Fault *fault);
uint64_t run_data_hash(const Run *run);
const GrProgram *run_program(const Run *run, GrProgramKind kind); /* the first of a kind, or NULL */
const Set *run_set(const Run *run, const char *name);             /* NULL where absent */
void run_hyper(Run *run, const char *name, double value);
void run_settings(Run *run); /* seed and --set, again after memory was copied back */
/* A program without examples: init, epoch. */
void run_plain(Run *run, const GrProgram *program);
/* init, then the fits over the training split. */
bool run_init(Run *run, Fault *fault);
const GrBuffer *run_result(const GrProgram *program, const char *name); /* NULL where absent */
double run_value(const Run *run, const GrBuffer *buffer, int64_t example, int64_t element);

/* ---- Evaluation: the mean of each per-example number over a set, in float64, in example order. */
typedef struct Metric {
    const char *set, *name;
    double value;
} Metric;
typedef struct Metrics {
    Metric item[MOST_METRICS];
    int count;
} Metrics;
bool evaluate(Run *run, const Set *set, Metrics *metrics, Fault *fault); /* adds to metrics */
const double *metrics_find(const Metrics *metrics, const char *set, const char *name);
void metrics_put(Metrics *metrics, const char *set, const char *name, double value);
/* "validation loss 0.041 error_rate 0.0112" */
void metrics_print(FILE *out, const Metrics *metrics, const char *set);

/* ---- Where training stands; a checkpoint holds it. */
typedef struct Progress {
    int64_t step, epoch, position; /* updates done; epochs done; examples done in this epoch */
    int64_t total;                 /* updates in all */
    double loss_sum;               /* over this epoch's examples so far */
    int64_t loss_count;
    uint32_t *presented; /* [source's examples] */
    int64_t npresented;
    bool has_best;
    double best_value;
    int64_t best_epoch, best_step;
    char *best;                    /* copy of mem[0, persistent) */
    Metrics metrics, best_metrics; /* of the last and of the best evaluation */
} Progress;

/* The leaves in `mem` under their names, and what says where they come from. */
bool checkpoint_write_best(const Run *run, const Progress *progress, const char *mem, Fault *fault);
bool checkpoint_write_last(const Run *run, const Progress *progress, const char *mem, Fault *fault);
/* Leaves of a file into mem; all or nothing. Either kind of file. */
bool checkpoint_load(Run *run, const char *path, Fault *fault);
/* Leaves, progress, seed and settings. Options given now win over those recorded. */
bool checkpoint_resume(Run *run, const char *path, Progress *progress, Fault *fault);

/* ---- Shuffled order: a function of seed, epoch and count alone. */
void order_shuffle(uint32_t *order, int64_t count, uint64_t seed, uint32_t epoch);

/* ---- What the user sees. */
typedef struct Bar {
    bool on;
    double start, last;
    int64_t first_step;
} Bar;
void bar_start(Bar *bar, const Options *options, int64_t step);
/* Redraws at most ten times a second. `step` of `steps` in this epoch, `left` updates to come. */
void bar_show(Bar *bar, const Progress *progress, int64_t epochs, int64_t step, int64_t steps,
              int64_t examples);
void bar_clear(Bar *bar);
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void complain(const Fault *fault);

typedef struct Log {
    FILE *file;
    const char *path;
} Log;
bool log_open(Log *log, const Run *run, int64_t resumed_step, Fault *fault);
void log_step(Log *log, int64_t step, int64_t epoch, double loss, int bytes);
void log_epoch(Log *log, const Progress *progress, double seconds, double examples_per_second);
void log_stop(Log *log, const Progress *progress, const char *reason);
bool log_close(Log *log, Fault *fault);

/* ---- Verbs; each gives an exit code. */
int verb_train(Run *run);
int verb_eval(Run *run);
int verb_predict(Run *run);
int verb_info(const GrModel *model, const Options *options); /* needs no memory */
int verb_bench(Run *run);

/* The whole command line. */
int cli_main(int argc, char **argv, const GrModel *model);
#endif
