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
    int64_t save_every;    /* updates from checkpoint to checkpoint, 0: by the clock alone */
    int64_t samples;       /* predictions with draws, 0: one without */
    int threads;           /* 0: found out */
    bool follow;
    bool has_seed, watch, resume, no_progress, quiet, verbose, profile, one;
    uint64_t seed;
    const char *resume_file, *watch_how, *data, *weights, *log, *out, *input, *output, *set_name, *only;
    Setting settings[MOST_SETTINGS];
    int nsettings;
    int argc;
    char **argv;
} Options;

/* Numbers of a whole set by name: totals, and metrics that are no single number. */
typedef struct Table {
    const char *set, *name;
    const GrBuffer *shape;
    double *values;
} Table;

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
    Table *totals, *tables;
    int ntotals, ntables;
} Run;

/* Memory, seed and settings. Reads no data. */
bool run_open(Run *run, const GrModel *model, Options *options, Team *team, Fault *fault);
void run_close(Run *run);
/* Reads the sources that the wanted sets need, and divides them. wanted NULL: all sets. */
bool run_read_data(Run *run, const char *wanted, Fault *fault);
uint64_t run_data_hash(const Run *run);
const GrProgram *run_program(const Run *run, GrProgramKind kind); /* the first of a kind, or NULL */
const Set *run_set(const Run *run, const char *name);             /* NULL where absent */
bool run_measures_train(const GrModel *model); /* a metric of the training set is asked for */
void run_hyper(Run *run, const char *name, double value);
void run_settings(Run *run); /* seed and --set, again after memory was copied back */
typedef void TakeChunk(Run *run, const GrProgram *program, int64_t from, int64_t live,
                       void *context);
/* Runs a program over a set's examples in order, in chunks; `take` (may be NULL) looks at each.
 * presented: by position in the source, what draws see of each example; NULL: 0. */
bool run_over(Run *run, const GrProgram *program, const Set *set, const uint32_t *presented,
              TakeChunk *take, void *context, Fault *fault);
/* A program without examples: init, epoch. */
void run_plain(Run *run, const GrProgram *program);
/* check.c: what defs require of settings, and, where progress is given, of what this step's schedules
 * say (NULL: of settings alone). */
struct Progress;
bool run_check(Run *run, const struct Progress *progress, Fault *fault);
/* init, then the fits over the training split. */
bool run_init(Run *run, Fault *fault);
const GrBuffer *run_result(const GrProgram *program, const char *name); /* NULL where absent */
double run_value(const Run *run, const GrBuffer *buffer, int64_t example, int64_t element);
/* The first leaf with a number that is none; not of states, which may hold infinity. NULL: no. */
const GrLeaf *run_spoilt(const Run *run);

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

/* Metrics of the whole set: before an evaluation, after each chunk, and in the end. */
void totals_clear(Run *run);
void totals_take(Run *run, const GrProgram *program);
bool totals_finish(Run *run, const Set *set, Metrics *metrics, Fault *fault);
void tables_print(FILE *out, const Run *run, const char *set);

/* ---- Where training stands; a checkpoint holds it. */
typedef struct Progress {
    int64_t step, epoch, position; /* updates done; epochs done; examples done in this epoch */
    int64_t total;                 /* updates in all */
    double loss_sum;               /* over this epoch's examples so far */
    int64_t loss_count;
    uint32_t *presented; /* [source's examples] */
    int64_t npresented;
    double *losses; /* by position too: the last loss seen, NAN before; NULL: nobody asks */
    double *known;  /* as they were when this epoch began */
    bool has_best;
    double best_value;
    int64_t best_epoch, best_step;
    char *best;                    /* copy of mem[0, persistent) */
    Metrics metrics, best_metrics; /* of the last and of the best evaluation */
} Progress;

/* ---- safe.c: a copy to go back to, within an epoch. */
typedef struct Safe {
    Progress progress;
    char *leaves;
} Safe;
void safe_open(Safe *safe, const Run *run, const Progress *progress);
void safe_keep(Safe *safe, const Run *run, const Progress *progress);
void safe_restore(const Safe *safe, Run *run, Progress *progress);
void safe_close(Safe *safe);

/* The leaves in `mem` under their names, and what says where they come from. */
bool checkpoint_write_best(const Run *run, const Progress *progress, const char *mem, Fault *fault);
bool checkpoint_write_last(const Run *run, const Progress *progress, const char *mem, Fault *fault);
/* The --set values that a file was trained with, where they are not given now: before data are read,
 * whose division they may decide. */
bool checkpoint_settings(Run *run, const char *path, Fault *fault);
/* Leaves of a file into mem; all or nothing. Either kind of file. */
bool checkpoint_load(Run *run, const char *path, Fault *fault);
/* Leaves, progress, seed and settings. Options given now win over those recorded. */
bool checkpoint_resume(Run *run, const char *path, Progress *progress, Fault *fault);

/* ---- load.c: what the training starts from, after init. */
bool load_start(Run *run, Fault *fault);
/* The named leaves of a file into mem; all or nothing. */
bool checkpoint_take(Run *run, const char *path, const char *const *leaves, int count,
                     Fault *fault);

/* ---- after.c: once after training, on the weights in memory. */
bool after_wanted(const Run *run);
bool after_training(Run *run, Fault *fault);

/* ---- The order of an epoch: positions in the source. whole: a batch holds all examples. */
bool order_make(Run *run, const Set *train, const Progress *progress, bool whole, uint32_t *order,
                Fault *fault);
/* Its parts: shuffled positions 0 .. count - 1; positions drawn by weight, shuffled; how many (of the
 * same group) have a smaller key; the value that a part `level` of all lies below. */
