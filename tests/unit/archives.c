/* SPDX-License-Identifier: MIT
 * Tests of the reader of npz: what NumPy itself wrote (numpy/record.py), which arrays are bound,
 * and what a zip file may have wrong. Needs readers_kit.h. What an array may have wrong is in
 * readers.c. */
#define _GNU_SOURCE
#include "readers_kit.h"

static void check_archive(const char *path, const GrColumn *columns, int count) {
    GrFile file = {.name = path};
    GrSource source = {
        .format = "npz", .files = &file, .nfiles = 1, .columns = columns, .ncolumns = count};
    Data data;
    Fault fault = {0};
    cr_assert(data_open(&source, &nowhere, &data, &fault), "%s", fault.text);
    cr_assert_eq(data.nfields, count);
    for (int i = 0; i < count; i++) {
        cr_assert_str_eq(data.fields[i].bound, columns[i].name);
        check_numbers(&data, &data.fields[i], columns[i].column);
    }
    data_close(&data);
}

Test(archives, reads_every_type_order_and_packing) {
    GrColumn columns[80];
    char names[80][8];
    int count = 0;
    for (const char *type = "b1u1u2u4u8i1i2i4i8f4f8"; *type; type += 2)
        for (const char *end = type[1] == '1' ? "-" : "lb"; *end; end++)
            for (const char *order = "CF"; *order; order++, count++) {
                snprintf(names[count], sizeof *names, "%.2s%s%c", type,
                         *end == 'l'   ? "le"
                         : *end == 'b' ? "be"
                                       : "",
                         *order);
                columns[count] = (GrColumn){names[count], names[count]};
            }
    cr_assert_eq(count, 38);
    check_archive(FOLDER "plain.npz", columns, count);
    check_archive(FOLDER "packed.npz", columns, count);
}

Test(archives, reads_wide_sizes) {
    const GrColumn column = {"x", "f4"};
    check_archive(FOLDER "wide.npz", &column, 1);
}

Test(archives, binds_one_array_to_two_names) {
    const GrColumn columns[] = {{"x", "i8beF"}, {"y", "i8beF"}};
    check_archive(FOLDER "packed.npz", columns, 2); /* each is swapped once */
}

Test(archives, the_one_array_without_a_name_is_the_input) {
    const char *path = FOLDER "plain.npz";
    GrFile file = {.name = path};
    GrSource source = {.format = "npz", .files = &file, .nfiles = 1};
    Data data;
    Fault fault = {0};
    cr_assert(!data_open(&source, &nowhere, &data, &fault));
    cr_assert(strstr(fault.text, "several arrays") && strstr(fault.text, "b1C, b1F, u1C"), "%s",
              fault.text);
    data_close(&data);
    source.columns = &(GrColumn){"y", "u2leC"};
    source.ncolumns = 1;
    cr_assert(data_open(&source, &nowhere, &data, &fault), "%s", fault.text);
    static const char *const inputs[] = {"x"}, *const outputs[] = {"y"};
    GrModel model = {
        .name = "m", .inputs = inputs, .ninputs = 1, .outputs = outputs, .noutputs = 1};
    GrBuffer x = {.name = "x", .count = 6, .rank = 1, .extent = {6}};
    cr_assert(!data_bind(&data, &model, &x, &fault));
    cr_assert(strstr(fault.text, "input 'x'") && strstr(fault.text, "NAME = \""), "%s", fault.text);
    data_close(&data);
    source.columns = &(GrColumn){"y", "u2lC"};
    cr_assert(!data_open(&source, &nowhere, &data, &fault));
    cr_assert(strstr(fault.text, "has no array 'u2lC' (bound to 'y'); did you mean 'u2leC'?"), "%s",
              fault.text);
    data_close(&data);
    source.columns = NULL, source.ncolumns = 0; /* prediction: what is bound may be missing */
    cr_assert(!data_open_file(path, &source, &data, &fault));
    data_close(&data);
}

/* ---- npz: what a zip file may have wrong */

/* In prediction what is bound may be missing; what is no array never counts. */
Test(archives, the_input_is_found_among_other_things) {
    const GrColumn columns[] = {{"kind", "kind"}, {"w", "weight"}};
    GrSource like = {.format = "npz", .columns = columns, .ncolumns = 2};
    Data data;
    Fault fault = {0};
    cr_assert(data_open_file(FOLDER "points.npz", &like, &data, &fault), "%s", fault.text);
    cr_assert(data.count == 8 && data.nfields == 3 && data.fields[2].role == FIELD_INPUT);
    cr_assert_eq(data_value(&data.fields[2], 1, 1), 3 / 4.0);
    data_close(&data);
    cr_assert(data_open_file(FOLDER "wide.npz", &like, &data, &fault), "%s", fault.text);
    cr_assert(data.nfields == 1 && data.fields[0].role == FIELD_INPUT);
    data_close(&data);
}

