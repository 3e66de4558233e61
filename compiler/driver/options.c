/* SPDX-License-Identifier: MIT
 * The option table: parsing and help come from it, so that an option is one row.
 * Needs the verb table (main.c). Does not act on what it reads. */
#include "driver.h"
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

typedef enum OptionKind { KIND_FLAG, KIND_TEXT, KIND_CHOICE, KIND_NUMBER } OptionKind;
typedef struct Option {
    char letter;      /* 0: none */
    const char *name; /* NULL: only the letter */
    OptionKind kind;
    const char *value; /* TEXT: what the help calls it; CHOICE: the words, separated by | */
    size_t offset;     /* of the field in Options */
    unsigned verbs;
    const char *help;
} Option;

#define FIELD(f) offsetof(Options, f)
static const Option option_table[] = {
    {'o', "output", KIND_TEXT, "FILE", FIELD(output), FOR_BUILD | FOR_DUMP,
     "where to write (- is standard output for text)"},
    {0, "emit", KIND_CHOICE, "exe|obj|asm|llvm|lib", FIELD(emit), FOR_BUILD,
     "what to write (default: exe)"},
    {0, "stage", KIND_CHOICE, "ast|graph|grad|plan|llvm|asm", FIELD(stage), FOR_DUMP,
     "which form to print (default: graph)"},
    {0, "cpu", KIND_TEXT, "NAME", FIELD(cpu), FOR_CODE | FOR_CHECK,
     "processor to compile for: native (default), x86-64-v3, ..."},
    {0, "target", KIND_TEXT, "TRIPLE", FIELD(target), FOR_CODE,
     "machine to compile for (default: this one)"},
    {'O', NULL, KIND_CHOICE, "0|1|2|3", FIELD(level), FOR_CODE | FOR_TEST,
     "effort on speed (default: 2; test: 0); never changes a result"},
    {0, "fuse", KIND_CHOICE, "on|off", FIELD(fuse), FOR_CODE,
     "several values in one loop (default: on); never changes a result"},
    {0, "float", KIND_CHOICE, "32|64", FIELD(float_bits), FOR_CODE | FOR_CHECK,
     "bits of a number in the executable (default: 32)"},
    {0, "only", KIND_TEXT, "TRAIN", FIELD(only), FOR_UNIT,
     "the training to compile, where the file has several"},
    {0, "data", KIND_TEXT, "DIR", FIELD(data), FOR_UNIT, "where to look for data files too"},
    {0, "filter", KIND_TEXT, "TEXT", FIELD(filter), FOR_TEST, "only tests with TEXT in their name"},
    {0, "jobs", KIND_TEXT, "N", FIELD(jobs), FOR_TEST, "so many tests at a time (default: 1)"},
    {0, "junit", KIND_TEXT, "FILE", FIELD(junit), FOR_TEST, "write the results as JUnit's XML too"},
    {0, "update", KIND_FLAG, NULL, FIELD(update), FOR_TEST,
     "record the curves that tests expect, anew"},
    {0, "curves", KIND_TEXT, "DIR", FIELD(curves), FOR_TEST,
     "where curves are, instead of beside the file"},
    {0, "against", KIND_TEXT, "GRADUS", FIELD(against), FOR_TEST,
     "compare with the curves of another compiler"},
    {0, "element", KIND_TEXT, "STEP:NAME", FIELD(element), FOR_TEST,
     "with --update: record each element of a tensor of that step (--against asks so)"},
    {0, "check", KIND_FLAG, NULL, FIELD(check), FOR_FMT,
     "change nothing; exit code 4 where a file would change"},
    {0, "table", KIND_FLAG, NULL, FIELD(table), FOR_DOC,
     "in the source tree: every technique with its def, test and example, as Markdown"},
    {0, "dump", KIND_TEXT, "PASS|all", FIELD(dump), FOR_CODE,
     "print the graph after a pass, to standard error"},
    {0, "stop", KIND_TEXT, "PASS", FIELD(stop), FOR_BUILD | FOR_DUMP,
     "stop after a pass and print the graph"},
    {0, "time", KIND_FLAG, NULL, FIELD(time), FOR_UNIT,
     "print the time of each stage and pass to standard error"},
    {0, "plan", KIND_FLAG, NULL, FIELD(plan), FOR_CHECK,
     "phases, kernels, tiles, arithmetic and memory of a step, and the time to expect"},
    {0, "peak", KIND_NUMBER, "GFLOPS", FIELD(peak), FOR_CHECK,
     "with --plan: what one thread can do at most (default: measured now)"},
    {0, "bandwidth", KIND_NUMBER, "GBS", FIELD(bandwidth), FOR_CHECK,
     "with --plan: gigabytes of memory a second (default: measured now)"},
    {0, "diagnostics", KIND_CHOICE, "text|json", FIELD(diagnostics), FOR_FILES,
     "form of errors and warnings"},
    {'h', "help", KIND_FLAG, NULL, FIELD(help), FOR_ALL, "print this help"},
};

