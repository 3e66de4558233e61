/* SPDX-License-Identifier: MIT
 * Trainings of a test: the file's own, compiled as `gradus build` does, run in a temporary folder
 * on the user's data; what they measured and learned. Needs the stages, back, the runtime's readers
 * of JSON and weights. Judges nothing. */
#include "test.h"
#include "json.h"
#include "safetensors.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Executables */
const char *session_build(Test *test, const Options *options, const char *variant) {
    const char *path = arena_printf(test->arena, "%s/model%s%s", test->folder, variant,
                                    test->watched ? "-watched" : "");
    if (access(path, X_OK) == 0) return path; /* another test of the file has built it */
    Arena *arena = arena_new();
    Work work = {.arena = arena,
                 .options = options,
                 .path = test->path,
                 .module = test->module,
                 .done = STAGE_ELAB};
    BackOptions back;
    bool fine = stages_run(&work, STAGE_PASS) && stages_others(&work) &&
                options_back(options, arena, EMIT_EXE, &back);
    back.output = path;
    fine = fine && back_build(work.unit, &back) && !diag_errors();
    arena_free(arena);
    if (!fine) test_say(test, "it does not build");
    return fine ? path : NULL;
}

/* The lines of a file, said. */
static void say_file(Test *test, const char *path) {
    char line[2000];
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (*line) test_say(test, "%s", line);
    }
    if (file) fclose(file);
}

