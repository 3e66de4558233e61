/* SPDX-License-Identifier: MIT
 * Tests of the data readers, of binding to a model, of sets and of batches: every error class.
 * Needs Criterion, zlib and runtime_fake.c. Starts no threads. */
#include "batch.h"
#include "data.h"
#include "philox.h"
#include <criterion/criterion.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static char folder[] = P_tmpdir "/gradus-data-XXXXXX";
static const DataPlaces here = {".", NULL, NULL};

static void enter(void) {
    cr_assert(mkdtemp(folder));
    cr_assert(!chdir(folder));
}

static void leave(void) {
    char *line = io_format("rm -rf '%s'", folder);
    if (!strstr(folder, "XXXXXX")) cr_assert(!system(line));
}
TestSuite(runtime_idx, .fini = leave);
TestSuite(runtime_csv, .fini = leave);
TestSuite(runtime_places, .fini = leave);
TestSuite(runtime_binding, .fini = leave);
TestSuite(runtime_batch, .fini = leave);

static void put_file(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    cr_assert(file && fwrite(bytes, 1, size, file) == size && !fclose(file));
}

static void put_gz(const char *path, const void *bytes, size_t size) {
    gzFile file = gzopen(path, "wb");
    cr_assert(gzwrite(file, bytes, (unsigned)size) == (int)size && gzclose(file) == Z_OK);
}

/* ---- idx */

/* Three images of 2 x 2 and their labels. */
#define IMAGES                                                                                     \
    "\0\0\10\3"                                                                                    \
    "\0\0\0\3"                                                                                     \
    "\0\0\0\2"                                                                                     \
    "\0\0\0\2"                                                                                     \
    "\0\1\2\3"                                                                                     \
    "\4\5\6\377"                                                                                   \
    "\200\11\12\13"
#define LABELS                                                                                     \
    "\0\0\10\1"                                                                                    \
    "\0\0\0\3"                                                                                     \
    "\2\0\1"
#define BYTES(text) text, sizeof text - 1
static const GrFile idx_files[] = {{.name = "images"}, {.name = "labels"}};
static const GrSource idx = {.format = "idx", .files = idx_files, .nfiles = 2};

static void idx_fails(const char *images, size_t nimages, const char *labels, size_t nlabels,
                      const char *told) {
    Data data;
    Fault fault = {0};
    put_file("images", images, nimages);
    put_file("labels", labels, nlabels);
    cr_assert(!data_open(&idx, &here, &data, &fault), "not refused: %s", told);
    cr_assert(strstr(fault.text, told), "'%s' does not say '%s'", fault.text, told);
    cr_assert_eq(fault.code, GR_BAD_DATA);
}

static void idx_reads(void) {
    Data data;
    Fault fault;
    cr_assert(data_open(&idx, &here, &data, &fault), "%s", fault.text);
    cr_assert_eq(data.count, 3);
    cr_assert_eq(data.nfields, 2);
    cr_assert_eq(data.fields[0].count, 4);
    cr_assert_eq(data_value(&data.fields[0], 1, 3), 1.0);
    cr_assert_eq(data_value(&data.fields[0], 2, 0), 128 / 255.0);
    cr_assert_eq(data_value(&data.fields[1], 0, 0), 2);
}

Test(runtime_idx, reads_plain_and_packed) {
    enter();
    put_file("images", BYTES(IMAGES));
    put_file("labels", BYTES(LABELS));
    idx_reads();
    put_gz("images", BYTES(IMAGES)); /* by content, not by name */
    idx_reads();
    unlink("images");
    put_gz("images.gz", BYTES(IMAGES)); /* and found with .gz put on */
    idx_reads();
    unlink("images.gz");
    put_file("images", BYTES(IMAGES)); /* or taken off */
    GrSource packed = idx;
    packed.files = (const GrFile[]){{.name = "images.gz"}, {.name = "labels"}};
    Data data;
    Fault fault;
    cr_assert(data_open(&packed, &here, &data, &fault), "%s", fault.text);
}

