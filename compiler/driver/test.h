/* SPDX-License-Identifier: MIT
 * One test block on its way: what its statements share. Needs the driver and elab.
 * test.c runs them and reports, claim.c evaluates, session.c trains, again.c compares. */
#ifndef GRADUS_TEST_H
#define GRADUS_TEST_H
#include "driver.h"

/* One training of a test, in a folder of its own: weights and a log. */
typedef struct Session {
    const char *out, *log; /* its folder; the log of its steps */
    const char *only;      /* the training's name, or NULL */
    int64_t steps, epochs; /* done so far */
    VEC(Known) known;      /* metrics and weights, once something asks; forgotten by more training */
    VEC(char **) runs;     /* the words of each `train` so far, for a run that is to be the same */
} Session;

typedef struct Test { /* a test block, in a process of its own */
    Arena *arena;
    const Options *options;
    Module *module;
    const char *path, *name; /* the file's; the block's */
    const Decl *decl;
    const char *folder, *own; /* executables of the file; what is this block's alone */
    const char *said;         /* since the last point */
    double since;
    bool watched;    /* executables measure what a curve records */
    bool broken;     /* a training failed: what follows is no test of it */
    Session session; /* .out NULL: nothing was trained yet */
    Unit *unit;      /* of the training, elaborated once */
} Test;

/* A point: its line, then what was said since the last one. */
void test_point(Test *test, bool passed, const char *what);
void test_say(Test *test, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool test_diagnosed(Test *test); /* an error was: it is said, printed and done with */
const char *test_text(Arena *arena, Span at); /* a statement as it is written */
char *test_folder(Arena *arena); /* a new one for temporary files; NULL after a diagnosis */
void test_remove(const char *folder);

/* ---- claim.c */
bool claim_run(Test *test, const Stmt *stmt);       /* expect EXPR; what does not hold is said */
bool claim_gradients(Test *test, const Stmt *stmt); /* check gradients of EXPR */
/* check gradients [of PATH]: a point for each training. */
void check_gradients(Test *test, const char *of);

/* ---- session.c */
/* `train N steps [of NAME]`: goes on from what was trained. */
bool session_train(Test *test, const Stmt *stmt);
/* The metrics and weights that the test may ask for; false where they cannot be had (said). */
bool session_know(Test *test);
/* An executable of the file, compiled with these options; NULL where that fails (said). */
const char *session_build(Test *test, const Options *options, const char *variant);
/* The same trainings in another folder, with an executable and a word more (or NULL), watched at one
 * step alone (or at each, 0); the log's path, NULL where they fail (said). */
const char *session_again(Test *test, const char *exe, const char *more, const char *name,
                          int64_t step);
int session_run(Test *test, char *const *words); /* exit code; what it complained of is said */
/* The names of weights files, and each tensor of one, end here. */
const char *session_weights(const Test *test, const char *out);

/* ---- curve.c */
typedef struct CurvePoint {
    const char *name; /* "loss", "layer.relu1", "validation.error_rate" */
    double value;
} CurvePoint;
typedef struct CurveStep {
    int64_t step;
    bool epoch; /* metrics at the end of an epoch, not numbers of a step */
    VEC(CurvePoint) points;
} CurveStep;
typedef struct Curve {
    const char *path, *name; /* name: what the reader calls this run, "recorded" */
    const char *model, *model_hash, *data_hash, *language;
    uint64_t seed;
    int float_bytes;
    VEC(CurveStep) steps;
} Curve;
/* A recorded curve or a log of JSON Lines; NULL with the reason in *fault. */
Curve *curve_read(Arena *arena, const char *path, const char **fault);
bool curve_write(Arena *arena, const Curve *curve, const char *path, bool all); /* all: norms */
/* What executables measure for curves; all elements of one tensor in its place. */
void curve_watch(Module *module);
void curve_watch_elements(Module *module, const char *training, const char *name);

/* ---- compare.c */
/* Says where the two differ first, by `say`; true where they do not. Losses of all steps must be there
 * in both; of other numbers those that both have. */
typedef void CurveSay(void *context, const char *line);
typedef struct CurvePlace { /* the first tensor that differs; name NULL: none is known */
    int64_t step;
    const char *name;
} CurvePlace;
bool curve_same(Arena *arena, const Curve *a, const Curve *b, CurveSay *say, void *context,
                CurvePlace *place);
/* Two curves that hold the elements of that tensor, or NULL: says which of them differ. */
void curve_elements(Arena *arena, const Curve *a, const Curve *b, const CurvePlace *place,
                    CurveSay *say, void *context);

/* ---- again.c */
bool curve_expect(Test *test, const Stmt *stmt); /* expect curve "file" */
bool equal_expect(Test *test, const Stmt *stmt); /* expect equal over … */

/* ---- report.c: the points of all tests, as TAP and JUnit */
typedef struct Report Report;
Report *report_new(Arena *arena, const Options *options);
void report_take(Report *report, const char *file, FILE *from); /* what a process wrote */
void report_fault(Report *report, const char *file, const char *what);
int report_end(Report *report); /* exit code */
#endif
