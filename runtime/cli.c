/* SPDX-License-Identifier: MIT
 * The command line of an executable: one table of verbs and one of options, from which parsing,
 * help and suggestions come. Needs run.h. Does no work itself. */
#include "run.h"
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { TRAIN = 1, EVAL = 2, PREDICT = 4, INFO = 8, BENCH = 16, ALL = 31 };

static const struct {
    const char *name, *help;
    int bit;
    int (*run)(Run *run); /* NULL: info, which needs neither memory nor a team */
} verbs[] = {
    {"train", "train the model; keeps the best weights and the last", TRAIN, verb_train},
    {"eval", "loss and metrics of saved weights on each set", EVAL, verb_eval},
    {"predict", "outputs of saved weights, as CSV", PREDICT, verb_predict},
    {"info", "the model: inputs, outputs, parameters, memory, settings", INFO, NULL},
    {"bench", "time whole training steps, or predictions; one line of JSON", BENCH, verb_bench},
};
enum { VERBS = sizeof verbs / sizeof *verbs };

/* How an option takes its value. */
typedef enum Take { FLAG, COUNT, SEED, TEXT, OPTIONAL_TEXT, SET } Take;

static const struct OptionRow {
    const char *name, *value, *help;
    int verbs;
    Take take;
    size_t field, given; /* in Options; given: a bool set beside it, or 0 */
} rows[] = {
#define AT(member) offsetof(Options, member)
    {"--epochs", "N", "passes over the training set", TRAIN, COUNT, AT(epochs), 0},
    {"--steps", "N", "updates (of bench: steps to time)", TRAIN | BENCH, COUNT, AT(steps), 0},
    {"--threads", "N", "threads to use", TRAIN | EVAL | PREDICT | BENCH, COUNT, AT(threads), 0},
    {"--seed", "N", "seed of every draw and order", TRAIN | BENCH, SEED, AT(seed), AT(has_seed)},
    {"--resume", "[=FILE]", "go on from the last checkpoint", TRAIN, OPTIONAL_TEXT, AT(resume_file),
     AT(resume)},
    {"--watch", "[=epoch|N]", "measure what the training's key `watch` names, at every step", TRAIN,
     OPTIONAL_TEXT, AT(watch_how), AT(watch)},
    {"--data", "DIR", "folder to look for data in", ALL, TEXT, AT(data), 0},
    {"--set", "NAME=VALUE", "a hyperparameter (see info)", TRAIN | EVAL | PREDICT | BENCH, SET, 0,
     0},
    {"--weights", "FILE", "weights to start from or to use; predict averages several, a,b",
     TRAIN | EVAL | PREDICT, TEXT, AT(weights), 0},
    {"--log", "FILE", "write a log of JSON Lines", TRAIN | EVAL, TEXT, AT(log), 0},
    {"--out", "DIR", "folder of the weights files", TRAIN | EVAL | PREDICT, TEXT, AT(out), 0},
    {"--input", "FILE", "examples to predict, in any format of data", PREDICT, TEXT, AT(input), 0},
    {"--output", "FILE", "where to put the predictions", PREDICT, TEXT, AT(output), 0},
    {"--set-name", "SET", "train, validation or test", EVAL | PREDICT, TEXT, AT(set_name), 0},
    {"--samples", "N", "predictions with draws: mean and spread", PREDICT, COUNT, AT(samples), 0},
    {"--only", "TRAINING", "one training of several; else train runs all, others take the last", ALL,
     TEXT, AT(only), 0},
    {"--one", NULL, "time the prediction of one example instead of training steps", BENCH, FLAG,
     AT(one), 0},
    {"--profile", NULL, "also time each phase, on stderr", BENCH, FLAG, AT(profile), 0},
    {"--save-every", "N", "a checkpoint every N updates, beside those by the clock", TRAIN, COUNT,
     AT(save_every), 0},
    {"--follow", NULL, "learn from rows of CSV on standard input as they come", TRAIN, FLAG, AT(follow), 0},
    {"--no-progress", NULL, "no progress bar", TRAIN, FLAG, AT(no_progress), 0},
    {"-q", NULL, "only errors", ALL, FLAG, AT(quiet), 0},
    {"-v", NULL, "say more", ALL, FLAG, AT(verbose), 0},
#undef AT
};
enum { ROWS = sizeof rows / sizeof *rows };

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void help(const GrModel *model, const char *program, int bits) {
    printf("%s: model %s, built by %s\n\nusage: %s VERB [OPTION...]\n\n", base_name(program),
           model->name, model->compiler, base_name(program));
    for (int i = 0; i < VERBS; i++)
        if (verbs[i].bit & bits) printf("  %-10s %s\n", verbs[i].name, verbs[i].help);
    putchar('\n');
    for (int i = 0; i < ROWS; i++) {
        if (!(rows[i].verbs & bits)) continue;
        char text[64];
        snprintf(text, sizeof text, "%s%s%s", rows[i].name,
                 rows[i].value && rows[i].take != OPTIONAL_TEXT ? rows[i].take == SET ? " " : "="
                                                                : "",
                 rows[i].value ? rows[i].value : "");
        printf("  %-18s %s", text, rows[i].help);
        const char *mark = " (";
        for (int v = 0; bits == ALL && rows[i].verbs != ALL && v < VERBS; v++)
            if (rows[i].verbs & verbs[v].bit) {
                printf("%s%s", mark, verbs[v].name);
                mark = ", ";
            }
        puts(*mark == ',' ? ")" : "");
    }
    printf("  %-18s this text\n  %-18s of compiler and processor\n", "--help", "--version");
}