Test(runtime_idx, refuses_every_fault) {
    enter();
    idx_fails(BYTES("\1\0\10\3\0\0\0\3"), BYTES(LABELS), "no idx file");
    idx_fails(BYTES(""), BYTES(LABELS), "no idx file");
    idx_fails(BYTES("\0\0\15\3\0\0\0\3"), BYTES(LABELS), "type 0x0d");
    idx_fails(BYTES("\0\0\10\0"), BYTES(LABELS), "0 dimensions");
    idx_fails(BYTES("\0\0\10\11"), BYTES(LABELS), "9 dimensions");
    idx_fails(BYTES("\0\0\10\3"
                    "\0\0\0"),
              BYTES(LABELS), "inside its header");
    idx_fails(IMAGES, sizeof IMAGES - 2, BYTES(LABELS), "truncated");
    idx_fails(IMAGES, sizeof IMAGES, BYTES(LABELS), "after its end");
    idx_fails(BYTES("\0\0\10\3"
                    "\0\0\0\0"
                    "\0\0\0\2"
                    "\0\0\0\2"),
              BYTES(LABELS), "no examples");
    idx_fails(BYTES("\0\0\10\3\377\377\377\377\377\377\377\377\377\377\377\377"), BYTES(LABELS),
              "impossibly large");
    /* sizes that are 0 modulo 2^64: of an example, of all */
    idx_fails(BYTES("\0\0\10\4\0\0\0\1\200\0\0\0\200\0\0\0\0\0\0\4"), BYTES(LABELS),
              "impossibly large");
    idx_fails(BYTES("\0\0\10\3\0\0\0\4\200\0\0\0\200\0\0\0"), BYTES(LABELS), "impossibly large");
    idx_fails(BYTES(IMAGES),
              BYTES("\0\0\10\1"
                    "\0\0\0\2"
                    "\1\1"),
              "2 labels");
    idx_fails(BYTES(LABELS), BYTES(IMAGES), "swapped");
    idx_fails(BYTES(IMAGES), LABELS, sizeof LABELS - 2, "truncated");
}

Test(runtime_idx, refuses_damaged_gzip) {
    static unsigned char big[100000];
    unsigned char *bytes;
    size_t size;
    Fault fault;
    enter();
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (unsigned char)(i * i >> 3);
    put_gz("g", big, sizeof big);
    cr_assert(io_read_file("g", &bytes, &size, &fault));
    for (size_t cut = 2; cut < size; cut += 1 + size / 50) {
        unsigned char *copy = memcpy(malloc(size), bytes, size);
        size_t left = cut;
        cr_assert(!io_gunzip("g", &copy, &left, &fault), "cut at %zu", cut);
        cr_assert(strstr(fault.text, "truncated"), "%s", fault.text);
    }
    unsigned char *copy = memcpy(malloc(size + 3), bytes, size);
    size_t whole = size;
    copy[size / 2] ^= 0x40;
    cr_assert(!io_gunzip("g", &copy, &whole, &fault) && strstr(fault.text, "damaged"));
    copy = memcpy(malloc(size + 3), bytes, size);
    memcpy(copy + size, "abc", 3);
    whole = size + 3;
    cr_assert(!io_gunzip("g", &copy, &whole, &fault) && strstr(fault.text, "follow its end"));
    copy = malloc(2 * size); /* two members are one stream */
    memcpy(copy, bytes, size), memcpy(copy + size, bytes, size);
    whole = 2 * size;
    cr_assert(io_gunzip("g", &copy, &whole, &fault));
    cr_assert_eq(whole, 2 * sizeof big);
    cr_assert(!memcmp(copy + sizeof big, big, sizeof big));
}

/* ---- CSV */

static const GrColumn columns[] = {{"kind", "class"}};
static const GrFile csv_files[] = {{.name = "t.csv"}};
static const GrSource csv = {
    .format = "csv", .files = csv_files, .nfiles = 1, .columns = columns, .ncolumns = 1};

static bool csv_opens(const char *text, Data *data, Fault *fault) {
    put_file("t.csv", text, strlen(text));
    return data_open(&csv, &here, data, fault);
}

static void csv_fails(const char *text, const char *told) {
    Data data;
    Fault fault = {0};
    cr_assert(!csv_opens(text, &data, &fault), "not refused: %s", told);
    cr_assert(strstr(fault.text, told), "'%s' does not say '%s'", fault.text, told);
    cr_assert_eq(fault.code, GR_BAD_DATA);
}

