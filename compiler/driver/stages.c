/* SPDX-License-Identifier: MIT
 * The one list of stages that a file goes through, with the time of each and the dumps between.
 * Needs front, elab, pass and ir. Emits no code: that is the last word of a verb. */
#include "driver.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool file_check(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) {
        diag_error((Span){0}, "E0711", "cannot read '%s': %s", path, strerror(errno));
        return false;
    }
    if (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode)) {
        diag_error((Span){0}, "E0711", "cannot read '%s': %s", path,
                   S_ISDIR(info.st_mode) ? "it is a directory" : "it is no regular file");
        return false;
    }
    int file = open(path, O_RDONLY);
    if (file < 0) {
        diag_error((Span){0}, "E0711", "cannot read '%s': %s", path, strerror(errno));
        return false;
    }
    close(file);
    return true;
}

char *file_read(Arena *arena, const char *path, size_t *length) {
    if (!file_check(path)) return NULL;
    FILE *file = fopen(path, "rb");
    size_t size = 0, room = ROOM(1 << 14, 2);
    char *text = file ? arena_alloc(arena, room + 1) : NULL;
    while (file) {
        size += fread(text + size, 1, room - size, file);
        if (size < room) break;
        char *larger = arena_alloc(arena, 2 * room + 1);
        memcpy(larger, text, size);
        text = larger;
        room *= 2;
    }
    bool fault = !file || ferror(file);
    if (file) fclose(file);
    if (fault) {
        diag_error((Span){0}, "E0711", "cannot read '%s': %s", path, strerror(errno));
        return NULL;
    }
    text[size] = '\0';
    *length = size;
    return text;
}

static bool ends_with(const char *text, const char *end) {
    size_t a = strlen(text), b = strlen(end);
    return a >= b && !strcmp(text + a - b, end);
}

/* A `.graph` file is the text form of a unit: it enters after elaboration. */
static bool stage_load(Work *work) {
    if (!file_check(work->path)) return false;
    if (ends_with(work->path, ".graph")) {
        size_t length;
        char *text = file_read(work->arena, work->path, &length);
        if (text) work->unit = graph_read(work->arena, source_add(work->path, text, length, false));
        return work->unit != NULL;
    }
    work->module = module_load(work->arena, work->path);
    return work->module != NULL;
}

/* `batch = all`: how many are they? What is held out is not known yet: at most so many. */
static bool batch_count(Work *work) {
    Unit *unit = work->unit;
    for (int i = 0; i < unit->sets.len; i++) {
        if (strcmp(unit->sets.at[i].name, "train")) continue;
        const DataSource *source = &unit->sources.at[unit->sets.at[i].source];
        const char *folder = work->options ? work->options->data : NULL;
        int64_t count = headers_count(work->arena, unit, folder, source);
        if (count >= 1) {
            unit->config.batch = count;
            return true;
        }
        if (diag_errors()) return false; /* it cannot be read: that is said */
        diag_error(source->at, "E0613", "`batch = all`: how many examples has '%s'?",
                   source->files.at[0]);
        diag_help("it was not found beside the model, in --data or in $GRADUS_DATA; or write the "
                  "number: `batch = 1000`");
        return false;
    }
    diag_error((Span){0}, "E0613", "`batch = all`, but the training names no data");
    return false;
}

static bool stage_elab(Work *work) {
    if (!work->unit)
        work->unit = elab_unit(work->arena, work->module, work->only ? name_of(work->only) : NULL);
    if (!work->unit || diag_errors() > 0) return false;
    if (work->unit->config.batch_all && !batch_count(work)) return false;
    graph_verify(work->unit, 0);
    sources_generate(work->unit);
    if (work->elaborated) work->elaborated(work->unit);
    return true;
}

typedef struct PassState {
    const Options *options;
    Clock since;
    bool differentiated;
} PassState;

static void pass_done(const Pass *pass, Unit *unit, void *context) {
    PassState *state = context;
    const char *dump = state->options ? state->options->dump : NULL;
    state->differentiated |= !strcmp(pass->name, "gradient");
    if (state->options && state->options->time)
        clock_tell(&state->since, pass->name);
    graph_verify(unit, state->differentiated ? 1 : 0);
    if (dump && (!strcmp(dump, "all") || !strcmp(dump, pass->name))) {
        fprintf(stderr, "# after %s\n", pass->name);
        graph_print(stderr, unit);
    }
    state->since = clock_start();
}

static bool pass_known(const char *name) {
    for (int i = 0; i < pass_count; i++)
        if (!strcmp(pass_table[i].name, name)) return true;
    diag_error((Span){0}, "E0712", "there is no pass '%s'", name);
    for (int i = 0; i < pass_count; i++)
        diag_note((Span){0}, "%s: %s", pass_table[i].name, pass_table[i].purpose);
    return false;
}

static bool stage_pass(Work *work) {
    const char *dump = work->options ? work->options->dump : NULL;
    if ((work->stop && !pass_known(work->stop)) ||
        (dump && strcmp(dump, "all") && !pass_known(dump)))
        return false;
    PassState state = {work->options, clock_start(), false};
    pass_run(work->unit, work->stop, pass_done, &state);
    return true;
}

/* The other trainings of the file, each a unit of its own in the same executable. */
bool stages_others(Work *work) {
    const Module *module = work->module;
    Unit **end = work->unit ? &work->unit->next : NULL;
    for (int i = 1; module && end && !work->only && i < module->trains.len; i++) {
        const Decl *train = module->trains.at[i];
        if (!train->name || !module->trains.at[0]->name) {
            diag_error(train->at, "E0506", "a file with several trainings gives each a name");
            diag_help("write `train NAME of %s on …`", train->model ? train->model : "MODEL");
            return false;
        }
        Work other = *work;
        other.unit = NULL;
        other.only = train->name;
        other.done = STAGE_ELAB;
        if (!stages_run(&other, STAGE_PASS)) return false;
        *end = other.unit;
        end = &other.unit->next;
    }
    return true;
}

typedef struct Stage {
    const char *name;
    bool (*run)(Work *work);
} Stage;
static const Stage stage_table[STAGE_COUNT] = {
    [STAGE_LOAD] = {"read and parse", stage_load},
    [STAGE_ELAB] = {"elaborate", stage_elab},
    [STAGE_PASS] = {"passes in all", stage_pass},
};

bool stages_run(Work *work, StageId last) {
    for (; work->done <= (int)last; work->done++) {
        const Stage *stage = &stage_table[work->done];
        Clock start = clock_start();
        bool fine = stage->run(work);
        if (work->options && work->options->time) clock_tell(&start, stage->name);
        if (!fine || diag_errors() > 0) return false;
    }
    return true;
}