int session_run(Test *test, char *const *words) {
    const char *err = arena_printf(test->arena, "%s/err", test->own);
    fflush(NULL);
    pid_t process = fork();
    if (process == 0) {
        int out = open("/dev/null", O_WRONLY), to = open(err, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        if (out < 0 || to < 0 || dup2(out, 1) < 0 || dup2(to, 2) < 0) _exit(127);
        execvp(words[0], words);
        _exit(127);
    }
    int status = 0;
    while (process > 0 && waitpid(process, &status, 0) < 0 && errno == EINTR)
        continue;
    int code = process < 0           ? 127
               : WIFSIGNALED(status) ? 128 + WTERMSIG(status)
                                     : WEXITSTATUS(status);
    if (!code) return 0;
    say_file(test, err);
    test_say(test, "`%s %s` ended with %d", strrchr(words[0], '/') ? "model" : words[0], words[1],
             code);
    return code;
}

/* ---- Training */
enum { WORDS = 16 };

static char *word(Test *test, const char *name, const char *value) {
    return arena_printf(test->arena, "%s%s", name, value);
}

/* Words of the executable's verb for this session; further ones begin at the number returned. */
static int common_words(Test *test, const char *exe, const char *verb, const char *out,
                        char **words) {
    const Session *s = &test->session;
    int n = 0;
    words[n++] = word(test, exe, "");
    words[n++] = word(test, verb, "");
    words[n++] = word(test, "--out=", out);
    words[n++] = word(test, "-q", "");
    if (test->options->data) words[n++] = word(test, "--data=", test->options->data);
    if (s->only) words[n++] = word(test, "--only=", s->only);
    return n;
}

/* Where training stands, from the last record of its log. */
static bool find_end(Test *test, const char *path) {
    char *line = NULL, *last = NULL;
    size_t room = 0, kept = 0;
    FILE *file = fopen(path, "r");
    while (file && getline(&line, &room, file) > 0) { /* only the last one is looked at */
        char *other = last;
        size_t size = kept;
        last = line, kept = room;
        line = other, room = size;
    }
    if (file) fclose(file);
    Json json;
    Fault fault;
    bool fine = last && json_read(last, strlen(last), &json, &fault);
    if (fine) {
        const Json *step = json_member(&json, "step"), *epoch = json_member(&json, "epoch");
        fine = step && epoch && json_whole(step, &test->session.steps) &&
               json_whole(epoch, &test->session.epochs);
        json_free(&json);
    }
    free(line);
    free(last);
    if (!fine) test_say(test, "the log of the training has no end");
    return fine;
}

/* The training that is meant: the one named, or the only one. */
static const Decl *training_of(Test *test, const Stmt *stmt) {
    const Module *module = test->module;
    Name name = stmt->text            ? name_of(stmt->text)
                : test->options->only ? name_of(test->options->only)
                                      : NULL;
    for (int i = 0; i < module->trains.len; i++)
        if (name ? module->trains.at[i]->name == name : module->trains.len == 1)
            return module->trains.at[i];
    if (name)
        diag_error(stmt->at, "E0504", "no training is called `%s`", name);
    else if (!module->trains.len)
        diag_error(stmt->at, "E0814", "the file has no training");
    else {
        diag_error(stmt->at, "E0814", "the file has several trainings: which one?");
        diag_help("write `train … of %s`",
                  module->trains.at[0]->name ? module->trains.at[0]->name : "NAME");
    }
    return NULL;
}

static bool elaborate(Test *test, const Decl *train) {
    Work work = {.arena = test->arena,
                 .options = test->options,
                 .path = test->path,
                 .only = train->name,
                 .module = test->module,
                 .done = STAGE_ELAB};
    if (!stages_run(&work, STAGE_ELAB)) return false;
    test->unit = work.unit;
    return true;
}

bool session_train(Test *test, const Stmt *stmt) {
    Session *s = &test->session;
    const Decl *train = training_of(test, stmt);
    const Expr *amount = stmt->value;
    if (!train) return false;
    if (amount->kind != EXPR_NUMBER || !amount->integer || amount->number < 1) {
        diag_error(amount->at, "E0814", "`train` wants a whole number of %s", stmt->name);
        return false;
    }
    if (s->out && s->only != train->name) {
        diag_error(stmt->at, "E0814", "a test trains one training; this is another one");
        return false;
    }
    if (!test->unit && !elaborate(test, train)) return false;
    const char *exe = session_build(test, test->options, "");
    if (!exe) return false;
    bool again = s->out;
    s->only = train->name;
    s->out = test->own;
    s->log = arena_printf(test->arena, "%s/log.jsonl", test->own);
    s->known.len = 0;
    bool epochs = !strcmp(stmt->name, "epochs");
    int64_t all = (int64_t)amount->number + (epochs ? s->epochs : s->steps);
    char **words = NEW_ARRAY(test->arena, char *, WORDS);
    int n = common_words(test, exe, "train", s->out, words);
    words[n++] = arena_printf(test->arena, "--%s=%lld", stmt->name, (long long)all);
    words[n++] = word(test, "--log=", s->log);
    if (test->watched) words[n++] = word(test, "--watch", "");
    if (again) words[n++] = word(test, "--resume", "");
    VEC_PUSH(test->arena, s->runs, words);
    return session_run(test, words) == 0 && find_end(test, s->log);
}

const char *session_again(Test *test, const char *exe, const char *more, const char *name,
                          int64_t step) {
    const char *out = arena_printf(test->arena, "%s/%s", test->own, name);
    const char *log = arena_printf(test->arena, "%s/log.jsonl", out);
    if (mkdir(out, 0777) && errno != EEXIST) return NULL;
    for (int i = 0; i < test->session.runs.len; i++) {
        char **words = NEW_ARRAY(test->arena, char *, WORDS), **old = test->session.runs.at[i];
        int n = 0;
        for (; old[n]; n++)
            words[n] = !strncmp(old[n], "--out=", 6)   ? word(test, "--out=", out)
                       : !strncmp(old[n], "--log=", 6) ? word(test, "--log=", log)
                                                       : old[n];
        words[0] = word(test, exe, "");
        if (more) words[n++] = word(test, more, "");
        if (step) words[n++] = arena_printf(test->arena, "--watch=%lld", (long long)step);
        if (session_run(test, words)) return NULL;
    }
    return log;
}

const char *session_weights(const Test *test, const char *out) {
    return arena_printf(test->arena, "%s/%s.safetensors", out,
                        test->session.only ? test->session.only : test->unit->model);
}

/* ---- What is known */
static void know(Test *test, Name name, int rank, const int64_t *extent, const double *values) {
    Known known = {.name = name, .rank = rank, .values = values};
    memcpy(known.extent, extent, sizeof *extent * (size_t)rank);
    VEC_PUSH(test->arena, test->session.known, known);
}

/* A number or rows of numbers, as a tensor. */
static bool json_shape(const Json *json, int depth, int *rank, int64_t *extent) {
    if (json->kind != JSON_ARRAY) return json->kind == JSON_NUMBER || json->kind == JSON_NULL;
    if (depth >= MAX_RANK || !json->count) return false;
    extent[depth] = json->count;
    if (*rank <= depth) *rank = depth + 1;
    return json_shape(&json->items[0], depth + 1, rank, extent);
}

static void json_values(const Json *json, double *values, int64_t *at) {
    for (int i = 0; json->kind == JSON_ARRAY && i < json->count; i++)
        json_values(&json->items[i], values, at);
    if (json->kind != JSON_ARRAY)
        values[(*at)++] = json->kind == JSON_NUMBER ? json->number : (double)NAN;
}

static void know_metric(Test *test, const char *set, bool bare, const char *name,
                        const Json *json) {
    int rank = 0;
    int64_t extent[MAX_RANK] = {0}, count = 1, at = 0;
    if (!json_shape(json, 0, &rank, extent)) return;
    for (int i = 0; i < rank; i++)
        count *= extent[i];
    double *values = NEW_ARRAY(test->arena, double, count);
    json_values(json, values, &at);
    know(test, name_printf("%s.%s", set, name), rank, extent, values);
    if (bare) know(test, name_of(name), rank, extent, values);
}

/* The record of an evaluation: {"type":"eval","validation":{"loss":…}}. */
static bool know_metrics(Test *test, const char *path, const char *set, bool bare) {
    char *line = NULL;
    size_t room = 0;
    FILE *file = fopen(path, "r");
    bool found = false;
    while (file && !found && getline(&line, &room, file) > 0) {
        Json json;
        Fault fault;
        if (!json_read(line, strlen(line), &json, &fault)) continue;
        const Json *numbers = json_member(&json, set);
        found = numbers && numbers->kind == JSON_OBJECT;
        for (int i = 0; found && i < numbers->count; i++)
            know_metric(test, set, bare, numbers->names[i], &numbers->items[i]);
        json_free(&json);
    }
    if (file) fclose(file);
    free(line);
    if (!found) test_say(test, "the evaluation of the %s set left no numbers", set);
    return found;
}

static bool know_weights(Test *test) {
    TensorFile file;
    Fault fault;
    if (!tensors_read(session_weights(test, test->session.out), &file, &fault)) {
        test_say(test, "%s", fault.text);
        return false;
    }
    for (int i = 0; i < file.ntensors; i++) {
        const Tensor *t = &file.tensors[i];
        double *values = NEW_ARRAY(test->arena, double, t->count);
        bool numbers = t->type == TENSOR_F32 || t->type == TENSOR_F64;
        for (int64_t k = 0; numbers && k < t->count; k++)
            values[k] = tensor_number(t, k);
        if (numbers) know(test, name_of(t->name), t->rank, t->extent, values);
    }
    tensors_free(&file);
    return true;
}

static bool mentions(const Expr *x, const char *set) {
    if (!x) return false;
    if (x->kind == EXPR_FIELD && x->base->kind == EXPR_NAME && !strcmp(x->base->name, set))
        return true;
    for (int i = 0; i < x->args.len; i++)
        if (mentions(x->args.at[i].value, set)) return true;
    return mentions(x->base, set) || mentions(x->a, set) || mentions(x->b, set) ||
           mentions(x->c, set);
}

static bool asks_for(const Test *test, const char *set) {
    for (int i = 0; i < test->decl->body.len; i++)
        if (mentions(test->decl->body.at[i]->value, set)) return true;
    return false;
}

bool session_know(Test *test) {
    static const char *const sets[] = {"validation", "test", "train"};
    Session *s = &test->session;
    if (!s->out || s->known.len) return true;
    const char *exe = session_build(test, test->options, "");
    bool bare = true; /* a metric alone is of the first set that there is */
    for (int i = 0; i < LENGTH(sets); i++) {
        bool there = false;
        for (int k = 0; k < test->unit->sets.len; k++)
            there |= !strcmp(test->unit->sets.at[k].name, sets[i]);
        if (!there || (!bare && !asks_for(test, sets[i]))) continue;
        const char *log = arena_printf(test->arena, "%s/eval.jsonl", test->own);
        char **words = NEW_ARRAY(test->arena, char *, WORDS);
        int n = exe ? common_words(test, exe, "eval", s->out, words) : 0;
        words[n++] = word(test, "--set-name=", sets[i]);
        words[n++] = word(test, "--log=", log);
        if (!exe || session_run(test, words) || !know_metrics(test, log, sets[i], bare))
            return false;
        bare = false;
    }
    return know_weights(test);
}