static bool bad_option(Fault *fault, const char *text, const char *verb) {
    const char *names[ROWS + 2] = {[ROWS] = "--help", "--version"};
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "="), text);
    for (int i = 0; i < ROWS; i++) {
        names[i] = rows[i].name;
        if (!strcmp(name, rows[i].name))
            return fault_set(fault, GR_USAGE, "%s is not an option of %s", name, verb);
    }
    const char *near = text_nearest(name, names, ROWS + 2);
    return fault_set(fault, GR_USAGE, "unknown option %s%s%s%s", name,
                     near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static bool whole_number(const char *text, uint64_t *number) {
    char *end;
    if (*text < '0' || *text > '9') return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return !*end && !errno;
}

static bool set_count(Options *options, const struct OptionRow *row, const char *text,
                      Fault *fault) {
    uint64_t number;
    bool is_threads = row->field == offsetof(Options, threads);
    if (!whole_number(text, &number) || !number || number > (is_threads ? 4096 : INT64_MAX / 4096))
        return fault_set(fault, GR_USAGE, "%s wants a whole number from 1, not '%s'", row->name,
                         text);
    if (is_threads)
        options->threads = (int)number;
    else
        *(int64_t *)((char *)options + row->field) = (int64_t)number;
    return true;
}

static const struct OptionRow *find_row(const char *name, size_t size) {
    for (int i = 0; i < ROWS; i++)
        if (strlen(rows[i].name) == size && !strncmp(rows[i].name, name, size)) return &rows[i];
    return NULL;
}

/* NAME=VALUE of --set: epochs, steps and seed as the options of that name, else a "set:" one. */
static bool set_hyper(Options *options, const GrModel *model, const char *text, Fault *fault) {
    static const char *const plain[] = {"epochs", "steps", "seed"};
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return fault_set(fault, GR_USAGE, "--set wants NAME=VALUE, not '%s'", text);
    char *name = io_format("%.*s", (int)(equals - text), text);
    for (int i = 0; i < 3; i++) {
        if (strcmp(name, plain[i]) != 0) continue;
        if (i < 2)
            return set_count(options, find_row(i ? "--steps" : "--epochs", i ? 7 : 8), equals + 1,
                             fault);
        options->has_seed = true;
        if (whole_number(equals + 1, &options->seed)) return true;
        return fault_set(fault, GR_USAGE, "seed is a whole number, not '%s'", equals + 1);
    }
    double value;
    if (!number_parse(equals + 1, strlen(equals + 1), &value))
        return fault_set(fault, GR_USAGE, "--set %s: '%s' is not a number", name, equals + 1);
    const char *names[256];
    int count = 0;
    char *all = io_format("%s", "");
    for (int i = 0; i < model->nhypers; i++) {
        const GrHyper *hyper = &model->hypers[i];
        if (strncmp(hyper->name, "set:", 4) != 0) continue;
        if (!strcmp(hyper->name + 4, name)) {
            if (options->nsettings == MOST_SETTINGS)
                return fault_set(fault, GR_USAGE, "more than %d of --set", MOST_SETTINGS);
            options->settings[options->nsettings++] = (Setting){name, value};
            free(all);
            return true;
        }
        char number[NUMBER_TEXT];
        char *more =
            io_format("%s\n    %s (%s)", all, hyper->name + 4,
                      isnan(hyper->value) ? "an expression" : number_text(hyper->value, 8, number));
        free(all);
        all = more;
        if (count < 256) names[count++] = hyper->name + 4;
    }
    const char *near = text_nearest(name, names, count);
    return fault_set(fault, GR_USAGE,
                     "there is nothing called '%s' to set%s%s%s; what can be set (default):\n"
                     "    epochs, steps, seed%s\nwhat changes shapes is set in the model file",
                     name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "", all);
}

static bool take_option(Options *options, const GrModel *model, const char *verb, int bit, int *at,
                        Fault *fault) {
    const char *text = options->argv[*at], *value = NULL;
    size_t size = strcspn(text, "=");
    const struct OptionRow *row = find_row(text, size);
    if (!row || !(row->verbs & bit)) return bad_option(fault, text, verb);
    if (text[size] == '=') value = text + size + 1;
    if (row->take == FLAG && value)
        return fault_set(fault, GR_USAGE, "%s takes no value", row->name);
    if (row->take != FLAG && row->take != OPTIONAL_TEXT && !value) {
        if (*at + 1 >= options->argc)
            return fault_set(fault, GR_USAGE, "%s wants a value: %s=%s", row->name, row->name,
                             row->value);
        value = options->argv[++*at];
    }
    if (row->given) *(bool *)((char *)options + row->given) = true;
    switch (row->take) {
    case FLAG:
        *(bool *)((char *)options + row->field) = true;
        return true;
    case COUNT:
        return set_count(options, row, value, fault);
    case SEED:
        if (whole_number(value, &options->seed)) return true;
        return fault_set(fault, GR_USAGE, "%s wants a whole number, not '%s'", row->name, value);
    case SET:
        return set_hyper(options, model, value, fault);
    default:
        if (value && !*value)
            return fault_set(fault, GR_USAGE, "%s wants %s, but is empty", row->name, row->value);
        *(const char **)((char *)options + row->field) = value;
        return true;
    }
}

static int bad_verb(const char *text) {
    const char *names[VERBS];
    Fault fault;
    for (int i = 0; i < VERBS; i++)
        names[i] = verbs[i].name;
    const char *near = text_nearest(text, names, VERBS);
    if (!strcmp(text, "export"))
        fault_set(&fault, GR_USAGE, "export is not yet available in this version");
    else
        fault_set(&fault, GR_USAGE, "unknown verb '%s'%s%s%s; --help lists them", text,
                  near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    complain(&fault);
    return fault.code;
}

typedef struct Call {
    const GrModel *model;
    Options *options;
    int (*verb)(Run *run);
    int code;
} Call;

static void call(Team *team, void *context) {
    Call *call = context;
    Fault fault;
    Run run;
    if (run_open(&run, call->model, call->options, team, &fault)) {
        call->code = call->verb(&run);
    } else {
        complain(&fault);
        call->code = fault.code;
    }
    run_close(&run);
}

/* The training that --only names, before the other options are read: what can be set is its own. */
static const char *only_of(int argc, char **argv) {
    for (int i = 2; i < argc; i++) {
        if (!strncmp(argv[i], "--only=", 7)) return argv[i] + 7;
        if (!strcmp(argv[i], "--only") && i + 1 < argc) return argv[i + 1];
    }
    return NULL;
}

static bool is_quiet(int argc, char **argv) {
    for (int i = 2; i < argc; i++)
        if (!strcmp(argv[i], "-q")) return true;
    return false;
}

static const GrModel *choose_training(const GrModel *model, const char *only, bool first,
                                      Fault *fault) {
    const char *names[64] = {0};
    int count = 0;
    const GrModel *last = model;
    for (const GrModel *m = model; m; last = m, m = m->next) {
        if (only && !strcmp(m->train_name, only)) return m;
        if (count < 64 && *m->train_name) names[count++] = m->train_name;
    }
    if (!only) return first ? model : last;
    const char *near = text_nearest(only, names, count);
    char *all = io_format("%s", count ? "" : " none with a name");
    for (int i = 0; i < count; i++) {
        char *more = io_format("%s %s", all, names[i]);
        free(all);
        all = more;
    }
    fault_set(fault, GR_USAGE, "there is no training '%s'%s%s%s; there are:%s", only,
              near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "", all);
    free(all);
    return NULL;
}

static int run_verb(const GrModel *model, int verb, int argc, char **argv, bool one_of_all) {
    Options options = {.argc = argc, .argv = argv};
    Fault fault;
    for (int i = 2; i < argc; i++) {
        bool ok = argv[i][0] == '-' && argv[i][1]
                      ? take_option(&options, model, verbs[verb].name, verbs[verb].bit, &i, &fault)
                      : fault_set(&fault, GR_USAGE, "unexpected '%s' after %s", argv[i],
                                  verbs[verb].name);
        if (ok) continue;
        complain(&fault);
        return fault.code;
    }
    if (one_of_all && (options.resume || options.weights || options.log || options.follow)) {
        fault_set(&fault, GR_USAGE,
                  "--resume, --weights, --log and --follow are for one training: choose it with --only");
        complain(&fault);
        return fault.code;
    }
    if (!verbs[verb].run) return verb_info(model, &options);
    Call this_call = {model, &options, verbs[verb].run, GR_FAILED};
    team_start(team_count(options.threads), model->scratch, call, &this_call);
    if (fflush(stdout) && this_call.code == GR_OK) {
        fprintf(stderr, "error: standard output could not be written: %s\n", strerror(errno));
        return GR_FAILED;
    }
    return this_call.code;
}

int cli_main(int argc, char **argv, const GrModel *model) {
    Fault fault;
    int verb = -1;
    signal(SIGXFSZ, SIG_IGN); /* a limit of size is a fault like a full disk */
    if (model->abi != GR_ABI) {
        fprintf(stderr, "error: compiled for runtime interface %d, linked with %d: build again\n",
                model->abi, GR_ABI);
        return GR_FAILED;
    }
    for (int i = 0; argc > 1 && i < VERBS; i++)
        if (!strcmp(argv[1], verbs[i].name)) verb = i;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            help(model, argv[0], verb < 0 ? ALL : verbs[verb].bit);
            return GR_OK;
        }
        if (!strcmp(argv[i], "--version")) {
            printf("%s, %s, for %s\n", model->name, model->compiler, model->cpu);
            return GR_OK;
        }
    }
    if (argc < 2) {
        help(model, argc ? argv[0] : model->name, ALL);
        return GR_OK;
    }
    if (verb < 0 && argv[1][0] != '-') return bad_verb(argv[1]);
    if (verb < 0) {
        fault_set(&fault, GR_USAGE, "a verb comes first: train, eval, predict, info or bench");
        complain(&fault);
        return GR_USAGE;
    }
    const char *only = only_of(argc, argv);
    const GrModel *chosen = choose_training(model, only, verb == 0, &fault);
    if (!chosen) {
        complain(&fault);
        return fault.code;
    }
    bool all = verb == 0 && !only && chosen->next;
    int code = GR_OK;
    for (; chosen && code == GR_OK; chosen = all ? chosen->next : NULL) {
        if (all && !is_quiet(argc, argv)) printf("training %s\n", chosen->train_name);
        code = run_verb(chosen, verb, argc, argv, all);
    }
    return code;
}