Test(runtime_csv, reads_rfc_4180) {
    static const char *const texts[] = {
        "a,class,b\n1,0,2.5\n-3e1,1,4\n",
        "a,class,b\r\n1,0,2.5\r\n-3e1,1,4\r\n",
        "a,class,b\n1,0,2.5\n-3e1,1,4",
        ("\xef\xbb\xbf" /* a byte order mark */
         "a,class,b\n1,0,2.5\n-3e1,1,4\n\n\n"),
        "\"a\",\"class\",\"b\"\n\"1\",0,\"2.5\"\n-3e1,\"1\",4\n",
        " a , class,b\n 1,0 ,2.5\n-3e1,\t1,4\n",
    };
    enter();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        Data data;
        Fault fault;
        cr_assert(csv_opens(texts[i], &data, &fault), "%zu: %s", i, fault.text);
        cr_assert(data.count == 2 && data.nfields == 4);
        const DataField *input = &data.fields[3];
        cr_assert(input->role == FIELD_INPUT && input->count == 2);
        cr_assert(data_value(input, 0, 0) == 1 && data_value(input, 0, 1) == 2.5);
        cr_assert(data_value(input, 1, 0) == -30 && data_value(input, 1, 1) == 4);
        cr_assert(!strcmp(data.fields[1].bound, "kind") && data_value(&data.fields[1], 1, 0) == 1);
    }
}

Test(runtime_csv, a_byte_order_mark_is_no_name) {
    Data data;
    Fault fault;
    enter();
    cr_assert(csv_opens("\357\273\277class,a\n1,0.5\n", &data, &fault), "%s", fault.text);
    cr_assert_str_eq(data.fields[0].column, "class");
}

Test(runtime_csv, quoted_names_hold_anything) {
    Data data;
    Fault fault;
    enter();
    cr_assert(csv_opens("\"a, \"\"x\"\"\nz\",class\n7,0\n", &data, &fault), "%s", fault.text);
    cr_assert_str_eq(data.fields[0].column, "a, \"x\"\nz");
}

Test(runtime_csv, does_not_care_for_the_locale) {
    Data data;
    Fault fault;
    enter();
    setlocale(LC_ALL, "de_DE.UTF-8"); /* where it is there, the point is a comma */
    cr_assert(csv_opens("a,class\n1.23456789012345678901,0\n", &data, &fault), "%s", fault.text);
    setlocale(LC_ALL, "C");
    cr_assert_eq(data_value(&data.fields[0], 0, 0), 1.23456789012345678901);
}

Test(runtime_csv, refuses_every_fault_with_its_place) {
    enter();
    csv_fails("", "empty");
    csv_fails("\n\n", "empty");
    csv_fails("1,2,3\n4,5,6\n", "header missing");
    csv_fails("a;class\n1;2\n", "semicolons");
    csv_fails("a,class\n", "no rows");
    csv_fails("a,clas\n1,2\n", "did you mean 'clas'");
    csv_fails("a,clas\n1,2\n", "columns: a, clas");
    csv_fails("a,class,class\n1,2,3\n", "two columns 'class'");
    csv_fails("a,class\n1,0\nx7,1\n", "t.csv:3: column 1 'a': 'x7' is not a finite number");
    csv_fails("a,class\n1,setosa\n", "t.csv:2: column 2 'class': 'setosa'");
    csv_fails("a,class\n1,0\n2,\n", "t.csv:3: column 2 'class' is empty");
    csv_fails("a,class\nnan,0\n", "not a finite");
    csv_fails("a,class\n1e999,0\n", "not a finite");
    csv_fails("a,class\n1,0\n1,0,5\n", "t.csv:3: this row has 3 fields, the header has 2");
    csv_fails("a,class\n1,0\n7\n", "t.csv:3: this row has 1 field,");
    csv_fails("a,class\n1,0\n\n1,0\n", "t.csv:3: this row has 1 field,");
    csv_fails("a,class\n1,\"0\n", "t.csv:2: a quoted field does not end");
    csv_fails("a,class\n1,\"0\"x\n", "t.csv:2: after a closing quote");
    csv_fails("a,class\n1,0\"\n", "t.csv:2: a quote inside");
    csv_fails("\"a\nb\",class\n1,0\nx,0\n", "t.csv:4:"); /* a name of two lines counts as two */
}

