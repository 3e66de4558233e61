/* SPDX-License-Identifier: MIT
 * Tests of the readers of npy and cifar, and of all rows of formats.def together: what NumPy itself
 * wrote (numpy/record.py), and every fault. Needs readers_kit.h. npz is in archives.c, idx and CSV
 * are in runtime_data.c. */
#include "readers_kit.h"

/* Bytes are pixels in an input, numbers elsewhere; truth values are numbers everywhere. */
Test(readers, bytes_are_pixels_of_inputs_alone) {
    GrFile file = {.name = FOLDER "plain.npz"};
    const GrColumn columns[] = {{"x", "u1C"}, {"y", "u1F"}, {"mask", "b1C"}};
    GrSource source = {
        .format = "npz", .files = &file, .nfiles = 1, .columns = columns, .ncolumns = 3};
    static const char *const inputs[] = {"x", "mask"}, *const outputs[] = {"y"};
    GrModel model = {
        .name = "m", .inputs = inputs, .ninputs = 2, .outputs = outputs, .noutputs = 1};
    GrBuffer x = {.name = "x", .count = 6, .rank = 2, .extent = {2, 3}}, y = x, mask = x;
    y.name = "y.target", mask.name = "mask";
    Data data;
    Fault fault = {0};
    cr_assert(data_open(&source, &nowhere, &data, &fault), "%s", fault.text);
    const DataField *field = data_bind(&data, &model, &x, &fault);
    cr_assert(field && data_value(field, 3, 5) == 26 / 255.0);
    field = data_bind(&data, &model, &y, &fault);
    cr_assert(field && data_value(field, 3, 5) == 26);
    field = data_bind(&data, &model, &mask, &fault);
    cr_assert(field && data_value(field, 0, 1) == 1);
    x.extent[0] = 3, x.extent[1] = 2; /* as many values, transposed */
    cr_assert(!data_bind(&data, &model, &x, &fault) && strstr(fault.text, "another order"), "%s",
              fault.text);
    cr_assert(strstr(fault.text, "2 x 3 = 6 values") && strstr(fault.text, "[3, 2]"));
    x.rank = 1, x.extent[0] = 6; /* flat */
    cr_assert(data_bind(&data, &model, &x, &fault));
    x.rank = 4, x.extent[0] = x.extent[2] = 1, x.extent[1] = 2, x.extent[3] = 3;
    cr_assert(data_bind(&data, &model, &x, &fault));
    data_close(&data);
}

/* ---- npy */

Test(readers, npy_reads_each_version) {
    static const char *const paths[] = {FOLDER "version1.npy", FOLDER "version2.npy",
                                        FOLDER "version3.npy"};
    for (int i = 0; i < 3; i++) {
        GrFile files[] = {{.name = paths[i]}, {.name = FOLDER "labels.npy"}};
        GrSource source = {.format = "npy", .files = files, .nfiles = 2};
        Data data;
        Fault fault = {0};
        cr_assert(data_open(&source, &nowhere, &data, &fault), "%s", fault.text);
        check_numbers(&data, &data.fields[0], "f4");
        cr_assert(data.fields[0].role == FIELD_INPUT && data.fields[1].role == FIELD_LABEL);
        cr_assert_str_eq(data.input_text, "2 x 3 = 6 values");
        cr_assert(data.fields[1].count == 1 && data_value(&data.fields[1], 1, 0) == 2);
        data_close(&data);
        cr_assert(data_open_file(paths[i], NULL, &data, &fault), "%s", fault.text);
        check_numbers(&data, &data.fields[0], "f4");
        data_close(&data);
    }
}