/* What a training's CSV binds an archive has a name for, too; and what it has not is told. */
Test(archives, names_are_those_of_the_training_in_another_format) {
    const GrColumn columns[] = {{"kind", "kind"}, {"w", "weight"}, {"far", "distance"}};
    const GrSource like = {.format = "csv", .columns = columns, .ncolumns = 3};
    static const char *const inputs[] = {"x", "w", "far"};
    GrModel model = {.name = "m", .inputs = inputs, .ninputs = 3, .sources = &like, .nsources = 1};
    GrBuffer x = {.name = "x", .count = 3, .rank = 1, .extent = {3}}, w = {.name = "w", .count = 1},
             far = {.name = "far", .count = 1};
    Data data;
    Fault fault = {0};
    cr_assert(data_open_file(FOLDER "points.npz", &like, &data, &fault), "%s", fault.text);
    cr_assert(data_bind(&data, &model, &x, &fault) && data_bind(&data, &model, &w, &fault), "%s",
              fault.text);
    cr_assert(!data_bind(&data, &model, &far, &fault));
    cr_assert(strstr(fault.text, "nothing for 'far', which its data call 'distance', of model 'm'"),
              "%s", fault.text);
    data_close(&data);
    cr_assert(!data_open_file(FOLDER "points.npz", NULL, &data, &fault));
    cr_assert(strstr(fault.text, "name it as there"), "%s", fault.text);
    data_close(&data);
}

/* The archive with other bytes at a place counted from the first of these. */
typedef struct Change {
    const char *path, *from;
    long at;
    const char *with;
    size_t length;
    const char *told;
} Change;

static void changed(const Change *change, const char *member) {
    unsigned char *bytes;
    size_t size;
    Fault fault = {0};
    cr_assert(io_read_file(change->path, &bytes, &size, &fault), "%s", fault.text);
    unsigned char *from = memmem(bytes, size, change->from, 4);
    cr_assert(from);
    memcpy(from + change->at, change->with, change->length);
    Given archive = given("npz", bytes, size);
    const GrColumn column = {"x", member};
    archive.source.columns = &column;
    archive.source.ncolumns = 1;
    fails(&archive, change->told);
    free(bytes);
}

#define END "PK\5\6"
#define END_64 "PK\6\6"
#define ENTRY "PK\1\2"
#define LOCAL "PK\3\4"
#define PACKED FOLDER "packed.npz"
#define WIDE FOLDER "wide.npz"

Test(archives, refuses_every_fault) {
    static const Change packed[] = {
        {PACKED, END, 16, BYTES("\0\0\0\0"), "list of members is not where it says"},
        {PACKED, END, 16, BYTES("\xfe\xff\xff\xff"), "list of members is not where it says"},
        {PACKED, END, 10, BYTES("\xfe\xff"), "list of members is not where it says"},
        {PACKED, END, 0, BYTES("QK"), "no list of members at its end"},
        {PACKED, END, 20, BYTES("\1"), "no list of members at its end"},
        {PACKED, ENTRY, 8, BYTES("\1"), "is encrypted"},
        {PACKED, ENTRY, 10, BYTES("\14"), "packed by method 12"},
        {PACKED, ENTRY, 10, BYTES("\0"), "the archive is damaged"}, /* stored, but other sizes */
        {PACKED, ENTRY, 16, BYTES("\0\0\0\0"), "checksum is wrong"},
        {PACKED, ENTRY, 24, BYTES("\xff\xff\xff\x7f"), "bytes cannot be 2147483647, unpacked"},
        {PACKED, ENTRY, 24, BYTES("\1\1\0\0"), "the packed data is damaged"},
        {PACKED, ENTRY, 20, BYTES("\xff\xff\xff\x7f"), "reaches over its end"},
        {PACKED, ENTRY, 20, BYTES("\5\0\0\0"), "the packed data is damaged"},
        {PACKED, ENTRY, 28, BYTES("\xff\xff"), "list of members ends early"},
        {PACKED, ENTRY, 32, BYTES("\1"), "list of members is not where it says"},
        {PACKED, ENTRY, 42, BYTES("\1\0\0\0"), "a member is not where it says"},
        {PACKED, ENTRY, 42, BYTES("\xfe\xff\xff\xff"), "a member is not where it says"},
        {PACKED, LOCAL, 26, BYTES("\xff\xff"), "reaches over its end"},
        {PACKED, LOCAL, 60, BYTES("\xff\xff\xff\xff"), "the packed data is damaged"},
    };
    static const Change wide[] = {
        {WIDE, END_64, 0, BYTES("QK"), "its end is not where it says"},
        {WIDE, END_64, 32, BYTES("\2"), "list of members is not where it says"},
        {WIDE, END_64, 48, BYTES("\1"), "list of members is not where it says"},
        {WIDE, END, -12, BYTES("\xff\xff"), "its end is not where it says"}, /* in what finds it */
        {WIDE, END, -20, BYTES("QK"), "list of members is not where it says"},
        {WIDE, ENTRY, 52 + 2, BYTES("\27"), "a size of a member is missing"},
        {WIDE, ENTRY, 52 + 2, BYTES("\31"), "a field of a member ends early"},
        {WIDE, ENTRY, 52, BYTES("\2"),
         "a member is not where it says"}, /* another field: no wide sizes */
        {WIDE, ENTRY, 52 + 4, BYTES("\1"), "the archive is damaged"},
        {WIDE, ENTRY, 52 + 20, BYTES("\1"), "a member is not where it says"},
    };
    for (size_t i = 0; i < sizeof packed / sizeof *packed; i++)
        changed(&packed[i], "b1C"); /* the first member */
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        changed(&wide[i], "f4");
    Given from = given("npz", BYTES("PK\3\4"));
    fails(&from, "is no zip archive");
    from = given("npz", BYTES("PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"));
    fails(&from, "holds no arrays");
}
