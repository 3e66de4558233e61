/* SPDX-License-Identifier: MIT
 * What data files say of themselves: number of examples, shape, classes, columns; for `check`.
 * Needs zlib and the Unit's sources. Loads no data: the runtime's readers do that. */
#include "driver.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* Beside the model file, in --data, in $GRADUS_DATA; NULL where it is in none. */
static const char *data_find(Arena *arena, const Unit *unit, const char *data_dir,
                             const char *name) {
    const char *folders[] = {unit->model_dir, data_dir, getenv("GRADUS_DATA")};
    if (name[0] == '/') return access(name, R_OK) == 0 ? name : NULL;
    for (int i = 0; i < LENGTH(folders); i++) {
        if (!folders[i] || !*folders[i]) continue;
        const char *path = arena_printf(arena, "%s/%s", folders[i], name);
        if (access(path, R_OK) == 0) return path;
    }
    return NULL;
}

static bool big_endian(gzFile file, int64_t *value) {
    unsigned char b[4];
    if (gzread(file, b, 4) != 4) return false;
    *value = (int64_t)b[0] << 24 | (int64_t)b[1] << 16 | (int64_t)b[2] << 8 | (int64_t)b[3];
    return true;
}

/* An idx file's header: [dims] of its extents; false where it is none
 * (http://yann.lecun.com/exdb/mnist). */
static bool idx_header(gzFile file, int64_t *rank, int64_t extent[4]) {
    int64_t magic;
    if (!big_endian(file, &magic) || magic >> 16 != 0 || (magic >> 8 & 0xff) != 8) return false;
    *rank = magic & 0xff;
    if (*rank < 1 || *rank > 4) return false;
    for (int i = 0; i < *rank; i++)
        if (!big_endian(file, &extent[i])) return false;
    return true;
}

static const Node *input_where(const Unit *unit, bool class) {
    for (int i = 0; i < unit->inputs.len; i++)
        if ((unit->inputs.at[i]->classes > 0) == class && strcmp(unit->inputs.at[i]->name, "live"))
            return unit->inputs.at[i];
    return NULL;
}

static bool labels_check(const DataSource *source, const char *path, gzFile file, int64_t count,
                         const Node *target) {
    unsigned char buffer[4096];
    int64_t largest = -1;
    for (int64_t left = count; left > 0;) {
        int want = left < (int64_t)sizeof buffer ? (int)left : (int)sizeof buffer;
        if (gzread(file, buffer, (unsigned)want) != want) {
            diag_error(source->at, "E0611", "'%s' ends before its %" PRId64 " labels do", path,
                       count);
            return false;
        }
        for (int i = 0; i < want; i++)
            largest = buffer[i] > largest ? buffer[i] : largest;
        left -= want;
    }
    if (target && largest >= target->classes) {
        diag_error(source->at, "E0612",
                   "'%s' has the label %" PRId64 ", but '%s' is class[%" PRId64 "]", path, largest,
                   target->name, target->classes);
        return false;
    }
    printf("%s: %" PRId64 " labels, 0 to %" PRId64 "\n", path, count, largest);
    return true;
}

static bool idx_file_check(const Unit *unit, const DataSource *source, const char *path,
                           bool labels, int64_t *examples) {
    gzFile file = gzopen(path, "rb");
    int64_t rank = 0, extent[4] = {0}, elements = 1;
    bool fine = file && idx_header(file, &rank, extent);
    if (!fine) {
        diag_error(source->at, "E0611", "'%s' is no idx file of bytes", path);
    } else {
        *examples = extent[0];
        for (int i = 1; i < rank; i++)
            elements *= extent[i];
    }
    const Node *node = input_where(unit, labels);
    if (fine && labels) {
        fine = labels_check(source, path, file, extent[0], node);
    } else if (fine) {
        fine = !node || elements == node_count(node);
        if (fine)
            printf("%s: %" PRId64 " examples of %" PRId64 " numbers\n", path, extent[0], elements);
        else
            diag_error(source->at, "E0612",
                       "'%s' holds %" PRId64 " numbers per example, but '%s' has %" PRId64, path,
                       elements, node->name, node_count(node));
    }
    if (file) gzclose(file);
    return fine;
}

static bool idx_check(Arena *arena, const Unit *unit, const char *data_dir,
                      const DataSource *source) {
    int64_t examples[2] = {-1, -1};
    bool fine = true;
    for (int i = 0; i < 2; i++) {
        const char *path =
            source->files[i] ? data_find(arena, unit, data_dir, source->files[i]) : NULL;
        if (path)
            fine &= idx_file_check(unit, source, path, i == 1, &examples[i]);
        else if (source->files[i])
            printf("%s: not found beside the model, in --data or in $GRADUS_DATA\n",
                   source->files[i]);
    }
    if (fine && examples[0] >= 0 && examples[1] >= 0 && examples[0] != examples[1]) {
        diag_error(source->at, "E0612", "%" PRId64 " images, but %" PRId64 " labels", examples[0],
                   examples[1]);
        fine = false;
    }
    return fine;
}