Test(readers, npy_refuses_what_is_no_number) {
    static const struct {
        const char *path, *told;
    } rows[] = {{FOLDER "half.npy", "type '<f2'"},
                {FOLDER "objects.npy", "type '|O' (Python objects)"},
                {FOLDER "records.npy", "records of several fields"},
                {FOLDER "texts.npy", "type '<U2'"},
                {FOLDER "single.npy", "holds a single number"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Given from = given("npy", NULL, 0);
        from.files[0].name = rows[i].path;
        fails(&from, rows[i].told);
    }
}

/* An array of version 1 with this dictionary, and the numbers behind it. */
static Given array(const char *dictionary, const void *numbers, size_t size) {
    static unsigned char room[4][500];
    static int next;
    unsigned char *bytes = room[next++ % 4];
    size_t length = strlen(dictionary);
    memcpy(bytes, "\x93NUMPY\1\0", 8);
    bytes[8] = (unsigned char)length, bytes[9] = 0;
    memcpy(bytes + 10, dictionary, length);
    memcpy(bytes + 10 + length, numbers, size);
    return given("npy", bytes, 10 + length + size);
}
#define DICTIONARY(type, shape)                                                                    \
    "{'descr': '" type "', 'fortran_order': False, 'shape': " shape ", }"

Test(readers, npy_reads_any_dictionary) {
    static const char *const texts[] = {
        DICTIONARY("|u1", "(2, 3)"), "{\"shape\":(2,3),\"descr\":\"u1\",\"fortran_order\":False}",
        " { 'shape' : ( 2L , 3L , ) , 'fortran_order' : False , 'descr' : '<u1' } \n",
        DICTIONARY("|u1", "(2, 3)") "       \n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        Data data;
        Given from = array(texts[i], "abcdef", 6);
        reads(&from, &data);
        cr_assert(data.count == 2 && data.fields[0].count == 3);
        cr_assert_eq(data_value(&data.fields[0], 1, 0), 'd' / 255.0);
        data_close(&data);
    }
}

Test(readers, npy_unsigned_numbers_have_no_sign) {
    Data data;
    Given from = array(DICTIONARY(">u2", "(2,)"), "\xff\xfe\0\1", 4);
    reads(&from, &data);
    cr_assert(data_value(&data.fields[0], 0, 0) == 65534 && data_value(&data.fields[0], 1, 0) == 1);
    data_close(&data);
    from = array(DICTIONARY("<u8", "(1,)"), "\0\0\0\0\0\0\0\x80", 8);
    reads(&from, &data);
    cr_assert_eq(data_value(&data.fields[0], 0, 0), 9223372036854775808.0);
    data_close(&data);
}

Test(readers, npy_numbers_may_lie_anywhere) {
    const double number = 1.5;
    for (int i = 0; i < 8; i++) {
        char text[100];
        Data data;
        snprintf(text, sizeof text, "%s%*s", DICTIONARY("<f8", "(1,)"), i, "");
        Given from = array(text, &number, sizeof number);
        reads(&from, &data);
        cr_assert_eq(data_value(&data.fields[0], 0, 0), 1.5);
        cr_assert_eq((uintptr_t)data.fields[0].first % 8, 0);
        data_close(&data);
    }
}

Test(readers, npy_refuses_every_fault) {
    static const struct {
        const char *dictionary, *told;
        size_t size;
    } rows[] = {
        {DICTIONARY("|u1", "(2, 3)"), "promises 6 bytes of numbers, but it has 5: the file is trun",
         5},
        {DICTIONARY("|u1", "(2, 3)"), "something after its end", 7},
        {DICTIONARY("|u1", "(0, 3)"), "no examples", 0},
        {DICTIONARY("|u1", "(2, 0)"), "no examples", 0},
        {DICTIONARY("<f8", "(4294967296, 4294967296)"), "impossibly large", 8},
        {DICTIONARY("<f8", "(99999999999999999999,)"), "a smaller number", 8},
        {DICTIONARY("<f8", "(1152921504606846976,)"), "impossibly large", 8},
        {DICTIONARY("|u1", "(1, 1, 1, 1, 1, 1, 1, 1, 1, 1)"), "more than 9 dimensions", 1},
        {DICTIONARY("<u3", "(1,)"), "type '<u3'", 3},
        {DICTIONARY("<f16", "(1,)"), "type '<f16'", 16},
        {DICTIONARY("<c8", "(1,)"), "type '<c8'", 8},
        {DICTIONARY("|V300000000000000000", "(1,)"), "a word in quotes", 8},
        {DICTIONARY("|u1", "(-1,)"), "a number is wanted at '-1,)", 1},
        {DICTIONARY("|u1", "(1 2)"), "',' is wanted at '2)", 2},
        {DICTIONARY("|u1", "1"), "'(' is wanted", 1},
        {"{'descr': '|u1', 'fortran_order': 0, 'shape': (1,)}", "True or False", 1},
        {"{'descr': '|u1', 'shape': (1,)}", "all of descr", 1},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1,), 'x': 1}", "descr, fortran", 1},
        {"{'descr': '|u1' 'fortran_order': False, 'shape': (1,)}", "',' is wanted", 1},
        {"{'descr' '|u1'}", "':' is wanted", 1},
        {"['descr']", "'{' is wanted", 1},
        {DICTIONARY("|u1", "(1,)") " x", "nothing is wanted at 'x'", 1},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1,", "a number is wanted at ''", 0},
        {"{'descr': '|u1", "a word in quotes", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Given from = array(rows[i].dictionary, "0123456789abcdef", rows[i].size);
        fails(&from, rows[i].told);
    }
    Given from = given("npy", BYTES("\x93NUMPX\1\0\0\0"));
    fails(&from, "is no NumPy array");
    from = given("npy", BYTES("\x93NUMPY\1"));
    fails(&from, "ends inside its header");
    from = given("npy", BYTES("\x93NUMPY\4\0\0\0\0\0"));
    fails(&from, "version 4.0");
    from = given("npy", BYTES("\x93NUMPY\0\1\0\0\0\0"));
    fails(&from, "version 0.1");
    from = given("npy", BYTES("\x93NUMPY\1\0\5"));
    fails(&from, "ends inside its header");
    from = given("npy", BYTES("\x93NUMPY\1\0\5\0{}"));
    fails(&from, "ends inside its header");
    from = given("npy", BYTES("\x93NUMPY\2\0\5\0\0"));
    fails(&from, "ends inside its header");
    from = given("npy", BYTES("\x93NUMPY\2\0\2\0\0\1{}"));
    fails(&from, "ends inside its header");
}

