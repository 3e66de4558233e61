/* SPDX-License-Identifier: MIT
 * Data sources in memory, the readers of formats, and sets of examples. Needs abi.h, io.h and
 * formats.def, the table of formats. Knows nothing of how a file is laid out. */
#ifndef GRADUS_DATA_H
#define GRADUS_DATA_H
#include "abi.h"
#include "io.h"

typedef enum FieldRole {
    FIELD_INPUT,  /* what the model's first input takes */
    FIELD_LABEL,  /* the label of a format that has just one */
    FIELD_COLUMN, /* a named column, perhaps bound to a name of the model */
    FIELD_KNOWN   /* what the runtime found out: a rank, the last loss */
} FieldRole;
typedef enum FieldKind {
    FIELD_REAL,  /* double */
    FIELD_FLOAT, /* float */
    FIELD_PIXEL, /* byte, stands for value / 255 in an input of the model, else for itself */
    FIELD_BYTE   /* byte, stands for itself */
} FieldKind;
typedef struct DataField {
    FieldRole role;
    FieldKind kind;
    const char *bound, *column; /* names, or NULL */
    int64_t count, stride;      /* values of one example; from one example to the next */
    int rank;                   /* and how they stand; 0: nobody knows */
    int64_t extent[GR_MAX_RANK];
    const void *first;
} DataField;

/* A file of a source: its name for messages and its bytes, unpacked and the reader's to change or
 * to free, and a zero behind them. */
typedef struct DataFile {
    char *name;
    unsigned char *bytes;
    size_t size;
} DataFile;

/* A source that has been read: `count` examples, each with a value of every field. */
typedef struct Data {
    const char *file; /* for messages: the first one's name */
    char *input_text; /* what an example's input is: "28 x 28 = 784 values" */
    char *no_input;   /* why there is none and what to do, or NULL */
    int64_t count;
    DataField *fields;
    int nfields;
    DataFile *files;
    int nfiles;
    void **owned; /* freed with it */
    int nowned;
    uint64_t hash; /* of the files' bytes, unpacked */
} Data;

/* A reader of a row of formats.def. `fits`: do the bytes look like it? `read` makes count, fields
 * and input_text of data->files, which there are as many of as the row allows; fields may point
 * into their bytes. `targets` false: what is bound may be missing (prediction). False,
 * with the file, what was found and what to do in `fault`, for anything that is not as the format
 * says. */
typedef struct DataReader {
    const char *name;
    bool (*fits)(const DataFile *file);
    bool (*read)(const GrSource *source, bool targets, Data *data, Fault *fault);
} DataReader;
extern const DataReader data_readers[];
extern const int data_reader_count;
#define FORMAT(name, ...)                                                                          \
    bool name##_fits(const DataFile *file);                                                        \
    bool name##_read(const GrSource *source, bool targets, Data *data, Fault *fault);
#include "formats.def"
#undef FORMAT

/* Where files are looked for, in this order; NULL where not given. */
typedef struct DataPlaces {
    const char *model_folder, *option, *variable;
} DataPlaces;

DataField *data_field(Data *data, FieldRole role, FieldKind kind); /* appends one */
/* What one example of it has: its shape, [rank], and so its count and stride. */
void data_extent(DataField *field, const int64_t *extent, int rank);
DataFile *data_file(Data *data, const char *name); /* likewise; without bytes */
void *data_own(Data *data, void *memory);          /* to be freed with `data`; gives it back */
char *data_shape(const int64_t *extent, int rank); /* "28 x 28 = 784 values" */
/* Where a file is, or NULL and where it was looked for. */
char *data_find(const char *name, const DataPlaces *places, Fault *fault);
bool data_open(const GrSource *source, const DataPlaces *places, Data *data, Fault *fault);
/* A file of any format, by its content; what it has a name for is bound as in `like` (may be NULL),
 * which may be of another format. */
bool data_open_file(const char *path, const GrSource *like, Data *data, Fault *fault);
/* Of files that are in data->files already, by the source's format. */
bool data_read(const GrSource *source, bool targets, Data *data, Fault *fault);
/* Frees all that belongs to it, after a fault too. */
void data_close(Data *data);
/* The fault of a name that is bound to something which the file does not have. */
bool data_not_there(const Data *data, const char *what, const GrColumn *wanted,
                    const char *const *names, int count, Fault *fault);
/* The field that feeds a program's input buffer: by name; counts and classes are checked. NULL
 * where there is none. */
const DataField *data_bind(const Data *data, const GrModel *model, const GrBuffer *buffer,
                           Fault *fault);
/* A number of each example that the runtime knows and programs read as example.NAME: made where it
 * is new, NAN everywhere. Before any program is bound to the source. */
double *data_known(Data *data, const char *name);
double data_value(const DataField *field, int64_t example, int64_t element);
uint64_t data_hash(uint64_t hash, const void *bytes, size_t size); /* FNV-1a; starts from 0 */

/* Examples of one source, by position there, rising. */
typedef struct Set {
    const char *name;
    Data *data;
    uint32_t *examples;
    int64_t count;
} Set;
/* Fills belongs[] of the examples of `from` by running the split program over them. */
typedef bool SetSplit(void *context, const GrProgram *program, const Set *from, uint8_t *belongs,
                      Fault *fault);
/* Makes the model's sets from its sources (those not needed may be unread: data->count 0 and the
 * set stays empty). What a set takes leaves the set it came from; an empty set is a fault. */
bool sets_make(const GrModel *model, Data *sources, Set *sets, SetSplit *split, void *context,
               Fault *fault);
#endif
