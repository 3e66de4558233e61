/* SPDX-License-Identifier: MIT
 * Tests of the runtime's ground floor: draws, order, numbers, JSON, files, weights files.
 * Needs Criterion and Random123 (known answers). Starts no threads. */
#include "json.h"
#include "philox.h"
#include "run.h"
#include "safetensors.h"
#include <Random123/philox.h>
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = P_tmpdir "/gradus-io-XXXXXX";

static void enter(void) {
    cr_assert(mkdtemp(folder));
    cr_assert(!chdir(folder));
}

static void leave(void) {
    char *line = io_format("rm -rf '%s'", folder);
    if (!strstr(folder, "XXXXXX")) cr_assert(!system(line));
}
TestSuite(runtime_files, .fini = leave);
TestSuite(runtime_safetensors, .fini = leave);

static void put_file(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    cr_assert(file && fwrite(bytes, 1, size, file) == size && !fclose(file));
}

/* ---- Philox and the order of examples */

Test(runtime_philox, published_answers) { /* kat_vectors of Random123 */
    static const struct {
        uint64_t key;
        uint32_t c[4], out[4];
    } rows[] = {
        {0, {0, 0, 0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, {~0u, ~0u, ~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822,
         {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < 3; i++) {
        Philox p = philox(rows[i].key, rows[i].c[0], rows[i].c[1], rows[i].c[2], rows[i].c[3]);
        for (int w = 0; w < 4; w++)
            cr_assert_eq(p.word[w], rows[i].out[w], "row %d word %d", i, w);
    }
}

static Philox other_philox(uint64_t key, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    philox4x32_ctr_t counter = {{a, b, c, d}};
    philox4x32_key_t k = {{(uint32_t)key, (uint32_t)(key >> 32)}};
    philox4x32_ctr_t out = philox4x32_R(10, counter, k);
    return (Philox){{out.v[0], out.v[1], out.v[2], out.v[3]}};
}

Test(runtime_philox, agrees_with_random123) {
    for (uint32_t i = 0; i < 2000; i++) {
        uint64_t key = i * UINT64_C(0x9e3779b97f4a7c15);
        uint32_t c = i * 2654435761u;
        Philox a = philox(key, c, i, ~c, c ^ i), b = other_philox(key, c, i, ~c, c ^ i);
        cr_assert(!memcmp(&a, &b, sizeof a));
    }
}

Test(runtime_order, is_fisher_yates_over_random123) {
    enum { N = 1000 };
    uint32_t got[N], want[N];
    order_shuffle(got, N, 12345678901, 3);
    for (uint32_t i = 0; i < N; i++)
        want[i] = i;
    for (uint32_t i = N - 1; i > 0; i--) {
        Philox d = other_philox(12345678901, i, 3, 0, 0x6f726472);
        /* floor(random * (i + 1) / 2^64) in two halves, without 128 bits */
        uint64_t low = (uint64_t)d.word[0] * (i + 1) >> 32;
        uint32_t j = (uint32_t)(((uint64_t)d.word[1] * (i + 1) + low) >> 32), kept = want[i];
        want[i] = want[j];
        want[j] = kept;
    }
    cr_assert(!memcmp(got, want, sizeof got));
}

Test(runtime_order, depends_on_seed_and_epoch_only) {
    uint32_t a[100], b[100];
    order_shuffle(a, 100, 1, 0), order_shuffle(b, 100, 1, 0);
    cr_assert(!memcmp(a, b, sizeof a));
    order_shuffle(b, 100, 1, 1);
    cr_assert(memcmp(a, b, sizeof a));
    order_shuffle(b, 100, 2, 0);
    cr_assert(memcmp(a, b, sizeof a));
    uint8_t seen[100] = {0};
    for (int i = 0; i < 100; i++)
        cr_assert(b[i] < 100 && !seen[b[i]]++);
    order_shuffle(b, 1, 5, 5);
    cr_assert_eq(b[0], 0);
}

Test(runtime_order, is_uniform) { /* chi-square of where each of 8 examples lands, 49 degrees */
    enum { N = 8, EPOCHS = 40000 };
    int landed[N][N] = {{0}};
    uint32_t order[N];
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        order_shuffle(order, N, 99, epoch);
        for (int i = 0; i < N; i++)
            landed[i][order[i]]++;
    }
    double chi = 0, mean = (double)EPOCHS / N;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            chi += (landed[i][j] - mean) * (landed[i][j] - mean) / mean;
    cr_assert(chi < 95, "chi-square %g", chi); /* 1e-4 of the time */
}

/* ---- Numbers */

Test(runtime_numbers, parse_what_is_a_number) {
    static const char *const good[] = {"0",
                                       "-0",
                                       "+1",
                                       "1.",
                                       ".5",
                                       "5.1",
                                       "-12.25e3",
                                       "1E-7",
                                       "123456789012345678901234567890",
                                       "9007199254740993",
                                       "1e22",
                                       "1e23",
                                       "2.2250738585072014e-308",
                                       "4.9e-324",
                                       "1e-400",
                                       "0.1",
                                       "179769313486231570000e288",
                                       "0.000000000000000000000000000001",
                                       "1.00000000000000011102230246251565",
                                       "8.5e22",
                                       "00012"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        double value;
        cr_assert(number_parse(good[i], strlen(good[i]), &value), "%s", good[i]);
        double want = strtod(good[i], NULL);
        cr_assert(!memcmp(&value, &want, sizeof value), "%s: %.17g, not %.17g", good[i], value,
                  want);
    }
}

Test(runtime_numbers, refuse_what_is_none) {
    static const char *const bad[] = {"",     "+",     "-",     ".",   "e5",  "1e",   "1e+",
                                      "0x10", "nan",   "inf",   "1,5", "1 2", " 1",   "1 ",
                                      "--1",  "1.2.3", "1e999", "abc", "1f",  "-inf", "1e5.5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        double value;
        cr_assert(!number_parse(bad[i], strlen(bad[i]), &value), "'%s' was read", bad[i]);
    }
}

Test(runtime_numbers, shortest_text_reads_back) {
    char text[NUMBER_TEXT];
    for (uint32_t i = 0; i < 20000; i++) {
        Philox draw = philox(1, i, 0, 0, 0);
        uint64_t bits = (uint64_t)draw.word[0] << 32 | draw.word[1];
        double wide, back;
        float narrow;
        memcpy(&wide, &bits, 8), memcpy(&narrow, &draw.word[2], 4);
        if (isfinite(wide)) {
            number_text(wide, 8, text);
            cr_assert(number_parse(text, strlen(text), &back) && back == wide, "%s", text);
        }
        if (isfinite(narrow)) {
            number_text(narrow, 4, text);
            cr_assert((float)strtod(text, NULL) == narrow, "%s", text);
            cr_assert(strlen(text) <= 15, "%s", text);
        }
    }
    cr_assert_str_eq(number_text(0.1, 8, text), "0.1");
    cr_assert_str_eq(number_text(0.1f, 4, text), "0.1");
    cr_assert_str_eq(number_text(1000, 8, text), "1000");
    cr_assert_str_eq(number_text(-120, 4, text), "-120");
    cr_assert_str_eq(number_text(1e300, 8, text), "1e+300");
    cr_assert_str_eq(number_text(NAN, 8, text), "nan");
}

Test(runtime_numbers, nearest_names) {
    static const char *const names[] = {"train", "eval", "predict", "optimizer.lr"};
    cr_assert_str_eq(text_nearest("tran", names, 4), "train");
    cr_assert_str_eq(text_nearest("pred", names, 4), "predict");
    cr_assert_str_eq(text_nearest("optimiser.lr", names, 4), "optimizer.lr");
    cr_assert_null(text_nearest("zebra", names, 4));
    cr_assert_eq(text_distance("abcd", "abdc"), 1);
    cr_assert_eq(text_distance("", "abc"), 3);
}

/* ---- JSON */

Test(runtime_json, reads_values) {
    const char *text =
        " {\"a\": [1, -2.5e1, true, null, \"x\\n\\u00e9\\ud83d\\ude00\"], \"\": {}} ";
    Json json;
    Fault fault;
    cr_assert(json_read(text, strlen(text), &json, &fault), "%s", fault.text);
    const Json *a = json_member(&json, "a");
    cr_assert(a && a->kind == JSON_ARRAY && a->count == 5);
    cr_assert_eq(a->items[1].number, -25);
    cr_assert_str_eq(a->items[4].text, "x\n\xc3\xa9\xf0\x9f\x98\x80");
    cr_assert_null(json_member(&json, "b"));
    json_free(&json);
}

/* The room for a string reaches beyond quotes that are escaped. */
Test(runtime_json, long_strings_with_quotes) {
    char text[4096] = "[\"\\\"";
    Json json;
    Fault fault;
    memset(text + 4, 'x', 4000);
    strcpy(text + 4004, "\", \"\\\\\"]");
    cr_assert(json_read(text, strlen(text), &json, &fault), "%s", fault.text);
    cr_assert_eq(strlen(json.items[0].text), 4001);
    cr_assert_str_eq(json.items[1].text, "\\");
    json_free(&json);
}

/* Thirty-two levels below the first, and no more. */
Test(runtime_json, nests_to_a_depth) {
    char text[256];
    for (int deep = 30; deep <= 40; deep++) {
        Json json;
        Fault fault;
        memset(text, '[', (size_t)deep);
        memset(text + deep, ']', (size_t)deep);
        cr_assert_eq(json_read(text, 2 * (size_t)deep, &json, &fault), deep <= 33, "%d", deep);
        if (deep <= 33) json_free(&json);
    }
}

Test(runtime_json, refuses_malformed) {
    static const char *const bad[] = {"",
                                      "{",
                                      "}",
                                      "[1,]",
                                      "{\"a\":1,}",
                                      "{\"a\" 1}",
                                      "{a:1}",
                                      "[1 2]",
                                      "01",
                                      "1.",
                                      "-",
                                      "+1",
                                      "\"a",
                                      "\"\\x\"",
                                      "\"\\u12\"",
                                      "\"\\ud800\"",
                                      "\"\\udc00\"",
                                      "\"\\u1g00\"",
                                      "\"\\ud83d\\u0041\"",
                                      "\"\\ud83d\\ue000\"",
                                      "\"abc\\\"",
                                      "[\"a\\\", 1]",
                                      "\"\\u0000\"",
                                      "\"\t\"",
                                      "nul",
                                      "[1] x",
                                      "{\"a\":1,\"a\":2}",
                                      "1e",
                                      "NaN",
                                      "'a'",
                                      "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Json json;
        Fault fault;
        cr_assert(!json_read(bad[i], strlen(bad[i]), &json, &fault), "%s was read", bad[i]);
        cr_assert(fault.code == GR_BAD_DATA && strstr(fault.text, "byte"));
    }
}

/* ---- Files */

static char *slurp(const char *path) {
    unsigned char *bytes;
    size_t size;
    Fault fault;
    return io_read_file(path, &bytes, &size, &fault) ? (char *)bytes : NULL;
}

Test(runtime_files, appear_whole_or_not_at_all) {
    Fault fault;
    Writer writer;
    enter();
    cr_assert(writer_open(&writer, "a", &fault) && fputs("one", writer.file) >= 0);
    cr_assert(!io_exists("a")); /* not before it is committed */
    cr_assert(writer_commit(&writer, &fault));
    cr_assert_str_eq(slurp("a"), "one");
    cr_assert(writer_open(&writer, "a", &fault) && fputs("two", writer.file) >= 0);
    writer_abandon(&writer);
    cr_assert_str_eq(slurp("a"), "one");
}

Test(runtime_files, full_disk_leaves_the_old_file) {
    static char big[3 << 20];
    Fault fault;
    Writer writer;
    enter();
    put_file("a", "old", 3);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert(!setrlimit(RLIMIT_FSIZE, &(struct rlimit){100000, 100000}));
    cr_assert(writer_open(&writer, "a", &fault));
    fwrite(big, sizeof big, 1, writer.file);
    cr_assert(!writer_commit(&writer, &fault));
    cr_assert(strstr(fault.text, "old file stays"), "%s", fault.text);
    cr_assert_eq(fault.code, GR_FAILED);
    cr_assert_str_eq(slurp("a"), "old");
    char *other = io_format("a.%ld.tmp", (long)getpid());
    cr_assert(!io_exists(other));
}

Test(runtime_files, say_what_to_do) {
    Fault fault;
    Writer writer;
    unsigned char *bytes;
    size_t size;
    enter();
    cr_assert(!writer_open(&writer, "nowhere/a", &fault) && strstr(fault.text, "no such"));
    cr_assert(!io_read_file("nothing", &bytes, &size, &fault) && fault.code == GR_BAD_DATA);
    cr_assert(!io_read_file(".", &bytes, &size, &fault) && strstr(fault.text, "folder"));
    put_file("plain", "", 0);
    cr_assert(!io_make_folder("plain/x", &fault) && fault.code == GR_FAILED);
    cr_assert(!io_check_folder("plain", &fault) && strstr(fault.text, "folder is wanted"));
    cr_assert(!io_make_folder("x/y", &fault) && strstr(fault.text, "x/y"));
    cr_assert(io_make_folder("x", &fault) && io_make_folder("x/y", &fault));
    cr_assert(io_make_folder("x/y", &fault) && io_check_folder("x/y", &fault));
}

/* ---- Weights files */

static void write_header(const char *path, const char *header, size_t data) {
    FILE *file = fopen(path, "wb");
    uint64_t length = strlen(header);
    fwrite(&length, 8, 1, file);
    fputs(header, file);
    for (size_t i = 0; i < data; i++)
        fputc((int)i, file);
    fclose(file);
}

Test(runtime_safetensors, round_trip) {
    static const float a[6] = {1, -2, 3, 0x1p-149f, 5, 6};
    static const double b = 1.0 / 3;
    static const uint32_t c[2] = {7, 4294967295u};
    TensorFile file = {0}, back;
    Fault fault;
    enter();
    tensors_add(&file, (Tensor){.name = "c",
                                .type = TENSOR_U32,
                                .rank = 1,
                                .extent = {2},
                                .count = 2,
                                .bytes = (const unsigned char *)c});
    tensors_add(&file, (Tensor){.name = "a.\"W\"",
                                .type = TENSOR_F32,
                                .rank = 2,
                                .extent = {2, 3},
                                .count = 6,
                                .bytes = (const unsigned char *)a});
    tensors_add(
        &file,
        (Tensor){.name = "b", .type = TENSOR_F64, .count = 1, .bytes = (const unsigned char *)&b});
    tensors_note(&file, "step", "%d", 12);
    tensors_note(&file, "odd \\ \"\n", "%s", "\xc3\xa9\t");
    cr_assert(tensors_write("w", &file, &fault), "%s", fault.text);
    cr_assert(tensors_read("w", &back, &fault), "%s", fault.text);
    cr_assert_eq(back.ntensors, 3);
    cr_assert(!memcmp(tensors_find(&back, "a.\"W\"")->bytes, a, sizeof a));
    cr_assert(!memcmp(tensors_find(&back, "b")->bytes, &b, 8));
    cr_assert(!memcmp(tensors_find(&back, "c")->bytes, c, 8));
    cr_assert_eq(tensors_find(&back, "a.\"W\"")->extent[1], 3);
    cr_assert_str_eq(tensors_meta(&back, "step"), "12");
    cr_assert_str_eq(tensors_meta(&back, "odd \\ \"\n"), "\xc3\xa9\t");
    cr_assert_null(tensors_find(&back, "d"));
    uint64_t length;
    memcpy(&length, back.storage, 8);
    cr_assert_eq(length % 8, 0);
    tensors_free(&back);
}

#define T1 "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}"
Test(runtime_safetensors, refuses_every_violation) {
    static const struct {
        const char *header;
        size_t data;
        const char *told;
    } rows[] = {
        {"{" T1 "}", 8, NULL},
        {"{" T1 "}   ", 8, NULL},
        {"{\"__metadata__\":{\"x\":\"y\"}," T1 "}", 8, NULL},
        {"{" T1 "}", 7, "truncated"},
        {"{" T1 "}", 9, "belong to no tensor"},
        {" {" T1 "}", 8, "damaged"},
        {"{" T1 "", 8, "damaged"},
        {"{" T1 "} x", 8, "damaged"},
        {"{" T1 "," T1 "}", 8, "stands twice"},
        {"[]", 0, "damaged"},
        {"{" T1 ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "overlap"},
        {"{" T1 ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[12,16]}}", 16, "gap"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "gap"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, "takes 12 bytes"},
        {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[0,8]}}", 8, "BF16"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "entry"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,8]}}", 8, "entry"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[9007199254740992,9007199254740992],"
         "\"data_offsets\":[0,8]}}",
         8, "entry"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "range"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "entry"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, "entry"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, "entry"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8, "entry"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
         "entry"},
        /* 2^62 elements of 4 bytes are 0 bytes modulo 2^64 */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4503599627370496,1024],\"data_offsets\":[0,0]}}", 0,
         "entry"},
        {"{\"a\":7}", 8, "entry"},
        {"{\"__metadata__\":{\"x\":1}," T1 "}", 8, "no string"},
        {"{\"__metadata__\":[]," T1 "}", 8, "no table"},
    };
    enter();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        TensorFile file;
        Fault fault = {0};
        write_header("w", rows[i].header, rows[i].data);
        bool ok = tensors_read("w", &file, &fault);
        cr_assert_eq(ok, rows[i].told == NULL, "%s: %s", rows[i].header, fault.text);
        if (ok) continue;
        cr_assert(strstr(fault.text, rows[i].told), "%s: %s", rows[i].header, fault.text);
        cr_assert(fault.code == GR_BAD_DATA && !file.ntensors && !file.storage);
    }
}