Test(readers, npy_refuses_numbers_that_are_none) {
    const float numbers[] = {1, 2, 3, 0.0f / 0.0f};
    Given from = array(DICTIONARY("<f4", "(2, 2)"), numbers, sizeof numbers);
    fails(&from, "a (embedded): value 1 of example 1 is nan");
    const double others[] = {1, -1.0 / 0.0};
    from = array(DICTIONARY("<f8", "(2,)"), others, sizeof others);
    fails(&from, "value 0 of example 1 is -infinity");
}

Test(readers, npy_inputs_and_targets_have_as_many) {
    Given from = array(DICTIONARY("|u1", "(2, 3)"), "abcdef", 6),
          other = array(DICTIONARY("|u1", "(3,)"), "\0\1\0", 3);
    from.files[1] = other.files[0];
    from.source.nfiles = 2;
    fails(&from, "has 3 examples, but what was read before it has 2");
    other = array(DICTIONARY("|u1", "(2, 2)"), "\0\1\2\3", 4); /* a target of two values */
    from.files[1] = other.files[0];
    Data data;
    reads(&from, &data);
    cr_assert(data.fields[1].role == FIELD_LABEL && data.fields[1].count == 2);
    data_close(&data);
}

/* ---- cifar */

enum { PIXELS = 3072 };
/* Records whose labels and first and last byte are these. */
static unsigned char *records(int count, int labels, const char *bytes, int64_t *size) {
    *size = (int64_t)count * (PIXELS + labels);
    unsigned char *at = calloc((size_t)*size, 1);
    for (int i = 0; i < count; i++, bytes += labels + 2) {
        unsigned char *record = at + i * (PIXELS + labels);
        memcpy(record, bytes, (size_t)labels);
        record[labels] = (unsigned char)bytes[labels];
        record[labels + PIXELS - 1] = (unsigned char)bytes[labels + 1];
    }
    return at;
}