Test(runtime_csv, is_chosen_by_content) {
    Data data;
    Fault fault;
    enter();
    put_file("some", BYTES("a,b\n1,2\n")); /* the target's column may be missing here */
    cr_assert(data_open_file("some", &csv, &data, &fault), "%s", fault.text);
    cr_assert_eq(data.fields[2].count, 2);
    put_file("some", BYTES(IMAGES));
    cr_assert(data_open_file("some", &csv, &data, &fault), "%s", fault.text);
    cr_assert(data.count == 3 && data.nfields == 1);
    put_file("some", BYTES("\x89PNG\r\n\x1a\n\0\0\0"));
    cr_assert(!data_open_file("some", &csv, &data, &fault) && strstr(fault.text, "csv"));
}

/* Cut and changed at random, a file is read or refused; nothing else (run with sanitizers too). */
Test(runtime_readers, survive_anything) {
    static const char text[] = "\"a\",class,b\r\n1,0,2.5\n\"-3e1\",1,4\n7,\"2\",1e-3\n";
    static const char odd[] = "\",\r\n;.eE+-0\0\xff"
                              "a";
    for (uint32_t i = 0; i < 40000; i++) {
        Philox draw = philox(5, i, 0, 0, 0);
        const char *from = i % 2 ? IMAGES : text;
        size_t size = i % 2 ? sizeof IMAGES - 1 : sizeof text - 1;
        Data data = {0};
        DataFile *file = data_file(&data, "f");
        Fault fault = {0};
        file->bytes = memcpy(malloc(size + 1), from, size);
        for (int k = 0; k < 3; k++) {
            uint32_t at = draw.word[k] % (uint32_t)size, what = draw.word[k] >> 16;
            file->bytes[at] =
                k ? (unsigned char)odd[what % (sizeof odd - 1)] : (unsigned char)what;
        }
        file->size = i % 3 == 0 ? draw.word[3] % size : size;
        file->bytes[file->size] = 0;
        bool ok = data_read(i % 2 ? &idx : &csv, i % 5 == 0, &data, &fault);
        cr_assert(ok ? data.count > 0 : fault.code == GR_BAD_DATA && *fault.text);
        for (int f = 0; ok && f < data.nfields; f++) /* its last value is inside */
            (void)data_value(&data.fields[f], data.count - 1, data.fields[f].count - 1);
        data_close(&data);
    }
}

/* ---- Where files are */

Test(runtime_places, says_all_places) {
    Data data;
    Fault fault;
    enter();
    DataPlaces places = {"/models", "/option", "/variable"};
    cr_assert(!data_open(&csv, &places, &data, &fault));
    cr_assert(strstr(fault.text, "/models/t.csv") && strstr(fault.text, "/option/t.csv") &&
              strstr(fault.text, "/variable/t.csv") && strstr(fault.text, "--data=DIR"));
    cr_assert(!data_open(&csv, &(DataPlaces){NULL, NULL, NULL}, &data, &fault));
    cr_assert(strstr(fault.text, "$GRADUS_DATA is not set"));
    put_file("t.csv", BYTES("a,class\n1,0\n"));
    cr_assert(data_open(&csv, &(DataPlaces){"/models", NULL, "."}, &data, &fault));
    cr_assert_str_eq(data.file, "./t.csv");
}

Test(runtime_places, embedded_needs_no_file) {
    static const char text[] = "a,class\n1,0\n5,1\n";
    GrSource source = csv;
    Data data;
    Fault fault;
    source.files = (const GrFile[]){{"t.csv", (const unsigned char *)text, sizeof text - 1}};
    cr_assert(data_open(&source, &(DataPlaces){NULL, NULL, NULL}, &data, &fault), "%s", fault.text);
    cr_assert(data.count == 2 && strstr(data.file, "embedded"));
}

/* ---- Binding */

static const char *const inputs[] = {"x"}, *const outputs[] = {"kind", "other"};
static const GrModel model = {
    .name = "m", .inputs = inputs, .ninputs = 1, .outputs = outputs, .noutputs = 2};

static const DataField *bind(const Data *data, const char *name, int64_t count, int classes,
                             Fault *fault) {
    GrBuffer buffer = {.name = name,
                       .count = count,
                       .rank = 1,
                       .extent = {count},
                       .bytes = 4,
                       .per_example = 1,
                       .classes = classes};
    return data_bind(data, &model, &buffer, fault);
}

