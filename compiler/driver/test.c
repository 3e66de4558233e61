/* SPDX-License-Identifier: MIT
 * `gradus test`: the files' test blocks and the examples of their doc comments. Each block, and the
 * examples of a file together, is a process of its own: a fault in one leaves the others alone.
 * Needs claim.c, session.c, curve.c and example.c, which do the work, and report.c. */
#include "test.h"
#include "example.h"
#include <errno.h>
#include <fts.h>
#include <stdarg.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- What a block says */
void test_say(Test *test, const char *format, ...) {
    char line[4000];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof line, format, list);
    va_end(list);
    test->said = arena_printf(test->arena, "%s# %s\n", test->said, line);
}

void test_point(Test *test, bool passed, const char *what) {
    double now = clock_start().wall;
    char *name = arena_printf(test->arena, "%s: %s", test->name, what);
    for (char *at = name; *at; at++)
        if (*at == '\t' || *at == '\n') *at = ' ';
    printf("%s\t%.3f\t%s\n%s", passed ? "ok" : "not ok", now - test->since, name, test->said);
    fflush(stdout); /* what is said stays where a later statement crashes */
    test->said = "";
    test->since = now;
}

const char *test_text(Arena *arena, Span at) {
    const Source *source = source_get(at.file);
    if (!source || at.to > source->length || at.from >= at.to) return "";
    const char *text = arena_copy(arena, source->text + at.from, at.to - at.from);
    return arena_copy(arena, text, strcspn(text, "\n"));
}

/* ---- Temporary folders */
char *test_folder(Arena *arena) {
    const char *base = getenv("TMPDIR");
    char *folder = arena_printf(arena, "%s/gradus-test-XXXXXX", base && *base ? base : P_tmpdir);
    if (mkdtemp(folder)) return folder;
    diag_error((Span){0}, "E0703", "cannot make the folder '%s': %s", folder, strerror(errno));
    return NULL;
}

void test_remove(const char *folder) {
    char *roots[] = {(char *)(uintptr_t)folder, NULL};
    FTS *walk = folder ? fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL) : NULL;
    for (FTSENT *at; walk && (at = fts_read(walk));)
        if (at->fts_info != FTS_D) remove(at->fts_accpath);
    if (walk) fts_close(walk);
}

bool test_diagnosed(Test *test) {
    if (!diag_errors()) return false;
    test_say(test, "error: %s", diag_first());
    diag_flush();
    diag_reset(); /* the next statement is not at fault */
    return true;
}

/* ---- A block */
static bool expect(Test *test, const Stmt *stmt) {
    if (!stmt->name) return claim_run(test, stmt);
    return !strcmp(stmt->name, "curve") ? curve_expect(test, stmt) : equal_expect(test, stmt);
}

static bool has_model(const Module *module) {
    for (int i = 0; i < module->decls.len; i++)
        if (module->decls.at[i]->kind == DECL_MODEL && !module->decls.at[i]->library) return true;
    return false;
}

static void statement(Test *test, const Stmt *stmt) {
    const Expr *of = stmt->value;
    const char *text = test_text(test->arena, stmt->at);
    bool path = !of || of->kind == EXPR_NAME || of->kind == EXPR_FIELD;
    if (stmt->kind == STMT_BIND) return; /* made anew by each claim behind it */
    if (stmt->kind == STMT_CHECK && path && has_model(test->module)) {
        check_gradients(test, of ? test_text(test->arena, of->at) : NULL);
        return;
    }
    bool fine = false;
    if (stmt->kind == STMT_CHECK && path) {
        diag_error(stmt->at, "E0505", "the file has no model");
        diag_help("`check gradients of unit(x[8])` checks a def");
    } else if (stmt->kind == STMT_CHECK)
        fine = claim_gradients(test, stmt);
    else if (test->broken)
        test_say(test, "its training failed");
    else if (stmt->kind == STMT_RUN)
        test->broken = !(fine = session_train(test, stmt));
    else if (stmt->kind == STMT_EXPECT)
        fine = expect(test, stmt);
    else {
        diag_error(stmt->at, "E0815", "a test binds names, checks, trains and expects");
        test_say(test, "this is no statement of a test");
    }
    fine = !test_diagnosed(test) && fine;
    test_point(test, fine, text);
}