Test(readers, cifar_reads_several_files_as_one) {
    Given from = given("cifar", NULL, 0);
    from.files[0].bytes = records(2, 1, "\3\1\2\11\3\4", &from.files[0].size);
    from.files[1].bytes = records(1, 1, "\0\5\6", &from.files[1].size);
    from.files[2].bytes = records(1, 1, "\7\10\11", &from.files[2].size);
    from.source.nfiles = 3;
    Data data;
    reads(&from, &data);
    cr_assert(data.count == 4 && data.nfields == 2);
    cr_assert(data.fields[0].role == FIELD_INPUT && data.fields[0].count == PIXELS);
    cr_assert_str_eq(data.input_text, "3 x 32 x 32 = 3072 values");
    const unsigned char wanted[4][3] = {{3, 1, 2}, {9, 3, 4}, {0, 5, 6}, {7, 8, 9}};
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(data_value(&data.fields[1], i, 0), wanted[i][0]);
        cr_assert_eq(data_value(&data.fields[0], i, 0), wanted[i][1] / 255.0);
        cr_assert_eq(data_value(&data.fields[0], i, PIXELS - 1), wanted[i][2] / 255.0);
    }
    cr_assert_eq(data.fields[1].role, FIELD_LABEL);
    data_close(&data);
}

Test(readers, cifar_100_has_two_labels) {
    const GrColumn columns[] = {{"kind", "fine"}, {"group", "coarse"}};
    Given from = given("cifar", NULL, 0);
    from.files[0].bytes = records(2, 2, "\23\143\1\2\1\7\3\4", &from.files[0].size);
    from.source.columns = columns;
    from.source.ncolumns = 2;
    Data data;
    reads(&from, &data);
    cr_assert(data.count == 2 && data.nfields == 3);
    cr_assert_str_eq(data.fields[1].bound, "group");
    cr_assert_eq(data_value(&data.fields[1], 0, 0), 19);
    cr_assert_str_eq(data.fields[2].bound, "kind");
    cr_assert_eq(data_value(&data.fields[2], 0, 0), 99);
    cr_assert_eq(data_value(&data.fields[2], 1, 0), 7);
    cr_assert_eq(data_value(&data.fields[0], 1, PIXELS - 1), 4 / 255.0);
    data_close(&data);
    from.source.ncolumns = 0;
    data = (Data){0}; /* in prediction the files alone decide */
    DataFile *file = data_file(&data, "f");
    file->size = (size_t)from.files[0].size;
    file->bytes = memcpy(calloc(file->size + 1, 1), from.files[0].bytes, file->size);
    Fault fault;
    cr_assert(data_read(&from.source, false, &data, &fault), "%s", fault.text);
    cr_assert_eq(data_value(&data.fields[0], 1, PIXELS - 1), 4 / 255.0);
    data_close(&data);
    fails(&from, "are records of CIFAR-100, not of CIFAR-10: bind its label, NAME = \"fine\"");
    from.source.columns = (const GrColumn[]){{"a", "fine"}, {"b", "label"}};
    from.source.ncolumns = 2;
    fails(&from, "one or the other");
    from.source.columns = (const GrColumn[]){{"a", "find"}};
    from.source.ncolumns = 1;
    fails(&from, "has no label 'find' (bound to 'a'); did you mean 'fine'?");
}

Test(readers, cifar_refuses_every_fault) {
    Given from = given("cifar", "", 0);
    fails(&from, "the file is empty");
    int64_t size;
    from.files[0].bytes = records(2, 1, "\3\1\2\11\3\4", &size);
    from.files[0].size = size - 1;
    fails(&from, "6145 bytes are no whole number of CIFAR-10 records of 3073 bytes");
    from.files[0].bytes = records(2, 1, "\3\1\2\12\3\4", &from.files[0].size);
    fails(&from, "record 1 has the label 10; CIFAR-10 has 0 to 9");
    from.source.columns = (const GrColumn[]){{"a", "fine"}};
    from.source.ncolumns = 1;
    from.files[0].bytes = records(2, 2, "\0\0\1\2\24\0\3\4", &from.files[0].size);
    fails(&from, "record 1 has the coarse 20; CIFAR-100 has 0 to 19");
    from.files[0].bytes = records(2, 2, "\0\144\1\2\0\0\3\4", &from.files[0].size);
    fails(&from, "record 0 has the fine 100; CIFAR-100 has 0 to 99");
}