Test(runtime_binding, by_name_else_by_position) {
    Data data;
    Fault fault;
    enter();
    cr_assert(csv_opens("a,class,b\n1,0,2\n3,1,4\n", &data, &fault));
    cr_assert_eq(bind(&data, "x", 2, 0, &fault), &data.fields[3]);
    cr_assert_eq(bind(&data, "kind.target", 1, 2, &fault), &data.fields[1]);
    cr_assert_eq(bind(&data, "example.label", 1, 2, &fault), &data.fields[1]);
    cr_assert_eq(bind(&data, "example.kind", 1, 0, &fault), &data.fields[1]);
    cr_assert_eq(bind(&data, "example.class", 1, 0, &fault), &data.fields[1]);
    cr_assert_eq(bind(&data, "example.b", 1, 0, &fault), &data.fields[2]);
    cr_assert(!bind(&data, "example.c", 1, 0, &fault) && strstr(fault.text, "a, class, b"));
    cr_assert(!bind(&data, "other.target", 1, 0, &fault) && strstr(fault.text, "'other'"));
    cr_assert(!bind(&data, "x", 4, 0, &fault) && strstr(fault.text, "t.csv") &&
              strstr(fault.text, "2 unbound columns") && strstr(fault.text, "takes 4"));
    cr_assert(!bind(&data, "kind.target", 3, 0, &fault) && strstr(fault.text, "takes 3"));
    put_file("images", BYTES(IMAGES));
    put_file("labels", BYTES(LABELS));
    cr_assert(data_open(&idx, &here, &data, &fault));
    cr_assert_eq(bind(&data, "kind.target", 1, 3, &fault), &data.fields[1]);
    cr_assert(!bind(&data, "other.target", 1, 3, &fault));
    cr_assert(!bind(&data, "x", 784, 0, &fault) && strstr(fault.text, "2 x 2 = 4 values"));
}

Test(runtime_binding, classes_are_checked) {
    Data data;
    Fault fault;
    enter();
    cr_assert(csv_opens("a,class\n1,0\n3,2\n", &data, &fault));
    cr_assert(bind(&data, "kind.target", 1, 3, &fault));
    cr_assert(!bind(&data, "kind.target", 1, 2, &fault));
    cr_assert(strstr(fault.text, "t.csv") && strstr(fault.text, "example 1 has class 2") &&
                  strstr(fault.text, "class[2]"),
              "%s", fault.text);
    cr_assert(csv_opens("a,class\n1,0.5\n", &data, &fault));
    cr_assert(!bind(&data, "kind.target", 1, 3, &fault) && strstr(fault.text, "0.5"));
    cr_assert(csv_opens("a,class\n1,-1\n", &data, &fault));
    cr_assert(!bind(&data, "kind.target", 1, 3, &fault));
}

/* ---- Sets */

static bool by_program(void *context, const GrProgram *program, const Set *from, uint8_t *belongs,
                       Fault *fault) {
    (void)context, (void)fault;
    for (int64_t i = 0; i < from->data->count; i++)
        belongs[i] = i % program->batch == 0;
    return true;
}

Test(runtime_sets, what_is_taken_leaves) {
    const GrProgram programs[] = {{.batch = 2}, {.batch = 3}, {.batch = 1}};
    const GrSet rows[] = {{"validation", 0, 2, 0}, {"test", 0, 2, 1}, {"train", 0, -1, -1}};
    GrModel m = {.programs = programs, .nprograms = 3, .sets = rows, .nsets = 3};
    Data data = {.file = "d", .count = 12};
    Set sets[3] = {{0}, {0}, {0}};
    Fault fault;
    cr_assert(sets_make(&m, &data, sets, by_program, NULL, &fault), "%s", fault.text);
    cr_assert(sets[0].count == 6 && sets[0].examples[1] == 2);
    cr_assert(sets[1].count == 2 && sets[1].examples[0] == 3 && sets[1].examples[1] == 9);
    cr_assert(sets[2].count == 4 && sets[2].examples[0] == 1 && sets[2].examples[3] == 11);
}

