/* SPDX-License-Identifier: MIT
 * CSV by RFC 4180 with a header: named columns are bound, the others in order are the input.
 * Needs data.h. Reads numbers only, whatever the locale; errors say line and column. */
#include "data.h"
#include <stdlib.h>
#include <string.h>

typedef struct Csv {
    const char *name;
    char *at, *end;
    int64_t line; /* of `at`, from 1 */
    char *text;   /* the field just read, unquoted in place */
    size_t size;
    bool last; /* it ended its record */
    Fault *fault;
} Csv;

bool csv_fits(const DataFile *file) {
    for (size_t i = 0; i < file->size && i < 4096; i++)
        if (file->bytes[i] < ' ' && !strchr("\t\r\n", file->bytes[i])) return false;
    return true;
}

/* Takes what ends a field: a comma, or a line end, or the file's end. */
static bool take_end(Csv *csv) {
    csv->last = true;
    if (csv->at == csv->end) return true;
    if (*csv->at == ',') {
        csv->at++;
        csv->last = false;
        return true;
    }
    if (*csv->at == '\r' && csv->at + 1 < csv->end && csv->at[1] == '\n') csv->at++;
    if (*csv->at != '\n' && *csv->at != '\r') return false;
    csv->at++;
    csv->line++;
    return true;
}

static bool take_quoted(Csv *csv) {
    int64_t line = csv->line;
    char *to = csv->text = ++csv->at;
    for (;; csv->at++) {
        if (csv->at == csv->end)
            return fault_set(csv->fault, GR_BAD_DATA, "%s:%lld: a quoted field does not end",
                             csv->name, (long long)line);
        if (*csv->at == '"') {
            if (csv->at + 1 == csv->end || csv->at[1] != '"') break;
            csv->at++;
        }
        if (*csv->at == '\n') csv->line++;
        *to++ = *csv->at;
    }
    csv->at++;
    csv->size = (size_t)(to - csv->text);
    if (take_end(csv)) return true;
    return fault_set(csv->fault, GR_BAD_DATA,
                     "%s:%lld: after a closing quote comes a comma or the end of the line",
                     csv->name, (long long)csv->line);
}

static bool take_field(Csv *csv) {
    if (csv->at < csv->end && *csv->at == '"') return take_quoted(csv);
    csv->text = csv->at;
    while (csv->at < csv->end && *csv->at != ',' && *csv->at != '\n' && *csv->at != '\r') {
        if (*csv->at == '"')
            return fault_set(csv->fault, GR_BAD_DATA,
                             "%s:%lld: a quote inside an unquoted field; write \"...\"\"...\"",
                             csv->name, (long long)csv->line);
        csv->at++;
    }
    csv->size = (size_t)(csv->at - csv->text);
    take_end(csv);
    return true;
}

static void trim(Csv *csv) {
    while (csv->size && (*csv->text == ' ' || *csv->text == '\t'))
        csv->text++, csv->size--;
    while (csv->size && (csv->text[csv->size - 1] == ' ' || csv->text[csv->size - 1] == '\t'))
        csv->size--;
}

/* Nothing but line ends left? Files often end in one or two. */
static bool at_end(Csv *csv) {
    char *at = csv->at;
    while (at < csv->end && (*at == '\n' || *at == '\r'))
        at++;
    return at == csv->end;
}

static bool read_names(Csv *csv, char ***names, int *count) {
    *count = 0;
    if (csv->end - csv->at >= 3 && !memcmp(csv->at, "\xef\xbb\xbf", 3)) csv->at += 3;
    if (at_end(csv))
        return fault_set(csv->fault, GR_BAD_DATA, "%s: the file is empty; a header is wanted",
                         csv->name);
    int numbers = 0;
    do {
        if (!take_field(csv)) return false;
        trim(csv);
        double number;
        numbers += number_parse(csv->text, csv->size, &number);
        *names = io_more(*names, sizeof **names * (size_t)(*count + 1));
        (*names)[(*count)++] = io_format("%.*s", (int)csv->size, csv->text);
    } while (!csv->last);
    if (numbers == *count)
        return fault_set(csv->fault, GR_BAD_DATA,
                         "%s:1: holds only numbers: is the header missing? The first line names "
                         "the columns",
                         csv->name);
    if (*count == 1 && strchr((*names)[0], ';'))
        return fault_set(csv->fault, GR_BAD_DATA,
                         "%s:1: columns are separated by commas, not by semicolons", csv->name);
    return true;
}