static bool is_curve(const Stmt *stmt) {
    return stmt->kind == STMT_EXPECT && stmt->name && !strcmp(stmt->name, "curve");
}

static void block(Test *test) {
    for (int i = 0; i < test->decl->body.len; i++) {
        const Stmt *stmt = test->decl->body.at[i];
        test->watched |= stmt->kind == STMT_EXPECT && stmt->name;
    }
    if (test->watched) curve_watch(test->module);
    for (int i = 0; i < test->decl->body.len; i++) {
        const Stmt *stmt = test->decl->body.at[i];
        if (!(test->options->against || test->options->element) || stmt->kind == STMT_RUN ||
            is_curve(stmt))
            statement(test, stmt);
    }
}

/* ---- Examples */
static bool chosen(const Options *options, const char *name) {
    return !options->filter || strstr(name, options->filter);
}

static void example_report(const char *def, const char *text, const char *fault, void *context) {
    Test *test = context;
    if (!chosen(test->options, def)) return;
    test->name = def;
    if (fault) test_say(test, "%s", fault);
    test_point(test, !fault, arena_printf(test->arena, "example: %s", text));
}

/* ---- Processes */
typedef struct Item { /* a block, or with decl NULL a file's examples */
    const char *path, *folder;
    Module *module;
    const Decl *decl;
    FILE *out; /* what its process writes */
    pid_t process;
} Item;
typedef VEC(Item) ItemList;

/* ---- Interruption: what runs is ended, with all that it started, and the folder goes. */
static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
static volatile sig_atomic_t caught;
static const ItemList *running;
static pid_t theirs; /* the other compiler: it takes its own folder away */

static void end_all(void) {
    for (int i = 0; running && i < running->len; i++)
        if (running->at[i].process > 0) kill(-running->at[i].process, SIGKILL);
    if (theirs > 0) kill(theirs, SIGTERM);
}

static void note_signal(int number) {
    caught = number;
    end_all();
}

static void heed(void (*how)(int)) {
    for (int i = 0; i < LENGTH(signals); i++)
        if (signal(signals[i], how) == SIG_IGN && how != SIG_DFL) signal(signals[i], SIG_IGN);
}

static pid_t child_new(bool apart) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) heed(SIG_DFL);
    if (child >= 0 && apart) setpgid(child, 0);
    return child;
}