/* ---- All rows */

/* A file is recognized by its own format and no stricter one. */
Test(readers, files_are_known_by_their_content) {
    int64_t ten, hundred;
    unsigned char *cifar10 = records(3, 1, "\3\1\2\11\3\4\0\5\6", &ten),
                  *cifar100 = records(3, 2, "\3\1\2\11\3\4\0\5\6\7\10\11", &hundred);
    const struct {
        const char *name;
        const void *bytes;
        size_t size;
    } rows[] = {{"idx", BYTES("\0\0\10\1\0\0\0\1\1")},
                {"csv", BYTES("a,b\n1,2\n")},
                {"npy", BYTES("\x93NUMPY\1\0")},
                {"npz", BYTES("PK\3\4..................................")},
                {"cifar", cifar10, (size_t)ten},
                {"cifar", cifar100, (size_t)hundred}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char *bytes = memcpy(calloc(rows[i].size + 1, 1), rows[i].bytes, rows[i].size);
        DataFile file = {"f", bytes, rows[i].size};
        const char *first = NULL;
        for (int r = 0; r < data_reader_count && !first; r++)
            if (data_readers[r].fits(&file)) first = data_readers[r].name;
        cr_assert(first && !strcmp(first, rows[i].name), "%s is taken for %s", rows[i].name, first);
        free(bytes);
    }
}

/* In prediction names of another format are no fault; those that it has decide. */
Test(readers, cifar_under_the_names_of_another_format) {
    static const GrColumn columns[] = {{"kind", "class"}, {"other", "coarse"}};
    for (int named = 1; named <= 2; named++) {
        GrSource source = {.format = "cifar", .columns = columns, .ncolumns = named};
        Data data = {0};
        DataFile *file = data_file(&data, "f");
        int64_t size;
        file->bytes = named == 1 ? records(3, 1, "\3\1\2\11\3\4\0\5\6", &size)
                                 : records(3, 2, "\3\1\2\11\3\4\0\5\6\7\10\11", &size);
        file->size = (size_t)size;
        Fault fault = {0};
        cr_assert(data_read(&source, false, &data, &fault), "%s", fault.text);
        cr_assert(data.count == 3 && data.nfields == 1 + named && !data.fields[2 * named - 2].bound);
        cr_assert(named == 1 || !strcmp(data.fields[1].bound, "other"));
        cr_assert(!data_read(&source, true, &data, &fault) && strstr(fault.text, "no label 'class'"));
        data_close(&data);
    }
}

/* Cut anywhere, a good file is refused or, where it still is one, read; nothing else. */
Test(readers, survive_cuts) {
    static const char *const paths[] = {"npy", FOLDER "version2.npy", "npz", FOLDER "packed.npz",
                                        "npz", FOLDER "wide.npz"};
    for (int i = 0; i < 6; i += 2) {
        unsigned char *bytes;
        size_t size;
        Fault fault = {0};
        cr_assert(io_read_file(paths[i + 1], &bytes, &size, &fault));
        for (size_t cut = 0; cut < size; cut++) {
            Given from = given(paths[i], bytes, cut); /* copied: sanitizers see a step over */
            Data data;
            cr_assert(!opens(&from, &data, &fault), "%s cut at %zu", paths[i], cut);
            cr_assert_eq(fault.code, GR_BAD_DATA);
            data_close(&data);
        }
        free(bytes);
    }
}

/* A batch and a single example round a pixel on two ways. */
Test(readers, every_pixel_is_the_same_number_alone) {
    unsigned char bytes[256];
    const DataField field = {.kind = FIELD_PIXEL, .count = 1, .stride = 1, .first = bytes};
    for (int i = 0; i < 256; i++) {
        bytes[i] = (unsigned char)i;
        cr_assert_eq((float)data_value(&field, i, 0), (float)i / 255.0f);
    }
}
