/* SPDX-License-Identifier: MIT
 * `gradus fmt`: files as front lays them out.
 * Needs the stages, to refuse what does not parse. Knows nothing of lines and columns. */
#include "driver.h"
#include <stdlib.h>
#include <string.h>

static bool replace(Arena *arena, const char *path, const char *text, size_t length) {
    FILE *file = output_open(arena, path);
    if (!file) return false;
    fwrite(text, 1, length, file);
    return output_close(file, path);
}

static int format_file(Arena *arena, const Options *options, const char *path) {
    Work work = {.arena = arena, .options = options, .path = path};
    size_t length, formatted_length = 0;
    const char *text = file_read(arena, path, &length);
    if (!text || !stages_run(&work, STAGE_LOAD)) return EXIT_DIAGNOSED;
    char *formatted = NULL;
    FILE *out = open_memstream(&formatted, &formatted_length);
    if (!out) bug("no memory to format '%s'", path);
    layout_print(out, text);
    fclose(out);
    bool same = formatted_length == length && !memcmp(formatted, text, length);
    int status = EXIT_OK;
    if (!same && options->check) {
        printf("%s\n", path);
        status = EXIT_MISMATCH;
    } else if (!same && !replace(arena, path, formatted, formatted_length)) {
        status = EXIT_DIAGNOSED;
    }
    free(formatted);
    return status;
}

int verb_fmt(Arena *arena, const Options *options) {
    int status = EXIT_OK;
    for (int i = 0; i < options->nfiles && status != EXIT_DIAGNOSED; i++) {
        int one = format_file(arena, options, options->files[i]);
        status = one == EXIT_OK ? status : one;
    }
    return status;
}