/* One row of a CSV file, RFC 4180; NULL at the end. Cells lie in the arena. */
typedef VEC(const char *) CellList;
static bool csv_row(Arena *arena, gzFile file, CellList *cells) {
    VEC(char) cell = {0};
    bool quoted = false, any = false;
    cells->len = 0;
    for (int c = gzgetc(file); c >= 0; c = gzgetc(file)) {
        any = true;
        if (quoted && c == '"') {
            c = gzgetc(file);
            if (c != '"') {
                quoted = false;
                if (c < 0) break;
            }
        } else if (!quoted && c == '"' && cell.len == 0) {
            quoted = true;
            continue;
        }
        if (!quoted && (c == ',' || c == '\n')) {
            VEC_PUSH(arena, *cells, arena_copy(arena, cell.at ? cell.at : "", (size_t)cell.len));
            cell.len = 0;
            if (c == '\n') return true;
        } else if (quoted || c != '\r') {
            VEC_PUSH(arena, cell, (char)c);
        }
    }
    if (any) VEC_PUSH(arena, *cells, arena_copy(arena, cell.at ? cell.at : "", (size_t)cell.len));
    return any;
}

static bool csv_columns_check(const DataSource *source, const char *path, const CellList *header) {
    bool fine = true;
    for (int i = 0; i < source->columns.len; i++) {
        Name wanted = source->columns.at[i].column, names[64];
        size_t count = 0;
        bool found = false;
        for (int k = 0; k < header->len; k++) {
            found |= !strcmp(header->at[k], wanted);
            if (count < 64) names[count++] = name_of(header->at[k]);
        }
        if (found) continue;
        Name near = name_nearest(wanted, names, count);
        diag_error(source->at, "E0612", "'%s' has no column '%s'", path, wanted);
        if (near) diag_help("did you mean '%s'?", near);
        fine = false;
    }
    return fine;
}

static bool csv_check(Arena *arena, const Unit *unit, const char *data_dir,
                      const DataSource *source) {
    const char *path = data_find(arena, unit, data_dir, source->files[0]);
    if (!path) {
        printf("%s: not found beside the model, in --data or in $GRADUS_DATA\n", source->files[0]);
        return true;
    }
    gzFile file = gzopen(path, "rb");
    CellList cells = {0};
    if (!file || !csv_row(arena, file, &cells)) {
        diag_error(source->at, "E0611", "'%s' is empty", path);
        if (file) gzclose(file);
        return false;
    }
    bool fine = csv_columns_check(source, path, &cells);
    int columns = cells.len, faults = 0;
    int64_t rows = 0;
    while (csv_row(arena, file, &cells)) {
        rows++;
        if (cells.len != columns && faults++ == 0)
            diag_error(source->at, "E0611", "'%s': row %" PRId64 " has %d cells, the header %d",
                       path, rows + 1, cells.len, columns);
    }
    gzclose(file);
    if (fine && faults == 0) printf("%s: %" PRId64 " rows of %d columns\n", path, rows, columns);
    return fine && faults == 0;
}

int64_t headers_count(Arena *arena, const Unit *unit, const char *data_dir,
                      const DataSource *source) {
    if (source->made.len) return source->count;
    const char *path = data_find(arena, unit, data_dir, source->files[0]);
    gzFile file = path ? gzopen(path, "rb") : NULL;
    int64_t rank = 0, extent[4] = {0}, rows = -1;
    CellList cells = {0};
    if (!file) return -1;
    if (source->format == FORMAT_IDX)
        rows = idx_header(file, &rank, extent) ? extent[0] : -1;
    else
        while (csv_row(arena, file, &cells)) /* the first row is the header */
            rows++;
    gzclose(file);
    return rows;
}

bool headers_check(Arena *arena, const Unit *unit, const char *data_dir) {
    bool fine = true;
    for (int i = 0; i < unit->sources.len; i++) {
        const DataSource *source = &unit->sources.at[i];
        if (source->made.len) {
            printf("%s: %" PRId64 " examples\n", source->files[0], source->count);
            continue;
        }
        fine &= source->format == FORMAT_IDX ? idx_check(arena, unit, data_dir, source)
                                             : csv_check(arena, unit, data_dir, source);
    }
    return fine;
}