Test(runtime_sets, empty_is_a_fault) {
    const GrProgram programs[] = {{.batch = 1}};
    const GrSet rows[] = {{"train", 0, -1, -1}, {"validation", 0, 0, 0}};
    GrModel m = {.programs = programs, .nprograms = 1, .sets = rows, .nsets = 2};
    Data data = {.file = "d.csv", .count = 5};
    Set sets[2] = {{0}, {0}};
    Fault fault;
    cr_assert(!sets_make(&m, &data, sets, by_program, NULL, &fault));
    cr_assert(strstr(fault.text, "'train'") && strstr(fault.text, "empty") &&
              fault.code == GR_BAD_DATA);
}

/* ---- Batches */

static char mem[1 << 16] __attribute__((aligned(64)));

Test(runtime_batch, fills_lanes) {
    static const GrBuffer buffers[] = {
        {.name = "x", .offset = 0, .count = 4, .rank = 1, .extent = {4}, .bytes = 4, .per_example = 1},
        {.name = "kind.target", .offset = 4096, .count = 1, .bytes = 8, .per_example = 1, .classes = 3},
        {.name = "live", .offset = 8192, .count = 1, .bytes = 4, .per_example = 1},
        {.name = "example.number", .offset = 12288, .count = 1, .bytes = 4, .per_example = 1}};
    const GrProgram program = {.name = "p",
                               .batch = 32,
                               .inputs = buffers,
                               .ninputs = 4,
                               .number_offset = 16384,
                               .presentation_offset = 20480};
    uint32_t examples[20], presented[3] = {5, 6, 7};
    Batch batch;
    Data data;
    Fault fault;
    enter();
    put_file("images", BYTES(IMAGES));
    put_file("labels", BYTES(LABELS));
    cr_assert(data_open(&idx, &here, &data, &fault));
    cr_assert(batch_bind(&batch, &model, &program, mem, &data, &fault), "%s", fault.text);
    for (uint32_t i = 0; i < 20; i++)
        examples[i] = (i * 2 + 1) % 3;
    batch.examples = examples;
    batch.live = 19;
    batch.presented = presented;
    memset(mem, 0x55, sizeof mem);
    for (int64_t unit = batch_units(&batch); unit-- > 0;)
        batch_fill(&batch, unit, unit + 1);
    for (int at = 0; at < 32; at++) {
        uint32_t example = examples[at < 19 ? at : 18]; /* spare lanes: a copy of the last */
        int block = at / 16, lane = at % 16;
        for (int e = 0; e < 4; e++) {
            unsigned char byte = (unsigned char)IMAGES[16 + example * 4 + (uint32_t)e];
            cr_assert_eq(((float *)mem)[(block * 4 + e) * 16 + lane], (float)byte / 255.0f);
        }
        cr_assert_eq(((double *)(mem + 4096))[at], LABELS[8 + example]);
        cr_assert_eq(((float *)(mem + 8192))[at], at < 19);
        cr_assert_eq(((float *)(mem + 12288))[at], (float)example);
        cr_assert_eq(((uint32_t *)(mem + 16384))[at], example);
        cr_assert_eq(((uint32_t *)(mem + 20480))[at], example + 5);
    }
    cr_assert_eq(mem[2 * 4 * 16 * 4], 0x55, "no more than two blocks are written");
    data_close(&data);
}

Test(runtime_batch, rounds_once_in_the_type_of_the_program) {
    static const GrBuffer wide[] = {
        {.name = "x", .count = 2, .rank = 1, .extent = {2}, .bytes = 8, .per_example = 1}};
    static const GrBuffer narrow[] = {
        {.name = "x", .count = 2, .rank = 1, .extent = {2}, .bytes = 4, .per_example = 1}};
    GrProgram program = {
        .batch = 16, .inputs = wide, .ninputs = 1, .number_offset = -1, .presentation_offset = -1};
    uint32_t first = 0;
    Batch batch;
    Data data;
    Fault fault;
    enter();
    cr_assert(csv_opens("a,class,b\n0.1,0,16777217\n", &data, &fault));
    cr_assert(batch_bind(&batch, &model, &program, mem, &data, &fault));
    batch.examples = &first;
    batch.live = 1;
    batch_fill(&batch, 0, batch_units(&batch));
    cr_assert_eq(((double *)mem)[3], 0.1);
    cr_assert_eq(((double *)mem)[16], 16777217);
    program.inputs = narrow;
    batch_fill(&batch, 0, batch_units(&batch));
    cr_assert_eq(((float *)mem)[3], 0.1f);
    cr_assert_eq(((float *)mem)[16], 16777216.0f);
}
