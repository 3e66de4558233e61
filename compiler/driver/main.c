/* SPDX-License-Identifier: MIT
 * `gradus VERB FILE...`: the table of verbs and the way to them.
 * Needs options.c and one file per verb. Compiles nothing itself. */
#include "driver.h"
#include <signal.h>
#include <string.h>

const Verb verb_table[] = {
    {"build", "FILE.gr", "compile a model to an executable", FOR_BUILD, 1, 1, verb_build},
    {"run", "FILE.gr ARGS...", "build into the cache and run it with ARGS", FOR_RUN, 1, 1,
     verb_run},
    {"check", "FILE.gr...", "shapes, parameters, FLOPs, memory and data headers, without building",
     FOR_CHECK, 1, -1, verb_check},
    {"test", "FILE.gr...", "run the files' test blocks", FOR_TEST, 1, -1, verb_test},
    {"diff", "RUN RUN", "where two recorded curves or logs of training first differ", FOR_DIFF, 2, 2,
     verb_diff},
    {"fmt", "FILE.gr...", "indent and tidy files in place", FOR_FMT, 1, -1, verb_fmt},
    {"doc", "[NAME [FILE.gr]]", "list the library, or show what NAME is", FOR_DOC, 0, 2, verb_doc},
    {"explain", "[CODE]", "say more about an error code", FOR_EXPLAIN, 0, 1, verb_explain},
    {"dump", "FILE.gr", "print what the compiler makes of a file, stage by stage", FOR_DUMP, 1, 1,
     verb_dump},
    {"new", "DIR", "write a small working model into a new folder", FOR_NEW, 1, 1, verb_new},
};
const int verb_count = LENGTH(verb_table);

static const Verb *verb_find(const char *word) {
    for (int i = 0; i < verb_count; i++)
        if (!strcmp(verb_table[i].name, word)) return &verb_table[i];
    return NULL;
}

static int verb_unknown(const char *word) {
    Name names[LENGTH(verb_table)];
    for (int i = 0; i < verb_count; i++)
        names[i] = name_of(verb_table[i].name);
    Name near = name_nearest(name_of(word), names, (size_t)verb_count);
    fprintf(stderr, "gradus: '%s' is neither a verb nor a model file", word);
    if (near) fprintf(stderr, "; did you mean 'gradus %s'?", near);
    fprintf(stderr, "\n(`gradus --help` lists the verbs)\n");
    return EXIT_USAGE;
}

static void version_print(void) {
    printf("gradus %s (LLVM %s, cpu %s)\n", GRADUS_VERSION, back_llvm_version(), back_host_cpu());
}

/* `gradus model.gr -o model` is `gradus build`: any word of the line that looks like a file will
 * do. */
static bool names_file(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        size_t length = strlen(argv[i]);
        if (length > 3 && !strcmp(argv[i] + length - 3, ".gr")) return true;
    }
    return false;
}

int main(int argc, char **argv) {
    signal(SIGXFSZ, SIG_IGN); /* a limit of size is a fault like a full disk */
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
        !strcmp(argv[1], "help")) {
        const Verb *verb = argc > 2 ? verb_find(argv[2]) : NULL;
        options_help(stdout, verb);
        return EXIT_OK;
    }
    if (!strcmp(argv[1], "--version")) {
        version_print();
        return EXIT_OK;
    }
    const Verb *verb = verb_find(argv[1]);
    int words = 2;
    if (!verb && (names_file(argc, argv) || argv[1][0] == '-')) {
        verb = &verb_table[0];
        words = 1;
    }
    if (!verb) return verb_unknown(argv[1]);
    Arena *arena = arena_new();
    Options options = {0};
    int status = EXIT_USAGE;
    if (options_parse(&options, arena, verb, argc - words, argv + words)) {
        if (options.help) {
            options_help(stdout, verb);
            status = EXIT_OK;
        } else {
            status = verb->run(arena, &options);
        }
    }
    diag_flush();
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "gradus: cannot write to standard output\n");
        status = status == EXIT_OK ? EXIT_DIAGNOSED : status;
    }
    arena_free(arena);
    return status;
}