static int child_wait(pid_t child) {
    int status = 0;
    if (caught) end_all(); /* it came while the child was made */
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

static void run_item(const Item *item, int number, const Options *options) {
    Arena *arena = arena_new();
    Test test = {.arena = arena,
                 .options = options,
                 .module = item->module,
                 .path = item->path,
                 .decl = item->decl,
                 .folder = item->folder,
                 .said = "",
                 .since = clock_start().wall};
    if (dup2(fileno(item->out), STDOUT_FILENO) < 0 || setenv("TMPDIR", item->folder, 1))
        exit(EXIT_DIAGNOSED);
    if (item->decl) {
        test.name = item->decl->text;
        test.own = arena_printf(arena, "%s/%d", item->folder, number);
        if (mkdir(test.own, 0777)) exit(EXIT_DIAGNOSED);
        block(&test);
        test_remove(test.own);
    } else {
        examples_run(item->module, item->path, options, example_report, &test);
    }
    diag_flush();
    exit(fflush(stdout) ? EXIT_DIAGNOSED : EXIT_OK);
}

static void start(Item *item, int number, const Options *options) {
    item->out = tmpfile();
    item->process = item->out ? child_new(true) : -1;
    if (item->process == 0) run_item(item, number, options);
}

static void finish(Report *report, Item *item) {
    const char *name = item->decl ? item->decl->text : "examples";
    if (item->process < 0) {
        report_fault(report, item->path, "cannot start a process");
        return;
    }
    int status = child_wait(item->process);
    item->process = 0;
    rewind(item->out);
    report_take(report, item->path, item->out);
    fclose(item->out);
    char what[200];
    snprintf(what, sizeof what,
             WIFSIGNALED(status) ? "%.150s: ended by signal %d" : "%.150s: ended with %d", name,
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (status) report_fault(report, item->path, what);
}

/* ---- Files */
static void find_items(Arena *arena, const Options *options, const char *path, const char *folder,
                       ItemList *items, Report *report) {
    Work work = {.arena = arena, .options = options, .path = path};
    if (!stages_run(&work, STAGE_LOAD)) {
        diag_flush();
        diag_reset();
        report_fault(report, path, "reads without errors");
        return;
    }
    diag_flush(); /* warnings, once and not in each process */
    Item item = {.path = path, .folder = folder, .module = work.module};
    int before = items->len;
    if (!options->against) VEC_PUSH(arena, *items, item);
    for (int k = 0; k < work.module->tests.len; k++) {
        item.decl = work.module->tests.at[k];
        bool curve = false;
        for (int i = 0; i < item.decl->body.len; i++)
            curve |= is_curve(item.decl->body.at[i]);
        if (chosen(options, item.decl->text) && (curve || !options->against))
            VEC_PUSH(arena, *items, item);
    }
    if (options->against && items->len == before)
        report_fault(report, path, "no test expects a curve");
}

/* The other compiler runs the same tests and records the curves in `folder`. */
static bool record_theirs(Arena *arena, const Options *options, const char *folder) {
    char **words = NEW_ARRAY(arena, char *, options->nfiles + 8);
    int n = 0;
    words[n++] = arena_printf(arena, "%s", options->against);
    words[n++] = arena_printf(arena, "test");
    words[n++] = arena_printf(arena, "--update");
    words[n++] = arena_printf(arena, "--curves=%s", folder);
    if (options->filter) words[n++] = arena_printf(arena, "--filter=%s", options->filter);
    if (options->data) words[n++] = arena_printf(arena, "--data=%s", options->data);
    for (int i = 0; i < options->nfiles; i++)
        words[n++] = arena_printf(arena, "%s", options->files[i]);
    theirs = child_new(false);
    if (theirs == 0) {
        if (!freopen("/dev/null", "w", stdout)) _exit(127);
        execvp(words[0], words);
        _exit(127);
    }
    int status = theirs > 0 ? child_wait(theirs) : -1;
    int code = theirs > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 127;
    theirs = 0;
    if (code == EXIT_OK || code == EXIT_MISMATCH) return true; /* what is missing will show */
    diag_error((Span){0}, "E0818", "`%s test --update` ended with %d", options->against, code);
    diag_help("--against takes a gradus that records curves");
    return false;
}

static int ended(const char *folder, int code) {
    test_remove(folder);
    if (caught) {
        signal(caught, SIG_DFL);
        raise(caught);
    }
    return code;
}

int verb_test(Arena *arena, const Options *given) {
    Options own_options = *given, *options = &own_options;
    int jobs = options->jobs ? atoi(options->jobs) : 1, started = 0;
    if (jobs < 1 || jobs > 256) {
        fprintf(stderr, "gradus test: --jobs is a number from 1 to 256\n");
        return EXIT_USAGE;
    }
    char *folder = test_folder(arena);
    if (!folder) return EXIT_DIAGNOSED;
    heed(note_signal);
    if (options->against) {
        options->curves = arena_printf(arena, "%s/theirs", folder);
        mkdir(options->curves, 0777);
        if (!record_theirs(arena, options, options->curves)) return ended(folder, EXIT_USAGE);
    }
    ItemList items = {0};
    Report *report = report_new(arena, options);
    for (int i = 0; i < options->nfiles; i++) {
        const char *own = arena_printf(arena, "%s/file%d", folder, i);
        mkdir(own, 0777);
        find_items(arena, options, options->files[i], own, &items, report);
    }
    running = &items;
    for (int i = 0; i < items.len && !caught; i++) { /* reported in order, however they end */
        for (; started < items.len && started < i + jobs && !caught; started++)
            start(&items.at[started], started, options);
        finish(report, &items.at[i]);
    }
    for (int i = 0; i < started; i++)
        if (items.at[i].process > 0) child_wait(items.at[i].process);
    ended(folder, EXIT_OK);
    return report_end(report);
}
