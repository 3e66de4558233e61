/* SPDX-License-Identifier: MIT
 * gradus-fuzz: mutated model texts through the whole compiler. Each must be accepted or diagnosed
 * at a place; a crash, an internal error, a hang or a silent refusal is a fault; its text is kept.
 * Needs the compiler. Looks at no value: what accepted texts compute is for tests/equal. */
#include "back.h"
#include "elab.h"
#include "pass.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROOM = 1 << 16, BATCH = 25, MOST_FILES = 512, MOST_SAYS = 1 << 14 };
#if defined(__SANITIZE_ADDRESS__)
enum { SECONDS = 20 };
#else
enum { SECONDS = 10 };
#endif

typedef struct Text {
    char at[ROOM + 1];
    size_t length;
} Text;

/* What a child shares with its parent: the text that it works on, and how far it came. */
typedef struct Shared {
    Text text;
    const char *stage;
    int64_t number, accepted, diagnosed, emitted;
    char fault[256]; /* of a child that did not die of it */
} Shared;

static struct {
    Text *files[MOST_FILES];
    int n;
    uint64_t seed;
    int64_t count, only;
    int emit_every;
    const char *out; /* folder for faulty texts */
    char folder[64]; /* for objects */
} fuzz = {.seed = 1, .count = 1000, .only = -1, .emit_every = 8};
static Shared *shared;