static bool is_choice(const char *choices, const char *word) {
    size_t length = strlen(word);
    for (const char *p = choices; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
        if (length > 0 && !strncmp(p, word, length) && (p[length] == '|' || p[length] == '\0'))
            return true;
    return false;
}

static const Option *option_find(const char *word, size_t length, unsigned verb) {
    for (int i = 0; i < LENGTH(option_table); i++) {
        const Option *o = &option_table[i];
        if ((o->verbs & verb) && o->name && strlen(o->name) == length &&
            !strncmp(o->name, word, length))
            return o;
    }
    return NULL;
}

static const Option *letter_find(char letter, unsigned verb) {
    for (int i = 0; i < LENGTH(option_table); i++)
        if (letter != 0 && option_table[i].letter == letter && (option_table[i].verbs & verb))
            return &option_table[i];
    return NULL;
}

static bool option_unknown(const Verb *verb, const char *word) {
    Name names[LENGTH(option_table)];
    size_t count = 0;
    for (int i = 0; i < LENGTH(option_table); i++)
        if (option_table[i].name && (option_table[i].verbs & verb->bit))
            names[count++] = name_of(option_table[i].name);
    size_t length = strcspn(word, "=");
    Name near = length > 2 ? name_nearest(name_intern(word + 2, length - 2), names, count) : NULL;
    fprintf(stderr, "gradus %s: unknown option '%.*s'", verb->name, (int)length, word);
    if (near) fprintf(stderr, "; did you mean '--%s'?", near);
    fprintf(stderr, "\n(`gradus %s --help` lists what there is)\n", verb->name);
    return false;
}

/* Puts a value into its field. `shown` is the option as it was written. */
static bool option_set(Options *options, const Verb *verb, const Option *o, const char *shown,
                       const char *value) {
    char *field = (char *)options + o->offset;
    if (o->kind == KIND_FLAG) {
        if (value) {
            fprintf(stderr, "gradus %s: %s takes no value\n", verb->name, shown);
            return false;
        }
        *(bool *)(void *)field = true;
        return true;
    }
    if (!value || !*value) {
        fprintf(stderr, "gradus %s: %s wants a value: %s\n", verb->name, shown, o->value);
        return false;
    }
    if (o->kind == KIND_CHOICE && !is_choice(o->value, value)) {
        fprintf(stderr, "gradus %s: %s is one of %s, not '%s'\n", verb->name, shown, o->value,
                value);
        return false;
    }
    if (o->kind == KIND_NUMBER) {
        char *end;
        double number = strtod(value, &end);
        if (*end || !(number > 0) || number > 1e12) {
            fprintf(stderr, "gradus %s: %s wants a number above 0, not '%s'\n", verb->name, shown,
                    value);
            return false;
        }
        *(double *)(void *)field = number;
        return true;
    }
    *(const char **)(void *)field = value;
    return true;
}

/* One word that begins with `-`; `next` is the word after it. Gives how many words it took, 0 for a
 * fault. */
static int option_word(Options *options, Arena *arena, const Verb *verb, const char *word,
                       const char *next) {
    const Option *o;
    const char *value = NULL, *shown;
    if (word[1] == '-') {
        size_t length = strcspn(word + 2, "=");
        o = option_find(word + 2, length, verb->bit);
        value = word[2 + length] == '=' ? word + 3 + length : NULL;
        shown = arena_printf(arena, "--%.*s", (int)length, word + 2);
    } else {
        o = letter_find(word[1], verb->bit);
        value = word[2] ? word + 2 : NULL;
        shown = arena_printf(arena, "-%c", word[1]);
    }
    if (!o) return option_unknown(verb, word);
    bool take_next = !value && o->kind != KIND_FLAG && next && (next[0] != '-' || next[1] == '\0');
    if (!option_set(options, verb, o, shown, take_next ? next : value)) return 0;
    return take_next ? 2 : 1;
}

bool options_parse(Options *options, Arena *arena, const Verb *verb, int argc, char **argv) {
    options->files = NEW_ARRAY(arena, const char *, argc + 1);
    bool only_files = false;
    for (int i = 0; i < argc;) {
        const char *word = argv[i];
        if (!only_files && !strcmp(word, "--")) {
            only_files = true;
            i++;
        } else if (only_files || word[0] != '-' || word[1] == '\0') {
            options->files[options->nfiles++] = word;
            i++;
            if (verb->bit == FOR_RUN) {
                options->rest = argv + i;
                break;
            }
        } else {
            int took = option_word(options, arena, verb, word, i + 1 < argc ? argv[i + 1] : NULL);
            if (took == 0) return false;
            i += took;
        }
    }
    if (options->help) return true;
    if (options->nfiles < verb->least || (verb->most >= 0 && options->nfiles > verb->most)) {
        fprintf(stderr, "usage: gradus %s [options] %s\n", verb->name, verb->operands);
        return false;
    }
    if (options->diagnostics)
        diag_format(!strcmp(options->diagnostics, "json") ? DIAG_JSON : DIAG_TEXT);
    return true;
}

static void help_options(FILE *out, unsigned verbs) {
    for (int i = 0; i < LENGTH(option_table); i++) {
        const Option *o = &option_table[i];
        char left[80];
        if (!(o->verbs & verbs)) continue;
        if (!o->name)
            snprintf(left, sizeof left, "-%c %s", o->letter, o->value);
        else
            snprintf(left, sizeof left, "%s%.1s%s--%s%s%s", o->letter ? "-" : "", &o->letter,
                     o->letter ? ", " : "", o->name, o->value ? "=" : "", o->value ? o->value : "");
        fprintf(out, "  %-36s %s\n", left, o->help);
    }
}

void options_help(FILE *out, const Verb *verb) {
    if (verb) {
        fprintf(out, "usage: gradus %s [options] %s\n%s\n\noptions:\n", verb->name, verb->operands,
                verb->purpose);
        help_options(out, verb->bit);
        return;
    }
    fprintf(out, "usage: gradus VERB [options] FILE...\n"
                 "       gradus MODEL.gr -o MODEL        (the same as gradus build)\n\nverbs:\n");
    for (int i = 0; i < verb_count; i++)
        fprintf(out, "  %-8s %-18s %s\n", verb_table[i].name, verb_table[i].operands,
                verb_table[i].purpose);
    fprintf(out, "\noptions (gradus VERB --help lists those of one verb):\n");
    help_options(out, FOR_ALL);
    fprintf(out, "  %-36s %s\n", "--version",
            "print the versions of gradus and LLVM, and the processor");
}

/* The runtime archive: $GRADUS_RUNTIME, beside the compiler, or where it is installed. That of
 * another machine has its triple in the name. */
static const char *runtime_find(Arena *arena, const char *target) {
    const char *name = "libgradus_runtime.a", *given = getenv("GRADUS_RUNTIME");
    if (target) name = arena_printf(arena, "libgradus_runtime-%s.a", target);
    if (given && *given) {
        const char *slash = strrchr(given, '/');
        if (target)
            given =
                arena_printf(arena, "%.*s%s", slash ? (int)(slash - given) + 1 : 0, given, name);
        if (access(given, R_OK) == 0) return given;
        diag_error((Span){0}, "E0715", "$GRADUS_RUNTIME names '%s', which cannot be read", given);
        return NULL;
    }
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length > 0) {
        self[length] = '\0';
        const char *folder = dirname(self);
        static const char *const places[] = {"", "/../lib/gradus"};
        for (int i = 0; i < LENGTH(places); i++) {
            const char *path = arena_printf(arena, "%s%s/%s", folder, places[i], name);
            if (access(path, R_OK) == 0) return path;
        }
    }
    diag_error((Span){0}, "E0715", "%s is neither beside the compiler nor in ../lib/gradus", name);
    if (target)
        diag_help("install %s-gcc and build the project again, or write an object with --emit=obj",
                  target);
    else
        diag_help("build the whole project, or set GRADUS_RUNTIME to the file's path");
    return NULL;
}

/* A triple of this very machine is no other target. */
static const char *other_target(const char *target) {
    struct utsname here;
    if (!target || uname(&here) != 0) return target;
    size_t length = strlen(here.machine);
    bool same = !strncmp(target, here.machine, length) && target[length] == '-' &&
                strstr(target, "-linux-gnu");
    return same ? NULL : target;
}

bool options_back(const Options *options, Arena *arena, Emit emit, BackOptions *back) {
    *back = (BackOptions){
        .emit = emit,
        .output = options->output,
        .cpu = options->cpu,
        .target = other_target(options->target),
        .level = options->level ? options->level[0] - '0' : 2,
        .float_bytes = options->float_bits && !strcmp(options->float_bits, "64") ? 8 : 4,
        .apart = options->fuse && !strcmp(options->fuse, "off"),
        .time = options->time,
    };
    if (emit == EMIT_EXE || emit == EMIT_LIB) {
        back->runtime = runtime_find(arena, back->target);
        return back->runtime != NULL;
    }
    return true;
}
