/* SPDX-License-Identifier: MIT
 * `gradus test`: the files' test blocks and the examples of their doc comments, one TAP point each.
 * Needs the stages and gradients.c. Trains nothing yet: such statements are skipped and say so. */
#include "driver.h"
#include "example.h"
#include "sample.h"
#include <string.h>

typedef struct TestRun {
    Arena *arena;
    const Options *options;
    const char *path;
    int point, passed, failed;
} TestRun;

static void gradient_report(const GradientReport *r, void *context) {
    (void)context;
    printf("# %s: %lld of %lld elements, worst relative error %.1e%s", r->path,
           (long long)r->checked, (long long)r->count, r->worst, r->kinks ? "" : "\n");
    if (r->kinks) printf(", %lld on a kink\n", (long long)r->kinks);
    if (r->wrong)
        printf("# %s: %lld wrong; element %lld: gradient %.12g, difference %.12g\n", r->path,
               (long long)r->wrong, (long long)r->worst_element, r->gradient, r->difference);
}

static void grow_gradients(Unit *unit) {
    gradients_add(unit, false);
}

/* The text of a statement or expression as it is written. */
static const char *text_of(Arena *arena, Span at) {
    const Source *source = source_get(at.file);
    if (!source || at.to > source->length || at.from >= at.to) return "";
    const char *text = arena_copy(arena, source->text + at.from, at.to - at.from);
    return arena_copy(arena, text, strcspn(text, "\n"));
}

static void point(TestRun *run, bool passed, const char *name, const char *what) {
    printf("%s %d - %s: %s\n", passed ? "ok" : "not ok", ++run->point, name, what);
    run->passed += passed;
    run->failed += !passed;
}

/* Each training of the file is a unit of its own, or the one of --only. */
static void check_gradients(TestRun *run, const Module *module, const char *name, const char *of) {
    const char *what =
        of ? arena_printf(run->arena, "check gradients of %s", of) : "check gradients";
    for (int i = 0; i < module->trains.len || i == 0; i++) {
        const Decl *train = i < module->trains.len ? module->trains.at[i] : NULL;
        if (train && run->options->only &&
            (!train->name || strcmp(train->name, run->options->only)))
            continue;
        Arena *arena = arena_new();
        const char *only = train ? train->name : NULL;
        Work work = {.arena = arena,
                     .options = run->options,
                     .path = run->path,
                     .only = only,
                     .elaborated = grow_gradients};
        const char *shown = only ? arena_printf(run->arena, "%s (%s)", what, only) : what;
        int wrong = 1;
        if (!stages_run(&work, STAGE_PASS)) {
            diag_flush();
        } else if ((wrong = gradients_check(work.unit, 1, of, 2e9, gradient_report, NULL)) < 0) {
            printf("# %s\n", of ? "no parameter of that name"
                                : "the file has no training, or its model no parameter");
        }
        point(run, wrong == 0, name, shown);
        arena_free(arena);
    }
}

static void test_statement(TestRun *run, const Module *module, const char *name, const Stmt *stmt) {
    if (stmt->kind == STMT_CHECK) {
        const char *of = stmt->value ? text_of(run->arena, stmt->value->at) : NULL;
        check_gradients(run, module, name, of);
        return;
    }
    printf("ok %d - %s: %s # SKIP not available yet\n", ++run->point, name,
           text_of(run->arena, stmt->at));
}

static void example_report(const char *def, const char *text, const char *fault, void *context) {
    TestRun *run = context;
    point(run, !fault, def, arena_printf(run->arena, "example: %s", text));
    if (fault) printf("# %s\n", fault);
    const char *form = run->options->diagnostics; /* a faulty example has reset it */
    if (form && !strcmp(form, "json")) diag_format(DIAG_JSON);
}

int verb_test(Arena *arena, const Options *options) {
    TestRun run = {.arena = arena, .options = options};
    printf("TAP version 13\n");
    for (int i = 0; i < options->nfiles; i++) {
        run.path = options->files[i];
        Work work = {.arena = arena, .options = options, .path = run.path};
        if (!stages_run(&work, STAGE_LOAD)) {
            diag_flush();
            point(&run, false, run.path, "reads without errors");
            break; /* errors are counted for the whole run */
        }
        examples_run(work.module, run.path, options, example_report, &run);
        for (int k = 0; k < work.module->tests.len; k++) {
            const Decl *test = work.module->tests.at[k];
            for (int n = 0; n < test->body.len; n++)
                test_statement(&run, work.module, test->text ? test->text : "test",
                               test->body.at[n]);
        }
    }
    printf("1..%d\n%d passed, %d failed\n", run.point, run.passed, run.failed);
    return run.failed ? EXIT_MISMATCH : EXIT_OK;
}