/* ---- Random numbers: splitmix64, so that a run is a function of its seed and files */
static uint64_t random_state;
static uint64_t next_random(void) {
    uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
static size_t below(size_t n) {
    return n ? next_random() % n : 0;
}

/* ---- Mutations */
typedef struct Range {
    size_t from, to;
} Range;

static bool in_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The token (a word, number or other character) at or after a random place. */
static Range any_token(const Text *t) {
    size_t from = below(t->length), to;
    while (from < t->length && (t->at[from] == ' ' || t->at[from] == '\n'))
        from++;
    while (from > 0 && from < t->length && in_word(t->at[from]) && in_word(t->at[from - 1]))
        from--;
    for (to = from; to < t->length && in_word(t->at[to]);)
        to++;
    return (Range){from, to > from ? to : from < t->length ? from + 1 : from};
}

static Range any_line(const Text *t) {
    size_t from = below(t->length), to = from;
    while (from > 0 && t->at[from - 1] != '\n')
        from--;
    while (to < t->length && t->at[to] != '\n')
        to++;
    return (Range){from, to < t->length ? to + 1 : to};
}

static void splice(Text *t, Range old, const char *text, size_t length) {
    size_t rest = t->length - old.to;
    if (old.from + length + rest > ROOM) return;
    memmove(t->at + old.from + length, t->at + old.to, rest);
    memcpy(t->at + old.from, text, length);
    t->length = old.from + length + rest;
    t->at[t->length] = '\0';
}

static void copy_range(Text *to, Range old, const Text *from, Range piece) {
    char *text = malloc(piece.to - piece.from + 1);
    if (!text) abort();
    memcpy(text, from->at + piece.from, piece.to - piece.from);
    splice(to, old, text, piece.to - piece.from);
    free(text);
}

static const char *const numbers[] = {"0",
                                      "1",
                                      "2",
                                      "3",
                                      "7",
                                      "16",
                                      "17",
                                      "300",
                                      "1000000",
                                      "2147483648",
                                      "9007199254740993",
                                      "0.5",
                                      "1e-320",
                                      "1e308",
                                      "1e999",
                                      "(-1)",
                                      "(1 / 0)",
                                      "infinity",
                                      "none",
                                      "\"a\"",
                                      "true"};
static const char *const words[] = {"if",
                                    "then",
                                    "else",
                                    "where",
                                    "and",
                                    "or",
                                    "not",
                                    "->",
                                    "=",
                                    "==",
                                    "<",
                                    "'",
                                    "...",
                                    "[",
                                    "]",
                                    "(",
                                    ")",
                                    "{",
                                    "}",
                                    ";",
                                    ",",
                                    ":",
                                    "\n",
                                    "+",
                                    "-",
                                    "*",
                                    "/",
                                    "%",
                                    "^",
                                    ".",
                                    "sum",
                                    "mean",
                                    "max",
                                    "min",
                                    "prod",
                                    "argmax",
                                    "count",
                                    "batch",
                                    "data",
                                    "weights",
                                    "param",
                                    "state",
                                    "shared",
                                    "training",
                                    "step",
                                    "epoch",
                                    "live",
                                    "uniform",
                                    "normal",
                                    "bernoulli",
                                    "at",
                                    "on",
                                    "when",
                                    "class",
                                    "model",
                                    "def",
                                    "train",
                                    "test",
                                    "use",
                                    "repeat",
                                    "floor",
                                    "sqrt",
                                    "stop_gradient",
                                    "derivative",
                                    "evaluate at",
                                    "stop when",
                                    "predict",
                                    "none",
                                    "relu",
                                    "dense(3)",
                                    "conv(2, 3)",
                                    "batchnorm",
                                    "dropout",
                                    "maxpool(2)",
                                    "softmax",
                                    "adam",
                                    "cross_entropy",
                                    "mse",
                                    "sum[i]",
                                    "sum[batch]",
                                    "x[i]",
                                    "x[i, j; 0]",
                                    "[c, h, w]",
                                    "[d...]"};

static void mutate_once(Text *t) {
    const Text *other = fuzz.files[below((size_t)fuzz.n)];
    Range token = any_token(t), line = any_line(t), here = {token.from, token.from};
    const char *piece;
    /* Half of them change a value or a name only, so that many texts get past the parser. */
    switch (below(2) ? 5 + below(2) : below(12)) {
    case 0: /* one byte */
        if (t->length) t->at[below(t->length)] = (char)(below(4) ? 32 + below(95) : 1 + below(255));
        break;
    case 1: /* a token goes */
        splice(t, token, "", 0);
        break;
    case 2: /* a token twice */
        copy_range(t, here, t, token);
        break;
    case 3: /* a token for another of this text */
        copy_range(t, token, t, any_token(t));
        break;
    case 4: /* a token of another text */
        copy_range(t, below(2) ? token : here, other, any_token(other));
        break;
    case 5: /* a word for a word of this text */
        for (int tries = 0; tries < 50 && !in_word(t->at[token.from]); tries++)
            token = any_token(t);
        line = any_token(t);
        for (int tries = 0; tries < 50 && !in_word(t->at[line.from]); tries++)
            line = any_token(t);
        copy_range(t, token, t, line);
        break;
    case 6: { /* a number for a number */
        for (int tries = 0; tries < 50 && !(t->at[token.from] >= '0' && t->at[token.from] <= '9');
             tries++)
            token = any_token(t);
        piece = numbers[below(LENGTH(numbers))];
        splice(t, token, piece, strlen(piece));
        break;
    }
    case 7:
        piece = words[below(LENGTH(words))];
        splice(t, below(2) ? token : here, piece, strlen(piece));
        break;
    case 8: /* a line goes */
        splice(t, line, "", 0);
        break;
    case 9: /* a line twice, or elsewhere */
        copy_range(t, below(2) ? (Range){line.from, line.from} : any_line(t), t, line);
        break;
    case 10: /* a line of another text */
        copy_range(t, (Range){line.from, line.from}, other, any_line(other));
        break;
    default: /* all after a place */
        if (below(8) == 0) splice(t, (Range){token.from, t->length}, "", 0);
    }
}

static void mutant(int64_t number, Text *text) {
    random_state = fuzz.seed * UINT64_C(1000003) + (uint64_t)number;
    *text = *fuzz.files[below((size_t)fuzz.n)];
    if (!strstr(text->at, "\nmodel ") &&
        strncmp(text->at, "gradus graph",
                12)) { /* defs alone are used by the model of another file */
        const Text *model = fuzz.files[below((size_t)fuzz.n)];
        copy_range(text, (Range){text->length, text->length}, model, (Range){0, model->length});
    }
    for (size_t i = 1 + below(below(4) ? 3 : 9); i > 0; i--)
        mutate_once(text);
    for (size_t i = 0; i < text->length; i++)
        if (!text->at[i]) text->at[i] = ' ';
}

/* ---- One text through the compiler, in the child */
static void emit(Arena *arena, Unit *unit) {
    BackOptions back = {
        .emit = EMIT_OBJ, .level = 0, .float_bytes = below(2) ? 4 : 8, .cpu = "x86-64-v3"};
    back.output = arena_printf(arena, "%s/o.o", fuzz.folder);
    shared->stage = "plan";
    FILE *null = fopen("/dev/null", "w");
    if (null) back_plan_print(null, unit, &back);
    if (null) fclose(null);
    if (fuzz.emit_every && shared->number % fuzz.emit_every == 0) {
        shared->stage = "emission";
        shared->emitted += back_build(unit, &back);
    }
}

static bool finish(Arena *arena, Unit *unit) {
    graph_verify(unit, 0);
    shared->stage = "passes";
    pass_run(unit, NULL, NULL, NULL);
    emit(arena, unit);
    return diag_errors() == 0;
}

static bool compile(Arena *arena, const Text *text) {
    shared->stage = "parser";
    if (!strncmp(text->at, "gradus graph", 12)) {
        Unit *read = graph_read(arena, source_add("fuzz.graph", text->at, text->length, false));
        if (!read || diag_errors()) return false;
        return finish(arena, read);
    }
    Module *module = module_load_text(arena, "fuzz.gr", text->at);
    if (!module || diag_errors()) return false;
    shared->stage = "elaboration";
    Unit *unit = elab_unit(arena, module, NULL);
    return unit && !diag_errors() && finish(arena, unit);
}

/* What stderr got since `start`, as text; the file is read by the parent too. */
static const char *said(int file, off_t start) {
    static char text[MOST_SAYS];
    ssize_t n = pread(file, text, sizeof text - 1, start);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

/* A diagnostic has its place: FILE:LINE:COLUMN. The one of a whole file (no model) need not. */
static bool has_place(const char *text) {
    const char *line = strstr(text, " error: ");
    if (!line) return false;
    while (line > text && line[-1] != '\n')
        line--;
    return strncmp(line, "gradus:", 7) != 0;
}

static void child(int64_t first, int errors) {
    struct rlimit space = {.rlim_cur = (rlim_t)6 << 30, .rlim_max = (rlim_t)6 << 30};
    if (SECONDS < 20) setrlimit(RLIMIT_AS, &space);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    for (int64_t i = first; i < first + BATCH && i < fuzz.count; i++) {
        if (fuzz.only >= 0 && i != fuzz.only) continue;
        shared->number = i;
        shared->stage = "mutation";
        mutant(i, &shared->text);
        off_t start = lseek(errors, 0, SEEK_END);
        struct itimerval limit = {.it_value = {.tv_sec = SECONDS}};
        setitimer(ITIMER_PROF, &limit, NULL); /* SIGPROF ends the child */
        Arena *arena = arena_new();
        bool fine = compile(arena, &shared->text);
        int faults = diag_errors();
        diag_flush();
        fflush(stderr);
        const char *what = NULL;
        if (!fine && !faults) what = "refused without a diagnostic";
        if (faults && !has_place(said(errors, start))) what = "a diagnostic without a place";
        if (what) {
            snprintf(shared->fault, sizeof shared->fault, "%s", what);
            _exit(3);
        }
        shared->accepted += fine;
        shared->diagnosed += !fine;
        diag_reset();
        arena_free(arena);
    }
    _exit(0);
}

/* ---- The parent */
static bool file_read(const char *path) {
    FILE *file = fopen(path, "rb");
    Text *text = calloc(1, sizeof *text);
    if (!file || !text || fuzz.n == MOST_FILES) return false;
    text->length = fread(text->at, 1, ROOM / 2, file);
    fclose(file);
    fuzz.files[fuzz.n++] = text;
    return true;
}

static void keep(const char *why) {
    printf("text %lld, %s: %s\n", (long long)shared->number, shared->stage ? shared->stage : "?",
           why);
    if (!fuzz.out) return;
    char path[512];
    snprintf(path, sizeof path, "%s/fuzz-%llu-%lld.gr", fuzz.out, (unsigned long long)fuzz.seed,
             (long long)shared->number);
    FILE *file = fopen(path, "wb");
    if (file) fwrite(shared->text.at, 1, shared->text.length, file);
    if (file) fclose(file);
}

/* Why the child died, from its last words. */
static const char *reason(int status, int errors) {
    static char why[600];
    off_t end = lseek(errors, 0, SEEK_END);
    const char *text = said(errors, end > MOST_SAYS ? end - MOST_SAYS + 1 : 0), *line;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 3) {
        snprintf(why, sizeof why, "%s: %.200s", shared->fault, text);
    } else if ((line = strstr(text, "internal error: ")) ||
               (line = strstr(text, "runtime error: ")) ||
               (line = strstr(text, "ERROR: AddressSanitizer"))) {
        snprintf(why, sizeof why, "%.*s", (int)strcspn(line, "\n"), line);
    } else if (WIFSIGNALED(status)) {
        snprintf(why, sizeof why, WTERMSIG(status) == SIGPROF ? "more than %d s" : "signal %d",
                 WTERMSIG(status) == SIGPROF ? SECONDS : WTERMSIG(status));
    } else {
        snprintf(why, sizeof why, "exit code %d", WEXITSTATUS(status));
    }
    return why;
}

static int usage(void) {
    fprintf(stderr, "usage: gradus-fuzz [--seed=N] [--count=N] [--only=NUMBER] [--emit=EVERY] "
                    "[--out=DIR] FILE.gr...\n");
    return 2;
}

static bool option_read(const char *word) {
    const char *value = strchr(word, '=') ? strchr(word, '=') + 1 : "";
    if (!strncmp(word, "--seed=", 7))
        fuzz.seed = strtoull(value, NULL, 10);
    else if (!strncmp(word, "--count=", 8))
        fuzz.count = atoll(value);
    else if (!strncmp(word, "--only=", 7))
        fuzz.only = atoll(value);
    else if (!strncmp(word, "--emit=", 7))
        fuzz.emit_every = atoi(value);
    else if (!strncmp(word, "--out=", 6))
        fuzz.out = value;
    else
        return word[0] != '-' && file_read(word);
    return true;
}

static int run(int errors) {
    int faults = 0;
    for (int64_t next = fuzz.only >= 0 ? fuzz.only : 0; next < fuzz.count;) {
        if (ftruncate(errors, 0) != 0) return 1;
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            dup2(errors, STDERR_FILENO);
            child(next, errors);
        }
        int status = 0;
        if (pid < 0 || waitpid(pid, &status, 0) != pid) {
            fprintf(stderr, "gradus-fuzz: fork: %s\n", strerror(errno));
            return 1;
        }
        if (status == 0) {
            next += BATCH;
        } else {
            keep(reason(status, errors));
            faults++;
            next = shared->number + 1;
        }
        if (fuzz.only >= 0) {
            fputs(said(errors, 0), stdout);
            break;
        }
    }
    return faults;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (!option_read(argv[i])) return usage();
    if (!fuzz.n) return usage();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const char *temporary = getenv("TMPDIR") ? getenv("TMPDIR") : P_tmpdir;
    snprintf(fuzz.folder, sizeof fuzz.folder, "%.40s/gradus-fuzz-XXXXXX", temporary);
    if (shared == MAP_FAILED || !mkdtemp(fuzz.folder)) return 1;
    char path[128];
    snprintf(path, sizeof path, "%s/stderr", fuzz.folder);
    FILE *errors = fopen(path, "w+");
    int faults = errors ? run(fileno(errors)) : 1;
    if (errors) fclose(errors);
    unlink(path);
    snprintf(path, sizeof path, "%s/o.o", fuzz.folder);
    unlink(path);
    rmdir(fuzz.folder);
    printf("%lld accepted, %lld emitted, %lld diagnosed, %d faults\n", (long long)shared->accepted,
           (long long)shared->emitted, (long long)shared->diagnosed, faults);
    if (fuzz.only < 0 && (!shared->accepted || !shared->diagnosed))
        printf("nothing was tested\n"), faults++;
    return faults ? 1 : 0;
}