void order_shuffle(uint32_t *order, int64_t count, uint64_t seed, uint32_t epoch);
void order_sample(uint32_t *order, const double *weight, int64_t count, uint64_t seed,
                  uint32_t epoch);
void order_rank(double *rank, const double *key, const double *group, int64_t count);
double order_quantile(double level, const double *value, int64_t count);
/* A result of a program for each example of a set, its ranks and quantiles found first. */
bool order_ask(Run *run, const GrProgram *program, const Set *set, const uint32_t *presented,
               const char *result, double *values, Fault *fault);
void order_prepare(const Run *run, Data *data); /* makes room for what programs ask */
/* An example drawn twice into a batch is presented twice: how often each came in it before. again:
 * room for a batch where examples are drawn, else NULL (order_room). */
uint32_t *order_room(const Run *run, int64_t batch);
void order_again(const Batch *batch, uint32_t *presented, uint32_t *again);
/* Has no update of an epoch of `count` examples one example where the model normalizes over them?
 * count 0: of this update alone. */
bool order_enough(const GrModel *model, int64_t batch, int64_t count, Fault *fault);

/* ---- Sizes of batches. */
typedef struct Course {
    const GrModel *model;
    int64_t planned, count; /* examples of an update at most, of the training set */
} Course;
/* Examples in an update, of which the first is number 1. */
int64_t course_size(const Course *course, int64_t step, int64_t epoch);
/* Updates and examples of an epoch that begins after `done` updates. */
int64_t course_epoch(const Course *course, int64_t done, int64_t epoch, int64_t *usable);
/* Updates done before the epoch of which `position` examples have been taken after `step` updates. */
int64_t course_begun(const Course *course, int64_t step, int64_t position, int64_t epoch);
/* Updates in so many epochs, or until `most` of them are done; how many epochs that takes. */
int64_t course_walk(const Course *course, int64_t epochs, int64_t most, int64_t *taken);

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

/* The next state that is a single number, from leaf *at on; false where there is none. */
typedef struct Number {
    const char *name;
    double value;
    int bytes;
} Number;
bool numbers_next(const Run *run, int *at, Number *out);
void numbers_tell(const Run *run); /* all of them, a line each */

/* ---- watch.c: the program run in place of a step where --watch is given. */
typedef struct Watch {
    Run *run;
    const GrProgram *program; /* NULL: nothing is watched */
    bool epochs;              /* only at the last step of each epoch */
    bool fresh, seen;         /* the last step was watched; any was */
    Batch batch;
    const GrBuffer *loss, *each_loss; /* its own; see Training */
    const GrBuffer **column;
    double *value, **tensor; /* of the last watched step; tensor NULL: it is one number */
    int64_t only;            /* the one step that is watched; 0: all */
    bool *told;              /* flags that were warned of */
    int columns, steps;      /* those of steps stand first, behind them those of evaluations */
} Watch;
bool watch_open(Watch *watch, Run *run, const Data *data, Fault *fault);
void watch_close(Watch *watch);
/* Runs the step watched, where it is to be; false: run it plainly. last: of its epoch. */
bool watch_step(Watch *watch, const Batch *batch, int64_t step, bool last);
void watch_flags(Watch *watch, int64_t step, Bar *bar); /* a warning where a flag first holds */
void watch_evaluation(Watch *watch, int64_t step, Bar *bar); /* after the program of an epoch */
/* ,"watch":{"dead_units.relu1":0.25}; of an epoch those of the evaluation, too */
void watch_log(const Watch *watch, FILE *file, bool epoch);
void watch_tell(const Watch *watch);

/* ---- trace.c: where a bad number came from. */
typedef struct Finding {
    const GrTrace *trace; /* what made it first; NULL: not found */
    const GrTrace *grown; /* a parameter that had become very large, or NULL */
    const GrTrace *update; /* what gave it its new value */
    const char *result;   /* "loss", or the leaf whose new value is bad */
    double value, bad;    /* of the result; of what made it */
    int64_t element;
    int64_t examples[8];  /* numbers of examples that have it */
    int nexamples, more;
    char ranges[800];     /* of what it was made of: "`x` in -1 .. 3 (-0.25 there)" */
} Finding;
/* Does the step again that `batch` (of the program that is trained) holds, from the leaves and
 * numbers in mem as they were before it, and keeps every value; changes nothing in mem. */
void trace_step(Run *run, const Batch *batch, const Data *data, Finding *finding);
/* Several lines: what was found. when: "at step 3". */
void trace_tell(const Run *run, const Finding *finding, const char *when, const Data *data);
const char *bad_text(double value); /* "nan", "inf", "-inf" */
void trace_leaf(const Run *run, const GrLeaf *leaf, const Data *data); /* spoilt before any step */

typedef struct Log {
    const Run *run;
    FILE *file;
    const char *path;
    const Watch *watch; /* NULL: none */
} Log;
bool log_open(Log *log, const Run *run, int64_t resumed_step, Fault *fault);
void log_step(Log *log, int64_t step, int64_t epoch, double loss, int bytes);
void log_epoch(Log *log, const Run *run, const Progress *progress, double seconds,
               double examples_per_second);
void log_eval(Log *log, const Metrics *metrics); /* with tables */
void log_finding(Log *log, int64_t step, int64_t epoch, const Finding *finding);
void log_stop(Log *log, const Progress *progress, const char *reason);
bool log_close(Log *log, Fault *fault);

/* ---- Verbs; each gives an exit code. */
int verb_train(Run *run);
int verb_follow(Run *run); /* of train --follow */
int verb_eval(Run *run);
int verb_predict(Run *run);
int verb_info(const GrModel *model, const Options *options); /* needs no memory */
int verb_bench(Run *run);

/* The whole command line. */
int cli_main(int argc, char **argv, const GrModel *model);
#endif
