/* SPDX-License-Identifier: MIT
 * Random models by the thousand: each in a process of its own, under settings drawn by its seed;
 * what differs is shrunk to a small model, which is printed.
 * Needs check.h and random.h. Uses one core: more by more seeds in another process. */
#include "sweep.h"
#include "elab.h"
#include "random.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAULT_CRASH = 32, SECONDS = 120 };

/* One model: what it is made by, and under what it is compared. */
typedef struct Trial {
    const Sweep *sweep;
    uint64_t seed;
    Config config;
    Choices *tape; /* shared with the child that draws */
    int wanted;    /* shrinking: faults of which one is enough */
    char *text;    /* shared with the child: the model as text */
} Trial;
enum { TEXT_ROOM = 1 << 20 };

bool sweep_subject(Sweep *sweep, const char *subject) {
    sweep->library = !strncmp(subject, "layers:", 7);
    if (!sweep->library && strncmp(subject, "random:", 7) != 0) return false;
    char *end;
    sweep->from = sweep->to = strtoull(subject + 7, &end, 10);
    if (*end == '-') sweep->to = strtoull(end + 1, &end, 10);
    return end > subject + 7 && !*end && sweep->to >= sweep->from;
}

/* ---- Settings by the seed: float64 and float32 at -O0, which is compiled in a third of the time,
 * against the interpreter; for every second seed one of them again, at a higher level and for
 * another processor where there is one, against the bits of the first. */
static int processors(const char **names) {
    int n = 0;
    names[n++] = NULL; /* this machine's */
#ifdef __x86_64__
    names[n++] = "x86-64-v3";
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        names[n++] = "x86-64-v4";
#endif
    return n;
}

static void settings_draw(Config *config, uint64_t seed) {
    static const int counts[] = {1, 3, 16, 17, 19, 33};
    static Choices c;
    choices_seed(&c, seed * UINT64_C(0x2545f4914f6cdd1d) + 1);
    config->seed = seed;
    if (!config->examples) config->examples = counts[choose(&c, LENGTH(counts))];
    if (config->settings) return;
    const char *names[3];
    int n = processors(names), first = choose(&c, n);
    int second = (first + (n > 1 ? 1 + choose(&c, n - 1) : 0)) % n;
    config->setting[0] = (Setting){names[first], 0, 8};
    config->setting[1] = (Setting){names[first], 0, 4};
    config->setting[2] = (Setting){names[second], 1 + choose(&c, 3), choose(&c, 2) ? 8 : 4};
    config->settings = 2 + choose(&c, 2);
}

/* ---- The child: makes the model, says what it is, compares it */
static void text_keep(Trial *t, const Unit *unit, const char *text) {
    FILE *file = fmemopen(t->text, TEXT_ROOM, "w");
    if (!file) return;
    if (text)
        fputs(text, file);
    else if (unit)
        graph_print(file, unit);
    fclose(file);
}

static int trial_check(Trial *t) {
    Arena *arena = arena_new();
    Unit *unit;
    if (t->sweep->library) {
        char *text = random_text(arena, t->tape);
        text_keep(t, NULL, text);
        Module *module = module_load_text(arena, "random.gr", text);
        unit = module && !diag_errors() ? elab_unit(arena, module, NULL) : NULL;
    } else {
        unit = random_unit(arena, t->tape);
        text_keep(t, unit, NULL);
    }
    if (!unit || diag_errors()) return FAULT_REFUSED;
    return check_unit(arena, unit, &t->config);
}

static void child(Trial *t, bool quiet) {
    if (quiet && (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)))
        _exit(FAULT_CRASH);
    setrlimit(RLIMIT_CPU, &(struct rlimit){SECONDS, SECONDS});
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    int faults = trial_check(t);
    if (t->sweep->config.verbose || faults > FAULT_REFUSED) diag_flush();
    fflush(NULL);
    _exit(faults);
}

static int trial_run(Trial *t, bool quiet) {
    fflush(NULL);
    memset(t->text, 0, 1);
    pid_t pid = fork();
    if (pid == 0) child(t, quiet);
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid) bug("fork: %s", strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) < FAULT_CRASH) return WEXITSTATUS(status);
    return FAULT_CRASH;
}

static bool still_fails(const Choices *candidate, void *context) {
    Trial *t = context;
    *t->tape = *candidate;
    t->tape->replay = true;
    t->tape->next = 0;
    return (trial_run(t, true) & t->wanted) != 0;
}

static void shrink(Trial *t, int faults) {
    Choices *best = malloc(sizeof *best);
    if (!best) return;
    *best = *t->tape;
    t->wanted = faults & ~FAULT_REFUSED ? faults & ~FAULT_REFUSED : faults;
    int was = best->len, trials = choices_shrink(best, still_fails, t, t->sweep->shrink);
    printf("  shrunk by %d trials, from %d choices to %d:\n", trials, was, best->len);
    *t->tape = *best;
    t->tape->next = 0;
    t->config.verbose = true;
    trial_run(t, false);
    fputs(t->text, stdout);
    if (t->sweep->keep) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s-%llu.%s", t->sweep->keep,
                 t->sweep->library ? "layers" : "random", (unsigned long long)t->seed,
                 t->sweep->library ? "gr" : "graph");
        FILE *file = fopen(path, "w");
        if (file) fputs(t->text, file);
        if (file) fclose(file);
    }
    free(best);
}

static void *shared(size_t size) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) bug("no memory shared with a child");
    return memory;
}

/* The faults of one seed. */
static int seed_run(const Sweep *sweep, Trial *t, uint64_t seed) {
    t->seed = seed;
    t->config = sweep->config;
    t->config.subject =
        name_printf("%s:%llu", sweep->library ? "layers" : "random", (unsigned long long)seed);
    settings_draw(&t->config, seed);
    choices_seed(t->tape, seed * 7919 + 1);
    int faults = trial_run(t, false);
    if (faults > FAULT_REFUSED) {
        printf("%s: %s\n", t->config.subject,
               faults == FAULT_CRASH ? "crashes or does not end" : "is faulty");
        if (sweep->shrink) shrink(t, faults);
        fflush(stdout);
    }
    return faults;
}

/* Of the children. */
static double processor_seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

int sweep_run(const Sweep *sweep) {
    Trial t = {.sweep = sweep, .tape = shared(sizeof(Choices)), .text = shared(TEXT_ROOM)};
    int64_t all = 0, faulty = 0, refused = 0;
    for (uint64_t seed = sweep->from; seed <= sweep->to; seed++, all++) {
        int faults = seed_run(sweep, &t, seed);
        refused += faults == FAULT_REFUSED;
        faulty += faults > FAULT_REFUSED;
        if ((all + 1) % 100 == 0 && seed < sweep->to) {
            printf("%lld so far, %lld refused, %lld faulty\n", (long long)(all + 1),
                   (long long)refused, (long long)faulty);
            fflush(stdout);
        }
    }
    if (refused * 4 > all) printf("too many are refused: nothing much was tested\n");
    printf("%lld random models compared in %.0f s, %lld refused, %lld faulty\n",
           (long long)(all - refused), processor_seconds(), (long long)refused, (long long)faulty);
    munmap(t.tape, sizeof(Choices));
    munmap(t.text, TEXT_ROOM);
    return (int)faulty + (refused * 4 > all);
}
