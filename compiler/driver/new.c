/* SPDX-License-Identifier: MIT
 * `gradus new DIR`: a copy of the example that travels in the compiler (embedded from examples/).
 * Needs the generated table template_table. Overwrites nothing. */
#include "driver.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* From the build folder: the files of the template, the last with a NULL name. */
typedef struct TemplateFile {
    const char *name;
    const unsigned char *bytes;
    size_t size;
} TemplateFile;
extern const TemplateFile template_table[];

static bool file_put(Arena *arena, const char *folder, const TemplateFile *file) {
    const char *path = arena_printf(arena, "%s/%s", folder, file->name);
    FILE *out = output_open(arena, path);
    if (!out) return false;
    fwrite(file->bytes, 1, file->size, out);
    return output_close(out, path);
}

int verb_new(Arena *arena, const Options *options) {
    const char *folder = options->files[0];
    if (mkdir(folder, 0777) != 0) {
        diag_error((Span){0}, "E0703", "cannot make the folder '%s': %s", folder, strerror(errno));
        return EXIT_DIAGNOSED;
    }
    for (const TemplateFile *file = template_table; file->name; file++)
        if (!file_put(arena, folder, file)) return EXIT_DIAGNOSED;
    printf("%s/model.gr is ready:\n  cd %s && gradus model.gr -o model && ./model train\n", folder,
           folder);
    return EXIT_OK;
}