static bool bad_field(Csv *csv, int64_t line, int column, const char *name) {
    if (!csv->size)
        return fault_set(csv->fault, GR_BAD_DATA,
                         "%s:%lld: column %d '%s' is empty; a number is wanted: fill it in or "
                         "leave the row out",
                         csv->name, (long long)line, column, name);
    return fault_set(csv->fault, GR_BAD_DATA,
                     "%s:%lld: column %d '%s': '%.*s' is not a finite number", csv->name,
                     (long long)line, column, name, (int)(csv->size > 60 ? 60 : csv->size),
                     csv->text);
}

/* All rows into one matrix of doubles, [row, column]. */
static bool read_rows(Csv *csv, char **names, int columns, double **matrix, int64_t *rows) {
    size_t used = 0, room = 0;
    *rows = 0;
    *matrix = NULL;
    while (!at_end(csv)) {
        int64_t line = csv->line;
        int column = 0;
        do {
            if (!take_field(csv)) return false;
            trim(csv);
            double value = 0;
            if (column < columns && !number_parse(csv->text, csv->size, &value))
                if (!(csv->last && column == 0 && columns > 1)) /* then the row is too short */
                    return bad_field(csv, line, column + 1, names[column]);
            if (used == room) {
                room = room ? room * 2 : ROOM(4096, 1);
                *matrix = io_more(*matrix, room * sizeof **matrix);
            }
            if (column < columns) (*matrix)[used++] = value;
            column++;
        } while (!csv->last);
        if (column != columns)
            return fault_set(csv->fault, GR_BAD_DATA,
                             "%s:%lld: this row has %d field%s, the header has %d", csv->name,
                             (long long)line, column, column == 1 ? "" : "s", columns);
        (*rows)++;
    }
    if (!*rows)
        return fault_set(csv->fault, GR_BAD_DATA, "%s: there are no rows below the header",
                         csv->name);
    return true;
}

/* Which column each bound name has; `bound` by column. */
static bool bind(const Csv *csv, const GrSource *source, bool targets, const Data *data,
                 char **names, int count, const char **bound) {
    for (int i = 0; i < source->ncolumns; i++) {
        const GrColumn *wanted = &source->columns[i];
        int found = -1;
        for (int c = 0; c < count; c++) {
            if (strcmp(names[c], wanted->column)) continue;
            if (found >= 0)
                return fault_set(csv->fault, GR_BAD_DATA, "%s: has two columns '%s'", csv->name,
                                 wanted->column);
            found = c;
        }
        if (found < 0 && targets)
            return data_not_there(data, "column", wanted, (const char *const *)names, count,
                                  csv->fault);
        if (found >= 0) bound[found] = wanted->name;
    }
    return true;
}

static void make_fields(Data *data, char **names, const char *const *bound, int columns,
                        double *matrix) {
    int inputs = 0;
    data_own(data, matrix);
    for (int c = 0; c < columns; c++) {
        DataField *field = data_field(data, FIELD_COLUMN, FIELD_REAL);
        field->bound = bound[c];
        field->column = data_own(data, names[c]);
        field->count = 1;
        field->stride = columns;
        field->first = matrix + c;
        inputs += !bound[c];
    }
    data->input_text = io_format("%d unbound column%s", inputs, inputs == 1 ? "" : "s");
    if (!inputs) return;
    double *input = data_own(data, io_alloc((size_t)(data->count * inputs), sizeof *input));
    double *to = input;
    for (int64_t row = 0; row < data->count; row++)
        for (int c = 0; c < columns; c++)
            if (!bound[c]) *to++ = matrix[row * columns + c];
    DataField *field = data_field(data, FIELD_INPUT, FIELD_REAL);
    field->count = field->stride = inputs;
    field->first = input;
}

static void names_free(char **names, int count) {
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

bool csv_read(const GrSource *source, bool targets, Data *data, Fault *fault) {
    DataFile *file = &data->files[0];
    Csv csv = {.name = file->name,
               .at = (char *)file->bytes,
               .end = (char *)file->bytes + file->size,
               .line = 1,
               .fault = fault};
    char **names = NULL;
    int columns = 0;
    double *matrix = NULL;
    if (!read_names(&csv, &names, &columns)) {
        names_free(names, columns);
        return false;
    }
    const char **bound = io_alloc((size_t)columns, sizeof *bound);
    bool fine = bind(&csv, source, targets, data, names, columns, bound) &&
                read_rows(&csv, names, columns, &matrix, &data->count);
    if (fine) {
        make_fields(data, names, bound, columns, matrix);
        free(file->bytes);
        file->bytes = NULL;
        columns = 0; /* the fields have the names */
    } else {
        free(matrix);
    }
    names_free(names, columns);
    free(bound);
    return fine;
}