Test(runtime_safetensors, refuses_broken_lengths) {
    static const uint64_t lengths[] = {0, 100, UINT64_MAX, UINT64_C(1) << 40};
    TensorFile file;
    Fault fault;
    enter();
    put_file("w", "short", 5);
    cr_assert(!tensors_read("w", &file, &fault) && strstr(fault.text, "only 5 bytes"));
    for (int i = 0; i < 4; i++) {
        char bytes[32] = {0};
        memcpy(bytes, &lengths[i], 8);
        put_file("w", bytes, sizeof bytes);
        cr_assert(!tensors_read("w", &file, &fault), "length %d", i);
        if (i == 1) cr_assert(strstr(fault.text, "ends inside its header"), "%s", fault.text);
        if (i > 1) cr_assert(strstr(fault.text, "is no safetensors file"), "%s", fault.text);
    }
    cr_assert(!tensors_read("none", &file, &fault));
}

/* Cut anywhere, or with any bit turned, it is refused or differs; it never crashes. */
Test(runtime_safetensors, survives_damage) {
    TensorFile file;
    Fault fault;
    unsigned char *bytes, *copy;
    size_t size;
    enter();
    write_header("w", "{\"__metadata__\":{\"x\":\"y\"}," T1 "}", 8);
    cr_assert(io_read_file("w", &bytes, &size, &fault));
    for (size_t cut = 0; cut < size; cut++) {
        put_file("v", bytes, cut);
        cr_assert(!tensors_read("v", &file, &fault), "cut at %zu", cut);
    }
    for (size_t bit = 0; bit < 8 * size; bit++) {
        copy = memcpy(malloc(size), bytes, size);
        copy[bit / 8] ^= (unsigned char)(1 << bit % 8);
        put_file("v", copy, size);
        if (tensors_read("v", &file, &fault)) tensors_free(&file);
        free(copy);
    }
}
